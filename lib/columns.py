"""The columns of the top list, each declared once.

The rows, the JSON model, the CSV, `columns=`, the OpenAPI document, exports and the page follow from here.
`docs/contributing.md` shows how to add one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

import polars as pl

from lib.clock import DAY, HOUR
from lib.schema import ID, PRICE, VOLUME_RANK, Series


class Kind(Enum):
    """What a column's values are in an answer."""

    INTEGER = "integer"
    NUMBER = "number"
    TEXT = "text"
    TIME = "time"
    """Stored as epoch seconds, answered as RFC 3339."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: what it means, and which field or tag of which series it comes from.

    `heading` is its heading on the page; a column without one is on the page only where the page has a cell for it.
    """

    name: str
    kind: Kind
    description: str
    series: Series | None = None
    field: str = ""
    nullable: bool = False
    heading: str = ""


RANK = Column("rank", Kind.INTEGER, "Place in this answer, from 1")
COLUMNS = (
    RANK,
    Column(ID, Kind.INTEGER, "CoinMarketCap's id", VOLUME_RANK, ID),
    Column("symbol", Kind.TEXT, "Ticker; several assets may share one", PRICE, "symbol", nullable=True),
    Column("name", Kind.TEXT, "Name", PRICE, "name", nullable=True),
    Column("price_usd", Kind.NUMBER, "US dollars per coin", PRICE, "usd"),
    Column("volume_24h_usd", Kind.NUMBER, "US dollars traded in 24 h, by the rank source", VOLUME_RANK, "volume_usd"),
    Column(
        "source_rank",
        Kind.INTEGER,
        "Place by 24h volume in the rank source's whole list",
        VOLUME_RANK,
        "rank",
        heading="Source rank",
    ),
    Column(
        "price_updated_at",
        Kind.TIME,
        "When the price source itself last updated the price; null if it does not say",
        PRICE,
        "updated_at",
        nullable=True,
    ),
)
"""The list's columns, in order. Each field costs InfluxDB one more series for each asset of an answer."""

CHANGES: dict[str, timedelta] = {"change_1h_pct": HOUR, "change_24h_pct": DAY, "change_7d_pct": 7 * DAY}
"""Columns that compare the price with the price so long before."""
MORE = (
    Column(
        "market_cap_usd",
        Kind.NUMBER,
        "US dollars, by the price source's count of coins",
        PRICE,
        "market_cap_usd",
        nullable=True,
        heading="Market cap",
    ),
    *(
        Column(
            name,
            Kind.NUMBER,
            f"Change of the price in {name.split('_')[1]}, in percent; null without a list so long before",
            nullable=True,
        )
        for name in CHANGES
    ),
)
"""Columns that an answer has only on request: each costs a read more."""

POLARS = {Kind.INTEGER: pl.Int64(), Kind.NUMBER: pl.Float64(), Kind.TEXT: pl.String(), Kind.TIME: pl.String()}
"""The type of a column's values in a frame of answers."""


def names(columns: Iterable[Column] = COLUMNS) -> list[str]:
    """The columns' names, in order."""
    return [column.name for column in columns]


def fields_of(series: Series) -> tuple[str, ...]:
    """The fields of a series that the list's columns come from."""
    return tuple(column.field for column in COLUMNS if column.series == series and column.field in series.fields)


def extra_columns(series: Iterable[Series]) -> list[Column]:
    """The columns that further series add: their fields, with the units they declare."""
    return [
        Column(
            field,
            Kind.NUMBER,
            each.units.get(field, f"{field} of {each.name}"),
            each,
            field,
            nullable=True,
            heading=field.replace("_", " "),
        )
        for each in series
        for field in each.fields
    ]


def page_columns(series: Iterable[Series]) -> list[Column]:
    """The columns of the page. Of two with one name, that of an extra series counts."""
    extra = extra_columns(series)
    return [*COLUMNS, *(column for column in MORE if column.name not in names(extra)), *extra]
