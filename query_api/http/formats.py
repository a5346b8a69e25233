"""The answer's bytes: JSON for programs, CSV for spreadsheets."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from lib.clock import isoformat
from lib.store import Resolution
from query_api.asof.pair import COLUMNS, Pair
from query_api.asof.top_list import TopList

CSV_DEFAULT = ("rank", "symbol", "price_usd")
_RUNS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""A spreadsheet runs a text cell that begins so, the last four being the full-width =+-@ of East Asian keyboards.

https://owasp.org/www-community/attacks/CSV_Injection
"""


def to_json(top: TopList, limit: int) -> bytes:
    """The whole answer; times end in `Z`."""
    price, rank = top.pair.price, top.pair.rank
    answer: dict[str, Any] = {
        **pair_info(top.at, top.pair, top.resolution),
        "known_at": isoformat(top.known_at),
        "assets": {"price": price.assets, "rank": rank.assets, "matched": top.matched},
        "unchanged": {"price": price.unchanged, "rank": rank.unchanged},
        "limit": limit,
        "count": len(top.rows),
    }
    if top.filtered:
        answer |= {"filtered": dict(top.filtered.counts), "missing": top.filtered.missing}
    if top.extras:
        answer["extras"] = {
            extra.series.name: extra.marker
            and {
                "time": isoformat(extra.marker.tick),
                "source": extra.marker.source,
                "assets": extra.marker.assets,
                "snapshot": extra.marker.hash or None,
            }
            for extra in top.extras
        }
    return orjson.dumps(answer | {"data": top.rows.to_dicts()})


def pair_info(at: datetime, pair: Pair, resolution: Resolution) -> dict[str, Any]:
    """What every answer tells of the pair it stands on."""
    price, rank = pair.price, pair.rank
    return {
        "requested_at": isoformat(at),
        "price_time": isoformat(price.tick),
        "rank_time": isoformat(rank.tick),
        "price_age_s": (at - price.tick).total_seconds(),
        "rank_age_s": (at - rank.tick).total_seconds(),
        "resolution": resolution,
        "sources": {"price": price.source, "rank": rank.source},
        "snapshots": {"price": price.hash or None, "rank": rank.hash or None},
        "backfilled": {"price": price.backfilled, "rank": rank.backfilled},
    }


def to_csv(top: TopList, columns: Sequence[str]) -> bytes:
    """RFC 4180 with CRLF: the named columns, numbers as plain decimals that read back as the same float."""
    return table_csv([COLUMNS.get(name, name) for name in columns], top.rows.select(columns).iter_rows())


def table_csv(header: Iterable[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Any table as such a CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([cell(value) for value in row] for row in rows)
    return out.getvalue().encode("utf-8")


def cell(value: Any) -> str:
    """A value as a CSV shows it: nothing for null, text that no spreadsheet runs."""
    if value is None:
        return ""
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    text = str(value)
    return f"'{text}" if text.startswith(_RUNS) and isinstance(value, str) else text
