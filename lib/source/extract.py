"""Rows out of an upstream's records, by the JMESPaths of its source file."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from lib import schema
from lib.source.expression import FAILURES, compile_getter
from lib.source.id_tables import OWN, OWN_NAME, OWN_SYMBOL
from lib.source.model import SourceFile
from lib.source.values import read_id, read_number, read_text, read_time

NOT_AN_OBJECT = "record is not an object"
UNREADABLE = "record can't be read"

Reader = Callable[[Any], Any]


class Extractor:
    """Turns records into typed raw columns. A value that cannot be read becomes null or NaN, which the gate judges."""

    def __init__(self, source: SourceFile) -> None:
        self._let = {name: compile_getter(path) for name, path in source.records.let.items()}
        self._where = {path: compile_getter(path) for path in source.records.where}
        paths = {**source.fields, **(source.id.columns if source.id else {})}
        columns = {name: _column(name, source.values) for name in paths}
        self._columns = {name: kind for name, (kind, _) in columns.items()}
        self._reads = [(compile_getter(path), columns[name][1]) for name, path in paths.items()]
        self._finds_ids = source.id is not None

    def rows(self, records: Sequence[Any]) -> tuple[pl.DataFrame, Counter[str]]:
        """One row per accepted record, and the count of the others by reason."""
        rejected: Counter[str] = Counter()
        rows: list[list[Any]] = []
        for record in records:
            row = self._row(record)
            if isinstance(row, str):
                rejected[row] += 1
                continue
            rows.append(row)
        frame = pl.DataFrame(rows, schema=self._columns, orient="row")
        return frame.with_columns(pl.lit(None, pl.Int64).alias(schema.ID)) if self._finds_ids else frame, rejected

    def _row(self, record: Any) -> list[Any] | str:
        if not isinstance(record, dict):
            return NOT_AN_OBJECT
        try:
            for name, get in self._let.items():
                record[name] = get(record)
            for path, test in self._where.items():
                if not test(record):
                    return f"left out by {path}"
            return [read(get(record)) for get, read in self._reads]
        except FAILURES:
            return UNREADABLE


def _column(name: str, series: schema.Series) -> tuple[pl.DataType, Reader]:
    if name == schema.ID:
        return pl.Int64(), read_id
    if name in series.tags or name in (OWN, OWN_SYMBOL, OWN_NAME):
        return pl.String(), read_text
    return pl.Float64(), read_time if name.endswith("_at") else read_number
