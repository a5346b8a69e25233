"""Tickers and names are stored once, in a new file and in one of an earlier version. Every answer stays the same."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest

from lib.errors import StoreUnavailable
from lib.schema import ID, PRICE, TIER
from lib.snapshot import Snapshot
from lib.store.sqlite import SqliteStore
from lib.store.sqlite.database import connect
from tests.contract.snapshots import many, snapshot
from tests.fakes import NOON, FakeClock
from tests.unit.store.connections import connecting
from tests.unit.store.old_file import make_old

MINUTE = timedelta(minutes=1)
TICKS = [NOON + n * MINUTE for n in range(8)]
IDS = range(1, 13)
SYMBOLS = ["BTC", "ETH", "42", "ñ'\"", "btc", None]
NAMES = ["Bitcoin", "A name; with 'quotes'", "名前", "", None]


def random_snapshots(seed: int) -> list[Snapshot]:
    """Lists in which assets come, go and are renamed, and share tickers."""
    random = Random(seed)
    tags = {id_: (random.choice(SYMBOLS), random.choice(NAMES)) for id_ in IDS}
    snapshots = []
    for tick in TICKS:
        tags |= {random.choice(IDS): (random.choice(SYMBOLS), random.choice(NAMES))}
        rows = [
            {ID: id_, TIER: random.randrange(6), "symbol": tags[id_][0], "name": tags[id_][1], "usd": random.random()}
            | {name: random.choice([None, 1.5]) for name in PRICE.fields[1:]}
            for id_ in random.sample(IDS, random.randrange(1, len(IDS)))
        ]
        snapshots.append(snapshot(PRICE, tick, rows))
    return snapshots


def own_tags(path: Path) -> int:
    """How many rows have a ticker or a name of their own."""
    with closing(sqlite3.connect(path)) as file:
        columns = {name for (name,) in file.execute("SELECT name FROM pragma_table_info('price')")}
        if not columns & {*PRICE.tags}:
            return 0
        number = '"tag set"' if "tag set" in columns else "NULL"
        own = f"SELECT count(*) FROM price WHERE {number} IS NULL OR symbol IS NOT NULL OR name IS NOT NULL"
        return int(file.execute(own).fetchone()[0])


async def answers(store: SqliteStore, ticks: Sequence[object] = TICKS) -> list[pl.DataFrame]:
    """Every kind of read."""
    wanted = [tick for tick in TICKS if tick in ticks]
    frames = [store.rows(PRICE, tick) for tick in wanted]
    frames += [store.rows(PRICE, tick, tiers=range(2), fields=("usd",)) for tick in wanted]
    frames += [store.rows(PRICE, tick, ids=[1, 5, 9]) for tick in wanted]
    frames += [store.rows(PRICE, tick, tickers=["42", "btc"]) for tick in wanted]
    frames += [store.history(PRICE, id_, wanted) for id_ in IDS]
    frames += [store.asset_names(NOON)]
    return [await frame for frame in frames]


async def written(path: Path, snapshots: Sequence[Snapshot]) -> list[pl.DataFrame]:
    store = SqliteStore(path, clock=FakeClock(NOON + timedelta(hours=1)))
    for each in snapshots:
        await store.write(each)
    found = await answers(store)
    await store.close()
    return found


@pytest.mark.parametrize("seed", range(5))
async def test_answers_are_the_same_from_an_old_file_a_half_converted_one_and_a_new_one(seed, tmp_path):
    path, snapshots = tmp_path / "topcoins.db", random_snapshots(seed)
    expected = await written(path, snapshots)
    assert [frame.select(*PRICE.columns).to_dicts() for frame in expected[: len(TICKS)]] == [
        each.rows.to_dicts() for each in snapshots
    ]
    make_old(path)
    store = SqliteStore(path, clock=FakeClock(NOON + timedelta(hours=1)))
    counts = []
    for step in range(len(TICKS) + 1):
        counts.append(own_tags(path))
        found = await answers(store)
        assert all(one.equals(other) for one, other in zip(found, expected, strict=True)), (seed, step)
        file = store._open()
        with file.database.transaction():
            file.rows._make_table(PRICE)
        if (old := file.rows.next_old(PRICE)) is not None:
            with file.database.transaction():
                file.rows.convert(PRICE, old)
    assert counts[0] == sum(len(each.rows) for each in snapshots)
    assert counts == sorted({*counts}, reverse=True)
    assert counts[-1] == 0
    await store.close()


async def test_writes_convert_an_old_file_and_each_a_bounded_part_of_it(tmp_path):
    path = tmp_path / "topcoins.db"
    await written(path, [many(PRICE, 5_000, tick) for tick in TICKS])
    make_old(path)
    store = SqliteStore(path, clock=FakeClock(NOON + timedelta(hours=1)))
    counts = [own_tags(path)]
    for n in range(3):
        await store.write(many(PRICE, 3, NOON + timedelta(minutes=30 + n)))
        counts.append(own_tags(path))
    assert counts == [40_000, 20_000, 0, 0]
    assert store._open().rows.next_old(PRICE) is None
    await store.close()


async def test_a_converted_tick_takes_the_room_of_a_new_one(tmp_path):
    path, new = tmp_path / "topcoins.db", tmp_path / "new.db"
    snapshots = [many(PRICE, 500, tick) for tick in TICKS]
    for each in (path, new):
        await written(each, snapshots)
    make_old(path)
    before = used(path)
    await written(path, [many(PRICE, 1, NOON + timedelta(minutes=30))])
    assert used(path) < 1.1 * used(new) < before


def used(path: Path) -> int:
    """The bytes of a file that are in use."""
    with closing(sqlite3.connect(path)) as file:
        pages, free, size = (file.execute(f"PRAGMA {name}").fetchone()[0] for name in PRAGMAS)
        return int((pages - free) * size)


PRAGMAS = ("page_count", "freelist_count", "page_size")

CONVERT = """
import asyncio, os, signal, sys
from pathlib import Path
from lib.store.sqlite import SqliteStore
from lib.store.sqlite.database import connect
from tests.contract.snapshots import many
from tests.fakes import NOON, FakeClock
from lib.schema import PRICE
from datetime import timedelta

