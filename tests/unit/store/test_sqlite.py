"""The embedded store: files of earlier versions, query plans, durability, a file that disappears, and retention."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from lib.errors import StoreUnavailable
from lib.schema import PRICE, VOLUME_RANK
from lib.store.sqlite import SqliteStore
from lib.store.sqlite.database import connect
from lib.store.sqlite.retention import MOST_DELETED
from tests.fakes import HOUR, NOON, FakeClock
from tests.sample import sample_snapshot
from tests.unit.store.connections import connecting
from tests.unit.store.old_file import make_old

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

Open = Callable[..., SqliteStore]


class Recorder:
    """Opens the file as the store does; keeps the connection and the text of each statement that runs on it."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def __call__(self, path: Path, busy: timedelta) -> sqlite3.Connection:
        self.connection = connect(path, busy)
        self.connection.set_trace_callback(self.statements.append)
        return self.connection


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOON + HOUR)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "topcoins.db"


@pytest.fixture
async def open_store(path: Path, clock: FakeClock) -> AsyncIterator[Open]:
    stores: list[SqliteStore] = []

    def opened(**named: object) -> SqliteStore:
        stores.append(SqliteStore(path, clock=clock, **named))  # type: ignore[arg-type]
        return stores[-1]

    yield opened
    for store in stores:
        await store.close()


async def fill(store: SqliteStore, *minutes: int, start: datetime = NOON) -> None:
    for minute in minutes:
        await store.write(sample_snapshot(PRICE, start + minute * MINUTE, 3))


async def test_markers_without_a_hash_are_read_and_new_ones_have_one(open_store, path, clock):
    store = open_store()
    await fill(store, 0)
    await store.close()
    with sqlite3.connect(path) as file:
        file.execute("DROP INDEX snapshot_ticks")
        for name in ("hash", "stored_at", "withdrawn_at", "restored_at", "withdrawn_why"):
            file.execute(f"ALTER TABLE snapshot DROP COLUMN {name}")
    file.close()
    store = open_store()
    new = sample_snapshot(PRICE, NOON + MINUTE, 3)
    await store.write(new)
    old, stored = await store.markers(NOON, NOON + MINUTE)
    assert (old.hash, old.visible_since) == ("", NOON + old.duration)
    assert stored == new.marker.with_stored_at(clock())


async def test_a_file_without_the_indexes_gets_them(open_store, path):
    await fill(store := open_store(), 0)
    await store.close()
    with sqlite3.connect(path) as file:
        file.execute("DROP INDEX snapshot_tick")
        file.execute("DROP INDEX snapshot_ticks")
        file.execute("CREATE INDEX snapshot_of_tick ON snapshot (series, tick)")  # an earlier version's
    file.close()
    await open_store(connect=(recorder := Recorder())).markers(NOON, NOON + HOUR)
    names = recorder.connection.execute("SELECT name FROM sqlite_master WHERE type = 'index' ORDER BY name").fetchall()
    assert names == [("snapshot_tick",), ("snapshot_ticks",)]


async def test_queries_for_ticks_read_no_ids(open_store):
    """SV-43: the ids of a week of 5,000 assets are 20 MB."""
    store = open_store(connect=(recorder := Recorder()))
    await store.ready()
    recorder.statements.clear()
    await store.stored_ticks(PRICE.name, NOON, NOON + HOUR)
    await store.stored_ticks(PRICE.name, NOON, NOON + HOUR, known=True)
    await store.ticks(PRICE.name, NOON, NOON + HOUR, known_at=NOON)
    recorder.connection.set_trace_callback(None)
    queries = [*recorder.statements]
    assert len(queries) == 3
    for query in queries:
        plan = str(recorder.connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall())
        assert "COVERING INDEX" in plan, (query, plan)
        assert "TEMP B-TREE" not in plan, (query, plan)


