"""Histories: each step against the as-of rule looked up one step at a time; gaps, pages and names through HTTP."""

import io
import re
import sys
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import FrameType
from typing import Any
from urllib.parse import urljoin

import httpx
import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.clock import isoformat
from lib.instants import Span
from lib.schema import Series
from lib.snapshot import StoredTick
from query_api.asof.find_pair import PairFinder
from query_api.features.history.work import Fill, history_of
from tests.fakes import FakeClock, MemoryStore
from tests.unit.query_api import reference
from tests.unit.query_api.market import (
    AFTER_GAP,
    BEFORE_GAP,
    FIRST,
    HOUR,
    MINUTE,
    NEWEST,
    NOW,
    SECOND,
    Prices,
    Ranks,
    calling,
    fill,
    snapshot,
    stocked,
)

T = NEWEST
EVER = timedelta(days=9999)
TICKS = st.lists(st.integers(-40, 4).map(lambda n: T + n * 30 * SECOND), max_size=8, unique=True)
HELD = st.booleans()


@given(
    st.dictionaries(TICKS.filter(len).map(lambda ticks: ticks[0]), HELD, max_size=8),
    st.dictionaries(TICKS.filter(len).map(lambda ticks: ticks[0]), HELD, max_size=8),
    st.integers(-45, 0),
    st.sampled_from([30, 60, 90, 300]),
    st.sampled_from(["none", "null", "previous"]),
)
@settings(deadline=None)
async def test_a_history_is_what_the_rule_answers_step_by_step(prices, ranks, start, every, how) -> None:
    """Asset 1 is in a snapshot where its tick is true; asset 2 always is."""
    store = MemoryStore(FakeClock(T + HOUR))
    await fill(store, [Prices(tick, _priced(tick, held)) for tick, held in prices.items()])
    await fill(store, [Ranks(tick, [(2, 5.0), *([(1, 1.0)] if held else [])]) for tick, held in ranks.items()])
    distance = every * SECOND
    span = Span(T + start * 30 * SECOND, T + MINUTE, distance)
    steps = [span.at(number) for number in range(span.steps)]
    found = await history_of(PairFinder(store, max_skew=MINUTE), 1, steps, distance, how, now=T + HOUR)
    shown_points = found.points.to_dicts()
    points, counts = expected(prices, ranks, steps, distance, how)
    shown = [(p["at"], p["price_time"], p["rank_time"], p["price_usd"], p["filled"]) for p in shown_points]
    assert shown == points
    coverage = found.coverage
    assert (coverage.present, coverage.absent, coverage.missing) == counts
    assert coverage.expected == sum(counts) == len(steps)
    assert all(point["price_time"] <= point["at"] for point in shown_points if point["price_time"])


def _priced(tick: datetime, held: bool) -> list[Any]:
    return [(2, "B", "B", 1.0, 1.0), *([(1, "A", "A", usd(tick), 1.0)] if held else [])]


def usd(tick: datetime) -> float:
    return (tick - FIRST).total_seconds() + 9999


def expected(
    prices: dict[datetime, bool], ranks: dict[datetime, bool], steps: Sequence[datetime], every: timedelta, how: Fill
) -> tuple[list[tuple[Any, ...]], tuple[int, int, int]]:
    points: list[tuple[Any, ...]] = []
    present = absent = missing = 0
    for step in steps:
        pair = reference.pair_of(prices, list(ranks), step, MINUTE, EVER)
        new = pair is not None and step - pair[0] < every
        held = pair is not None and prices[pair[0]] and ranks[pair[1]]
        present, absent, missing = present + (new and held), absent + (new and not held), missing + (not new)
        at = isoformat(step)
        if pair and held and (new or how == "previous"):
            points.append((at, isoformat(pair[0]), isoformat(pair[1]), usd(pair[0]), not new))
        elif how == "null":
            times = (isoformat(pair[0]), isoformat(pair[1])) if pair and new else (None, None)
            points.append((at, *times, None, False))
    return points, (present, absent, missing)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    clock = FakeClock(NOW)
    async with calling(stocked(clock), clock) as caller:
        yield caller


MINUTES = f"from={isoformat(FIRST)}&to={isoformat(NEWEST)}&every=1m"


