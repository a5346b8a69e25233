"""An answer's bytes: JSON for programs, CSV for spreadsheets, NDJSON for pipes.

Columns have one spelling, snake_case, in JSON and in every CSV. Only the list's CSV without `columns=` has the header
`Rank,Symbol,Price USD`.
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from io import BytesIO
from typing import Any

import polars as pl
from orjson import Fragment

from lib.clock import isoformat
from query_api.asof.pair import AsOf
from query_api.asof.top_list import Extra, TopList
from query_api.http.content_type import TableFormat
from query_api.http.json_line import json_line

CSV_DEFAULT = {"rank": "Rank", "symbol": "Symbol", "price_usd": "Price USD"}
"""The columns of the list's CSV without `columns=`, and its header."""
FORMULA_STARTS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
"""A spreadsheet runs a text cell that begins so. The last four are the full-width =+-@ of East Asian keyboards.

https://owasp.org/www-community/attacks/CSV_Injection
"""
_FORMULA = f"(^|;)([{re.escape(FORMULA_STARTS)}])"
"""Where the comma is part of a number, a spreadsheet begins a new cell at a semicolon."""
_QUOTED = '[",\r\n]'
_UNSAFE = f"^$|{_FORMULA}|{_QUOTED}"


def to_json(top: TopList, limit: int) -> bytes:
    """The list as JSON; times end in `Z`."""
    price, rank = top.pair.price, top.pair.rank
    body: dict[str, Any] = {
        **pair_info(top),
        "assets": {"price": price.assets, "rank": rank.assets, "matched": top.matched},
        "unchanged": {"price": price.unchanged, "rank": rank.unchanged},
        "limit": limit,
        "count": len(top.rows),
    }
    body |= filter_info(top)
    if top.extras:
        body["extras"] = {extra.series.name: _extra_info(extra) for extra in top.extras}
    return json_line(body | {"data": rows_as_json(top.rows)})


def rows_as_json(rows: pl.DataFrame) -> Fragment:
    """Rows as a part of a document. Polars writes them without a Python object for each.

    `write_json` locks a frame that has times and then waits for the GIL, so two threads that share the frame can wait
    for each other for ever. Each call writes a copy of its own, which shares the columns.
    """
    return Fragment(rows.clone().write_json())


def filter_info(top: TopList) -> dict[str, Any]:
    """What the filters left out, and the names asked for that are missing; nothing without filters."""
    return {"filtered": dict(top.filtered.counts), "missing": top.filtered.missing} if top.filtered else {}


def _extra_info(extra: Extra) -> dict[str, Any] | None:
    marker = extra.marker
    if marker is None:
        return None
    return {
        "time": isoformat(marker.tick),
        "source": marker.source,
        "assets": marker.assets,
        "snapshot": marker.hash or None,
    }


def pair_info(answer: AsOf) -> dict[str, Any]:
    """What every answer reports about its pair of snapshots."""
    at, price, rank = answer.at, answer.pair.price, answer.pair.rank
    return {
        "requested_at": isoformat(at),
        "price_time": isoformat(price.tick),
        "rank_time": isoformat(rank.tick),
        "price_age_s": (at - price.tick).total_seconds(),
        "rank_age_s": (at - rank.tick).total_seconds(),
        "resolution": answer.resolution,
        "sources": {"price": price.source, "rank": rank.source},
        "snapshots": {"price": price.hash or None, "rank": rank.hash or None},
        "backfilled": {"price": price.backfilled, "rank": rank.backfilled},
        "known_at": isoformat(answer.known_at),
    }


def list_frame(top: TopList, columns: Sequence[str] | None, format: TableFormat) -> pl.DataFrame:
    """The list's rows: these columns under their own names, else all; in a CSV the default three."""
    if columns is not None:
        return top.rows.select(columns)
    return top.rows.select(list(CSV_DEFAULT)).rename(CSV_DEFAULT) if format == "csv" else top.rows


def frame_to_ndjson(frame: pl.DataFrame) -> bytes:
    """The frame as a line of JSON for each row."""
    return frame.clone().write_ndjson().encode()  # a copy, as in `rows_as_json`


def frame_to_csv(frame: pl.DataFrame, *, header: bool = True) -> bytes:
    """The frame as RFC 4180 with CRLF; null is an empty cell, a float reads back equal, no spreadsheet runs a text."""
    return cells_to_csv([to_cells(each) for each in frame], header=header)


def cells_to_csv(cells: Sequence[pl.Series], *, header: bool = False) -> bytes:
    """Columns of `to_cells`, or of several cells of `to_cell` with commas between, as CSV."""
    csv = BytesIO()
    pl.DataFrame(cells).write_csv(
        csv,
        include_header=header,
        line_terminator="\r\n",
        datetime_format="%Y-%m-%dT%H:%M:%S%.fZ",
        quote_style="never",
    )
    return csv.getvalue()


def to_cells(values: pl.Series) -> pl.Series:
    """A column as it is in a CSV: plain floats, and texts that no spreadsheet runs, in quotes where they need them.

    To look for such texts takes a fifth of what it takes to replace them.
    """
    if values.dtype == pl.Float64:
        return _plain(values)
    if values.dtype != pl.String:
        return values
    unsafe = values.str.contains(_UNSAFE).fill_null(False).arg_true()
    return values.scatter(unsafe, [to_cell(text) for text in values.gather(unsafe)]) if len(unsafe) else values


def to_cell(value: str | bool | None) -> str:
    """One cell of `to_cells`."""
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    safe = re.sub(_FORMULA, r"\1'\2", value)
    doubled = safe.replace('"', '""')
    return f'"{doubled}"' if not safe or re.search(_QUOTED, safe) else safe


def _plain(values: pl.Series) -> pl.Series:
    """Floats as text. Few need an exponent, so that only these are written anew, without it."""
    texts = values.cast(pl.String)
    exponents = texts.str.contains("e", literal=True).fill_null(False)
    if not exponents.any():
        return texts
    places = exponents.arg_true()
    return texts.scatter(places, [format(Decimal(text), "f") for text in texts.gather(places)])
