"""New snapshots as they come: one task reads the store for all listeners, and only while there are any."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from lib.clock import SECOND, Clock
from lib.errors import TopcoinsError
from lib.instants import CLOCK_DIFFERENCE
from lib.snapshot import Marker, next_tick
from lib.store import Store
from query_api.features.stream.listener import Listener, Position
from query_api.http.problems import TooManyListeners

MAX_LISTENERS = 400
PER_CLIENT = 100
REPLAY = timedelta(hours=6)
"""A listener that was cut off less than this ago can go on without a gap."""
SHORTEST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(seconds=30)
Sleep = Callable[[float], Awaitable[None]]
Timer = Callable[[], float]
"""Seconds that nobody sets forward or back."""

log = structlog.get_logger()


@dataclass(slots=True)
class SnapshotStream:
    """Sends each new snapshot to every listener. One older than the newest of its series is not sent."""

    store: Store
    series: Sequence[str]
    clock: Clock
    timer: Timer = time.monotonic
    sleep: Sleep = asyncio.sleep
    most: int = MAX_LISTENERS
    per_client: int = PER_CLIENT
    listeners: dict[Listener, str] = field(default_factory=dict)
    _entering: asyncio.Lock = field(default_factory=asyncio.Lock)
    _poller: asyncio.Task[None] | None = None
    _recent: dict[tuple[datetime, str], Marker] | None = None
    _ending: bool = False

    @property
    def replayed(self) -> Sequence[Marker]:
        """The markers in memory that all listeners that come back share, oldest first, without their ids."""
        return [marker for _, marker in sorted((self._recent or {}).items())]

    @asynccontextmanager
    async def listening(self, since: Position | None = None, client: str = "") -> AsyncIterator[Listener]:
        """Listen from now on, or from a position; TooManyListeners at the limit of all, or of the client."""
        if list(self.listeners.values()).count(client) >= self.per_client:
            raise TooManyListeners(f"{client} has {self.per_client} streams, the most of one client; close one first")
        if self._ending or len(self.listeners) >= self.most:
            raise TooManyListeners(f"{len(self.listeners)} listen already, the most at a time; try again later")
        listener = Listener()
        self.listeners[listener] = client  # before anything is read, so that no snapshot falls between
        try:
            async with self._entering:
                await self._enter(listener, since or {})
            yield listener
        finally:
            self.listeners.pop(listener, None)
            if not self.listeners:
                self._stop()

    def end(self) -> None:
        """Close all listeners and accept no more."""
        self._ending = True
        for listener in self.listeners:
            listener.close()

    def _stop(self) -> None:
        if self._poller:
            self._poller.cancel()
        self._poller = self._recent = None

    async def _enter(self, listener: Listener, since: Position) -> None:
        now = self.clock()
        newest = await self._newest(now)
        if self._poller is None:
            self._poller = asyncio.create_task(self._run(newest))
        since = {name: tick for name, tick in since.items() if name in self.series}
        oldest = now - REPLAY
        start = {name: max(tick, oldest) for name, tick in since.items()}
        if start and self._recent is None:
            await self._load(oldest, now)
        replay = [marker for marker in self.replayed if start.get(marker.series, now) < marker.tick <= now]
        asked = min(since.values(), default=now)
        position = {name: marker.tick for name, marker in newest.items()} | start
        listener.start(position, replay, (asked, oldest) if asked < oldest else None)

    async def _load(self, oldest: datetime, now: datetime) -> None:
        """Read the replay once for all listeners. From here on `_poll` adds to it."""
        self._recent = {}
        try:
            reads = (self.store.markers(oldest, now, series=name) for name in self.series)
            for markers in await asyncio.gather(*reads):
                self._remember(markers)
        except BaseException:
            self._recent = None
            raise

    async def _newest(self, now: datetime) -> dict[str, Marker]:
        markers = await asyncio.gather(*(self.store.nearest(name, now) for name in self.series))
        return {marker.series: marker for marker in markers if marker}

    def _remember(self, markers: Iterable[Marker]) -> None:
        """Keep markers for the replay, without the ids of their members, which are most of their size."""
        if self._recent is not None:
            oldest = self.clock() - REPLAY
            for marker in markers:
                if marker.series in self.series and not marker.is_withdrawn():
                    self._recent[marker.tick, marker.series] = replace(marker, ids="")
            for key in [key for key in self._recent if key[0] < oldest]:
                del self._recent[key]

    async def _run(self, newest: dict[str, Marker]) -> None:
        try:
            await self._poll(newest)
        except Exception:
            log.exception("the stream failed: all listeners are closed")
            self._poller = None
            for listener in self.listeners:
                listener.close()

    async def _poll(self, newest: dict[str, Marker]) -> None:
        """Read what is new, for ever. An outage of the store is logged at its start and at its end."""
        away = False
        began = self.clock()
        due = {name: self._due(marker) for name, marker in newest.items()}
        while True:
            slept = self.timer()
            await self.sleep(self._until_next(due))
            try:
                await self._follow_clock(newest, due, timedelta(seconds=self.timer() - slept))
                markers = await self._new(newest, began)
            except TopcoinsError as exc:
                if not away:
                    log.error("store away: the stream waits", why=str(exc), kind=type(exc).__name__)
                away = True
                continue
            if away:
                log.warning("store back: the stream goes on")
            away = False
            self._remember(markers)
            for marker in markers:
                newest[marker.series], due[marker.series] = marker, self._due(marker)
                for listener in self.listeners:
                    listener.send(marker)

    async def _new(self, newest: Mapping[str, Marker], began: datetime) -> list[Marker]:
        now = self.clock()
        start = {name: newest[name].tick + SECOND if name in newest else began - REPLAY for name in self.series}
        reads = (self.store.markers(since, now, series=name) for name, since in start.items())
        new = [marker for markers in await asyncio.gather(*reads) for marker in markers if not marker.is_withdrawn()]
        return sorted(new, key=lambda marker: (marker.tick, marker.series))

    async def _follow_clock(self, newest: dict[str, Marker], due: dict[str, float], slept: timedelta) -> None:
        """Where the clock was set back, go on from the newest tick before it was: later ones would hide new ones."""
        now = self.clock()
        for name in [name for name, marker in newest.items() if marker.tick > now + CLOCK_DIFFERENCE]:
            log.warning("the clock was set back: the stream goes on from the time it shows", series=name)
            before = await self.store.nearest(name, now - slept - SECOND)
            newest.pop(name)
            due.pop(name, None)
            if before:
                newest[name], due[name] = before, self._due(before)
            for listener in self.listeners:
                listener.rewind(name, before.tick if before else now - REPLAY)

    def _due(self, marker: Marker) -> float:
        """When the tick after a marker's is due, by the timer: at most one interval from now."""
        remaining = min(next_tick(marker) - self.clock(), marker.interval)
        return self.timer() + remaining.total_seconds()

    def _until_next(self, due: Mapping[str, float]) -> float:
        """Seconds until the next tick of any series is due. A late one is looked for ever more seldom."""
        shortest, longest = SHORTEST_WAIT.total_seconds(), LONGEST_WAIT.total_seconds()
        late = (self.timer() - at for at in due.values())
        return min([longest, *(-seconds if seconds < 0 else max(seconds / 4, shortest) for seconds in late)])