async def test_a_gap_is_left_out_reported_or_filled_and_marked(client) -> None:
    answers = {
        how: (await client.get(f"/v1/assets/1/history?{MINUTES}&fill={how}")).json()
        for how in ("none", "null", "previous")
    }
    coverage = {"expected": 37, "present": 18, "absent": 0, "missing": 19, "filled": 0}
    assert [answers[how]["coverage"] for how in ("none", "null")] == [coverage, coverage]
    assert answers["previous"]["coverage"] == coverage | {"filled": 19}
    assert [len(answer["data"]) for answer in answers.values()] == [18, 37, 37]
    assert answers["null"]["data"][11]["price_usd"] is None
    filled = answers["previous"]["data"][15]
    assert (filled["filled"], filled["price_time"], filled["at"]) == (
        True, isoformat(BEFORE_GAP), isoformat(FIRST + 15 * MINUTE),
    )  # fmt: skip
    assert answers["none"]["data"][10]["at"] == isoformat(BEFORE_GAP)
    assert answers["none"]["data"][11]["at"] == isoformat(AFTER_GAP)


async def test_a_step_is_the_list_s_row_of_that_instant(client) -> None:
    points = (await client.get(f"/v1/assets/1027/history?{MINUTES}")).json()["data"]
    for point in (points[0], points[-1]):
        top = (await client.get(f"/?datetime={point['at']}")).json()
        (row,) = [row for row in top["data"] if row["cmc_id"] == 1027]
        for name in ("price_usd", "volume_24h_usd", "source_rank", "symbol", "price_updated_at"):
            assert point[name] == row[name]
        assert (point["price_time"], point["rank_time"]) == (top["price_time"], top["rank_time"])


async def test_the_start_is_taken_in_and_the_end_is_not(client) -> None:
    points = (await client.get(f"/v1/assets/1/history?{MINUTES}")).json()["data"]
    assert points[0]["at"] == isoformat(FIRST)
    assert points[-1]["at"] == isoformat(NEWEST - MINUTE)


@pytest.mark.parametrize(
    ("how", "limit"),
    [("previous", 1), *((how, limit) for how in ("none", "null", "previous") for limit in (7, 36, 37))],
)
async def test_pages_by_link_are_the_whole(client, how, limit) -> None:
    whole = (await client.get(f"/v1/assets/btc/history?{MINUTES}&fill={how}")).json()["data"]
    path, paged = f"/v1/assets/btc/history?{MINUTES}&fill={how}&limit={limit}", []
    while path:
        answer = await client.get(path)
        paged += answer.json()["data"]
        link = re.fullmatch(r'<(.+)>; rel="next"', answer.headers.get("link", ""))
        assert answer.json()["next"] == (link[1] if link else None)
        path = urljoin(path, link[1]) if link else ""
    assert paged == whole


async def test_a_history_as_csv_has_its_coverage_in_a_header(client) -> None:
    answer = await client.get(f"/v1/assets/1/history?{MINUTES}&format=csv&limit=2")
    assert answer.text == (
        "at,price_usd,volume_24h_usd,source_rank,symbol,price_time,rank_time,price_source,rank_source,"
        "price_updated_at,resolution,filled\r\n"
        "2026-11-17T14:00:00Z,92000.0,95000000000.0,2,BTC,2026-11-17T14:00:00Z,2026-11-17T14:00:00Z,coinmarketcap,coindesk,,1m,false\r\n"
        "2026-11-17T14:01:00Z,92000.01,95000000000.0,2,BTC,2026-11-17T14:01:00Z,2026-11-17T14:01:00Z,coinmarketcap,coindesk,,1m,false\r\n"
    )
    assert answer.headers["x-coverage"] == "expected=2, present=2, absent=0, missing=0, filled=0"


