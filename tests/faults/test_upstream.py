"""Each way an upstream can fail: the tick after succeeds, and the gap has its cause."""

from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import pytest

from lib.simulator import Fault
from tests.faults.invariants import causes, hold
from tests.faults.world import CMC_PRICE, CMC_RANK, COINDESK, MINUTE, START, World

LISTINGS = "/v3/cryptocurrency/listings/latest"
TOP_LIST = "/asset/v1/top/list"
EVER = 10**9
ATTEMPTS = 3
"""The number of requests of a tick when the error may pass."""
PAGES = 3

REFUSED = "source refused us"
AWAY = "source away"
MALFORMED = "source malformed"

CMC_SAYS = {
    "cmc-400": REFUSED, "cmc-1001": REFUSED, "cmc-1002": REFUSED, "cmc-1003": REFUSED, "cmc-1004": REFUSED,
    "cmc-1005": REFUSED, "cmc-1006": REFUSED, "cmc-1007": REFUSED, "cmc-1008": AWAY, "cmc-1009": "credits",
    "cmc-1010": "credits", "cmc-1011": AWAY, "cmc-500": AWAY,
}  # fmt: skip
COINDESK_SAYS = {
    "coindesk-401": REFUSED, "coindesk-429": AWAY, "coindesk-500": AWAY, "minapi-unknown-path": REFUSED,
    "minapi-parameter": REFUSED, "minapi-rate-limit": AWAY,
}  # fmt: skip
STATUSES = (300, 400, 401, 403, 404, 408, 429, 500, 502, 504)
GONE = (404,)

DEEP = "[" * 1000 + "]" * 1000
BODIES = {
    "nothing": "", "a space": " ", "null": "null", "a list": "[]", "a text": '"fine"', "a number": "5", "true": "true",
    "half an object": '{"data": [', "an empty object": "{}", "records that are an object": '{"data": {}, "Data": {}}',
    "records that are null": '{"data": null, "Data": {"LIST": null}}', "a huge number": '{"data": [{"id": 1e999}]}',
    "a number of 1,000 digits": f'{{"data": [{{"id": {"9" * 1000}}}]}}', "deep nesting": "[" * 100_000,
    "an error nested as deep as JSON goes": f'{{"Response": "Error", "Type": {DEEP}}}',
    "a code nested as deep as JSON goes": f'{{"status": {{"error_code": {DEEP}}}}}',
    "half a surrogate": '{"data": [{"name": "\\ud800"}]}', "a page of another kind": "<html></html>",
    "a byte order mark": "\ufeff{}",
}  # fmt: skip
LENIENT = ("a huge number", "a number of 1,000 digits", "half a surrogate")
"""Parsed leniently: a row of nonsense, which is followed by the rest of the list."""
REFUSING = ("an error nested as deep as JSON goes", "a code nested as deep as JSON goes")


@dataclass(frozen=True)
class Target:
    """A source under attack."""

    series: str
    source: str
    path: str


TARGETS = {
    "prices": Target("price", "coinmarketcap", LISTINGS),
    "ranks": Target("volume_rank", "coindesk", TOP_LIST),
    "fallback": Target("volume_rank", "coinmarketcap", LISTINGS),
}


def world_of(tmp_path, target: Target, *faults: Fault) -> World:
    sources = {"price": (CMC_PRICE,), "volume_rank": (COINDESK if target.source == "coindesk" else CMC_RANK,)}
    return World(tmp_path, faults=faults, sources=sources[target.series])


def on(target: Target, **fault) -> Fault:
    """A fault of the first request after a whole listing."""
    return Fault(path=target.path, **{"first": PAGES + 1, **fault})


def attempts(what: int | str) -> int:
    """How many requests of a tick meet an error of this status, preset or kind."""
    again = what == "cut" or str(what).endswith("-500") or str(what).startswith("5") or what == 408
    return ATTEMPTS if again else 1


async def one_tick_fails(world: World, series: str, cause: str) -> None:
    """A tick succeeds, the next fails, the one after succeeds; the gap has its cause."""
    assert await world.run(series, 3) == [True, False, True]
    await hold(world, series)
    assert await causes(world, series) == {cause: 1}


PRESETS = [
    *(("prices", preset) for preset in CMC_SAYS),
    *(("fallback", preset) for preset in CMC_SAYS),
    *(("ranks", preset) for preset in COINDESK_SAYS),
]


@pytest.mark.parametrize(("target", "preset"), PRESETS)
async def test_each_documented_error_is_waited_out_as_the_vendor_asks(tmp_path, target, preset):
    target = TARGETS[target]
    cause = (CMC_SAYS | COINDESK_SAYS)[preset]
    world = world_of(tmp_path, target, on(target, kind="error", preset=preset, count=attempts(preset)))
    month = (datetime(2026, 4, 1, tzinfo=UTC) - START) // MINUTE
    rest = month if preset == "cmc-1010" else {REFUSED: 60, "credits": 720}.get(cause, 1)
    async with world.opened(target.series) as ingest:
        assert await world.ticks(ingest, 2) == [True, False]
        world.clock.now += (rest - 1) * MINUTE
        assert await world.ticks(ingest, 2) == [True, True]
    await hold(world, target.series)
    found = await causes(world, target.series)
    assert found.pop(cause) == 1
    assert found == ({"not running": rest - 1} if rest > 1 else {})  # the minutes this test stepped over


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("preset", ["cmc-1008", "cmc-1010", "cmc-500", "coindesk-429", "coindesk-500"])
async def test_what_the_vendor_asks_to_wait_is_waited(tmp_path, target, preset):
    target = TARGETS[target]
    world = world_of(tmp_path, target, on(target, kind="error", preset=preset, retry_after=150))
    assert (await world.run(target.series, 5))[2:] == [False, False, True]
    await hold(world, target.series)
    assert sum((await causes(world, target.series)).values()) == 3


