"""The shape of an export file: which steps it holds, and how its end is known."""

from pathlib import Path

import orjson
import polars as pl

END = b"#end"


def steps_of(path: Path, format: str) -> int | None:
    """How many steps a file of an export says it holds; None when it was cut off."""
    if format == "parquet":
        try:
            return int(pl.scan_parquet(path).select(pl.col("step").n_unique()).collect().item())
        except pl.exceptions.PolarsError:
            return None
    body = path.read_bytes()
    if not body.endswith(b"\n"):
        return None
    return _totals(body.rstrip(b"\r\n").rpartition(b"\n")[2]).get("steps")


def _totals(last: bytes) -> dict[str, int]:
    """The totals in a file's last line; none where that is no end."""
    if last.startswith(END):
        told = last.decode().rpartition(",")[2]
        return {name: int(count) for name, _, count in (term.partition("=") for term in told.split())}
    try:
        told = orjson.loads(last)
    except orjson.JSONDecodeError:
        return {}
    return {name: count for name, count in told.items() if name != "end"} if told.get("end") is True else {}