@pytest.mark.parametrize("format", ["json", "csv", "ndjson", "parquet"])
async def test_each_step_of_a_history_names_the_sources_it_is_from_also_where_it_is_filled(format) -> None:
    """The rank source changes after two minutes, then comes a gap."""
    store = MemoryStore(FakeClock(FIRST + HOUR))
    for minute in range(4):
        tick = FIRST + minute * MINUTE
        await fill(store, [Prices(tick, [(1, "A", "A", 1.0, 1.0)]), Ranks(tick, [(1, 1.0)])])
    for minute in (2, 3):
        old = store.snapshots["volume_rank", FIRST + minute * MINUTE]
        store.snapshots["volume_rank", old.tick] = replace(old, marker=replace(old.marker, source="coinmarketcap"))
    asked = f"from={isoformat(FIRST)}&to={isoformat(FIRST + 6 * MINUTE)}&every=1m&format={format}"
    stored = ["coindesk"] * 2 + ["coinmarketcap"] * 2
    expected = {"none": stored, "previous": [*stored, *["coinmarketcap"] * 2], "null": [*stored, None, None]}
    async with calling(store, FakeClock(FIRST + HOUR)) as client:
        for how, ranks in expected.items():
            answer = await client.get(f"/v1/assets/1/history?{asked}&fill={how}")
            rows = READERS[format](answer.content)
            assert rows["rank_source"].to_list() == ranks
            assert rows["price_source"].to_list() == [rank and "coinmarketcap" for rank in ranks]


READERS: dict[str, Callable[[bytes], pl.DataFrame]] = {
    "json": lambda body: pl.DataFrame(orjson.loads(body)["data"], infer_schema_length=None),
    "csv": lambda body: pl.read_csv(body),
    "ndjson": lambda body: pl.read_ndjson(body),
    "parquet": lambda body: pl.read_parquet(io.BytesIO(body)),
}


async def test_the_distance_of_the_steps_is_that_of_the_request(client) -> None:
    answer = (await client.get("/v1/assets/1/history?from=2026-11-17T14:00:00Z&every=90.5s&limit=3")).json()
    assert answer["every"] == "90.5s"
    assert [point["at"][11:] for point in answer["data"]] == ["14:00:00Z", "14:01:30.500000Z", "14:03:01Z"]


async def test_a_history_has_the_names_of_its_time_and_the_resolution_of_old_hours() -> None:
    clock = FakeClock(NOW)
    store = MemoryStore(clock, retention=3 * HOUR)
    start = NEWEST.replace(minute=0) - 6 * HOUR
    for hour in range(7):
        symbol = "LUNA" if hour < 3 else "LUNC"
        tick = start + hour * HOUR
        await fill(store, [Prices(tick, [(1, symbol, "Terra", 1.0 + hour, 1.0)]), Ranks(tick, [(1, 1.0)])])
    async with calling(store, clock) as client:
        answer = (await client.get(f"/v1/assets/1/history?from={isoformat(start)}&every=1h")).json()
    assert answer["names"] == [
        {"symbol": "LUNA", "name": "Terra", "first": isoformat(start), "last": isoformat(start + 2 * HOUR)},
        {"symbol": "LUNC", "name": "Terra", "first": isoformat(start + 3 * HOUR), "last": isoformat(start + 6 * HOUR)},
    ]
    assert [point["resolution"] for point in answer["data"]] == ["1h"] * 4 + ["1m"] * 3
    assert [point["price_usd"] for point in answer["data"]] == [1.0 + hour for hour in range(7)]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("every=1s", "must be at least 1m and at most 366d"),
        ("every=x", "is not a duration"),
        ("fill=0", "is no way to fill gaps; they are none, null, previous"),
        ("limit=5001", "is more than 5000"),
        (f"from={isoformat(NEWEST)}&to={isoformat(FIRST)}", "lies after `to`"),
        ("from=0001-01-01&to=0001-01-01", "lies before 1970-01-02"),
    ],
)
async def test_a_wrong_question_is_refused(client, query, why) -> None:
    answer = await client.get(f"/v1/assets/1/history?{query}")
    assert answer.status_code == 422
    assert why in answer.json()["detail"]


@pytest.mark.parametrize("fill_", ["none", "previous"])
async def test_a_step_has_the_rank_tick_of_its_list_also_where_the_first_price_is_old(fill_) -> None:
    """SV-19: the rank tick before the first price tick of the window is the nearer one."""
    store = MemoryStore(FakeClock(T + HOUR))
    at = {name: FIRST + seconds * SECOND for name, seconds in (("before", 30), ("price", 60), ("after", 110))}
    await fill(store, [Ranks(at["before"], [(1, 5.0)]), Ranks(at["after"], [(1, 7.0)])])
    await fill(store, [Prices(at["price"], [(1, "A", "A", 1.0, 1.0)])])
    for seconds in (110, 119, 230):
        step = FIRST + seconds * SECOND
        found = await history_of(PairFinder(store, max_skew=MINUTE), 1, [step], MINUTE, fill_, now=T + HOUR)
        assert [point["rank_time"] for point in found.points.to_dicts()] in ([isoformat(at["before"])], [])
        assert len(found.points) or (fill_ == "none" and seconds == 230)


