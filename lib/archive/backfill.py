"""`topcoins backfill`: the gaps, what can be bought to fill them, its price, and the buying.

A vendor sells one list per past UTC day, taken at its end. So backfill restores the last snapshot of each day within a
gap, stamped with the list's own time. The other minutes are lost and stay gaps.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import structlog

from lib.archive.manifest import start_of
from lib.clock import DAY, MINUTE, Clock, isoformat
from lib.errors import DayTooOld, Malformed, SnapshotRefused
from lib.gaps import Gap, find_gaps
from lib.ingest.delivery import Delivery, ViaSpool
from lib.ingest.gate import admit
from lib.ingest.plausible import differences, faults
from lib.ingest.spool import Spool
from lib.snapshot import Marker, Snapshot
from lib.source import Reading, Source
from lib.source.shared_answers import FOLDER as SHARED_FOLDER
from lib.source.shared_answers import SharedAnswers
from lib.store import Store

log = structlog.get_logger()

LAST_MINUTE = time(23, 59, tzinfo=UTC)
READY_AFTER = timedelta(minutes=30)
"""A day's list is for sale so long after the day's end."""
FOLDER = "backfill"
"""The spool folder for bought snapshots, apart from the ingestors' spools."""
WITHIN = timedelta(minutes=2)
"""The time limit of one call."""


@dataclass(frozen=True, slots=True)
class Call:
    """One list for sale: its source, its day, its price in credits. 0 where another series buys the same list."""

    source: Source
    day: date
    credits: int


@dataclass(frozen=True, slots=True)
class TooOld:
    """The plan does not reach back to the day of a call, nor to older days. Nothing was spent."""

    call: Call
    why: str


@dataclass(frozen=True, slots=True)
class Bought:
    """The result of a call. `snapshot` is None when the tick already had one."""

    call: Call
    tick: datetime
    snapshot: Snapshot | None
    credits: float


