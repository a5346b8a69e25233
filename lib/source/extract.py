"""Rows out of an upstream's records, by the JMESPaths of its source file."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import polars as pl

from lib import schema
from lib.source.expression import FAILURES, Getter, compile_getter
from lib.source.model import SourceFile

NOT_AN_OBJECT = "record is not an object"
UNREADABLE = "record can't be read"
LARGEST_INT64 = 2**63


class Extractor:
    """Turns records into typed raw columns; what can't be read becomes null, which the gate judges."""

    def __init__(self, source: SourceFile) -> None:
        self._let = {name: compile_getter(path) for name, path in source.records.let.items()}
        self._where = {path: compile_getter(path) for path in source.records.where}
        columns = {name: _column(name, source.values) for name in source.fields}
        self._columns = {name: kind for name, (kind, _) in columns.items()}
        self._reads = [(compile_getter(path), columns[name][1]) for name, path in source.fields.items()]

    def rows(self, records: Sequence[Any]) -> tuple[pl.DataFrame, Counter[str]]:
        """One row per record that is taken, and how many are not, by reason."""
        rejected: Counter[str] = Counter()
        rows: list[list[Any]] = []
        for record in records:
            taken = self._take(record)
            if isinstance(taken, str):
                rejected[taken] += 1
                continue
            rows.append(taken)
        return pl.DataFrame(rows, schema=self._columns, orient="row"), rejected

    def _take(self, record: Any) -> list[Any] | str:
        if not isinstance(record, dict):
            return NOT_AN_OBJECT
        try:
            for name, take in self._let.items():
                record[name] = take(record)
            for path, test in self._where.items():
                if not test(record):
                    return f"left out by {path}"
            return [read(take(record)) for take, read in self._reads]
        except FAILURES:
            return UNREADABLE


def _column(name: str, series: schema.Series) -> tuple[pl.DataType, Getter]:
    if name == schema.ID:
        return pl.Int64(), integer
    if name in series.tags:
        return pl.String(), text
    return pl.Float64(), number


def integer(value: Any) -> int | None:
    """A whole number, also as text; None for anything else. 0 and below stay, for the gate to name."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST_INT64:
        return value
    return None


def text(value: Any) -> str | None:
    """Text without control characters or space around it; None when nothing is left."""
    if not isinstance(value, str):
        return None
    if not value.isprintable():
        value = "".join(char if char.isprintable() else " " for char in value)
    return value.strip() or None


def number(value: Any) -> float | None:
    """A float from a number, a number as text, or an RFC 3339 time (as epoch seconds); None otherwise."""
    if isinstance(value, float):
        return value
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        return float(value) if isinstance(value, int) or not _looks_like_time(value) else _epoch(value)
    except (ValueError, OverflowError):
        return None


def _looks_like_time(value: str) -> bool:
    return len(value) > 9 and value[4:5] == "-" and value[7:8] == "-"


@lru_cache(maxsize=1024)  # one list tells few times, again and again
def _epoch(value: str) -> float:
    at = datetime.fromisoformat(value)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
