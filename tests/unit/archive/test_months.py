"""A closed month is sealed once more, by asset: its hours then come from a few files, with the answers of its days."""

import asyncio
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from lib.archive.light_markers import LIGHT, LightMarkers
from lib.archive.manifest import part_name, sealed_days, start_of
from lib.archive.months import month_part
from lib.archive.objects import TEMPORARY, Objects
from lib.archive.objects.folder import Folder
from lib.archive.reader import ArchiveReader
from lib.archive.seal_month import MonthSealer
from lib.archive.sealed_store import SealedStore
from lib.archive.tables import MARKERS
from lib.archive.verify import delete_month, verify_months
from lib.cli.archive import _verify_months
from lib.clock import DAY as A_DAY
from lib.clock import HOUR, MINUTE
from lib.errors import StoreUnavailable
from lib.schema import PRICE, VOLUME_RANK, Series
from lib.snapshot import first_of_hours
from lib.store import Steps, View
from tests.fakes import FakeClock, MemoryStore
from tests.unit.archive.world import BOTH, FullDisk, Interrupting, Killed, Sealed, reading, rot, sealer, ticks_of

JULY = date(2026, 7, 1)
DAYS = [date(2026, 7, day) for day in range(28, 32)]
"""All that the archive has of July."""
START, STOP = start_of(DAYS[0]), start_of(DAYS[-1]) + A_DAY - MINUTE
LATER = start_of(date(2026, 8, 3))
PARTS = [month_part(table, JULY) for table in ("price", "snapshot", "volume_rank")]


class Watched(Folder):
    """Notes which files are read, and which are read whole."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.scanned: list[str] = []
        self.copied: list[str] = []

    async def local(self, name, folder):
        self.copied.append(name)
        return await super().local(name, folder)

    def scan(self, names, columns):
        self.scanned += names
        return super().scan(names, columns)


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """The days of July, sealed: ticks every half an hour. One day begins late in its hours, one hour has none."""
    clock = FakeClock(LATER)
    whole = Sealed(MemoryStore(clock), tmp_path_factory.mktemp("sealed"))

    async def seal() -> None:
        for day in DAYS:
            shift = MINUTE if day == DAYS[1] else timedelta()
            for tick in ticks_of(day, HOUR / 2):
                if tick.hour in (0, 1, 2, 3, 4, 6, 12, 18):
                    for series in BOTH:
                        await whole.store.write(reading(series, tick + shift, assets=2 + tick.hour % 3))
        withdrawn = START + 3 * HOUR
        await whole.store.withdraw("price", withdrawn, withdrawn, why="of another day")
        for day in DAYS:
            await sealer(whole.store, Folder(whole.folder), clock).seal(day)

    asyncio.run(seal())
    return whole


@pytest.fixture
def hot(days, tmp_path):
    return days.copy(tmp_path, FakeClock(LATER))


class OfMonths(Interrupting):
    """Counts only the steps of a month's own files."""

    async def local(self, name, folder):
        return await (super().local if name.startswith("monthly/") else self._inner.local)(name, folder)


async def seal_july(objects: Objects, series: Sequence[Series] = BOTH, today: date = date(2026, 8, 3)) -> list[date]:
    return await MonthSealer(objects, series).catch_up(await sealed_days(objects), today)


def opened(folder: Path) -> tuple[SealedStore, Watched]:
    watched = Watched(folder)
    return SealedStore(ArchiveReader(watched, clock=FakeClock(LATER))), watched


async def assert_same(archive: SealedStore, hot: MemoryStore) -> None:
    """The archive answers every question about hours as the hot store does."""
    for series in BOTH:
        stored = first_of_hours(await hot.stored_ticks(series.name, START, STOP, known=True))
        assert await archive.stored_ticks(series.name, START, STOP, known=True, resolution="1h") == stored
        ticks = [tick.tick for tick in stored]
        for id_ in (7, 14, 28):
            assert (await archive.history(series, id_, ticks)).equals(await hot.history(series, id_, ticks))
        expected = await hot.ticks(series.name, START, STOP, resolution="1h")
        assert await archive.ticks(series.name, START, STOP, resolution="1h") == expected
    assert await archive.markers(START, STOP, resolution="1h") == await hot.markers(START, STOP, resolution="1h")


async def test_a_month_is_sealed_once_and_two_days_after_its_end(hot, tmp_path):
    objects = Folder(tmp_path)
    assert await seal_july(objects, today=date(2026, 8, 2)) == []
    assert await seal_july(objects) == [JULY]
    assert await objects.names("monthly") == sorted(["monthly/_manifest/month=2026-07.json", *PARTS])
    assert await seal_july(objects) == []


async def test_a_month_that_lacks_a_day_is_not_sealed(hot, tmp_path):
    (tmp_path / f"_manifest/date={DAYS[1]}/0000.json").unlink()
    (tmp_path / f"_manifest/date={DAYS[1]}").rmdir()
    assert await seal_july(Folder(tmp_path)) == []


async def test_every_question_about_hours_is_answered_from_the_month_alone(hot, tmp_path):
    await seal_july(Folder(tmp_path))
    archive, watched = opened(tmp_path)
    await assert_same(archive, hot)
    assert {*watched.scanned} == {*PARTS}


