"""An answer's bytes: JSON for programs, CSV for spreadsheets.

Columns have one spelling, snake_case, in JSON and in every CSV. Only the list's CSV without `columns=` has the header
`Rank,Symbol,Price USD`.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from lib.clock import isoformat
from query_api.asof.pair import AsOf
from query_api.asof.top_list import Extra, TopList

CSV_DEFAULT = {"rank": "Rank", "symbol": "Symbol", "price_usd": "Price USD"}
"""The columns of the list's CSV without `columns=`, and its header."""
_FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""A spreadsheet runs a text cell that begins so. The last four are the full-width =+-@ of East Asian keyboards.

https://owasp.org/www-community/attacks/CSV_Injection
"""


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
    if top.filtered:
        body |= {"filtered": dict(top.filtered.counts), "missing": top.filtered.missing}
    if top.extras:
        body["extras"] = {extra.series.name: _extra_info(extra) for extra in top.extras}
    return orjson.dumps(body | {"data": top.rows.to_dicts()})


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


def to_csv(top: TopList, columns: Sequence[str] | None) -> bytes:
    """The list as CSV: these columns under their own names, or the default three."""
    header = list(CSV_DEFAULT.values()) if columns is None else columns
    return table_csv(header, top.rows.select(list(CSV_DEFAULT) if columns is None else columns).iter_rows())


def table_csv(header: Iterable[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A table as RFC 4180 with CRLF."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([cell(value) for value in row] for row in rows)
    return out.getvalue().encode("utf-8")


def cell(value: Any) -> str:
    """A value as a CSV shows it: null is empty, a number reads back the same, no spreadsheet runs a text."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return format(Decimal(repr(value)), "f")
        case str():
            return f"'{value}" if value.startswith(_FORMULA_STARTS) else value
        case datetime():
            return isoformat(value)
        case _:
            return str(value)
