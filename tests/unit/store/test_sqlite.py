"""Files of the embedded store that an earlier version has made."""

import sqlite3
from datetime import timedelta

from lib.cli.forecast import sample_snapshot
from lib.schema import PRICE
from lib.store.sqlite import SqliteStore
from tests.fakes import NOON, FakeClock

MINUTE = timedelta(minutes=1)


async def test_markers_of_before_hashes_are_read_and_new_ones_have_them(tmp_path):
    path, clock = tmp_path / "topcoins.db", FakeClock(NOON + 5 * MINUTE)
    store = SqliteStore(path, clock=clock)
    await store.write(sample_snapshot(PRICE, NOON, 3))
    await store.close()
    with sqlite3.connect(path) as file:
        for name in ("hash", "stored_at"):
            file.execute(f"ALTER TABLE snapshot DROP COLUMN {name}")
    file.close()
    store = SqliteStore(path, clock=clock)
    new = sample_snapshot(PRICE, NOON + MINUTE, 3)
    await store.write(new)
    old, kept = await store.markers(NOON, NOON + MINUTE)
    assert (old.hash, old.visible_since) == ("", NOON + old.duration)
    assert kept == new.marker.with_stored_at(clock())
    await store.close()