async def test_no_query_scans_a_table(open_store, clock):
    """Each statement of each method. A scan would make answers slower with every stored day."""
    store = open_store(connect=(recorder := Recorder()), confirmed_by=0, retention=HOUR)
    clock.move(days=1)
    for series in (PRICE, VOLUME_RANK):
        for minute in range(3):
            await store.write(sample_snapshot(series, NOON + minute * MINUTE, 3))
        await store.write(sample_snapshot(series, NOON + DAY, 3))
        await store.rows(series, NOON)
        await store.rows(series, NOON, tiers=range(2), fields=series.fields[:1])
        await store.rows(series, NOON, ids=[1, 2])
        await store.rows_between(series, [NOON, NOON + MINUTE])
        await store.history(series, 1, [NOON, NOON + MINUTE])
        await store.ticks(series.name, NOON, NOON + HOUR)
        await store.stored_ticks(series.name, NOON, NOON + HOUR)
        await store.newest_tick(series.name, NOON)
        await store.nearest(series.name, NOON)
        await store.first(series.name)
        await store.markers(NOON, NOON + HOUR, series=series.name)
        await store.withdraw(series.name, NOON, NOON, why="test")
        await store.undo_withdrawal(series.name, NOON, NOON)
    await store.markers(NOON, NOON + HOUR)
    await store.markers(NOON, NOON + HOUR, resolution="1h")
    assert len(await store.asset_names(NOON)) == 3
    await store.ready()
    ran = {line for line in recorder.statements if line.split()[0] in ("SELECT", "UPDATE", "DELETE")}
    queries = {line for line in ran if "pragma_table_info" not in line}  # it reads the declaration of one table
    assert {line.split()[0] for line in queries} == {"SELECT", "UPDATE", "DELETE"}
    recorder.connection.set_trace_callback(None)
    plans = {line: str(recorder.connection.execute(f"EXPLAIN QUERY PLAN {line}").fetchall()) for line in queries}
    assert {line: plan for line, plan in plans.items() if "SCAN" in plan} == {}


@pytest.mark.parametrize(("durable", "synchronous"), [(True, 2), (False, 1)])
async def test_a_commit_of_a_durable_store_reaches_the_disk_before_it_returns(open_store, durable, synchronous):
    """2 is FULL: SQLite syncs the WAL at each commit. With 1, NORMAL, a power cut may take confirmed snapshots."""
    store = open_store(connect=(recorder := Recorder()), durable=durable)
    await fill(store, 0)
    assert recorder.connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)
    assert recorder.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


class Contended(sqlite3.Connection):
    """The first time it asks for a write-ahead log, another process is giving the file its own."""

    refusals = 1

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if statement == "PRAGMA journal_mode = WAL" and self.refusals:
            self.refusals -= 1
            locked = sqlite3.OperationalError("database is locked")
            locked.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise locked
        return super().execute(statement, *values)


async def test_a_new_file_opens_while_another_process_opens_it(open_store):
    opened: list[Contended] = []
    await fill(open_store(connect=connecting(Contended, opened)), 0)
    assert opened[0].refusals == 0
    assert opened[0].execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_deleted_file_is_noticed_by_reads_writes_and_readiness(open_store, path):
    await fill(store := open_store(), 0)
    path.unlink()
    for work in (store.ready(), store.markers(NOON, NOON), fill(store, 1)):
        with pytest.raises(StoreUnavailable, match="was deleted while in use"):
            await work
    assert not path.exists()


@pytest.mark.parametrize("is_replaced", [False, True])
async def test_a_deleted_write_ahead_log_is_noticed(open_store, path, is_replaced):
    """The newest snapshots are in it, and no other process sees what is written from now on."""
    await fill(store := open_store(), 0)
    path.with_suffix(".db-wal").unlink()
    if is_replaced:
        path.with_suffix(".db-wal").touch()
    for work in (store.ready(), store.markers(NOON, NOON), fill(store, 1)):
        with pytest.raises(StoreUnavailable, match=r"topcoins\.db-wal: the file was deleted while in use: restart all"):
            await work


async def test_a_file_deleted_during_a_write_does_not_confirm_it(open_store, path, clock):
    store = open_store()
    await fill(store, 0)

    class Deleting(FakeClock):
        """The store asks for the time in the middle of a write."""

        def __call__(self) -> datetime:
            path.unlink()
            return super().__call__()

    other = SqliteStore(path, clock=Deleting(NOON + HOUR))
    with pytest.raises(StoreUnavailable, match="was deleted while in use"):
        await fill(other, 1)
    await other.close()


async def test_a_snapshot_and_a_withdrawal_get_their_times_while_no_other_process_can_write(path):
    """Else what was stored, or withdrawn, at an instant could become visible after an answer with that `known_at`."""

    class Looking(FakeClock):
        def __call__(self) -> datetime:
            looked.append(store._file is not None and store._file.database.connection.in_transaction)
            return super().__call__()

    looked: list[bool] = []
    store = SqliteStore(path, clock=Looking())
    await fill(store, 0)
    await store.withdraw(PRICE.name, NOON, NOON, why="test")
    await store.undo_withdrawal(PRICE.name, NOON, NOON)
    assert looked == [True] * 3
    await store.close()


async def test_a_file_that_is_put_back_is_opened_again(open_store, path, tmp_path):
    await fill(store := open_store(), 0)
    await store.close()
    (tmp_path / "copy.db").write_bytes(path.read_bytes())
    await fill(store := open_store(), 1)
    path.with_suffix(".db-wal").unlink()
    path.with_suffix(".db-shm").unlink()
    (tmp_path / "copy.db").rename(path)
    with capture_logs() as logs:
        await fill(store, 2)
    assert [entry["event"] for entry in logs] == ["the store's file was replaced: it is opened again"]
    assert [marker.tick for marker in await store.markers(NOON, NOON + HOUR)] == [NOON, NOON + 2 * MINUTE]