async def test_a_history_behind_a_gap_is_not_kept_for_a_day() -> None:
    """SV-15: a backfill of 00:03 would change the step of 00:04."""
    clock = FakeClock(FIRST)
    store = MemoryStore(clock)
    for minute in (0, 5, 6, 60):
        tick = FIRST + minute * MINUTE
        await fill(store, [Prices(tick, [(1, "A", "A", 1.0, 1.0)]), Ranks(tick, [(1, 1.0)])])
    clock.move(hours=2)
    async with calling(store, clock) as caller:
        for minute, kept in ((4, 30), (5, 86400), (6, 86400), (7, 30)):
            step = FIRST + minute * MINUTE
            asked = f"from={isoformat(step)}&to={isoformat(step + SECOND)}&every=10m"
            answer = await caller.get(f"/v1/assets/1/history?{asked}")
            assert answer.headers["cache-control"] == f"public, max-age={kept}"


@pytest.mark.parametrize("series", ["price", "volume_rank"])
@pytest.mark.parametrize(
    "path", [f"/v1/assets/1/history?every=10m&from={isoformat(FIRST)}", "/v1/sparklines?ids=1&span=1s"]
)
async def test_the_values_of_a_snapshot_that_just_came_are_not_final(path, series) -> None:
    """SV-15: a write takes up to 30 s."""
    clock = FakeClock(FIRST + SECOND)
    store = MemoryStore(clock)
    await fill(store, [Prices(FIRST, [(1, "A", "A", 1.0, 1.0)]), Ranks(FIRST, [(1, 1.0)])])
    clock.move(hours=2)
    late = store.snapshots[series, FIRST]
    store.snapshots[series, FIRST] = replace(late, marker=replace(late.marker, stored_at=clock() - 29 * SECOND))
    async with calling(store, clock) as caller:
        for seconds in (30, 86400):
            answer = await caller.get(f"{path}&to={isoformat(FIRST + SECOND)}")
            assert answer.headers["cache-control"] == f"public, max-age={seconds}"
            clock.move(seconds=1)


async def test_a_history_with_a_late_or_backfilled_rank_is_cached_for_a_short_time() -> None:
    """A nearer rank tick may still be delivered."""
    clock = FakeClock(FIRST + HOUR)
    store = MemoryStore(clock)
    for minute in range(4):
        tick = FIRST + minute * MINUTE
        await fill(store, [Prices(tick, [(1, "A", "A", 1.0, 1.0)]), Ranks(tick, [(1, 1.0)])])
    del store.snapshots["volume_rank", FIRST + 2 * MINUTE]
    old = store.snapshots["volume_rank", FIRST + 3 * MINUTE]
    store.snapshots["volume_rank", old.tick] = replace(old, marker=replace(old.marker, backfilled=True))
    clock.move(hours=2)
    async with calling(store, clock) as caller:
        for minute, seconds in ((1, 86400), (2, 30), (3, 30)):
            step = FIRST + minute * MINUTE
            query = f"from={isoformat(step)}&to={isoformat(step + SECOND)}&every=10m"
            answer = await caller.get(f"/v1/assets/1/history?{query}")
            assert answer.headers["cache-control"] == f"public, max-age={seconds}", minute


class ReadyMade(MemoryStore):
    """Minutes of one asset. A read takes no work in Python, however many there are: what is done with it counts."""

    def __init__(self, count: int) -> None:
        super().__init__(FakeClock(T + HOUR), retention=timedelta(days=count))
        self.minutes = [StoredTick(T - number * MINUTE, MINUTE, False) for number in range(count)]

    async def stored_ticks(self, *asked: Any, **view: Any) -> list[StoredTick]:
        return self.minutes

    async def ticks(self, *asked: Any, **view: Any) -> list[datetime]:
        return [minute.tick for minute in self.minutes]

    async def history(self, series: Series, cmc_id: int, ticks: Collection[datetime], **view: Any) -> pl.DataFrame:
        values = [pl.lit("1").cast(kind).alias(name) for name, kind in series.columns.items()]
        return pl.DataFrame({"tick": list(ticks)}).select("tick", *values)


