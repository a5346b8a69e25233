"""Small files of JSON beside the spools: what a service remembers, and what other processes show of it."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import structlog
from pydantic import BaseModel, ValidationError

from lib.snapshot_file import PART, write_whole

log = structlog.get_logger()

State = TypeVar("State", bound=BaseModel)


def read_state(kind: type[State], file: Path) -> State | None:
    """What a file holds; None without a file that can be read."""
    try:
        return kind.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None


def read_states(kind: type[State], files: Iterable[Path]) -> list[State]:
    """What those of the files hold that can be read, by their names."""
    return [state for file in sorted(files) if (state := read_state(kind, file)) is not None]


def save_state(file: Path, body: bytes, failure: str) -> None:
    """Replace a file, in a folder that is made if it is missing. A disk that refuses is logged as `failure`."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, body)
    except OSError as exc:
        log.warning(failure, file=str(file), why=exc.strerror)


def replace_unsynced(file: Path, text: str) -> None:
    """Replace a file, all of it or nothing. A power cut may bring the old one back. Raises OSError."""
    part = file.with_name(file.name + PART)
    part.write_text(text, "utf-8")
    part.rename(file)