async def test_one_tick_of_a_clock_that_is_40_days_ahead_deletes_nothing(open_store, clock):
    await fill(store := open_store(), *range(60))
    clock.move(days=40)
    await fill(store, 0, start=clock())
    assert len(await store.markers(NOON, NOON + HOUR)) == 60


async def test_an_hour_of_a_clock_that_is_40_days_ahead_deletes_nothing_before_and_after_it_is_set_right(
    open_store, clock
):
    await fill(store := open_store(), *range(60))
    clock.move(days=40)
    await fill(store, *range(59), start=clock())
    clock.move(days=-40)
    await fill(store, *range(60, 120))
    assert len(await store.markers(NOON, NOON + 2 * HOUR)) == 120


async def test_a_clock_that_stays_ahead_deletes_no_more_than_the_time_that_its_ticks_cover(open_store, clock):
    await fill(store := open_store(), *range(60))
    clock.move(days=40)
    await fill(store, *range(200), start=clock())
    assert len(await store.markers(NOON, NOON + HOUR)) == 60
    assert await store.ticks(PRICE.name, NOON + 40 * DAY, NOON + 41 * DAY)


async def test_minutes_before_a_long_outage_are_deleted_once_as_much_time_was_seen_as_they_are_kept(open_store, clock):
    await fill(store := open_store(confirmed_by=1, retention=2 * DAY), *range(60))
    clock.move(days=40)
    left = []
    for _ in range(30):
        clock.move(hours=1)
        await fill(store, 0, start=clock())
        left.append(len(await store.ticks(PRICE.name, NOON, NOON + HOUR)))
    assert left == [60] * 25 + [60 - MOST_DELETED] + [1] * 4


async def test_a_clock_that_is_behind_deletes_nothing(open_store, clock):
    await fill(store := open_store(confirmed_by=1), *range(60))
    clock.move(days=-40)
    await fill(store, 0, 1, start=NOON + 35 * DAY)
    assert len(await store.markers(NOON, NOON + HOUR)) == 60


async def test_a_write_deletes_a_bounded_number_of_ticks_and_logs_them(open_store, clock):
    await fill(store := open_store(confirmed_by=1, retention=HOUR), *range(60))
    clock.move(hours=5)
    left = []
    with capture_logs() as logs:
        for minute in range(4):
            await fill(store, minute, start=clock())
            left.append(len(await store.ticks(PRICE.name, NOON, NOON + HOUR)))
    assert left == [60, 60 - MOST_DELETED, 1, 1]
    deleted = [entry for entry in logs if entry["event"] == "old minutes deleted"]
    assert [entry["ticks"] for entry in deleted] == [MOST_DELETED, 59 - MOST_DELETED]
    assert deleted[0]["first"] == NOON + MINUTE
    assert [len(await store.rows(PRICE, NOON + minute * MINUTE)) for minute in (0, 1, 59)] == [3, 0, 0]


async def test_minutes_past_the_retention_go_once_enough_newer_ticks_are_stored(open_store, clock):
    await fill(store := open_store(confirmed_by=5, retention=HOUR), *range(3))
    clock.move(hours=3)
    left = []
    for minute in range(7):
        await fill(store, minute, start=clock())
        left.append(len(await store.ticks(PRICE.name, NOON, NOON + HOUR)))
    assert left == [3, 3, 3, 3, 3, 1, 1]


async def test_the_first_of_an_hour_stays_although_an_earlier_one_is_stored_late(open_store, clock):
    store = open_store(confirmed_by=1, retention=HOUR)
    await fill(store, 5, 6)
    clock.move(minutes=10)
    late = sample_snapshot(PRICE, NOON + 2 * MINUTE, 3)
    await store.write(replace(late, marker=replace(late.marker, backfilled=True)))
    clock.move(hours=5)
    await fill(store, 0, 1, start=clock())
    assert await store.ticks(PRICE.name, NOON, NOON + HOUR) == [NOON + 2 * MINUTE, NOON + 5 * MINUTE]


async def test_a_file_of_an_earlier_version_gets_the_names_of_its_assets(open_store, tmp_path):
    store = open_store()
    for days in range(3):
        await store.write(sample_snapshot(PRICE, NOON + days * DAY, 3))
    before = await store.asset_names(NOON)
    with closing(sqlite3.connect(next(tmp_path.rglob("*.db")))) as file:
        file.execute('DROP TABLE "asset names"')
        file.commit()
    await store.close()
    make_old(next(tmp_path.rglob("*.db")))
    again = open_store()
    assert (await again.asset_names(NOON)).equals(before)
    assert before["last"].unique().to_list() == [NOON + 2 * DAY]
