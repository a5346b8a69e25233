"""The pinned matches of a provider on disk."""

from pathlib import Path

import structlog
from pydantic import TypeAdapter, ValidationError

from lib.ids.pins import Pin, Pins
from lib.ingest.state_file import save_state

log = structlog.get_logger()

ENDING = ".pins.json"
_PINS = TypeAdapter(dict[str, Pin])


def load_pins(file: Path | None) -> Pins:
    """The pins of a file; none where there is no file that can be read."""
    try:
        return Pins(_PINS.validate_json(file.read_bytes())) if file else Pins()
    except FileNotFoundError:
        return Pins()
    except (OSError, ValidationError) as exc:
        log.warning("the pinned ids can't be read: matches are made anew", file=str(file), why=type(exc).__name__)
        return Pins()


def save_pins(file: Path | None, pins: Pins) -> None:
    """Replace the file. A disk that refuses costs no list."""
    if file:
        save_state(file, _PINS.dump_json(dict(pins.all)), "the pinned ids can't be written")