def calls(
    source: Source,
    gaps: Sequence[Gap],
    bought: Collection[date],
    assets: int,
    *,
    now: datetime,
    paid: Collection[date] = (),
) -> list[Call]:
    """The calls that could fill a gap, newest first: one for each day that ends in a gap and is not bought yet.

    The lists of the days in `paid` are bought for another series.
    """
    assert source.daily, f"{source.name} sells no past days"
    price = -(-assets // source.daily.assets_per_credit)
    days = {day for gap in gaps for day in _ends_within(gap) if now >= start_of(day) + DAY + READY_AFTER}
    return [Call(source, day, 0 if day in paid else price) for day in sorted(days - {*bought}, reverse=True)]


async def buy(
    wanted: Sequence[Call], *, store: Store, delivery: Delivery, assets: int
) -> AsyncIterator[Bought | TooOld]:
    """Make the calls, which come newest first, and store their snapshots, marked as backfilled.

    The gate judges them as any other. A day that is too old ends the buying, and so does the first error of source,
    gate or spool: a vendor's bad lists are paid for once. What is bought stays.
    """
    for call in wanted:
        stored = await store.nearest(call.source.series.name, datetime.combine(call.day, time.max, UTC))
        try:
            reading = await call.source.read(assets, WITHIN, day=call.day, tick=datetime.combine(call.day, LAST_MINUTE))
        except DayTooOld as exc:
            yield TooOld(call, str(exc))
            return
        try:
            tick = listed_at(reading, call.day)
            is_stored = stored is not None and stored.tick == tick
            snapshot = None if is_stored else await asyncio.to_thread(_admitted, reading, tick, stored, assets)
        except Malformed as exc:
            raise SnapshotRefused(
                f"{exc}; it cost {reading.credits:g} credits, and no further list was bought"
            ) from exc
        if snapshot:  # on disk before anything else is asked: it was paid for
            await delivery.accept(snapshot)
            await delivery.flush()
        yield Bought(call, tick, snapshot, reading.credits)


def _admitted(reading: Reading, tick: datetime, stored: Marker | None, assets: int) -> Snapshot:
    """A bought list's snapshot; SnapshotRefused when it has a fault or is too short beside the last one stored."""
    before = Snapshot(reading.series, stored, reading.series.empty()) if stored else None
    snapshot, _ = admit(reading, tick, DAY, before=before, backfilled=True)
    if reasons := [*faults(snapshot, before), *differences(snapshot, before, asked=assets)]:
        raise SnapshotRefused(f"{reading.source}: {'; '.join(reasons)}")
    return snapshot


def listed_at(reading: Reading, day: date) -> datetime:
    """The instant of a day's list: the time of its newest value; the day's last minute if that is on another day."""
    newest = reading.newest_update
    if newest and newest.date() == day:
        return newest.replace(microsecond=0)
    log.warning(
        "the values of a bought list have other times than its day",
        source=reading.source,
        series=reading.series.name,
        day=str(day),
        newest=isoformat(newest) if newest else None,
    )
    return datetime.combine(day, LAST_MINUTE)


def _ends_within(gap: Gap) -> Iterator[date]:
    """The UTC days whose last minute is in the gap."""
    pace = (gap.last - gap.first) / (gap.ticks - 1) if gap.ticks > 1 else MINUTE
    day = gap.first.date()
    while (end := datetime.combine(day, LAST_MINUTE)) < gap.last + pace:
        if gap.first <= end:
            yield day
        day += DAY


@dataclass(frozen=True, slots=True)
class Offer:
    """The gaps of one series, and the calls that could fill some of them."""

    source: Source
    gaps: Sequence[Gap]
    calls: Sequence[Call]

    @property
    def credits(self) -> int:
        """The price of all its calls."""
        return sum(call.credits for call in self.calls)

    @property
    def lost(self) -> int:
        """Missing ticks that no vendor sells."""
        return sum(gap.ticks for gap in self.gaps) - len(self.calls)


async def offers(
    sources: Sequence[Source], store: Store, start: datetime, *, now: datetime, spools: Path, assets: int
) -> list[Offer]:
    """The offer for each source's series since `start`. Asks only the store, so it costs nothing.

    A list that serves two series is paid for once: the first of them pays.
    """
    each: list[Offer] = []
    for source in sources:
        name = source.series.name
        gaps = (await find_gaps(store, name, start, now, now=now, folder=spools / name)).gaps
        markers = await store.markers(start, now, series=name)
        bought = {marker.tick.date() for marker in markers if marker.source == source.name}
        same = [offer for offer in each if offer.source.list_address == source.list_address]
        paid = {call.day for offer in same for call in offer.calls}
        each.append(Offer(source, gaps, calls(source, gaps, bought, assets, now=now, paid=paid)))
    return each


def shared_answers(spools: Path, clock: Clock) -> SharedAnswers:
    """Bought lists, for the other series and for a second run after a crash: it asks again after an error."""
    return SharedAnswers(spools / FOLDER / SHARED_FOLDER, clock=clock, shares_errors=False)


def forget_answers(spools: Path) -> None:
    """Delete the bought lists, whose snapshots are stored or wait in the spools."""
    shutil.rmtree(spools / FOLDER / SHARED_FOLDER, ignore_errors=True)


async def fill(offer: Offer, store: Store, *, spools: Path, limit: int, assets: int) -> AsyncIterator[Bought | TooOld]:
    """Buy an offer through its own spool. What the store does not accept now, the next run delivers."""
    spool = Spool(spools / FOLDER / offer.source.series.name, limit=limit)
    spool.open()
    try:
        delivery = ViaSpool(spool, store)
        await delivery.flush()
        async for bought in buy(offer.calls, store=store, delivery=delivery, assets=assets):
            yield bought
    except SnapshotRefused:  # else the next run would read the same list, and be refused again
        forget_answers(spools)
        raise
    finally:
        spool.close()
