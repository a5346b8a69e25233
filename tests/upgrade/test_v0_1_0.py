"""What version 0.1.0 wrote (v0.1.0/README.md) opens in this version and gives the same answers."""

import shutil
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from lib.archive.restore import restore
from lib.clock import isoformat
from lib.ingest.missed import read_missed
from lib.ingest.spool import Spool
from lib.ingest.spool_folder import Counts
from lib.schema import PRICE, Series
from lib.snapshot import content_hash
from lib.snapshot_file import as_json
from lib.store import Store
from lib.store.influx import hourly
from lib.store.influx.server import Server
from lib.store.sqlite import SqliteStore
from tests.fakes import FakeClock
from tests.sample import sample_snapshot

OLD = Path(__file__).parent / "v0.1.0"
FIRST = datetime(2026, 7, 31, 23, 58, tzinfo=UTC)
MIDNIGHT = datetime(2026, 8, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LATER = FIRST + timedelta(hours=1)
EXPECTED = orjson.loads((OLD / "expected.json").read_bytes())


@pytest.fixture
def old(tmp_path):
    """A copy of the files, to open for writing."""
    return shutil.copytree(OLD, tmp_path / "old")


@pytest.fixture
def clock():
    return FakeClock(LATER)


def assert_part_of(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Every value of the old version is there; the new version may have added others, all null or false."""
    assert {name: new[name] for name in old} == old
    assert {name: new[name] for name in new.keys() - old.keys() if new[name] not in (None, False)} == {}


async def assert_holds(store: Store, expected: Iterable[dict[str, Any]]) -> None:
    wanted = list(expected)
    markers = await store.markers(FIRST, LATER)
    assert len(markers) == len(wanted) > 0
    by_key = {(marker.series, isoformat(marker.tick)): marker for marker in markers}
    for each in wanted:
        series = Series(each["series"]["name"], tuple(each["series"]["tags"]), tuple(each["series"]["fields"]))
        marker = by_key[series.name, each["marker"]["tick"]]
        assert_part_of(each["marker"], orjson.loads(as_json(marker)))
        rows = await store.rows(series, marker.tick)
        assert rows.to_dicts() == each["rows"]
        assert content_hash(series.name, marker.source, marker.tick, rows) == marker.hash
        assert await store.nearest(series.name, marker.tick) == marker


async def test_the_sqlite_file_of_0_1_0_opens_and_takes_new_snapshots(old, clock):
    store = SqliteStore(old / "topcoins.db", clock=clock)
    await assert_holds(store, EXPECTED["stored"])
    new = sample_snapshot(PRICE, FIRST + 10 * MINUTE, 5)
    await store.write(new)
    assert (await store.rows(PRICE, new.tick)).equals(new.rows)
    assert len(await store.history(PRICE, 1, [FIRST, new.tick])) == 2
    assert [marker.tick for marker in await store.markers(FIRST, LATER, series="price", resolution="1h")] == [
        FIRST,
        MIDNIGHT,
    ]
    await store.close()


@pytest.mark.influx
async def test_the_lines_of_0_1_0_on_an_influxdb_read_the_same(influx_bucket, clock):
    server = Server(influx_bucket.server.url, org=influx_bucket.server.org, token=influx_bucket.token)
    await server.write(influx_bucket.name, (OLD / "market.lp").read_bytes())
    await server.query(hourly.script(influx_bucket.name, retention=None), str)
    await server.close()
    store = influx_bucket.store(clock)
    await assert_holds(store, EXPECTED["stored"])
    hours = await store.markers(FIRST, LATER, series="price", resolution="1h")
    assert [marker.tick for marker in hours] == [FIRST, MIDNIGHT]
    await store.close()


def test_the_spool_of_0_1_0_opens_with_its_snapshots_counts_and_misses(old):
    folder = old / "spool" / "price"
    spool = Spool(folder, limit=2**20)
    spool.open()
    counts = spool.counts()
    assert (counts.fetched, counts.stored, counts.dropped, counts.spooled) == (5, 1, 1, 3)
    waiting = list(spool.read())
    assert [snapshot.rows.to_dicts() for _, snapshot in waiting] == [each["rows"] for each in EXPECTED["spooled"]]
    for (_, snapshot), each in zip(waiting, EXPECTED["spooled"], strict=True):
        assert_part_of(each["marker"], orjson.loads(as_json(snapshot.marker)))
    for entry, _ in waiting:
        spool.confirm(entry)
    assert spool.counts() == Counts(fetched=5, dropped=1)
    misses = {miss.tick: (miss.cause, miss.why) for miss in read_missed(folder, FIRST, LATER)}
    assert misses[FIRST + 7 * MINUTE] == ("source away", "coinmarketcap: HTTP 503")
    assert misses[FIRST + 9 * MINUTE] == ("credits", "used up")
    assert misses[FIRST + MINUTE][0] == "store"
    spool.close()


async def test_the_backup_of_0_1_0_is_restored(old, clock, tmp_path):
    store = SqliteStore(tmp_path / "new.db", clock=clock)
    days = [day async for day in restore(old / "backup", store, None, clock=clock)]
    second_day = [each for each in EXPECTED["stored"] if each["marker"]["tick"] >= "2026-08-01"]
    assert sum(day.snapshots for day in days) == len(second_day)
    await assert_holds(store, second_day)
    await store.close()
