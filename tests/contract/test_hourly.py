"""Downsampling on a real server: the first snapshot of each hour, whole, with its marker, outlives the minutes."""

import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from polars.testing import assert_frame_equal
from pydantic import SecretStr

from lib.clock import slot
from lib.schema import PRICE, VOLUME_RANK, Series
from lib.store.influx import InfluxStore
from lib.store.influx.hourly import AT_ONCE, TASK, script
from lib.store.influx.lines import marker as marker_line
from lib.store.influx.setup import Setup
from query_api.asof.top_list import ListQuery, TopListFinder
from tests.fakes import NOON, FakeClock
from tests.influxd import VERIFIES, Bucket, fresh_influxd
from tests.sample import sample_snapshot

pytestmark = pytest.mark.influx
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
PATIENCE_S = 30


def run_script(bucket: Bucket) -> None:
    """The task's script, as the server runs it."""
    asked = {"query": script(bucket.name, retention=None), "type": "flux"}
    headers = {"Authorization": f"Token {bucket.server.token}"}
    answer = httpx.post(
        f"{bucket.server.url}/api/v2/query",
        params={"org": bucket.server.org},
        json=asked,
        headers=headers,
        timeout=30,
        verify=VERIFIES,
    )
    answer.raise_for_status()
    assert "error,reference" not in answer.text


@pytest.fixture
def store(influx_bucket):
    return influx_bucket.store(FakeClock(NOON + 12 * HOUR))


async def write(store: InfluxStore, *minutes: int, series: tuple[Series, ...] = (PRICE, VOLUME_RANK)) -> None:
    for minute in minutes:
        for one in series:
            await store.write(sample_snapshot(one, NOON + minute * MINUTE, 30))


async def hourly(store: InfluxStore) -> list[tuple[str, int]]:
    markers = await store.markers(NOON - HOUR, NOON + 12 * HOUR, resolution="1h")
    return [(marker.series, (marker.tick - NOON) // MINUTE) for marker in markers]


async def test_the_first_snapshot_of_each_hour_is_copied_whole(influx_bucket, store):
    await write(store, 50, 55, 60, 61, 125, 130)
    run_script(influx_bucket)
    assert await hourly(store) == [(name, minute) for minute in (50, 60, 125) for name in ("price", "volume_rank")]
    for series in (PRICE, VOLUME_RANK):
        for minute in (50, 60, 125):
            raw = await store.rows(series, NOON + minute * MINUTE)
            assert_frame_equal(await store.rows(series, NOON + minute * MINUTE, resolution="1h"), raw)
            assert len(raw) == 30
    raw, kept = [await store.markers(NOON, NOON + 12 * HOUR, resolution=each) for each in ("1m", "1h")]
    assert all(marker in raw for marker in kept)
    await store.close()


async def test_a_second_run_changes_nothing(influx_bucket, store):
    await write(store, 0, 1, 60)
    run_script(influx_bucket)
    before = await hourly(store)
    run_script(influx_bucket)
    assert await hourly(store) == before
    await store.close()


async def test_late_and_backfilled_ticks_are_taken_up(influx_bucket, store):
    await write(store, 70, 130)
    run_script(influx_bucket)
    await write(store, 60, 5)
    run_script(influx_bucket)
    assert [minute for name, minute in await hourly(store) if name == "price"] == [5, 60, 130]
    await store.close()


async def test_more_hours_than_a_run_copies_follow_in_the_next_runs(influx_bucket, store):
    await write(store, *range(0, 30 * 60, 60), series=(PRICE,))
    for _ in range(2):
        run_script(influx_bucket)
    markers = await store.markers(NOON, NOON + 40 * HOUR, series="price", resolution="1h")
    assert len(markers) == 30
    await store.close()


async def test_markers_that_have_lost_their_rows_do_not_hold_up_the_hours_after_them(influx_bucket, store):
    server = influx_bucket.connect()
    lost = [sample_snapshot(PRICE, NOON - (30 - n) * HOUR, 30).marker for n in range(AT_ONCE)]
    await server.write(influx_bucket.name, b"\n".join(marker_line(marker) for marker in lost))
    await server.close()
    await write(store, 0, 60)
    for _ in range(2):
        run_script(influx_bucket)
    assert [minute for name, minute in await hourly(store) if name == "price"] == [0, 60]
    await store.close()


async def test_past_the_raw_retention_the_hourly_bucket_answers_and_the_answer_names_it(influx_bucket):
    clock = FakeClock(NOON + 3 * HOUR)
    store = influx_bucket.store(clock)
    await write(store, 0, 1, 2, 60, 61)
    run_script(influx_bucket)
    clock.now = NOON + timedelta(days=91)
    lists = TopListFinder(store, max_skew=MINUTE)
    top = await lists.find(NOON + 45 * MINUTE, ListQuery(10, 10 * MINUTE))
    assert (top.resolution, top.pair.price.tick, top.matched) == ("1h", NOON, 30)
    assert len(top.rows) == 10
    await store.close()


def run_task(url: str, operator: str, client: httpx.Client) -> str:
    """Have the server run the task now; how that ended."""
    headers = {"Authorization": f"Token {operator}"}
    (task,) = client.get(f"{url}/api/v2/tasks", params={"name": TASK}, headers=headers).json()["tasks"]
    runs = f"{url}/api/v2/tasks/{task['id']}/runs"
    run = client.post(runs, json={}, headers=headers).json()["id"]
    late = time.monotonic() + PATIENCE_S
    while time.monotonic() < late:
        state = str(client.get(f"{runs}/{run}", headers=headers).json().get("status"))  # a new run may not be known yet
        if state in ("success", "failed"):
            return state
        time.sleep(0.05)
    return "late"


async def test_the_server_runs_the_task_by_itself_with_what_init_made(tmp_path, tmp_path_factory):
    with fresh_influxd(tmp_path_factory.mktemp("influxd")) as url, httpx.Client(verify=VERIFIES) as client:
        retention = timedelta(days=90)
        Setup(url=url, org="topcoins", bucket="market", retention=retention, folder=tmp_path, client=client).run()
        files = [tmp_path / one / "influx_token" for one in ("ingest_price", "query_api")]

        def clock() -> datetime:
            return datetime.now(UTC)

        tick = slot(clock(), HOUR) - 2 * HOUR
        writer, reader = (
            InfluxStore(url, org="topcoins", bucket="market", token=SecretStr(file.read_text()), clock=clock)
            for file in files
        )
        await writer.write(sample_snapshot(PRICE, tick, 30))
        assert run_task(url, (tmp_path / "operator" / "influx_token").read_text(), client) == "success"
        (kept,) = await reader.markers(tick, tick, resolution="1h")
        assert kept.tick == tick
        assert len(await reader.rows(PRICE, tick, resolution="1h")) == 30
        await writer.close()
        await reader.close()
