"""The stream of new snapshots: nothing twice, nothing left out, nothing left behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from lib.errors import StoreUnavailable
from lib.snapshot import Marker
from query_api.features.stream.listener import BACKLOG, Listener, parse_position, position_text
from query_api.features.stream.work import LONGEST_WAIT, REPLAY, SHORTEST_WAIT, SnapshotStream
from query_api.http.problems import TooManyListeners
from tests.fakes import FakeClock
from tests.unit.query_api.market import (
    FIRST,
    MINUTE,
    NEWEST,
    NOW,
    SECOND,
    CountingStore,
    Prices,
    Ranks,
    calling,
    snapshot,
    stocked,
)

SERIES = ["price", "volume_rank"]


class Naps:
    """A sleep that lasts until the test ends it, and keeps how long each was to be."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._asleep, self._over = asyncio.Event(), asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        self._over.clear()
        self._asleep.set()
        try:
            await self._over.wait()
        finally:
            self._asleep.clear()

    async def begun(self) -> None:
        """Until it sleeps."""
        await self._asleep.wait()

    async def end(self) -> None:
        """Let the sleeper go, until it sleeps again."""
        await self._asleep.wait()
        self._asleep.clear()
        self._over.set()
        await self._asleep.wait()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def store(clock: FakeClock) -> CountingStore:
    return stocked(clock)


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
def stream(store: CountingStore, clock: FakeClock, naps: Naps) -> SnapshotStream:
    return SnapshotStream(store, SERIES, clock, sleep=naps, timer=lambda: clock().timestamp(), most=3)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as entered:
        yield entered


async def come(store: CountingStore, *minutes: int) -> list[tuple[str, datetime]]:
    """Both series' snapshots of some minutes after the newest, the rank first; what a listener should get."""
    sent: list[tuple[str, datetime]] = []
    for tick in (NEWEST + minute * MINUTE for minute in minutes):
        await store.write(snapshot(Ranks(tick, [(1, 9e10)])))
        await store.write(snapshot(Prices(tick, [(1, "BTC", "Bitcoin", 92000.0, 9e10)])))
        sent += [("price", tick), ("volume_rank", tick)]
    return sent


async def heard(listener: Listener, count: int) -> list[tuple[str, datetime]]:
    """The next snapshots it gets."""
    snapshots = listener.snapshots()
    return [_short(await asyncio.wait_for(anext(snapshots), 5)) for _ in range(count)]


def _short(marker: Marker) -> tuple[str, datetime]:
    return marker.series, marker.tick


async def hears_nothing(listener: Listener) -> bool:
    """Whether no snapshot waits for it: the loop turns often enough for one to come."""
    task = asyncio.ensure_future(anext(listener.snapshots()))
    for _ in range(10):
        await asyncio.sleep(0)
    silent = not task.done()
    task.cancel()
    return silent


async def test_every_listener_gets_each_new_snapshot_and_one_task_reads_for_all(stream, store, clock, naps, stack):
    listeners = [await stack.enter_async_context(stream.listening()) for _ in range(3)]
    clock.move(minutes=2)
    due = await come(store, 1, 2)
    before = store.asked
    await naps.end()
    assert store.asked - before == len(SERIES)
    for listener in listeners:
        assert await heard(listener, 4) == due
        assert listener.id == position_text(dict.fromkeys(SERIES, NEWEST + 2 * MINUTE))
        assert await hears_nothing(listener)


async def test_a_listener_that_reconnects_gets_the_missed_snapshots_and_then_new_ones(
    stream, store, clock, naps, stack
):
    async with stream.listening() as before:
        clock.move(minutes=1)
        first = await come(store, 1)
        await naps.end()
        assert await heard(before, 1) == first[:1]  # cut between the two of a minute
    clock.move(minutes=3)
    missed = await come(store, 2, 3)
    again = await stack.enter_async_context(stream.listening(parse_position(before.id)))
    clock.move(minutes=1)
    last = await come(store, 4)
    await naps.end()
    assert await heard(again, 7) == [*first[1:], *missed, *last]
    assert again.missed is None


