"""A reader never sees half a snapshot, while another process writes."""

import asyncio
import sys
from datetime import datetime, timedelta

import pytest

from lib.clock import utc_now
from lib.errors import StoreMalformed
from lib.schema import PRICE
from lib.snapshot import Marker, unpack_ids
from lib.store.sqlite import SqliteStore
from query_api.asof.absence import NoSnapshot
from query_api.asof.top_list import ListQuery, TopListFinder
from tests.flow.processes import ROOT, WITHIN_S
from tests.flow.writer import MANY, ROWS, SERIES

pytestmark = pytest.mark.stack

DAY = timedelta(days=1)


@pytest.fixture
async def store(tmp_path):
    opened = SqliteStore(tmp_path / "topcoins.db", clock=utc_now)
    await opened.ready()
    yield opened
    await opened.close()


@pytest.fixture
def first():
    """The first tick that is written."""
    return utc_now().replace(microsecond=0) - timedelta(hours=2)


@pytest.fixture
async def writer(tmp_path, environ, store, first):
    started = []

    async def start(how):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.flow.writer", str(tmp_path / "topcoins.db"), how, first.isoformat()),
            env=environ, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def all_markers(store: SqliteStore) -> list[Marker]:
    return await store.markers(utc_now() - DAY, utc_now())


async def test_a_snapshot_half_written_is_not_there_and_then_it_is_whole(store, writer, first):
    process = await writer("slowly")
    assert await asyncio.wait_for(process.stdout.readline(), WITHIN_S) == b"half\n"
    assert await all_markers(store) == []
    assert await store.nearest(PRICE.name, utc_now()) is None
    assert await store.first(PRICE.name) is None
    assert (await store.rows(PRICE, first)).is_empty()
    process.stdin.write(b"\n")
    assert await asyncio.wait_for(process.stdout.readline(), WITHIN_S) == b"whole\n"
    (marker,) = await all_markers(store)
    rows = await store.rows(PRICE, first)
    assert marker.tick == first
    assert len(rows) == marker.assets == ROWS
    assert rows["cmc_id"].to_list() == list(unpack_ids(marker.ids))


async def test_each_marker_ever_seen_has_all_of_its_rows(store, writer):
    process = await writer("many")
    series = {each.name: each for each in SERIES}
    seen: set[tuple[str, datetime]] = set()
    looks = 0
    while len(seen) < MANY * len(SERIES):
        markers = await all_markers(store)
        looks += bool(markers)
        for marker in markers:
            if (marker.series, marker.tick) not in seen:
                rows = await store.rows(series[marker.series], marker.tick)
                assert len(rows) == marker.assets
                assert rows["cmc_id"].to_list() == list(unpack_ids(marker.ids))
                seen.add((marker.series, marker.tick))
        assert process.returncode in (None, 0)
    assert looks > 2, "the writer was done before the reader looked"


async def test_a_list_asked_for_while_snapshots_are_written_is_whole(store, writer):
    process = await writer("many")
    lists = TopListFinder(store, max_skew=timedelta(minutes=1))
    answers = 0
    while process.returncode is None:
        try:
            top = await lists.find(utc_now(), ListQuery(5000, DAY))
        except NoSnapshot:
            continue
        except StoreMalformed as exc:
            pytest.fail(f"half a snapshot was seen: {exc}")
        assert len(top.rows) == top.matched == min(top.pair.price.assets, top.pair.rank.assets)
        answers += 1
    assert answers > 2
