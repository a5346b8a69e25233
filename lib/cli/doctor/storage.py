"""Checks that a folder, the spool and the store can be written, by a write into what exists. Nothing stays."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx

from lib.cli.doctor.advice import advise_on_store
from lib.cli.doctor.finding import Finding
from lib.errors import TopcoinsError
from lib.ingest.spool_folder import waiting
from lib.settings import NONE, PREFIX, Settings
from lib.store import Store
from lib.store.influx.rights import may_write
from lib.store.sqlite.database import try_write

SAMPLE = b"\0" * 2**16
"""More than a disk without space takes."""


def check_same_store(services: Mapping[str, Settings]) -> Iterator[Finding]:
    """Wrong where the services use different stores: query_api would never read what the ingestors write."""
    urls = {name: chosen.store_url for name, chosen in services.items() if chosen.store_url != NONE}
    if len(set(urls.values())) > 1:
        each = ", ".join(f"{name} {url}" for name, url in urls.items())
        yield Finding("stores", False, f"the services use different ones: {each}; set one {PREFIX}STORE_URL for all")


def check_spools(folders: Sequence[Path]) -> Finding:
    """Whether each spool can be written, and how many snapshots wait in it."""
    for folder in folders:
        if why := why_not_writable(folder):
            remedy = f"without its spool an ingestor does not start; {_rights()} or set {PREFIX}SPOOL_DIR"
            return Finding("spool", False, f"{folder}: {why}: {remedy}")
    count = sum(len(waiting(folder)) for folder in folders)
    waits = f"; {count} snapshots wait for the store" if count else ""
    places = ", ".join(dict.fromkeys(str(folder.parent) for folder in folders))
    return Finding("spool", True, f"{places} can be written{waits}")


def why_not_writable(folder: Path) -> str:
    """Why a folder cannot be written, or not be made; empty where it can. Writes only into a folder that exists."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        return f"{existing} is no folder"
    if existing != folder.absolute():
        return "" if os.access(existing, os.W_OK | os.X_OK) else f"{existing} can't be written"
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(SAMPLE)
            file.flush()
    except OSError as exc:
        return str(exc.strerror).lower()
    return ""


async def check_store(
    chosen: Settings, path: Path | None, store: Store, client: httpx.AsyncClient, token_file: str
) -> Finding:
    """Whether the store can be used. `path` is the file of an embedded one."""
    if chosen.store_url == NONE:
        return Finding("store", True, "none: query_api answers from the archive alone, and no ingestor can run")
    if path is None:
        return await check_influx(chosen, client, store, token_file)
    return await check_sqlite(path, store)


async def check_sqlite(path: Path, store: Store) -> Finding:
    """Whether the embedded store answers and can be written, or can be made."""
    if finding := _check_path(path):
        return finding
    try:
        await store.ready()
        try_write(path)
    except TopcoinsError as exc:
        remedy = f"{_rights()}, restore a backup if the file is damaged, or set {PREFIX}STORE_URL"
        return Finding("store", False, f"{exc}: {remedy}")
    return Finding("store", True, f"{path} answers and can be written")


def _check_path(path: Path) -> Finding | None:
    """The finding for a store file that is not there, or never can be; None for one that is to be opened."""
    if path.is_dir():
        return Finding("store", False, f"{path} is a folder: set {PREFIX}STORE_URL=sqlite:///{path}/topcoins.db")
    if why := why_not_writable(path.parent):
        return Finding("store", False, f"{path.parent}: {why}: {_rights()} or set {PREFIX}STORE_URL")
    if not path.exists():
        return Finding("store", True, f"{path} is made when the ingestors start")
    return None


async def check_influx(chosen: Settings, client: httpx.AsyncClient, store: Store, token_file: str) -> Finding:
    """Whether InfluxDB answers, and whether the token has the rights that its service needs."""
    try:
        await store.ready()
        writes = await may_write(chosen, client)
    except TopcoinsError as exc:
        return Finding("store", False, f"{exc}; {advise_on_store(exc, host=chosen.store_url)}")
    owner = Path(token_file).parent.name  # topcoins init makes a folder for each service
    if owner.startswith("ingest_") and not writes:
        return Finding("store", False, f"the token of {owner} may not write: delete {token_file}, run topcoins init")
    if writes:
        return Finding("store", True, f"{chosen.store_url} answers, and takes writes with this token")
    rights = "as query_api's should" if owner == "query_api" else "enough for query_api, not for an ingestor"
    return Finding("store", True, f"{chosen.store_url} answers; this token may read only, {rights}")


def _rights() -> str:
    """What to do about a path that cannot be written."""
    user = f"user {os.getuid()}" if hasattr(os, "getuid") else "this user"
    return f"free space, let {user} write there,"
