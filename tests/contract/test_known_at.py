"""What was known when: late and backfilled snapshots change no earlier answer, and every answer can be had again."""

from datetime import datetime, timedelta

import pytest
from polars.testing import assert_frame_equal

from lib.errors import TopcoinsError
from lib.schema import PRICE, VOLUME_RANK
from lib.snapshot import content_hash
from lib.store import Store
from lib.store.influx import lines
from query_api.asof.absence import NoSnapshot
from query_api.asof.top_list import ListQuery, TopList, TopListFinder
from tests.contract.snapshots import MINUTE, many, snapshot
from tests.fakes import HOUR, NOON

ROW = [{"symbol": "BTC", "name": "Bitcoin"}]


async def store_pair(store: Store, tick: datetime, stored_at: datetime) -> None:
    for series in (PRICE, VOLUME_RANK):
        await store.write(snapshot(series, tick, ROW, stored_at=stored_at))


async def top(store: Store, at: datetime, known_at: datetime | None = None) -> TopList:
    return await TopListFinder(store, max_skew=MINUTE).find(at, ListQuery(10, 10 * MINUTE, known_at=known_at))


async def test_a_store_stamps_what_it_takes_and_lets_a_stamp_be(store, clock):
    clock.move(minutes=30, seconds=1.25)
    late = snapshot(PRICE, rows=ROW, stored_at=None)
    stamped = snapshot(VOLUME_RANK, rows=ROW)
    await store.write(late)
    await store.write(stamped)
    price, rank = await store.markers(NOON, NOON)
    assert price == late.marker.with_stored_at(clock())
    assert rank == stamped.marker


async def test_a_late_delivery_is_not_in_the_answers_of_before(store):
    await store_pair(store, NOON, NOON + timedelta(seconds=2))
    await store_pair(store, NOON + MINUTE, NOON + 30 * MINUTE)
    at = NOON + 2 * MINUTE
    now = await top(store, at)
    assert (now.pair.price.tick, now.known_at) == (NOON + MINUTE, NOON + 30 * MINUTE)
    then = await top(store, at, known_at=NOON + 10 * MINUTE)
    assert (then.pair.price.tick, then.pair.rank.tick, then.known_at) == (NOON, NOON, NOON + 10 * MINUTE)


async def test_an_answers_own_known_at_gives_it_again_whatever_came_since(store):
    await store_pair(store, NOON, NOON + timedelta(seconds=2, microseconds=123_457))
    first = await top(store, NOON + 2 * MINUTE)
    await store_pair(store, NOON + MINUTE, NOON + 30 * MINUTE)
    assert (await top(store, first.at)).pair != first.pair
    again = await top(store, first.at, known_at=first.known_at)
    assert (again.pair, again.matched, again.known_at) == (first.pair, first.matched, first.known_at)
    assert_frame_equal(again.rows, first.rows)
    with pytest.raises(NoSnapshot, match="nothing was stored by"):
        await top(store, first.at, known_at=first.known_at - timedelta(microseconds=1000))


@pytest.mark.influx
async def test_a_snapshot_waits_for_an_older_one_whose_write_is_under_way_and_the_answer_can_be_had_again(
    influx_bucket, clock
):
    """The rank's marker has the older `stored_at` and comes second: for 30 s, as a slow server makes it."""
    store = influx_bucket.store(clock)
    server = influx_bucket.connect()
    tick, at = NOON + MINUTE, NOON + MINUTE + timedelta(seconds=9)
    await store_pair(store, NOON, NOON + timedelta(seconds=2))
    await server.write(influx_bucket.name, lines.claim(VOLUME_RANK.name, "0", tick, tick + timedelta(seconds=1)))
    clock.now = tick + timedelta(seconds=3)
    await store.write(snapshot(PRICE, tick, ROW))
    first = await top(store, at)
    assert (first.pair.price.tick, first.pair.rank.tick) == (NOON, NOON)
    slow = snapshot(VOLUME_RANK, tick, ROW, stored_at=tick + timedelta(seconds=2))
    await server.write(influx_bucket.name, lines.rows(slow) + b"\n" + lines.marker(slow.marker))
    assert (await top(store, at)).pair.rank.tick == tick
    assert (await top(store, at, known_at=first.known_at)).pair == first.pair
    for each in (store, server):
        await each.close()


@pytest.mark.influx
@pytest.mark.parametrize("claimed", [None, NOON + HOUR])
async def test_a_write_that_was_given_up_or_is_of_another_span_holds_nothing_back(influx_bucket, clock, claimed):
    store = influx_bucket.store(clock)
    server = influx_bucket.connect()
    await server.write(influx_bucket.name, lines.claim(VOLUME_RANK.name, "0", claimed, NOON))
    await store_pair(store, NOON, NOON + timedelta(seconds=2))
    assert (await top(store, NOON + MINUTE)).pair.price.tick == NOON
    for each in (store, server):
        await each.close()


async def test_an_hour_is_represented_by_its_first_tick_visible_at_known_at(store, place):
    early = snapshot(PRICE, NOON + MINUTE, ROW, stored_at=NOON + 2 * MINUTE)
    await store.write(early)
    await place.settle()
    late = snapshot(PRICE, NOON, ROW, stored_at=NOON + 50 * MINUTE, backfilled=True)
    await store.write(late)
    await place.settle()
    asked = NOON, NOON + HOUR
    assert await store.markers(*asked, resolution="1h") == [late.marker]
    assert await store.markers(*asked, resolution="1h", known_at=NOON + 49 * MINUTE) == [early.marker]
    assert await store.markers(*asked, resolution="1h", known_at=NOON) == []


async def test_a_snapshots_hash_is_that_of_the_rows_that_come_back(store):
    written = many(PRICE, 300)
    await store.write(written)
    (marker,) = await store.markers(NOON, NOON)
    rows = await store.rows(PRICE, NOON)
    assert marker.hash == content_hash(PRICE.name, marker.source, marker.tick, rows)
    assert len(marker.hash) == 32


async def test_an_instant_before_anything_was_known_has_no_answer(store):
    await store_pair(store, NOON, NOON + MINUTE)
    with pytest.raises(TopcoinsError, match="nothing was stored by 2026-08-01T12:00:00Z of price and volume_rank"):
        await top(store, NOON, known_at=NOON)


async def test_the_ticks_of_an_instant_are_those_visible_and_not_withdrawn_by_then(store, clock):
    clock.now = NOON + HOUR
    for minute, stored in ((0, 1), (1, 2), (2, 30)):
        await store_pair(store, NOON + minute * MINUTE, NOON + stored * MINUTE)
    await store.withdraw(PRICE.name, NOON, NOON, why="test")
    clock.move(hours=1)
    await store.undo_withdrawal(PRICE.name, NOON, NOON)
    known = {
        NOON: [],
        NOON + MINUTE: [0],
        NOON + 59 * MINUTE: [0, 1, 2],
        NOON + HOUR: [1, 2],
        NOON + 2 * HOUR: [0, 1, 2],
    }
    for known_at, minutes in known.items():
        ticks = await store.ticks(PRICE.name, NOON, NOON + HOUR, known_at=known_at)
        assert ticks == [NOON + minute * MINUTE for minute in minutes]
    assert len(await store.ticks(PRICE.name, NOON, NOON + HOUR)) == 3
