"""The status when a spool can't be read, and /metrics of a busy store."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.clock import isoformat
from lib.errors import Busy, StoreUnavailable
from lib.ingest.source_choice import UsedSource
from tests.fakes import FakeClock, MemoryStore
from tests.unit.query_api.market import MINUTE, NOW, CountingStore, Prices, Ranks, calling, snapshot, stocked

TOO_LONG = Path("x" * 300)
"""No folder can have this name: to look at it is an OSError, also for root."""


@pytest.fixture(params=["a name too long", "no permission", "no permission to list"])
def unreadable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    if request.param == "a name too long":
        yield tmp_path / TOO_LONG
        return
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    spools = tmp_path / "spool"
    (spools / "price").mkdir(parents=True)
    (spools / "price").chmod(0 if request.param == "no permission" else 0o100)
    spools.chmod(0o100)
    yield spools
    spools.chmod(0o700)


async def test_a_spool_that_may_not_be_read_is_null_and_no_error(unreadable):
    clock = FakeClock(NOW)
    async with calling(stocked(clock), clock, spools=unreadable) as client:
        status, metrics, gaps = [await client.get(path) for path in ("/v1/status", "/metrics", "/v1/gaps?from=now-40m")]
    assert [answer.status_code for answer in (status, metrics, gaps)] == [200, 200, 200]
    for series in status.json()["series"].values():
        assert series["spool"] is None
        assert series["plan"] is None
    assert "topcoins_store_up 1.0" in metrics.text
    assert "topcoins_spooled_snapshots{" not in metrics.text
    assert gaps.json()["series"]["price"]["missing"] == 19


@pytest.mark.parametrize("minutes", [1, 5, 120])
async def test_a_stopped_ingestor_is_reported_within_three_intervals(minutes):
    interval = minutes * MINUTE
    clock = FakeClock(NOW)
    store = MemoryStore(clock)
    for step in range(4):
        for sent in (
            Prices(NOW + step * interval, [(1, "A", "A", 1.0, 1.0)]),
            Ranks(NOW + step * interval, [(1, 1.0)]),
        ):
            await store.write(snapshot(sent, interval=interval))
    missing = []
    async with calling(store, clock) as client:
        for age in (0.5, 3):
            clock.now = NOW + (3 + age) * interval
            status, metrics = await client.get("/v1/status"), (await client.get("/metrics")).text
            missing.append(status.json()["series"]["price"]["missing_last_hour"])
            ticks = 2.0 if age == 3 else 0.0
            assert f'topcoins_gap_ticks_last_hour{{cause="not running",series="price"}} {ticks}' in metrics
    assert missing == [{}, {"not running": 2}]


@pytest.mark.parametrize(("failure", "up"), [(Busy("many wait"), 1), (StoreUnavailable("down"), 0)])
async def test_only_a_store_that_is_away_is_reported_as_down(failure, up):
    clock = FakeClock(NOW)
    store = stocked(clock)
    store.failure = failure
    async with calling(store, clock) as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert f"topcoins_store_up {up}.0" in answer.text
    assert "topcoins_snapshot_assets{" not in answer.text


async def test_the_source_in_use_and_its_failovers_are_in_the_status_and_the_metrics(tmp_path):
    clock = FakeClock(NOW)
    (tmp_path / "price").mkdir()
    used = UsedSource(
        source="coinmarketcap",
        is_keyless=True,
        is_fallback=True,
        since=NOW,
        failovers=3,
        why=("HTTP 401",),
        asked=("a",),
    )
    (tmp_path / "price" / "source.json").write_text(used.model_dump_json())
    async with calling(stocked(clock), clock, spools=tmp_path) as client:
        status, metrics = [await client.get(path) for path in ("/v1/status", "/metrics")]
    series = status.json()["series"]
    shown = {"source": "coinmarketcap", "is_keyless": True, "is_fallback": True, "failovers": 3, "why": ["HTTP 401"]}
    assert series["price"]["source_in_use"] == {**shown, "since": isoformat(NOW)}
    assert series["volume_rank"]["source_in_use"] is None
    assert 'topcoins_source_failovers_total{series="price"} 3.0' in metrics.text
    assert 'topcoins_source_is_fallback{series="price"} 1.0' in metrics.text
    assert 'failovers_total{series="volume_rank"}' not in metrics.text


async def test_a_status_asks_the_store_few_questions_and_for_no_rows_again():
    clock = FakeClock(NOW)
    store = CountingStore(clock)
    for step in reversed(range(9)):
        at = NOW - (1 + 10 * step) * MINUTE
        for sent in (Prices(at, [(1, "A", "A", 1.0, 1.0)]), Ranks(at, [(1, 1.0)])):
            await store.write(snapshot(sent, interval=10 * MINUTE))
    questions = []
    async with calling(store, clock) as client:
        for seconds in (0, 5, 60):
            clock.move(seconds=seconds)
            before = store.asked
            assert (await client.get("/metrics")).status_code == 200
            questions.append(store.asked - before)
    markers, first_ticks, rows_of_a_new_pair = 2, 2, 2
    assert questions == [markers + first_ticks + rows_of_a_new_pair, markers, markers + first_ticks]
