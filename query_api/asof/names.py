"""What an asset was called, from when to when, to the hour."""

from collections.abc import Collection, Iterable
from datetime import datetime
from itertools import pairwise
from typing import Any

from lib.clock import EPOCH, isoformat
from lib.schema import PRICE
from lib.store import Store

SAMPLES = 400
"""Ticks read first, evenly over the archive. Only where two neighbours differ are the ticks between them searched."""

Name = tuple[str | None, str | None]
"""Ticker and name."""


async def names_until(
    store: Store, cmc_id: int, until: datetime, newest: Name, known_at: datetime
) -> list[dict[str, Any]]:
    """The names of an asset in the first snapshots of the hours up to `until`, when it had the name `newest`.

    Each has the first and the last tick that shows it. A name that lasted less than the distance of two samples may
    be missed. Snapshots stored after `known_at` are ignored.
    """
    ticks = await store.ticks(PRICE.name, EPOCH, until, resolution="1h", known_at=known_at)
    names = await _names_at(store, cmc_id, {*ticks[:: len(ticks) // SAMPLES + 1], *ticks[-1:]})
    names |= await _changes(store, cmc_id, ticks, names)
    return name_runs((isoformat(tick), name) for tick, name in [*sorted(names.items()), (until, newest)])


def name_runs(names: Iterable[tuple[str, Name]]) -> list[dict[str, Any]]:
    """Each ticker and name with the first and the last instant that shows it, from one name for each instant."""
    runs: list[dict[str, Any]] = []
    for instant, (symbol, name) in names:
        named = {"symbol": symbol, "name": name}
        if not runs or named.items() - runs[-1].items():
            runs.append(named | {"first": instant})
        runs[-1]["last"] = instant
    return runs


async def _names_at(store: Store, cmc_id: int, ticks: Collection[datetime]) -> dict[datetime, Name]:
    """The names at these ticks; a tick without the asset is absent."""
    rows = await store.history(PRICE.only(("usd",)), cmc_id, ticks, resolution="1h")
    return {tick: (symbol, name) for tick, symbol, name in rows.select("tick", "symbol", "name").iter_rows()}


async def _changes(
    store: Store, cmc_id: int, ticks: list[datetime], names: dict[datetime, Name]
) -> dict[datetime, Name]:
    """The names on both sides of each change, found by bisecting all changes at the same time."""
    places = {tick: place for place, tick in enumerate(ticks)}
    changes: dict[datetime, Name] = {}
    known = sorted(names)
    spans = [(places[a], places[b]) for a, b in pairwise(known) if names[a] != names[b]]
    if known:
        spans.append((-1, places[known[0]]))  # the asset's first tick lies after a sample without it, or is the first
    while spans := [(low, high) for low, high in spans if high - low > 1]:
        read = await _names_at(store, cmc_id, [ticks[(low + high) // 2] for low, high in spans])
        changes |= read
        spans = [_half(low, high, ticks, read, names | changes) for low, high in spans]
    return changes


def _half(
    low: int, high: int, ticks: list[datetime], read: dict[datetime, Name], names: dict[datetime, Name]
) -> tuple[int, int]:
    """The half of a span that holds its change: where the middle has the name of its end, the first half."""
    middle = (low + high) // 2
    return (low, middle) if read.get(ticks[middle]) == names[ticks[high]] else (middle, high)
