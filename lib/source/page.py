"""One page of a list: the rows of an answer, and what the answer says about the whole list."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import polars as pl

from lib.errors import SourceMalformed
from lib.schema import ID
from lib.snapshot import VOLUME
from lib.source.expression import get
from lib.source.extract import Extractor
from lib.source.model import SourceFile
from lib.source.reading import UpstreamTime, time_of
from lib.source.transport import Answer

LARGEST_COUNT = 1e12
"""No list is so long, and none costs so much."""
MOST_RECORDS = 20_000
"""Whole lists have fewer: more would cost seconds of CPU, whatever they hold."""


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of a page's new records. `records` counts these, `sent` all that came, `total` the announced list."""

    rows: pl.DataFrame
    records: int
    sent: int
    rejected: Counter[str]
    total: int | None
    credits: float
    time: UpstreamTime | None
    asked_at: datetime
    answered_at: datetime

    @property
    def ids(self) -> Sequence[int]:
        """The ids of its rows."""
        ids: list[int] = self.rows[ID].drop_nulls().to_list()
        return ids

    def emptied(self) -> "Page":
        """This page without its records, which came before: its credits are spent all the same."""
        return replace(self, rows=self.rows.clear(), records=0, rejected=Counter())


def read_page(file: SourceFile, extractor: Extractor, body: Any, answer: Answer, skip: int) -> Page:
    """The page of an answer's body, without its first `skip` records; SourceMalformed where it has no list.

    An answer that another ingestor got costs nothing more.
    """
    records = get(file.records.at, body)
    if not isinstance(records, list):
        raise SourceMalformed(f"{answer.request}: no list of records at {file.records.at}")
    if len(records) > MOST_RECORDS:
        raise SourceMalformed(f"{answer.request}: more than {MOST_RECORDS:,} records ({len(records):,})")
    total = read_count(file.paging.total if file.paging else None, body)
    rows, rejected = extractor.rows(records[skip:])
    return Page(
        rows=rows,
        records=max(len(records) - skip, 0),
        sent=len(records),
        rejected=rejected,
        total=None if total is None else int(total),
        credits=0.0 if answer.is_shared else read_count(file.cost, body) or 0.0,
        time=time_of(answer.headers, body, file.timestamp),
        asked_at=answer.asked_at,
        answered_at=answer.answered_at,
    )


def first_rows(pages: Sequence[Page], assets: int | None, sort_by: str = VOLUME) -> tuple[pl.DataFrame, Counter[str]]:
    """The rows and rejects of the first `assets` records, or of all. A list that is cut is ordered before."""
    rows = pl.concat([page.rows for page in pages])
    rejected = sum((page.rejected for page in pages), Counter[str]())
    most = max(assets - rejected.total(), 0) if assets is not None else len(rows)
    if (assets is not None and len(rows) <= most) or sort_by not in rows.columns:
        return rows.head(most), rejected
    order = pl.col(sort_by).fill_nan(None)
    return rows.sort(order, descending=True, nulls_last=True, maintain_order=True).head(most), rejected


def read_count(path: str | None, body: Any) -> float | None:
    """The number from 0 to `LARGEST_COUNT` at a path of an answer, None for anything else."""
    value = get(path, body)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value <= LARGEST_COUNT else None
