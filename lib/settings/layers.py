"""The layers of settings: defaults, the TOML file, a service's table in it, the environment."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from lib.errors import SettingsRejected
from lib.lifeline import LIFELINE
from lib.redaction import shown
from lib.settings.model import Settings
from lib.settings.refusal import PREFIX, TABLES, is_secret, refuse

SERVICES = ("ingest_price", "ingest_rank", "query_api")
RUN_ID = PREFIX + "RUN_ID"
"""The variable with which `topcoins up` marks its processes; `/healthz` returns it."""
_TESTS = PREFIX + "TEST_"
"""Variables that begin so are for the tests only."""
_NO_SETTINGS = (PREFIX + "CONFIG", RUN_ID, LIFELINE, PREFIX + "ALERT_WEBHOOK")
"""The last is for Grafana alone: Compose reads it."""
_MULTILINE = ("client_keys",)
_FREE_TEXT = ("notice",)
_QUOTES = "\"'`\u201c\u201d\u2018\u2019"
"""`docker run --env-file` keeps the quotation marks of a file, and a text editor may make curly ones."""
_KUBERNETES = re.compile(r"(?:.*_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)")
"""Variables that Kubernetes puts into each container, for a Service whose name begins with topcoins."""
_SOURCE_SETTING = re.compile(r"""\b(?:url_)?setting\s*=\s*["'](\w+)["']""")
_SOURCE_FOLDERS = (("ingest_price", "."), ("ingest_rank", "."), ("lib", "source/vendors"))
"""Packages and folders in them: to name the package `lib.source` would import it, and Polars with it."""

Values = dict[str, object]


def load(environ: Mapping[str, str], service: str | None = None) -> Settings:
    """The settings of one service. Raises SettingsRejected, which names the setting, its value and a valid example."""
    ignored = tuple(sorted(name for name in environ if name.startswith(PREFIX) and _is_of_kubernetes(name, environ)))
    _refuse_lower_case(environ)
    own, of_others = _from_file(environ.get(PREFIX + "CONFIG", "").strip(), service)
    values = own | _from_environment({name: value for name, value in environ.items() if name not in ignored})
    _refuse_unknown(values | of_others)
    _refuse_odd_characters(values)
    open_names = [name for name in values if name not in Settings.model_fields]
    tables: Values = {
        "api_keys": {name: values.pop(name) for name in open_names if is_secret(name)},
        "source_urls": {name: values.pop(name) for name in open_names if not is_secret(name)},
    }
    values |= tables | {"ignored_variables": ignored}
    try:
        return Settings.model_validate(values)
    except ValidationError as exc:
        raise refuse(exc, values) from None


def log_of(environ: Mapping[str, str], service: str) -> tuple[str, str]:
    """The log's format and file as configured, where the other settings may be wrong; empty where that fails."""
    try:
        own, _ = _from_file(environ.get(PREFIX + "CONFIG", "").strip(), service)
    except SettingsRejected:
        own = {}
    format, file = (environ.get(f"{PREFIX}{name.upper()}") or own.get(name, "") for name in ("log_format", "log_file"))
    return str(format).strip(), str(file).strip()


def _is_of_kubernetes(variable: str, environ: Mapping[str, str]) -> bool:
    is_address = variable.endswith("PORT") and environ[variable].startswith(("tcp://", "udp://", "sctp://"))
    return is_address or bool(_KUBERNETES.fullmatch(variable.removeprefix(PREFIX)))


def _from_file(path: str, service: str | None) -> tuple[Values, Values]:
    """The values for this service, and those of the other services' tables."""
    table = _read_toml(path) if path else {}
    of_others: Values = {}
    for name in SERVICES:
        part = table.pop(name, {})
        if not isinstance(part, dict):
            raise SettingsRejected(f"{path}: {name} must be a table, such as [{name}]")
        (table if name == service else of_others).update(part)
    return {name: value for name, value in table.items() if not _is_unset(name, value)}, of_others


def _read_toml(path: str) -> Values:
    try:
        return tomllib.loads(Path(path).read_text("utf-8-sig"))  # Windows editors put a byte order mark first
    except OSError as exc:
        why = exc.strerror
    except UnicodeDecodeError:
        why = "it is not UTF-8"
    except tomllib.TOMLDecodeError as exc:
        why = str(exc)
    except (RecursionError, ValueError):
        why = "it is nested too deep, or its path is no path"
    name = path if path.endswith(".toml") else shown(path)
    raise SettingsRejected(f"{PREFIX}CONFIG: {name} can't be read: {why}; for example /etc/topcoins/topcoins.toml")


def _from_environment(environ: Mapping[str, str]) -> Values:
    values: Values = {}
    from_files: Values = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable.startswith(_TESTS) or variable in _NO_SETTINGS:
            continue
        name = variable.removeprefix(PREFIX).lower()
        secret = name.removesuffix("_file")
        if name.endswith("_file") and is_secret(secret):
            if path := text.strip():
                from_files[secret] = _read_secret(variable, path)
        elif not _is_unset(name, text):
            values[name] = text.strip()
    if twice := values.keys() & from_files.keys():
        name = f"{PREFIX}{min(twice).upper()}"
        raise SettingsRejected(f"{name} and {name}_FILE are both set; set one of them")
    return values | from_files


def _is_unset(name: str, value: object) -> bool:
    """Whether a secret is empty: Docker Compose passes empty ones."""
    return is_secret(name) and isinstance(value, str) and not value.strip()


def _read_secret(variable: str, path: str) -> str:
    """The content of a secret's file. No error shows the path: it may be the secret itself, by a slip."""
    try:
        secret = Path(path).read_text("utf-8-sig").strip()
    except (OSError, ValueError) as exc:
        why = (exc.strerror if isinstance(exc, OSError) else None) or "it is not UTF-8"
        raise SettingsRejected(
            f"{variable}: the secret's file can't be read: {why}; for example /run/secrets/cmc_api_key"
        ) from None
    if not secret:
        raise SettingsRejected(f"{variable}: the secret's file is empty")
    return secret


def _refuse_unknown(values: Values) -> None:
    own = [name for name in Settings.model_fields if name not in (*TABLES, "ignored_variables")]
    unknown = [name for name in values if name not in own]
    known = [*own, *sorted(set(_settings_of_sources(values)))] if unknown else own
    for name in (name for name in unknown if name not in known):
        close = get_close_matches(name, known, n=1)
        hint = (
            f"; did you mean {PREFIX}{close[0].upper()} ({close[0]} in the file)?"
            if close
            else f"; settings are {', '.join(known)}"
        )
        raise SettingsRejected(f"{shown(name)} is not a setting ({PREFIX}{shown(name.upper())}){hint}")


def _settings_of_sources(values: Values) -> Iterator[str]:
    """The settings that source files name: the files that come with topcoins, and those that the settings name."""
    listed = " ".join(
        str(values.get(name, "")) for name in ("price_source", "rank_source", "extra_sources", "check_source")
    )
    paths = [Path(name) for name in re.findall(r"[^\s,'\"\[\]()]+\.toml", listed)]
    for package, folder in _SOURCE_FOLDERS:
        paths += (Path(str(files(package))) / folder).glob("*.toml")
    for path in paths:
        if path.is_file():
            yield from _SOURCE_SETTING.findall(path.read_text("utf-8-sig", "replace"))


def _refuse_lower_case(environ: Mapping[str, str]) -> None:
    for variable in environ:
        if variable.upper().startswith(PREFIX) and variable != variable.upper():
            raise SettingsRejected(f"{shown(variable)} is not a setting; write {shown(variable.upper())}")


def _refuse_odd_characters(values: Values) -> None:
    for name, value in values.items():
        if not isinstance(value, str):
            continue
        setting = f"{PREFIX}{name.upper()} (or {name} in the file)"
        if name not in _FREE_TEXT and value.strip() != value.strip().strip(_QUOTES):
            why = "its value begins or ends with a quotation mark, which would be a part of it; write it without"
            raise SettingsRejected(f"{setting}: {why}")
        if not is_secret(name) and name not in _MULTILINE and not value.isprintable():
            raise SettingsRejected(f"{setting}: its value has a control character")