async def test_a_snapshot_stored_while_a_listener_connects_is_sent_once(store, clock, naps, stack):
    """It is sent to all listeners before the replay is read, so it is in both."""

    class Slow(CountingStore):
        """Reads the replay only after a snapshot was stored and sent."""

        late: tuple[tuple[str, datetime], ...] = ()

        async def markers(self, *args: Any, **options: Any) -> list[Marker]:
            if args[0] <= NEWEST and not self.late:
                self.late = tuple(await come(self, 1))
                await naps.end()
            return await super().markers(*args, **options)

    slow = Slow(clock)
    slow.snapshots = dict(store.snapshots)
    stream = SnapshotStream(slow, SERIES, clock, sleep=naps, timer=lambda: clock().timestamp())
    first = await stack.enter_async_context(stream.listening())
    clock.move(minutes=1)
    second = await stack.enter_async_context(stream.listening({"price": NEWEST, "volume_rank": NEWEST}))
    for listener in (first, second):
        assert tuple(await heard(listener, 2)) == slow.late
        assert await hears_nothing(listener)


async def test_an_id_that_is_too_old_gets_the_span_that_is_missed_and_the_rest(stream, store, clock, stack):
    clock.move(hours=6)
    due = await come(store, 1)
    listener = await stack.enter_async_context(stream.listening({"price": NEWEST - 20 * MINUTE, "gone": NEWEST}))
    assert listener.missed == (NEWEST - 20 * MINUTE, clock() - REPLAY) == (NEWEST - 20 * MINUTE, NOW)
    assert await heard(listener, 1) == due[:1]


async def test_a_snapshot_older_than_the_newest_is_not_sent(stream, store, clock, naps, stack):
    listener = await stack.enter_async_context(stream.listening())
    await come(store, -20)
    clock.move(minutes=1)
    due = await come(store, 1)
    await naps.end()
    assert await heard(listener, 2) == due
    assert await hears_nothing(listener)


async def test_the_store_is_read_when_a_tick_is_due_and_ever_more_seldom_when_it_is_late(stream, clock, naps, stack):
    await stack.enter_async_context(stream.listening())
    for seconds in (0, 29.75, 1, 40, 400):
        clock.move(seconds=seconds)
        await naps.end()
    due = (NEWEST + MINUTE - NOW).total_seconds()
    assert naps.asked == [
        due,
        due,
        SHORTEST_WAIT.total_seconds(),
        SHORTEST_WAIT.total_seconds(),
        10.25,
        LONGEST_WAIT.total_seconds(),
    ]


async def test_a_series_that_stopped_does_not_delay_the_others(store, clock, naps, stack):
    """SV-13."""
    await stack.enter_async_context(
        SnapshotStream(store, SERIES, clock, sleep=naps, timer=lambda: clock().timestamp()).listening()
    )
    clock.move(minutes=30)
    tick = NEWEST + 30 * MINUTE
    await store.write(snapshot(Prices(tick, [(1, "BTC", "Bitcoin", 92000.0, 9e10)])))
    await naps.end()
    assert naps.asked[-1] == (tick + MINUTE - clock()).total_seconds() == 29.75


@pytest.mark.parametrize("jump", [-3600, 90, 3600, 40 * 86400])
async def test_a_clock_that_is_set_does_not_stop_the_stream(store, clock, naps, stack, jump):
    """The timer runs on; the next ticks are stamped by the new time."""
    seconds = 0.0
    listening = SnapshotStream(store, SERIES, clock, sleep=naps, timer=lambda: seconds).listening()
    listener = await stack.enter_async_context(listening)
    await naps.begun()
    clock.move(seconds=jump)
    for _ in range(3):
        clock.move(minutes=1)
        seconds += 60
        tick = clock().replace(second=0, microsecond=0)
        await store.write(snapshot(Prices(tick, [(1, "BTC", "Bitcoin", 92000.0, 9e10)])))
        await naps.end()
        assert naps.asked[-1] <= LONGEST_WAIT.total_seconds()
        assert await heard(listener, 1) == [("price", tick)]


