"""The ends of export files, which show whether a file is complete or was cut off."""

from collections.abc import Mapping
from pathlib import Path

import orjson

END = "#end"
"""The first cell of a CSV's last row, in place of a step."""
METADATA = "topcoins"
"""The key of a Parquet file's metadata: the request and the totals, as JSON."""
TOTALS = ("steps", "answered", "gaps", "rows")

Totals = Mapping[str, int]


def totals_of(path: Path, format: str) -> Totals | None:
    """The totals that a complete file of an export ends with; None when it was cut off."""
    if format == "parquet":
        return _totals_of_parquet(path)
    body = path.read_bytes()
    return _totals_of_line(body.rpartition(b"\n")[0].rpartition(b"\n")[2]) if body.endswith(b"\n") else None


def _totals_of_line(line: bytes) -> Totals | None:
    """The totals in the last line of a CSV or NDJSON file; None where it is no end."""
    if line.startswith(END.encode()):
        counts = line.decode().strip().rpartition(",")[2]
        return {name: int(count) for name, _, count in (term.partition("=") for term in counts.split())}
    try:
        answer = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return {name: answer[name] for name in TOTALS} if answer.get("end") is True else None


def _totals_of_parquet(path: Path) -> Totals | None:
    import polars as pl  # not for the other formats, which need no Polars

    try:
        about = orjson.loads(pl.read_parquet_metadata(path).get(METADATA, "{}"))
        if about:
            return {name: about[name] for name in TOTALS}
        steps = pl.scan_parquet(path).select(pl.col("step").n_unique()).collect().item()  # a file of 0.1.0
    except (pl.exceptions.PolarsError, OSError):
        return None
    return {"steps": int(steps)}