async def test_the_light_markers_of_a_month_are_read_once_for_both_series_and_every_question(hot, tmp_path):
    await seal_july(Folder(tmp_path))
    archive, watched = opened(tmp_path)
    ticks = [archive.stored_ticks(series.name, START, STOP, resolution="1h") for series in BOTH * 2]
    assert all(await asyncio.gather(*ticks))
    assert watched.scanned == [PARTS[1]]


async def test_light_markers_take_no_more_bytes_than_allowed(hot, tmp_path):
    reader = ArchiveReader(watched := Watched(tmp_path), clock=FakeClock(LATER))
    names = [part_name(MARKERS, day, 0) for day in DAYS]
    size = (await LightMarkers(reader).read(names[:1], pl.lit(True), LIGHT)).estimated_size()
    light = LightMarkers(reader, most_bytes=int(size * 2.5))
    watched.scanned.clear()
    for _ in range(2):
        frame = await light.read(names, pl.lit(True), ["tick"])
        assert frame["tick"].is_sorted()
        assert len(frame) == len({*frame["tick"]}) * 2
    assert watched.scanned[:4] == names
    assert 4 < len(watched.scanned) <= 8
    assert light.parts.currsize <= size * 2.5


async def test_a_day_with_a_later_snapshot_answers_from_its_own_parts(hot, tmp_path):
    await seal_july(Folder(tmp_path))
    for series in BOTH:
        await hot.write(reading(series, START + 5 * HOUR))
    await sealer(hot, Folder(tmp_path), FakeClock(LATER)).seal(DAYS[0])
    archive, watched = opened(tmp_path)
    await assert_same(archive, hot)
    assert {name.split("date=")[1][:10] for name in watched.scanned if "date=" in name} == {str(DAYS[0])}


async def test_a_withdrawal_after_the_month_was_sealed_counts(hot, tmp_path):
    await seal_july(Folder(tmp_path))
    await hot.withdraw("volume_rank", STOP - 4 * HOUR, STOP, why="wrong")
    await sealer(hot, Folder(tmp_path), FakeClock(LATER)).seal(DAYS[-1])
    archive, _ = opened(tmp_path)
    await assert_same(archive, hot)


async def test_an_hour_whose_first_snapshot_came_late_had_another_first_before(tmp_path):
    start, clock = start_of(DAYS[-1]), FakeClock(LATER)
    store, objects = MemoryStore(clock), Folder(tmp_path)
    for minute, known in ((0, 1), (60, 200), (90, 91), (120, 121)):
        made = reading(PRICE, start + minute * MINUTE, stored_at=start + known * MINUTE)
        store.snapshots["price", made.tick] = made
    await sealer(store, objects, clock).seal(DAYS[-1])
    assert await seal_july(objects) == [JULY]
    archive, watched = opened(tmp_path)
    for known_at in (None, start + 201 * MINUTE, start + 150 * MINUTE):
        assert {*watched.scanned} <= {PARTS[1]}  # the month alone, as long as all its hours were known
        view: View = {"resolution": "1h", "known_at": known_at}
        ticks = await archive.ticks("price", start, STOP, **view)
        assert ticks == await store.ticks("price", start, STOP, **view)
        assert [marker.tick for marker in await archive.markers(start, STOP, **view)] == ticks
    assert ticks[1] == start + 90 * MINUTE
    for begin in (start + 61 * MINUTE, start + 91 * MINUTE):  # a span that begins after the hour's late first
        ticks = await archive.ticks("price", begin, STOP, **view)
        assert ticks == await store.ticks("price", begin, STOP, **view)


