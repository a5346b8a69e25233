"""What must be true at any moment, whatever went wrong."""

from collections import Counter
from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import polars as pl

from lib.clock import from_epoch, isoformat
from lib.gaps import find_gaps
from lib.ingest.spool_folder import counted, waiting
from lib.snapshot import Marker, unpack_ids
from lib.store import Store
from tests.faults.world import SERIES, World

MONTH = timedelta(days=29)
LATER = timedelta(minutes=30)
AHEAD = timedelta(seconds=10)
"""The clock check allows five seconds and the duration of a fetch."""
HIGHEST_PRICE = 1e8


async def hold(world: World, series: str, *, taken: Collection[datetime] = (), clock_steps: bool = False) -> None:
    """All of them, for a series; `taken` are the ticks with a snapshot accepted for delivery."""
    store = world.open_reader()
    try:
        markers = await store.markers(world.clock.now - MONTH, world.clock.now + LATER, series=series)
        await each_marker_has_exactly_its_rows(store, markers)
    finally:
        await store.close()
    nothing_fetched_is_lost(world.spool_of(series), markers, taken, again=clock_steps)


async def each_marker_has_exactly_its_rows(store: Store, markers: Collection[Marker]) -> None:
    """No half snapshot is visible."""
    assert len({(marker.series, marker.tick) for marker in markers}) == len(markers), "one marker for each tick"
    for marker in markers:
        rows = await store.rows(SERIES[marker.series], marker.tick)
        assert rows["cmc_id"].to_list() == list(unpack_ids(marker.ids)), (
            f"{marker.series} {marker.tick}: not the marker's rows"
        )
        assert len(rows) == marker.assets


def nothing_fetched_is_lost(
    folder: Path, markers: Collection[Marker], taken: Collection[datetime], *, again: bool = False
) -> None:
    """fetched = stored + spooled + dropped, where `stored` is what the store really has.

    A snapshot may be in the store and not confirmed yet; one fetched `again` for the same tick is there once.
    """
    counts, held = counted(folder), {entry.tick for entry in waiting(folder)}
    stored = {marker.tick for marker in markers}
    assert counts.spooled == len(waiting(folder))
    assert counts.fetched == counts.stored + counts.spooled + counts.dropped
    unconfirmed = len(stored & held)
    if not again:
        assert counts.stored == len(stored) - unconfirmed, f"{counts} but {len(stored)} in the store"
    missing = set(taken) - stored - held
    assert len(missing) <= counts.dropped, f"lost: {sorted(missing)}"


def no_tick_is_of_the_future(markers: Collection[Marker], now: datetime) -> None:
    """`now` is the true time. What is stored ahead of it would answer for an earlier instant than it was fetched at."""
    ahead = [(marker.series, marker.tick) for marker in markers if marker.tick > now + AHEAD]
    assert not ahead, f"stored ahead of {now}: {ahead}"


async def no_value_is_poisoned(store: Store, markers: Collection[Marker]) -> None:
    """Bitcoin is in each list, at a price that it can have; not all volumes are 0; no value is newer than its tick."""
    for marker in markers:
        rows = await store.rows(SERIES[marker.series], marker.tick)
        bitcoin = rows.filter(pl.col("cmc_id") == 1)
        where = f"{marker.series} {marker.tick}"
        assert not marker.new_level, f"{where}: a doubtful list became the new level"
        assert len(bitcoin) == 1, f"{where}: no Bitcoin"
        if marker.series == "price":
            assert bitcoin["usd"].item() < HIGHEST_PRICE, f"{where}: Bitcoin at {bitcoin['usd'].item():,}"
            newest = from_epoch(max(rows["updated_at"].to_list()))
            assert newest <= marker.tick + marker.interval + AHEAD, f"{where}: has values of {newest}"
        else:
            assert rows["volume_usd"].sum() > 0, f"{where}: no volume"


async def no_answer_is_false(client: httpx.AsyncClient, ticks: Collection[datetime]) -> int:
    """Each list is whole or refused with a reason; how many there are."""
    whole = 0
    for tick in ticks:
        answer = await client.get("/", params={"datetime": isoformat(tick), "limit": 5000})
        assert answer.status_code in (200, 404), answer.text
        if answer.status_code == 200:
            body = answer.json()
            assert body["count"] == body["assets"]["matched"] == len(body["data"])
            assert [row["rank"] for row in body["data"]] == list(range(1, body["count"] + 1))
            assert datetime.fromisoformat(body["price_time"]) <= tick
            whole += 1
    return whole


async def causes(world: World, series: str) -> dict[str, int]:
    """The missing ticks of the last month by cause, as /v1/gaps returns them."""
    now, store = world.clock.now, world.open_reader()
    try:
        found = await find_gaps(store, series, now - MONTH, now, now=now, folder=world.spool_of(series))
    finally:
        await store.close()
    total: Counter[str] = Counter()
    for gap in found.gaps:
        total.update(gap.causes)
    return dict(total)


def noted_ticks(file: Path) -> set[datetime]:
    """The ticks a victim has written down before it ended."""
    return {from_epoch(float(line)) for line in file.read_text().split()} if file.exists() else set()