async def calls_on_the_event_loop(steps: int) -> int:
    """How often a history of so many steps calls a Python function in the event loop's thread."""
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    store = ReadyMade(steps)
    finder = PairFinder(store, max_skew=MINUTE)
    ticks = sorted(minute.tick for minute in store.minutes)
    sys.setprofile(count)
    try:
        found = await history_of(finder, 1, ticks, MINUTE, "none", now=T + HOUR)
    finally:
        sys.setprofile(None)
    assert found.coverage.present == steps
    return calls


async def test_a_long_history_is_paired_and_written_off_the_event_loop() -> None:
    """SV-11: ninety days took half a second in which nobody else was answered."""
    few = await calls_on_the_event_loop(20)
    assert await calls_on_the_event_loop(2000) < few + 200


class CountingTicks(MemoryStore):
    """Counts the ticks that were read, and the reads."""

    read = reads = 0

    async def stored_ticks(self, *asked: Any, **wanted: Any) -> list[StoredTick]:
        ticks = await super().stored_ticks(*asked, **wanted)
        self.read, self.reads = self.read + len(ticks), self.reads + 1
        return ticks


async def test_a_history_of_hours_reads_the_ticks_of_its_steps_once_and_others_only_for_holes() -> None:
    store = CountingTicks(FakeClock(T + HOUR))
    for whole in (snapshot(Prices(T, [(1, "A", "A", 5.0, 1.0)])), snapshot(Ranks(T, [(1, 1.0)]))):
        for minute in (*range(300), *range(303, 600)):
            tick = T - minute * MINUTE
            marker = replace(whole.marker, tick=tick, stored_at=tick)
            store.snapshots[whole.series.name, tick] = replace(whole, marker=marker)
    steps = [T - hour * HOUR for hour in range(9, -1, -1)]
    found = await history_of(PairFinder(store, max_skew=MINUTE), 1, steps, HOUR, "none", now=T + HOUR)
    ages = [(step - pair[0].price.tick) // MINUTE for step, pair in zip(steps, found.pairs, strict=True) if pair]
    assert ages == [0, 0, 0, 0, 3, 0, 0, 0, 0, 0]
    assert store.reads == 4
    assert store.read <= 2 * len(steps) + 2 * 62


LATE = "/v1/assets/1/history?from=2026-11-17T14:00Z&to=2026-11-17T14:30Z&every=5m&fill=null"


async def test_a_history_is_had_again_by_its_known_at_after_a_snapshot_came_late() -> None:
    clock = FakeClock(NOW)
    store = stocked(clock)
    async with calling(store, clock) as client:
        before = await client.get(LATE)
        clock.move(minutes=1)
        await fill(store, [Prices(BEFORE_GAP + 8 * MINUTE, [(1, "BTC", "Bitcoin", 5.0, 9e10)])])
        await fill(store, [Ranks(BEFORE_GAP + 8 * MINUTE, [(1, 9.5e10)])])
        after = await client.get(LATE)
        again = await client.get(f"{LATE}&known_at={before.json()['known_at']}")
        later = await client.get(f"{LATE}&known_at={after.json()['known_at']}")
    assert before.json()["coverage"]["missing"] == 3
    assert after.json()["coverage"]["missing"] == 2
    assert again.json() == before.json()
    assert later.json() == after.json()


async def test_a_history_of_a_span_long_past_has_one_known_at_whenever_it_is_asked_for() -> None:
    clock = FakeClock(NOW)
    async with calling(stocked(clock), clock) as client:
        first = await client.get(LATE)
        clock.move(seconds=7)
        again = await client.get(LATE, headers={"if-none-match": first.headers["etag"]})
    assert first.json()["known_at"] == isoformat(BEFORE_GAP + 5 * MINUTE)
    assert again.status_code == 304
    assert first.headers["x-known-at"] == first.json()["known_at"]


async def test_a_history_known_long_ago_may_be_kept_for_ever() -> None:
    clock = FakeClock(NOW)
    async with calling(stocked(clock), clock) as client:
        known = await client.get(f"{LATE}&known_at=2026-11-17T14:20Z")
        recent = await client.get(f"{LATE}&known_at=2026-11-17T14:37:20Z")
    assert "immutable" in known.headers["cache-control"]
    assert recent.headers["cache-control"] == "public, max-age=30"