async def test_listeners_that_come_back_share_one_replay_without_the_ids_of_its_members(store, clock, naps, stack):
    """SV-10."""
    stream = SnapshotStream(store, SERIES, clock, sleep=naps, timer=lambda: clock().timestamp())
    await stack.enter_async_context(stream.listening({"price": NEWEST}))
    before = store.asked
    position = {"price": FIRST, "volume_rank": FIRST}
    back = [await stack.enter_async_context(stream.listening(position)) for _ in range(20)]
    assert store.asked - before == 20 * len(SERIES)  # the newest of each series; the replay was read once
    first, second = [[marker async for marker in _taken(listener, 30)] for listener in back[:2]]
    assert [_short(marker) for marker in first] == [
        _short(marker) for marker in stream.replayed if marker.tick > FIRST
    ][:30]
    assert all(one is other and not one.ids for one, other in zip(first, second, strict=True))


async def _taken(listener: Listener, count: int) -> AsyncIterator[Marker]:
    snapshots = listener.snapshots()
    for _ in range(count):
        yield await asyncio.wait_for(anext(snapshots), 5)


async def test_the_replay_is_bounded_and_forgotten_with_the_last_listener(store, clock, naps):
    stream = SnapshotStream(store, SERIES, clock, sleep=naps, timer=lambda: clock().timestamp())
    async with stream.listening({"price": FIRST}):
        clock.move(hours=6)
        due = await come(store, 360)
        await naps.end()
        assert [_short(marker) for marker in stream.replayed] == due
    assert stream.replayed == []


async def test_the_first_snapshot_of_all_is_sent(clock, naps, stack):
    empty = CountingStore(clock)
    listener = await stack.enter_async_context(
        SnapshotStream(empty, SERIES, clock, sleep=naps, timer=lambda: clock().timestamp()).listening()
    )
    due = await come(empty, 0)
    await naps.end()
    assert listener.id == ""
    assert await heard(listener, 2) == due


async def test_without_listeners_the_store_is_not_read(stream, store, naps):
    async with stream.listening():
        await naps.end()
        (poller,) = asyncio.all_tasks() - {asyncio.current_task()}
    assert not stream.listeners
    await asyncio.wait([poller], timeout=5)
    assert poller.cancelled()


async def test_a_store_that_is_away_is_waited_for(stream, store, clock, naps, stack):
    listener = await stack.enter_async_context(stream.listening())
    clock.move(minutes=1)
    due = await come(store, 1)
    store.failure = StoreUnavailable("away")
    await naps.end()
    await naps.end()
    store.failure = None
    await naps.end()
    assert await heard(listener, 2) == due


async def test_while_the_store_is_away_nobody_can_listen_and_no_task_is_left(stream, store):
    store.failure = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        await stream.listening().__aenter__()
    assert not stream.listeners


async def test_a_listener_over_the_limit_is_refused_until_another_disconnects(stream, stack):
    for _ in range(2):
        await stack.enter_async_context(stream.listening())
    async with stream.listening():
        with pytest.raises(TooManyListeners, match="3 listen already"):
            await stream.listening().__aenter__()
    await stack.enter_async_context(stream.listening())


async def test_one_client_takes_at_most_its_part_of_the_streams(store, clock, naps, stack):
    stream = SnapshotStream(store, SERIES, clock, sleep=naps, most=5, per_client=2)
    for _ in range(2):
        await stack.enter_async_context(stream.listening(client="alice"))
    with pytest.raises(TooManyListeners, match="alice has 2 streams"):
        await stream.listening(client="alice").__aenter__()
    async with stream.listening(client="bob"):
        pass
    await stack.enter_async_context(stream.listening(client="bob"))


async def test_a_client_with_all_its_streams_gets_503_and_another_one_listens(store, clock, naps, stack):
    stream = SnapshotStream(store, SERIES, clock, sleep=naps, timer=lambda: clock().timestamp(), per_client=1)
    await stack.enter_async_context(stream.listening(client="127.0.0.1"))
    async with calling(store, clock, snapshot_stream=stream) as client:
        refused = await client.get("/v1/stream")
    assert (refused.status_code, "retry-after" in refused.headers) == (503, True)