@pytest.mark.parametrize("target", ["prices", "ranks"])
@pytest.mark.parametrize("status", STATUSES)
async def test_a_bare_status_is_an_error_whatever_its_body(tmp_path, target, status):
    target = TARGETS[target]
    world = world_of(tmp_path, target, on(target, kind="error", status=status, body="<html>", count=attempts(status)))
    if status not in GONE:
        await one_tick_fails(world, target.series, AWAY)
        return
    assert await world.run(target.series, 3) == [True, False, False]
    await hold(world, target.series)
    assert await causes(world, target.series) == {REFUSED: 2}


@pytest.mark.parametrize("target", ["prices", "ranks"])
@pytest.mark.parametrize("body", BODIES)
async def test_a_body_that_is_no_listing_is_no_snapshot(tmp_path, target, body):
    target = TARGETS[target]
    world = world_of(tmp_path, target, on(target, kind="error", status=200, body=BODIES[body]))
    brought = await world.run(target.series, 3)
    assert (brought[0], brought[2]) == (True, True) or body in REFUSING
    await hold(world, target.series)
    if body in LENIENT and target.series == "price":
        assert all(brought)
        return
    assert not brought[1]
    (cause,) = await causes(world, target.series)
    assert cause in (MALFORMED, AWAY, REFUSED, "snapshot refused", "doubtful")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("page", [1, 2, 3])
@pytest.mark.parametrize(
    ("kind", "cause"),
    [("cut", AWAY), ("garbage", MALFORMED), ("redirect", AWAY), ("empty", None), ("half", None), ("wrong_types", None)],
)
async def test_a_page_that_fails_is_no_half_snapshot(tmp_path, target, page, kind, cause):
    """A list of under half its usual size is refused; without an announced total a smaller shortfall is accepted."""
    target = TARGETS[target]
    world = world_of(tmp_path, target, on(target, kind=kind, first=PAGES + page, count=attempts(kind)))
    brought = await world.run(target.series, 3)
    assert (brought[0], brought[2]) == (True, True)
    await hold(world, target.series)
    found = await causes(world, target.series)
    if brought[1]:
        assert (cause, found) == (None, {})
        return
    (named,) = found
    assert named in ([cause] if cause else [MALFORMED, "snapshot refused", "doubtful"])


SILENT = {
    "no connection": httpx.ConnectError, "no connection in time": httpx.ConnectTimeout,
    "no answer in time": httpx.ReadTimeout, "a connection that breaks": httpx.ReadError,
}  # fmt: skip


class Silent(httpx.AsyncBaseTransport):
    """From the first request of a path that fails on, as many fail as one tick makes."""

    def __init__(
        self, inner: httpx.AsyncBaseTransport, failure: type[httpx.TransportError], path: str, first: int
    ) -> None:
        self._inner = inner
        self._path = path
        self._failure = failure
        self._failing = range(first, first + ATTEMPTS)
        self._asked = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._asked += request.url.path == self._path
        if request.url.path == self._path and self._asked in self._failing:
            raise self._failure("simulated", request=request)
        return await self._inner.handle_async_request(request)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("page", [1, 3])
@pytest.mark.parametrize("failure", SILENT)
async def test_an_upstream_that_does_not_answer_costs_its_tick_alone(tmp_path, target, page, failure):
    target = TARGETS[target]
    world = world_of(tmp_path, target)
    world.wrap_transport = lambda transport: Silent(transport, SILENT[failure], target.path, PAGES + page)
    async with world.opened(target.series) as ingest:
        assert await world.ticks(ingest, 3) == [True, False, True]
    await hold(world, target.series)
    assert await causes(world, target.series) == {AWAY: 1}


@pytest.mark.parametrize("target", TARGETS)
async def test_an_upstream_that_is_away_for_long_is_one_gap(tmp_path, target):
    target = TARGETS[target]
    world = world_of(tmp_path, target, on(target, kind="error", status=503, count=4 * ATTEMPTS))
    assert await world.run(target.series, 6) == [True, False, False, False, False, True]
    await hold(world, target.series)
    assert await causes(world, target.series) == {AWAY: 4}


@pytest.mark.parametrize("target", TARGETS)
async def test_frozen_values_are_marked_as_unchanged(tmp_path, target):
    target = TARGETS[target]
    world = world_of(tmp_path, target, on(target, kind="frozen", first=1, count=3 * PAGES))
    async with world.opened(target.series) as ingest:
        snapshots = []
        for _ in range(4):
            snapshots.append(await ingest.tick(world.clock.now))
            world.clock.now += MINUTE
    assert [snapshot and snapshot.marker.unchanged for snapshot in snapshots] == [False, True, True, False]
    await hold(world, target.series)


async def test_a_failing_first_rank_source_is_replaced_and_used_again_once_it_stays_good(tmp_path):
    fault = Fault(path=TOP_LIST, kind="error", preset="coindesk-500", first=PAGES + 1, count=2 * ATTEMPTS)
    world = World(tmp_path, faults=[fault], sources=(COINDESK, CMC_RANK))
    async with world.opened("volume_rank") as ingest:
        used = []
        for _ in range(14):
            snapshot = await ingest.tick(world.clock.now)
            used.append(snapshot.marker.source if snapshot else None)
            world.clock.now += MINUTE
    assert used == ["coindesk", *["coinmarketcap"] * 12, "coindesk"]  # it must stay good for ten minutes
    await hold(world, "volume_rank")
    assert await causes(world, "volume_rank") == {}
