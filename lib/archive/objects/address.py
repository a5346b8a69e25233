"""From the archive's address to its objects."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lib.archive.objects import Objects
from lib.archive.objects.folder import Folder
from lib.errors import SettingsRejected
from lib.settings import NONE, Settings

MAKING = "archive"
"""In the spools' folder: files on their way to an object store."""
_TIMEOUT = timedelta(seconds=20)
_RETRIES = 2
_NO_PROXY = {"proxy_url": "http://127.0.0.1:9", "proxy_excludes": "*,0.0.0.0/0,::/0"}
"""A proxy that is for no host. Without it the libraries use that of the environment, also for loopback."""
_KEYS = {
    "s3": "both, or none: then the role of the machine is used",
    "gs": "no access key, and as secret key the JSON text of a service account's key",
    "az": "the storage account's name as access key, and its key in base64 as secret key",
}


def open_objects(settings: Settings) -> Objects | None:
    """The archive that the settings name, None for `none`. Does no I/O yet: an absent one shows at its first use."""
    url = settings.archive_url
    if url == NONE:
        return None
    if "://" not in url:
        return Folder(Path(url))
    return _open_cloud(settings)


def _open_cloud(settings: Settings) -> Objects:
    # A folder's users need not wait for these imports.
    from obstore.exceptions import BaseError
    from obstore.store import AzureStore, GCSStore, S3Store

    from lib.archive.objects.cloud import Cloud

    parts = urlsplit(settings.archive_url)
    kinds: dict[str, tuple[Any, str, str, str]] = {
        "s3": (S3Store, "aws_access_key_id", "aws_secret_access_key", "aws_endpoint"),
        "gs": (GCSStore, "", "google_service_account_key", "google_base_url"),
        "az": (AzureStore, "azure_storage_account_name", "azure_storage_account_key", "azure_endpoint"),
    }
    kind, user, secret, endpoint = kinds[parts.scheme]
    secret_key = settings.archive_secret_key.get_secret_value() if settings.archive_secret_key else ""
    options = {user: settings.archive_access_key, secret: secret_key, endpoint: settings.archive_endpoint}
    if parts.scheme == "s3":
        options["aws_region"] = settings.archive_region
    options = {name: value for name, value in options.items() if name and value}
    client = {"timeout": _TIMEOUT, "connect_timeout": _TIMEOUT / 4}
    is_plain = settings.archive_endpoint.startswith("http:")
    direct = _NO_PROXY if is_plain else {}
    try:
        store = kind(
            parts.hostname,
            prefix=parts.path.strip("/") or None,
            config=options,
            client_options=client | direct | ({"allow_http": True} if is_plain else {}),
            retry_config={"max_retries": _RETRIES, "retry_timeout": _TIMEOUT},
        )
    except BaseError:  # its text may show parts of a key
        raise SettingsRejected(
            f"TOPCOINS_ARCHIVE_ACCESS_KEY or TOPCOINS_ARCHIVE_SECRET_KEY: {parts.scheme}:// needs {_KEYS[parts.scheme]}"
        ) from None
    return Cloud(
        store,
        shown=settings.archive_url,
        making=settings.spool_dir / MAKING,
        address=settings.archive_url,
        options=options | {"max_retries": _RETRIES} | direct | ({"aws_allow_http": "true"} if is_plain else {}),
    )
