"""New snapshots as they come: one poller of the store tells all listeners, and asks only while there are any."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import structlog

from lib.clock import Clock, from_epoch
from lib.errors import TopcoinsError
from lib.schema import NAME
from lib.snapshot import Marker, next_tick
from lib.store import Store

MOST = 100
"""How many may listen at the same time."""
REPLAY = timedelta(hours=6)
"""How far back a listener that was cut off can go on without a gap."""
BACKLOG = 64
LOOK = timedelta(seconds=1)
SELDOM = timedelta(seconds=30)
SECOND = timedelta(seconds=1)
POSITION = rf"{NAME.pattern}:[0-9]{{1,11}}(?:,{NAME.pattern}:[0-9]{{1,11}})*"

Position = Mapping[str, datetime]
"""The newest tick told of each series. As text it is the id of an event."""
Sleep = Callable[[float], Awaitable[None]]

log = structlog.get_logger()


class TooManyListeners(TopcoinsError):
    """As many listen as may, or the service is ending."""


def position_text(position: Position) -> str:
    """`price:1794926220,volume_rank:1794926220`."""
    return ",".join(f"{name}:{int(tick.timestamp())}" for name, tick in sorted(position.items()))


def parse_position(text: str) -> Position:
    """What `position_text` wrote; ValueError for any other text."""
    if not re.fullmatch(POSITION, text):
        raise ValueError("is no id of an event")
    pairs = (part.split(":") for part in text.split(","))
    return {name: from_epoch(int(seconds)) for name, seconds in pairs}


class Listener:
    """What one listener is told: each snapshot once, those of a series in the order of their ticks."""

    def __init__(self) -> None:
        self._position: dict[str, datetime] = {}
        self._replay: list[Marker] = []
        self._news: asyncio.Queue[Marker | None] = asyncio.Queue(BACKLOG)
        self.missed: tuple[datetime, datetime] | None = None
        """From where to where it can't be told what it asked to go on with."""

    @property
    def id(self) -> str:
        """What it was told last, as the id to go on from."""
        return position_text(self._position)

    def begin(self, position: Position, replay: Sequence[Marker], missed: tuple[datetime, datetime] | None) -> None:
        """Go on from a position, with what the store has since."""
        self._position, self._replay, self.missed = dict(position), list(replay), missed

    def tell(self, marker: Marker) -> None:
        """Hand over a snapshot. Who does not take them is let go: it comes back with its id and misses nothing."""
        if self._news.full():
            self.end()
        else:
            self._news.put_nowait(marker)

    def end(self) -> None:
        """Let it go, at once."""
        self._replay.clear()
        while not self._news.empty():
            self._news.get_nowait()
        self._news.put_nowait(None)

    async def snapshots(self) -> AsyncIterator[Marker]:
        """The markers, until it is let go; `id` is that of the newest."""
        while marker := self._replay.pop(0) if self._replay else await self._news.get():
            told = self._position.get(marker.series)
            if told is None or marker.tick > told:
                self._position[marker.series] = marker.tick
                yield marker


class SnapshotStream:
    """Tells every listener of each new snapshot. One that comes later than a newer one of its series is no news."""

    def __init__(
        self, store: Store, series: Sequence[str], clock: Clock, *, sleep: Sleep = asyncio.sleep, most: int = MOST
    ) -> None:
        self._store = store
        self._series = tuple(series)
        self._clock = clock
        self._sleep = sleep
        self._most = most
        self._listeners: set[Listener] = set()
        self._entering = asyncio.Lock()
        self._poller: asyncio.Task[None] | None = None
        self._ending = False

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    @asynccontextmanager
    async def listening(self, since: Position | None = None) -> AsyncIterator[Listener]:
        """Listen from now on, or from a position; TooManyListeners when too many do."""
        if self._ending or len(self._listeners) >= self._most:
            raise TooManyListeners(f"{len(self._listeners)} listen already, and no more may; try again later")
        listener = Listener()
        self._listeners.add(listener)  # before anything is read, so that nothing can come between
        try:
            async with self._entering:
                await self._enter(listener, since or {})
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self._poller:
                self._poller.cancel()
                self._poller = None

    def end(self) -> None:
        """Let all listeners go, and take no more."""
        self._ending = True
        for listener in self._listeners:
            listener.end()

    async def _enter(self, listener: Listener, since: Position) -> None:
        now = self._clock()
        found = await asyncio.gather(*(self._store.nearest(name, now) for name in self._series))
        newest = {marker.series: marker for marker in found if marker}
        if self._poller is None:
            self._poller = asyncio.create_task(self._watch(newest))
        asked = {name: tick for name, tick in since.items() if name in self._series}
        oldest = now - REPLAY
        late = min(asked.values(), default=now)
        held = {name: max(tick, oldest) for name, tick in asked.items()}
        replay = [marker for name, tick in held.items() for marker in await self._after(name, tick, now)]
        position = {name: marker.tick for name, marker in newest.items()} | held
        missed = (late, oldest) if late < oldest else None
        listener.begin(position, sorted(replay, key=lambda m: (m.tick, m.series)), missed)

    async def _after(self, series: str, tick: datetime, now: datetime) -> list[Marker]:
        return await self._store.markers(tick + SECOND, now, series=series)

    async def _watch(self, newest: dict[str, Marker]) -> None:
        try:
            await self._poll(newest)
        except Exception:
            log.exception("the feed failed: all listeners are let go")
            self._poller = None
            for listener in self._listeners:
                listener.end()

    async def _poll(self, newest: dict[str, Marker]) -> None:
        """Ask for what is new, for ever. A store that is away is logged when it goes and when it is back."""
        away = False
        began = self._clock()
        while True:
            await self._sleep(self._until_next(newest).total_seconds())
            now = self._clock()
            ticks = {name: newest[name].tick if name in newest else began - REPLAY for name in self._series}
            try:
                found = await asyncio.gather(*(self._after(name, tick, now) for name, tick in ticks.items()))
            except TopcoinsError as exc:
                if not away:
                    log.error("store away: the feed waits", why=str(exc), kind=type(exc).__name__)
                away = True
                continue
            if away:
                log.warning("store back: the feed goes on")
            away = False
            for marker in sorted((m for markers in found for m in markers), key=lambda m: (m.tick, m.series)):
                newest[marker.series] = marker
                for listener in self._listeners:
                    listener.tell(marker)

    def _until_next(self, newest: Mapping[str, Marker]) -> timedelta:
        """Until the next tick is due; then often, and the more seldom the longer it does not come."""
        now = self._clock()
        due = min((next_tick(marker) for marker in newest.values()), default=now + SELDOM)
        return min(due - now if due > now else max((now - due) / 4, LOOK), SELDOM)
