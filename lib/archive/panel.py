"""The ends of export files, which show whether a file is complete or was cut off."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import orjson

from lib.clock import EPOCH, isoformat

END = "#end"
"""The first cell of a CSV's last row, in place of a step."""
METADATA = "topcoins"
"""The key of a Parquet file's metadata: the request and the totals, as JSON."""
_COUNTS = ("steps", "answered", "gaps", "rows")
_HASHES = 2**128


@dataclass(slots=True)
class Totals:
    """What an export holds. A complete file ends with them.

    `snapshots` is the sum of a hash of each step and its snapshots, so that the parts of an export add up to the whole.
    `known_at` gives the same export again; where no step has one, that is `asked_known_at`, if the caller named it.
    `missing` are the names asked for that no step has.
    """

    steps: int = 0
    answered: int = 0
    gaps: int = 0
    rows: int = 0
    snapshots: int = 0
    known_at: datetime = EPOCH
    missing: set[str] | None = None
    asked_known_at: datetime | None = None

    def add(self, other: "Totals") -> None:
        """Add those of a further part."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.snapshots = (self.snapshots + other.snapshots) % _HASHES
        if other.answered or other.known_at != self.asked_known_at:  # else no step of that part has one
            self.known_at = max(self.known_at, other.known_at)
        if other.missing is not None:
            self.missing = other.missing if self.missing is None else self.missing & other.missing

    @property
    def gives_again(self) -> datetime | None:
        """The `known_at` that gives the same export again, where one is needed."""
        return self.known_at if self.known_at > EPOCH else self.asked_known_at

    @property
    def fields(self) -> dict[str, Any]:
        """As JSON has them."""
        return {
            **{name: getattr(self, name) for name in _COUNTS},
            **({"known_at": isoformat(self.gives_again)} if self.gives_again else {}),
            "snapshots": f"{self.snapshots:032x}",
            **({"missing": sorted(self.missing)} if self.missing else {}),
        }

    @property
    def text(self) -> str:
        """As the last cell of a CSV has them."""
        missing = {"missing": ";".join(quote(name) for name in sorted(self.missing))} if self.missing else {}
        return " ".join(f"{name}={value}" for name, value in (self.fields | missing).items())


def _of_fields(fields: Mapping[str, Any]) -> Totals:
    """Totals from their fields; exports of 0.2.0 have only the counts."""
    steps, answered, gaps, rows = (int(fields.get(name, 0)) for name in _COUNTS)
    totals = Totals(steps, answered, gaps, rows, int(fields.get("snapshots", "0"), 16))
    totals.known_at = datetime.fromisoformat(fields["known_at"]) if fields.get("known_at") else EPOCH
    totals.missing = set(fields["missing"]) if "missing" in fields else None
    return totals


def totals_of(path: Path, format: str) -> Totals | None:
    """The totals that a complete file of an export ends with; None when it was cut off."""
    if format == "parquet":
        return _totals_of_parquet(path)
    body = path.read_bytes()
    return _totals_of_line(body.rpartition(b"\n")[0].rpartition(b"\n")[2]) if body.endswith(b"\n") else None


def _totals_of_line(line: bytes) -> Totals | None:
    """The totals in the last line of a CSV or NDJSON file; None where it is no end."""
    if line.startswith(END.encode()):
        terms = line.decode().strip().rpartition(",")[2].split()
        fields: dict[str, Any] = dict(term.split("=", 1) for term in terms)
        missing = fields.pop("missing", "")
        return _of_fields(fields | ({"missing": [unquote(name) for name in missing.split(";")]} if missing else {}))
    try:
        answer = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return _of_fields(answer) if answer.get("end") is True else None


def _totals_of_parquet(path: Path) -> Totals | None:
    import polars as pl  # not for the other formats, which need no Polars

    try:
        about = orjson.loads(pl.read_parquet_metadata(path).get(METADATA, "{}"))
        if about:
            return _of_fields(about)
        steps = pl.scan_parquet(path).select(pl.col("step").n_unique()).collect().item()  # a file of 0.1.0
    except (pl.exceptions.PolarsError, OSError):
        return None
    return Totals(steps=int(steps))
