"""Which asset a name means over a span: a history shows more than one instant, and a ticker may change its asset."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

from lib.clock import isoformat
from lib.schema import ID, PRICE
from lib.snapshot import unpack_ids
from lib.store import Store
from lib.text import is_digits, search_key
from query_api.asof.asset import AmbiguousTicker, By, NoAsset, with_ticker
from query_api.asof.rows import read_history, resolution_of
from query_api.asof.tick_pairs import read_ticks

MOST_TICKS = 1000
"""Of more ticks in a span so many are looked at, evenly spread. A holder of a few of the others may be missed."""
MOST_LISTS = 8
"""Lists that are searched for one name; the ticks of each holder found are read alone."""


@dataclass(slots=True)
class Holder:
    """An asset that had the ticker, and the places of its ticks in the span."""

    cmc_id: int
    name: str | None
    symbol: str
    places: list[int] = field(default_factory=list)


async def find_over_span(
    store: Store,
    name: str,
    start: datetime,
    stop: datetime,
    *,
    now: datetime,
    by: By | None = None,
    known_at: datetime | None = None,
) -> int:
    """The id that a name means between two instants, by the snapshots that were stored at `known_at`.

    Digits are the id of an asset that is in the newest list before `stop` or in the span; anything else is a
    ticker. NoAsset when nobody had the ticker, AmbiguousTicker when more than one asset had it.
    """
    number = int(name) if by is None and is_digits(name) else None
    newest = await store.nearest(PRICE.name, stop) if number is not None else None
    if number is not None and newest and number in unpack_ids(newest.ids):
        return number
    ticks = await ticks_of_span(store, start, stop, known_at)
    if number is not None and await _symbols(store, number, ticks):
        return number
    holders = await _holders(store, name, ticks)
    if len(holders) == 1:
        return holders[0].cmc_id
    if holders:
        raise AmbiguousTicker(name, [_candidate(holder, ticks) for holder in holders])
    if number is not None:
        return number
    why = f"no asset had the ticker {name} between {isoformat(start)} and {isoformat(stop)}"
    raise NoAsset(why, known_at=known_at or now, ticker=name)


async def ticks_of_span(
    store: Store, start: datetime, stop: datetime, known_at: datetime | None = None
) -> list[datetime]:
    """The price ticks of a span, and the newest before it, which its first instant uses. At most `MOST_TICKS`."""
    before = await store.nearest(PRICE.name, start)
    within = await read_ticks(store, PRICE.name, start, stop, known=known_at is not None)
    is_known = before and (known_at is None or before.visible_since <= known_at)
    ticks = sorted(
        {*([before.tick] if before and is_known else []), *(tick.tick for tick in within if tick.answers(known_at))}
    )
    return [*ticks[: -1 : -(-len(ticks) // MOST_TICKS) or 1], *ticks[-1:]]


async def _holders(store: Store, ticker: str, ticks: Sequence[datetime]) -> list[Holder]:
    """The assets that had a ticker: from the last list, the first one, then from ticks that no holder explains."""
    holders: dict[int, Holder] = {}
    seen = set[int]()
    while len(seen) < MOST_LISTS and (place := _next_place(len(ticks), holders.values(), seen)) is not None:
        seen.add(place)
        tick = ticks[place]
        for row in await with_ticker(store, ticker, tick, resolution_of(tick, store.horizon())):
            if row[ID] not in holders:
                symbols = await _symbols(store, row[ID], ticks)
                places = [place for place, tick in enumerate(ticks) if symbols.get(tick) == search_key(ticker)]
                holders[row[ID]] = Holder(row[ID], row["name"], row["symbol"], places)
    return sorted(holders.values(), key=lambda holder: holder.places)


async def _symbols(store: Store, cmc_id: int, ticks: Sequence[datetime]) -> dict[datetime, str]:
    """An asset's tickers at these ticks, as `search_key` has them."""
    rows = await read_history(store, PRICE.only(("usd",)), cmc_id, ticks, store.horizon())
    return {tick: search_key(symbol or "") for tick, symbol in rows.select("tick", "symbol").iter_rows()}


def _next_place(count: int, holders: Iterable[Holder], seen: set[int]) -> int | None:
    """The last tick, the first, then the middle of the longest run of ticks without a known holder."""
    for end in (count - 1, 0):
        if count and end not in seen:
            return end
    known = seen.union(*(holder.places for holder in holders))
    runs = [list(run) for is_known, run in groupby(range(count), key=known.__contains__) if not is_known]
    longest = max(runs, key=len, default=[])
    return longest[len(longest) // 2] if longest else None


def _candidate(holder: Holder, ticks: Sequence[datetime]) -> dict[str, Any]:
    first, last = (isoformat(ticks[place]) for place in (holder.places[0], holder.places[-1]))
    return {ID: holder.cmc_id, "symbol": holder.symbol, "name": holder.name, "first": first, "last": last}
