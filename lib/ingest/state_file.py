"""Small files of JSON beside the spools: what a service remembers, and what other processes show of it."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import structlog
from pydantic import TypeAdapter, ValidationError

from lib.snapshot_file import PART, write_whole

log = structlog.get_logger()

T = TypeVar("T")
_ANYTHING = TypeAdapter(Any)


def read_state(kind: type[T], file: Path | None, failure: str = "") -> T | None:
    """What a file holds; None without a file that can be read. A damaged one is logged as `failure`, if given."""
    try:
        return TypeAdapter(kind).validate_json(file.read_bytes()) if file else None
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as exc:
        if failure:
            why = exc.strerror if isinstance(exc, OSError) else type(exc).__name__
            log.warning(failure, file=str(file), why=why)
        return None


def read_states(kind: type[T], files: Iterable[Path]) -> list[T]:
    """What those of the files hold that can be read, by their names. The folder may not be readable either."""
    with suppress(OSError):
        return [state for file in sorted(files) if (state := read_state(kind, file)) is not None]
    return []


def save_state(
    file: Path | None, state: object, failure: str, *, survives_power_cut: bool = True, level: str = "warning"
) -> None:
    """Replace a file, all of it or nothing, in a folder that is made if it is missing. Without a file do nothing.

    A disk that refuses is logged as `failure`. A file that need not survive a power cut does not wait for the disk: the
    old one may come back.
    """
    if file is None:
        return
    body = _ANYTHING.dump_json(state)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if survives_power_cut:
            write_whole(file, body)
        else:
            part = file.with_name(file.name + PART)
            part.write_bytes(body)
            part.rename(file)
    except OSError as exc:
        getattr(log, level)(failure, file=str(file), why=exc.strerror)
