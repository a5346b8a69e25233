"""Every ticker and name an asset ever had, from either store."""

from datetime import datetime, timedelta
from typing import Any

from lib.schema import PRICE, VOLUME_RANK
from lib.store import Store
from tests.contract.snapshots import MINUTE, snapshot
from tests.fakes import HOUR, NOON

EVER = NOON - timedelta(days=365 * 50)
LUNA: dict[str, Any] = {"cmc_id": 4172, "symbol": "LUNA", "name": "Terra"}
LUNC: dict[str, Any] = {"cmc_id": 4172, "symbol": "LUNC", "name": "Terra Classic"}
NAMELESS: dict[str, Any] = {"cmc_id": 7, "symbol": None, "name": None}


async def names(store: Store, since: datetime = EVER) -> list[Any]:
    frame = await store.asset_names(since)
    return sorted(frame.select("cmc_id", "symbol", "name", "first", "last").iter_rows(), key=str)


async def test_an_empty_store_has_no_names(store):
    assert await names(store) == []


async def test_each_name_has_the_first_and_the_last_tick_that_shows_it(store, place):
    for tick, rows in ((NOON, [LUNA, NAMELESS]), (NOON + HOUR, [LUNA]), (NOON + 2 * HOUR, [LUNC])):
        await store.write(snapshot(PRICE, tick, rows=rows))
        await store.write(snapshot(VOLUME_RANK, tick, rows=[{"cmc_id": 99}]))
    await place.settle()
    assert await names(store) == [
        (4172, "LUNA", "Terra", NOON, NOON + HOUR),
        (4172, "LUNC", "Terra Classic", NOON + 2 * HOUR, NOON + 2 * HOUR),
        (7, None, None, NOON, NOON),
    ]


async def test_only_names_since_an_instant_are_read(store, place):
    for tick, rows in ((NOON, [LUNA]), (NOON + 2 * HOUR, [LUNC])):
        await store.write(snapshot(PRICE, tick, rows=rows))
    await place.settle()
    assert [name[1] for name in await names(store, NOON + HOUR)] == ["LUNC"]


async def test_a_snapshot_that_comes_late_moves_the_first_tick_and_not_the_last(store, place):
    for minutes in (120, 0):
        await store.write(snapshot(PRICE, NOON + minutes * MINUTE, rows=[LUNA]))
    await place.settle()
    assert await names(store) == [(4172, "LUNA", "Terra", NOON, NOON + 2 * HOUR)]