def killing(path, busy):
    connection, seen = connect(path, busy), []
    def kill(statement):
        seen.append(statement.startswith("DELETE"))
        if sum(seen) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
    connection.set_trace_callback(kill)
    return connection

store = SqliteStore(Path(sys.argv[1]), clock=FakeClock(NOON + timedelta(hours=1)), connect=killing)
asyncio.run(store.write(many(PRICE, 3, NOON + timedelta(minutes=30))))
"""


def convert_until_killed(path: Path) -> int:
    """The exit code of a process that is killed in the middle of a conversion."""
    root = Path(__file__).parents[3]
    return subprocess.run([sys.executable, "-c", CONVERT, path], cwd=root, env=os.environ, check=False).returncode


async def test_a_process_that_is_killed_while_it_converts_leaves_every_row(tmp_path):
    path, snapshots = tmp_path / "topcoins.db", random_snapshots(7)
    expected = await written(path, snapshots)
    make_old(path)
    before = own_tags(path)
    assert convert_until_killed(path) == -signal.SIGKILL
    assert 0 < own_tags(path) < before
    store = SqliteStore(path, clock=FakeClock(NOON + timedelta(hours=1)))
    await store.write(many(PRICE, 3, NOON + timedelta(minutes=31)))
    assert own_tags(path) == 0
    found = await answers(store)
    assert all(one.equals(other) for one, other in zip(found[:-1], expected[:-1], strict=True))
    await store.close()


class Failing(sqlite3.Connection):
    """Its first commit after `fails` is set finds the disk full."""

    fails = False

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if statement == "COMMIT" and self.fails:
            self.fails = False
            raise sqlite3.OperationalError("database or disk is full")
        return super().execute(statement, *values)


async def test_names_of_a_write_that_failed_are_not_taken_for_stored(tmp_path):
    opened: list[Failing] = []
    clock = FakeClock(NOON + timedelta(hours=1))
    store = SqliteStore(tmp_path / "topcoins.db", clock=clock, connect=connecting(Failing, opened))
    await store.write(many(PRICE, 2, NOON))
    opened[-1].fails = True
    new = many(PRICE, 4, NOON + MINUTE)
    with pytest.raises(StoreUnavailable, match="full"):
        await store.write(new)
    await store.write(new)
    other = SqliteStore(tmp_path / "topcoins.db", clock=FakeClock(NOON + timedelta(hours=1)))
    for each in (store, other):
        assert (await each.rows(PRICE, new.tick)).equals(new.rows)
        await each.close()


async def test_a_reader_sees_names_that_another_process_has_just_added(tmp_path):
    clock = FakeClock(NOON + timedelta(hours=1))
    writer, reader = (SqliteStore(tmp_path / "topcoins.db", clock=clock, connect=connect) for _ in range(2))
    for n in range(1, 4):
        new = many(PRICE, n, NOON + n * MINUTE)
        await writer.write(new)
        assert (await reader.rows(PRICE, new.tick)).equals(new.rows)
    for each in (writer, reader):
        await each.close()
