"""`topcoins backfill`: what the archive lacks, which of it can be bought, for how much, and the buying.

A provider sells one list of a past UTC day, from its end. So of a gap the last snapshot of each of its days can be had,
stamped with the list's own time; its other minutes are lost, and stay in the ledger.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from lib.clock import from_epoch
from lib.errors import Malformed, SnapshotRefused, SourceMalformed
from lib.gaps import Gap, find_gaps
from lib.ingest.delivery import Delivery, ViaSpool
from lib.ingest.gate import Gate
from lib.ingest.spool import Spool
from lib.snapshot import Snapshot
from lib.source import Reading, Source
from lib.store import Store

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
LAST_MINUTE = time(23, 59, tzinfo=UTC)
FOLDER = "backfill"
"""Of the spools of what was bought: an ingestor has its own series' to itself."""
WITHIN = timedelta(minutes=2)
"""A call's time."""


@dataclass(frozen=True, slots=True)
class Call:
    """One list that can be bought: whose, of which day, for how many credits."""

    source: Source
    day: date
    credits: int


@dataclass(frozen=True, slots=True)
class Bought:
    """What became of a call. Without a snapshot the tick had one already."""

    call: Call
    tick: datetime
    snapshot: Snapshot | None
    credits: float


def calls(source: Source, gaps: Sequence[Gap], bought: Collection[date], assets: int) -> list[Call]:
    """The calls that could fill something: for each day that ends in a gap and is not bought yet."""
    assert source.daily, f"{source.name} tells no past days"
    price = -(-assets // source.daily.assets_per_credit)
    days = {day for gap in gaps for day in _ends_within(gap)}
    return [Call(source, day, price) for day in sorted(days - {*bought})]


async def buy(wanted: Sequence[Call], *, store: Store, delivery: Delivery, assets: int) -> AsyncIterator[Bought]:
    """Make the calls, one after the other, and bring what they give to the store, marked as backfilled.

    Judged by the gate as any snapshot is. What the source, the gate or the spool raises ends it, so that a list that is
    no good is not paid for again and again; what is bought stays.
    """
    for call in wanted:
        reading = await call.source.read(assets, WITHIN, day=call.day)
        try:
            tick, snapshot = await _admitted(call, reading, store, assets)
        except Malformed as exc:
            raise SnapshotRefused(
                f"{exc}; it cost {reading.credits:g} credits all the same, and no further list was bought"
            ) from exc
        if snapshot:
            await delivery.accept(snapshot)
            await delivery.flush()
        yield Bought(call, tick, snapshot, reading.credits)


async def _admitted(call: Call, reading: Reading, store: Store, assets: int) -> tuple[datetime, Snapshot | None]:
    """A bought list's tick, and its snapshot where the tick has none."""
    series, tick = call.source.series, listed_at(reading, call.day)
    held = await store.nearest(series.name, tick)
    if held and held.tick == tick:
        return tick, None
    before = Snapshot(series, held, series.empty()) if held else None
    snapshot, _ = await asyncio.to_thread(Gate(DAY).admit, reading, tick, before=before, asked=assets, backfilled=True)
    return tick, snapshot


def listed_at(reading: Reading, day: date) -> datetime:
    """The instant a day's list is of, by the newest of its values; SourceMalformed when that is another day's."""
    newest = reading.rows["updated_at"].max() if "updated_at" in reading.rows.columns else None
    if not isinstance(newest, float):
        raise SourceMalformed(f"{reading.source}: the list of {day} does not tell which instant it is of")
    tick = from_epoch(newest // 1)
    if tick.date() != day:
        raise SourceMalformed(f"{reading.source}: the list of {day} is of {tick:%Y-%m-%dT%H:%M:%SZ}")
    return tick


def _ends_within(gap: Gap) -> Iterator[date]:
    """The UTC days whose last minute the gap holds."""
    pace = (gap.last - gap.first) / (gap.ticks - 1) if gap.ticks > 1 else MINUTE
    day = gap.first.date()
    while (end := datetime.combine(day, LAST_MINUTE)) < gap.last + pace:
        if gap.first <= end:
            yield day
        day += DAY


@dataclass(frozen=True, slots=True)
class Offer:
    """What one series lacks, and the calls that could fill some of it."""

    source: Source
    gaps: Sequence[Gap]
    calls: Sequence[Call]

    @property
    def credits(self) -> int:
        """What all its calls cost."""
        return sum(call.credits for call in self.calls)

    @property
    def lost(self) -> int:
        """Ticks that nobody sells."""
        return sum(gap.ticks for gap in self.gaps) - len(self.calls)


async def offers(
    sources: Sequence[Source], store: Store, start: datetime, *, now: datetime, spools: Path, assets: int
) -> list[Offer]:
    """What each source's series lacks since `start`. Asks the store alone: costs nothing."""
    found = []
    for source in sources:
        name = source.series.name
        gaps = (await find_gaps(store, name, start, now, now=now, folder=spools / name)).gaps
        markers = await store.markers(start, now, series=name)
        bought = {marker.tick.date() for marker in markers if marker.source == source.name}
        found.append(Offer(source, gaps, calls(source, gaps, bought, assets)))
    return found


async def fill(offer: Offer, store: Store, *, spools: Path, limit: int, assets: int) -> AsyncIterator[Bought]:
    """Buy an offer, through a spool of its own: what the store does not take now is delivered by the next run."""
    spool = Spool(spools / FOLDER / offer.source.series.name, limit=limit)
    spool.open()
    try:
        delivery = ViaSpool(spool, store)
        await delivery.flush()
        async for bought in buy(offer.calls, store=store, delivery=delivery, assets=assets):
            yield bought
    finally:
        spool.close()
