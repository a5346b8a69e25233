"""Reading a source file. A broken one is refused with the file, the key and what was expected."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lib.errors import SettingsRejected
from lib.redaction import without_keys
from lib.schema import Series
from lib.settings import Settings, naming
from lib.source.model import SourceFile

VENDORS = Path(__file__).parent / "vendors"
"""What the source files of one vendor share; a file takes it over by `extends = "coinmarketcap_latest"`."""

Table = dict[str, Any]


def read_source(path: Path, *, vendors: Path = VENDORS) -> SourceFile:
    """The source that a file describes; SettingsRejected names the file, the key and what was expected."""
    own = _read_toml(path)
    layers = [(path, own), *_extended(path, own, vendors)]
    merged: Table = {}
    for _, layer in reversed(layers):
        merged = _merged(merged, layer)
    if isinstance(ids := merged.get("id"), dict) and isinstance(ids.get("overrides"), str):
        ids["overrides"] = str(path.parent / ids["overrides"])
    try:
        return SourceFile.model_validate(merged)
    except ValidationError as exc:
        raise SettingsRejected(_sentence(exc, layers)) from None


def extra_series(chosen: Settings) -> list[Series]:
    """The series of the settings' extra sources, in their order."""
    with naming("extra_sources"):
        return [read_source(Path(name)).values for name in chosen.extra_sources]


def _read_toml(path: Path) -> Table:
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))  # Windows editors put a byte order mark first
    except RecursionError as exc:
        raise SettingsRejected(f"source file {path} can't be read: it is nested too deep") from exc
    except OSError as exc:  # no file: the path may be a key
        raise SettingsRejected(f"source file {without_keys(str(path))} can't be read: {exc.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise SettingsRejected(f"source file {path} can't be read: {exc}") from exc


def _extended(path: Path, table: Table, folder: Path) -> list[tuple[Path, Table]]:
    """The vendor files that a file extends, nearest first."""
    names = table.pop("extends", [])
    vendors = {file.stem: file for file in folder.glob("*.toml")}
    layers: list[tuple[Path, Table]] = []
    for name in names if isinstance(names, list) else [names]:
        if not isinstance(name, str) or name not in vendors:
            known = ", ".join(sorted(vendors))
            raise SettingsRejected(f"source file {path}: extends: {name!r} is no vendor file; there are {known}")
        inner = _read_toml(vendors[name])
        layers += [(vendors[name], inner), *_extended(vendors[name], inner, folder)]
    return layers


def _merged(base: Table, over: Table) -> Table:
    """`base` with the keys of `over`; tables that both have are merged in turn."""
    inner = {
        key: _merged(base[key], value)
        for key, value in over.items()
        if isinstance(value, dict) and isinstance(base.get(key), dict)
    }
    return {**base, **over, **inner}


def _sentence(exc: ValidationError, layers: list[tuple[Path, Table]]) -> str:
    errors = exc.errors(include_url=False)[:3]
    file = next((file for file, layer in layers if _reaches(layer, errors[0]["loc"])), layers[0][0])
    return f"source file {file}: {'; '.join(map(_fault, errors))}"


def _reaches(layer: Any, location: tuple[int | str, ...]) -> bool:
    """Whether a file holds the whole of a faulty key's path."""
    for part in location:
        if not isinstance(layer, dict):
            return True
        if part not in layer:
            return False
        layer = layer[part]
    return True


def _fault(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"])
    reason = error["msg"].removeprefix("Value error, ")
    return f"{key}: {reason}" if key else reason