@pytest.mark.parametrize("every", [HOUR, 6 * HOUR, A_DAY])
async def test_steps_on_full_hours_take_the_month_and_only_the_days_where_it_does_not_decide(every, hot, tmp_path):
    await seal_july(Folder(tmp_path))
    archive, watched = opened(tmp_path)
    steps = Steps(START, every)
    near = {tick.tick for tick in await archive.stored_ticks("price", START, STOP, near=steps)}
    wanted = {START + n * every for n in range((STOP - START) // every + 1)}
    stored = {*await hot.ticks("price", START, STOP)} | {START + 3 * HOUR}
    assert near & wanted == stored & wanted
    assert (month_part("snapshot", JULY) in watched.scanned) == (every != HOUR)  # each day lacks the hour from five on


STEPS = 11
"""Before and after three parts and a manifest are stored, and before each part is read back."""


@pytest.mark.parametrize(
    ("step", "ended"),
    [*((step, Killed()) for step in range(STEPS)), *((step, StoreUnavailable("away")) for step in (0, 5, 9))],
)
async def test_after_an_attempt_that_ends_at_any_step_the_next_one_seals_the_month_once(step, ended, hot, tmp_path):
    folder = Folder(tmp_path)

    def end(at: int) -> None:
        if at == step:
            raise ended

    with pytest.raises(type(ended)):
        await seal_july(OfMonths(folder, end))
    assert await seal_july(folder) == ([] if step == STEPS - 1 else [JULY])
    archive, watched = opened(tmp_path)
    await assert_same(archive, hot)
    assert {*watched.scanned} == {*PARTS}
    assert [faults async for _, faults in verify_months(folder)] == [[]]


async def test_two_archivers_at_once_seal_a_month_once(hot, tmp_path):
    sealed = await asyncio.gather(*(seal_july(Folder(tmp_path)) for _ in range(3)))
    assert sealed.count([JULY]) >= 1
    assert [faults async for _, faults in verify_months(Folder(tmp_path))] == [[]]
    archive, watched = opened(tmp_path)
    await assert_same(archive, hot)
    assert {*watched.scanned} == {*PARTS}


@pytest.mark.parametrize("table", ["price", "volume_rank", "snapshot"])
async def test_a_disk_that_is_full_while_a_month_is_sealed_is_an_outage_and_shows_nothing(table, hot, tmp_path):
    with pytest.raises(StoreUnavailable, match="No space left"):
        await seal_july(FullDisk(tmp_path, table))
    assert await Folder(tmp_path).names(TEMPORARY) == []
    archive, _ = opened(tmp_path)
    await assert_same(archive, hot)
    assert await seal_july(Folder(tmp_path)) == [JULY]


async def test_a_part_that_is_not_stored_as_it_was_made_gets_no_manifest(hot, tmp_path):
    class Rotting(Folder):
        async def create(self, name: str, content: bytes | Path) -> bool:
            created = await super().create(name, content)
            if name == PARTS[0]:
                change_values(tmp_path / name)
            return created

    assert await seal_july(Rotting(tmp_path)) == []
    archive, _ = opened(tmp_path)
    await assert_same(archive, hot)


@pytest.mark.parametrize("name", [*PARTS, "monthly/_manifest/month=2026-07.json"])
async def test_a_damaged_month_stops_no_answer_is_named_and_is_sealed_again(name, hot, tmp_path, capsys):
    await seal_july(Folder(tmp_path))
    (tmp_path / name).write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    archive, _ = opened(tmp_path)
    await assert_same(archive, hot)
    assert not await _verify_months(Folder(tmp_path), BOTH, mend=False)
    assert name in capsys.readouterr().out
    assert await _verify_months(Folder(tmp_path), BOTH, mend=True)
    assert await _verify_months(Folder(tmp_path), BOTH, mend=False)
    assert capsys.readouterr().out.endswith("  2026-07: mended\n2026-07: hours of the month, well\n")
    archive, watched = opened(tmp_path)
    await assert_same(archive, hot)
    assert {*watched.scanned} == {*PARTS}


async def test_a_month_with_a_damaged_day_waits_and_is_tried_once_a_day(hot, tmp_path):
    name = f"hourly/price/date={DAYS[2]}/part-0.parquet"
    (tmp_path / name).write_bytes(b"")
    months = MonthSealer(watched := Watched(tmp_path), BOTH)
    for today, tries in (3, 1), (3, 1), (4, 2):
        assert await months.catch_up(await sealed_days(watched), date(2026, 8, today)) == []
        assert watched.copied.count(name) == tries
    archive, _ = opened(tmp_path)
    ticks = [tick.tick for tick in await archive.stored_ticks("price", START, STOP, resolution="1h")]
    assert (await archive.history(VOLUME_RANK, 7, ticks)).equals(await hot.history(VOLUME_RANK, 7, ticks))


async def test_a_month_answers_also_where_days_have_a_series_that_its_sealer_does_not_know(hot, tmp_path):
    assert await seal_july(Folder(tmp_path), (PRICE,)) == [JULY]
    archive, watched = opened(tmp_path)
    await assert_same(archive, hot)
    assert {*PARTS[:2]} <= {*watched.scanned}


def truncate(path: Path) -> None:
    path.write_bytes(b"PAR1" + bytes(100) + b"PAR1")


def change_values(path: Path) -> None:
    rows = pl.read_parquet(path, hive_partitioning=False)
    number = next(name for name, kind in rows.schema.items() if kind == pl.Float64)
    rows.with_columns(pl.col(number) + 1.0).write_parquet(path)


@pytest.mark.parametrize(
    ("name", "damage"), [(PARTS[0], truncate), *((name, damage) for name in PARTS for damage in (rot, change_values))]
)
async def test_a_damaged_part_without_a_manifest_is_made_again(name, damage, hot, tmp_path):
    await seal_july(Folder(tmp_path))
    (tmp_path / "monthly/_manifest/month=2026-07.json").unlink()
    damage(tmp_path / name)
    assert await seal_july(Folder(tmp_path)) == [JULY]
    archive, watched = opened(tmp_path)
    await assert_same(archive, hot)
    assert {*watched.scanned} == {*PARTS}


async def test_a_damaged_month_keeps_its_manifest_until_its_parts_are_deleted(hot, tmp_path):
    await seal_july(Folder(tmp_path))
    deleted: list[str] = []

    class Noting(Folder):
        async def delete(self, name: str) -> None:
            deleted.append(name)

    await delete_month(Noting(tmp_path), "2026-07")
    assert deleted == [*PARTS, "monthly/_manifest/month=2026-07.json"]