async def test_a_listener_that_reads_nothing_is_closed_and_the_others_go_on(stream, store, clock, naps, stack):
    slow, quick = [await stack.enter_async_context(stream.listening()) for _ in range(2)]
    for minute in range(1, BACKLOG // 2 + 2):
        clock.move(minutes=1)
        due = await come(store, minute)
        await naps.end()
        assert await heard(quick, 2) == due
    assert [marker async for marker in slow.snapshots()] == []
    assert slow.id == position_text(dict.fromkeys(SERIES, NEWEST))


@pytest.mark.parametrize("text", ["", "price", "price:", "price:1,", "price:-1", "Price:1", "price:1 ", "price:x"])
def test_what_is_no_id_is_refused(text):
    with pytest.raises(ValueError, match="no id"):
        parse_position(text)


# Over HTTP.


async def streamed(
    store: CountingStore, clock: FakeClock, stream: SnapshotStream, naps: Naps, query: str = "", **headers: str
) -> list[str]:
    """What a listener gets that enters shortly before the service ends."""
    async with calling(store, clock, snapshot_stream=stream) as client:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        asking = asyncio.create_task(client.get(f"/v1/stream{query}", headers=named))
        await naps.begun()
        stream.end()
        answer = await asking
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    assert not stream.listeners
    return answer.text.split("\n\n")


async def test_a_stream_begins_with_the_id_to_come_back_with_and_ends_when_the_service_does(store, clock, naps):
    stream = SnapshotStream(store, SERIES, clock, sleep=naps, timer=lambda: clock().timestamp())
    first, *rest = await streamed(store, clock, stream, naps)
    assert f"id: {position_text(dict.fromkeys(SERIES, NEWEST))}" in first.splitlines()
    assert rest == [""]
    with pytest.raises(TooManyListeners):
        await stream.listening().__aenter__()


@pytest.mark.parametrize("by_header", [True, False])
async def test_a_listener_that_reconnects_gets_each_event_with_its_id(store, clock, naps, by_header):
    stream = Patient(store, SERIES, clock, sleep=naps, timer=lambda: clock().timestamp())
    id_ = position_text(dict.fromkeys(SERIES, NEWEST - MINUTE))
    asked = {"last_event_id": id_} if by_header else {}
    _, *events, end = await streamed(store, clock, stream, naps, "" if by_header else f"?last_event_id={id_}", **asked)
    assert end == ""
    names = [event.splitlines()[0] for event in events]
    assert names == ["event: snapshot"] * 2
    assert '"series":"price","tick":"2026-11-17T14:37:00Z","source":"coinmarketcap","hash":"' in events[0]
    assert events[1].endswith(f"\nid: {position_text(dict.fromkeys(SERIES, NEWEST))}")


class Patient(SnapshotStream):
    """Ends only after the replay has been read."""

    def end(self) -> None:
        for listener in self.listeners:
            listener.send(None)  # type: ignore[arg-type]


async def test_a_listener_too_many_gets_503_and_when_to_come_back(store, clock, naps):
    async with calling(
        store,
        clock,
        snapshot_stream=SnapshotStream(store, SERIES, clock, sleep=naps, timer=lambda: clock().timestamp(), most=0),
    ) as client:
        answer = await client.get("/v1/stream")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["title"] == "Too many listeners"


@pytest.mark.parametrize(("id_", "why"), [("price", "is no id of an event"), ("price:99999999999", "in the future")])
async def test_a_wrong_id_is_named_with_a_valid_one(store, clock, naps, id_, why):
    async with calling(
        store,
        clock,
        snapshot_stream=SnapshotStream(store, SERIES, clock, sleep=naps, timer=lambda: clock().timestamp()),
    ) as client:
        answer: httpx.Response = await client.get("/v1/stream", params={"last_event_id": id_})
    body = answer.json()
    assert (answer.status_code, body["parameter"], body["value"]) == (422, "last_event_id", id_)
    assert why in body["detail"]
    assert parse_position(body["example"])


async def test_an_old_id_is_answered_with_an_event_missed(store, clock, naps):
    clock.move(hours=7)
    stream = SnapshotStream(store, SERIES, clock, sleep=naps, timer=lambda: clock().timestamp())
    id_ = position_text(dict.fromkeys(SERIES, NEWEST - SECOND))
    events = await streamed(store, clock, stream, naps, f"?last_event_id={id_}")
    assert events[1].startswith('event: missed\ndata: {"after":"2026-11-17T14:36:59Z"')
    assert timedelta(hours=6) == REPLAY
    assert "only the last 6h are sent again" in events[1]
