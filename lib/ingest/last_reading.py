"""What the last list of a series showed: a file beside its spool, for /v1/status, /metrics and doctor."""

from pathlib import Path

from pydantic import AwareDatetime, BaseModel

from lib.ingest.state_file import read_state, save_state
from lib.source import Reading

FILE = "reading.json"


class LastReading(BaseModel):
    """The last list that a source sent, stored or not.

    `newest_update` is the newest time of its values: an old one shows a frozen source. `has_upstream_time` is false if
    nothing in the answer can be compared with our clock. `missing` rows of those asked for did not come.
    """

    source: str
    read_at: AwareDatetime
    newest_update: AwareDatetime | None
    has_upstream_time: bool
    missing: int


def write_last_reading(folder: Path, reading: Reading) -> None:
    """Replace the file. A disk that refuses costs no tick."""
    last = LastReading(
        source=reading.source,
        read_at=reading.observed_at,
        newest_update=reading.newest_update,
        has_upstream_time=reading.upstream_time is not None or reading.newest_update is not None,
        missing=reading.missing,
    )
    file, failure = folder / FILE, "the last reading can't be written"
    save_state(file, last, failure, survives_power_cut=False, level="debug")


def read_last_reading(folder: Path) -> LastReading | None:
    """The last reading of a series; None without a file that can be read."""
    return read_state(LastReading, folder / FILE)
