"""The spool: what passed the gate is on disk before it counts, and leaves only when the store has it."""

import errno
import json
import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from lib.errors import SettingsRejected, SpoolUnavailable, StoreMalformed, StoreRejected, StoreUnavailable
from lib.ingest.delivery import ViaSpool
from lib.ingest.spool import MOST_ASIDE, MOST_READS, Spool
from lib.ingest.spool_folder import ASIDE, COUNTS, Counts, counted, waiting
from lib.schema import PRICE, Series
from lib.snapshot import Snapshot
from lib.snapshot_file import ENDING, DamagedFile, decode, encode, write_whole
from tests.examples import examples
from tests.fakes import NOON, FakeClock, MemoryStore
from tests.sample import sample_snapshot

MINUTE = timedelta(minutes=1)
AWAY = StoreUnavailable("away")


def snapshot(minute: int = 0, assets: int = 3) -> Snapshot:
    return sample_snapshot(PRICE, NOON + minute * MINUTE, assets)


def opened(folder: Path, limit: int = 2**20) -> Spool:
    spool = Spool(folder, limit=limit)
    spool.open()
    return spool


def reopened(folder: Path) -> Spool:
    """As the next process finds it."""
    spool = opened(folder)
    spool.close()
    return spool


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "spool" / "price"


@pytest.fixture
def spool(folder):
    spool = opened(folder)
    yield spool
    spool.close()


@pytest.fixture
def store():
    return MemoryStore(FakeClock())


def same(one: Snapshot, other: Snapshot) -> bool:
    return one.marker == other.marker and one.series == other.series and one.rows.equals(other.rows)


@given(minute=st.integers(0, 10**6), assets=st.integers(1, 40))
@settings(max_examples=examples(40))
def test_a_snapshot_is_read_as_it_was_written(minute, assets):
    written = snapshot(minute, assets)
    assert same(decode(encode(written)), written)


def test_a_file_of_the_days_before_a_field_reads_back_with_null_there(tmp_path):
    whole = snapshot()
    old = PRICE.only(["usd", "updated_at"])
    read = decode(encode(Snapshot(old, whole.marker, whole.rows.select(*old.columns))))
    assert (read.series, read.rows.schema) == (PRICE, whole.rows.schema)
    assert read.rows.select(*old.columns).equals(whole.rows.select(*old.columns))
    assert read.rows["market_cap_usd"].null_count() == len(read.rows)


def test_a_file_of_the_days_after_a_field_keeps_it():
    newer = Series(PRICE.name, PRICE.tags, (*PRICE.fields, "supply"))
    written = sample_snapshot(newer, NOON, 3)
    assert same(decode(encode(written)), written)


@given(st.data())
@settings(max_examples=examples(100))
def test_any_damage_to_a_file_is_detected(data):
    body = bytearray(encode(snapshot()))
    at = data.draw(st.integers(0, len(body) - 1))
    if data.draw(st.booleans()):
        body[at] ^= data.draw(st.integers(1, 255))
    else:
        body = body[:at]
    with pytest.raises(DamagedFile):
        decode(bytes(body))


async def test_what_the_store_takes_leaves_the_spool(spool, store):
    delivery = ViaSpool(spool, store)
    await delivery.accept(snapshot())
    assert (spool.counts().fetched, spool.counts().spooled, spool.counts().stored) == (1, 1, 0)
    await delivery.flush()
    assert (spool.counts().fetched, spool.counts().spooled, spool.counts().stored) == (1, 0, 1)
    kept = store.snapshots["price", NOON]
    assert kept.marker == snapshot().marker.with_stored_at(NOON)
    assert kept.rows.equals(snapshot().rows)


async def test_what_waits_is_delivered_in_order_and_after_a_restart(folder, spool, store):
    delivery = ViaSpool(spool, store)
    store.failure = AWAY
    for minute in (2, 0, 1):
        await delivery.accept(snapshot(minute))
        await delivery.flush()
    assert spool.counts().spooled == 3
    spool.close()
    store.failure = None
    again = opened(folder)
    await ViaSpool(again, store).flush()
    again.close()
    assert [tick for _, tick in store.snapshots] == [NOON + minute * MINUTE for minute in (2, 0, 1)]
    assert again.counts().stored == 3


@pytest.mark.parametrize("failure", [AWAY, StoreRejected("token")])
async def test_a_store_that_is_away_or_refuses_us_keeps_everything_spooled(spool, store, failure):
    store.failure = failure
    delivery = ViaSpool(spool, store)
    for minute in range(3):
        await delivery.accept(snapshot(minute))
        await delivery.flush()
    assert (spool.counts().spooled, spool.counts().dropped) == (3, 0)


async def test_a_snapshot_the_store_can_never_take_is_set_aside_and_the_rest_delivered(folder, spool, store):
    class Picky(MemoryStore):
        async def write(self, snapshot):
            if snapshot.tick == NOON:
                raise StoreMalformed("partial write")
            await super().write(snapshot)

    picky = Picky(FakeClock())
    delivery = ViaSpool(spool, picky)
    for minute in range(3):
        await delivery.accept(snapshot(minute))
    await delivery.flush()
    counts = spool.counts()
    assert (counts.fetched, counts.stored, counts.dropped, counts.spooled) == (3, 2, 1, 0)
    assert len(list((folder / ASIDE).iterdir())) == 1


async def test_a_damaged_file_is_set_aside_counted_and_never_a_crash_loop(folder, spool, store):
    for minute in range(3):
        spool.put(snapshot(minute))
    (second,) = folder.glob("000000000002-*")
    second.write_bytes(second.read_bytes()[:-7])
    await ViaSpool(spool, store).flush()
    await ViaSpool(spool, store).flush()
    counts = spool.counts()
    assert (counts.fetched, counts.stored, counts.dropped, counts.spooled) == (3, 2, 1, 0)
    assert [path.name for path in (folder / ASIDE).iterdir()] == [second.name]


async def test_writing_twice_after_a_crash_before_the_confirmation_leaves_one(spool, store):
    spool.put(snapshot())
    for _entry, held in spool.read():
        await store.write(held)  # and here the process dies, before confirm
    await ViaSpool(spool, store).flush()
    assert len(store.snapshots) == 1
    assert spool.counts().stored == 1


def test_a_crash_between_the_file_and_the_count_loses_neither(folder, spool):
    spool.put(snapshot(0))
    counts = (folder / COUNTS).read_bytes()
    spool.put(snapshot(1))
    (folder / COUNTS).write_bytes(counts)  # the second file is there, its count is not
    assert (counted(folder).fetched, counted(folder).spooled) == (2, 2)
    spool.put(snapshot(2))
    assert (counted(folder).fetched, counted(folder).spooled) == (3, 3)


def test_an_unfinished_file_is_no_snapshot_and_is_removed_at_the_next_start(folder, spool):
    (folder / "000000000001-1.snapshot.part").write_bytes(b"half")
    assert spool.counts().spooled == 0
    spool.close()
    opened(folder).close()
    assert not list(folder.glob("*.part"))


def test_a_full_spool_drops_the_oldest_and_counts_it(folder):
    size = len(encode(snapshot()))
    spool = opened(folder, limit=int(size * 2.5))
    for minute in range(4):
        spool.put(snapshot(minute))
    waiting = [waiting.tick for _, waiting in spool.read()]
    spool.close()
    assert waiting == [NOON + 2 * MINUTE, NOON + 3 * MINUTE]
    assert (spool.counts().fetched, spool.counts().dropped, spool.counts().spooled) == (4, 2, 2)
    assert spool.counts().spooled_bytes <= size * 2.5


def test_a_snapshot_larger_than_the_spool_is_refused_and_drops_nothing(folder):
    spool = opened(folder, limit=len(encode(snapshot())) + 100)
    spool.put(snapshot())
    with pytest.raises(SpoolUnavailable, match="over its limit"):
        spool.put(snapshot(1, assets=5000))
    spool.close()
    assert (spool.counts().fetched, spool.counts().spooled) == (1, 1)


class Dies(Exception):
    """The process ends here."""


class Dying:
    """Puts files on disk until its last, with which the process ends: before that one, or after."""

    def __init__(self, last: int, *, after: bool) -> None:
        self.left = last
        self.after = after

    def __call__(self, path: Path, body: bytes) -> None:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Dies
        write_whole(path, body)
        if self.left == 0:
            raise Dies


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("last", range(1, 4))
def test_a_crash_at_any_write_of_a_full_spool_is_seen_through(folder, last, after):
    """The writes: the count with the dropped one, the file, the count with the new one."""
    size = len(encode(snapshot()))
    spool = opened(folder, limit=int(size * 2.5))
    for minute in range(2):
        spool.put(snapshot(minute))
    spool.close()
    dying = Spool(folder, limit=int(size * 2.5), write=Dying(last, after=after))
    dying.open()
    with pytest.raises(Dies):
        dying.put(snapshot(2))
    dying.close()
    dropped, came = int((last, after) > (1, False)), int((last, after) > (2, False))
    for counts in (counted(folder), reopened(folder).counts()):
        assert (counts.fetched, counts.dropped, counts.spooled) == (2 + came, dropped, 2 - dropped + came)
        assert counts.stored == 0


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_while_one_is_set_aside_is_seen_through(folder, after):
    spool = opened(folder)
    spool.put(snapshot())
    spool.close()
    dying = Spool(folder, limit=2**20, write=Dying(1, after=after))
    with pytest.raises(Dies):
        dying.set_aside(waiting(folder)[0], "bad")
    for counts in (counted(folder), reopened(folder).counts()):
        assert (counts.fetched, counts.dropped, counts.spooled, counts.stored) == (1, after, not after, 0)


async def test_what_is_delivered_before_it_is_counted_is_counted_first(folder, store):
    reopened(folder)
    dying = Spool(folder, limit=2**20, write=Dying(1, after=True))
    dying.open()
    with pytest.raises(Dies):
        dying.put(snapshot())
    dying.close()
    again = opened(folder)
    await ViaSpool(again, store).flush()
    again.close()
    assert (again.counts().fetched, again.counts().stored) == (1, 1)
    assert json.loads((folder / COUNTS).read_bytes())["fetched"] == 1


def refusing(path: Path, body: bytes) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_no_snapshot_and_no_count(folder):
    spool = Spool(folder, limit=2**20, write=refusing)
    spool.open()
    with pytest.raises(SpoolUnavailable, match="No space left on device"):
        spool.put(snapshot())
    spool.close()
    assert spool.counts() == Counts()


async def test_a_disk_that_takes_no_count_still_takes_the_snapshot_which_stays_until_it_is_counted(folder, store):
    def countless(path: Path, body: bytes) -> None:
        (refusing if path.name == COUNTS else write_whole)(path, body)

    spool = Spool(folder, limit=2**20, write=countless)
    spool.open()
    spool.put(snapshot())
    await ViaSpool(spool, store).flush()
    assert (spool.counts().fetched, spool.counts().spooled) == (1, 1)
    spool.close()
    assert list(store.snapshots) == [("price", NOON)]
    again = reopened(folder)
    await ViaSpool(again, store).flush()
    assert (again.counts().fetched, again.counts().stored, again.counts().spooled) == (1, 1, 0)


def test_half_a_file_does_not_keep_a_full_disk_full(tmp_path):
    (tmp_path / "name").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        write_whole(tmp_path / "name", b"body")
    assert [path.name for path in tmp_path.iterdir()] == ["name"]


IMPOSSIBLE = [
    b'{"fetched": -1, "dropped": 0}',
    b'{"fetched": 1, "stored": 99, "done": 0, "last": 3}',
    b'{"fetched": 3, "stored": 0, "done": 50, "last": 3}',
    b'{"fetched": 3, "stored": 0, "done": 0, "last": %s}' % (b"9" * 300),
]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"fetched": "x"}', *IMPOSSIBLE])
async def test_counts_that_cannot_be_read_are_made_anew_from_the_files(folder, spool, store, body):
    for minute in range(3):
        spool.put(snapshot(minute))
    spool.set_aside(waiting(folder)[0], "bad")
    (folder / COUNTS).write_bytes(body)
    counts = counted(folder)
    assert (counts.fetched, counts.dropped, counts.spooled, counts.stored) == (3, 1, 2, 0)
    spool.put(snapshot(3))
    await ViaSpool(spool, store).flush()
    assert (spool.counts().fetched, spool.counts().stored) == (4, 3)


async def test_counts_that_a_windows_editor_saved_are_read(folder, store):
    spool = opened(folder)
    spool.put(snapshot())
    await ViaSpool(spool, store).flush()
    spool.close()
    (folder / COUNTS).write_bytes(b"\xef\xbb\xbf" + (folder / COUNTS).read_bytes() + b"\r\n")
    assert reopened(folder).counts().stored == 1


@pytest.mark.parametrize("body", IMPOSSIBLE)
async def test_impossible_counts_do_not_outlive_a_restart(folder, store, body):
    spool = opened(folder)
    spool.put(snapshot())
    spool.close()
    (folder / COUNTS).write_bytes(body)
    again = opened(folder)
    again.put(snapshot(1))
    await ViaSpool(again, store).flush()
    assert again.counts() == Counts(fetched=2)
    again.close()


def test_a_pipe_or_a_device_that_is_named_as_a_snapshot_stops_nothing(folder, spool):
    spool.put(snapshot())
    os.mkfifo(folder / f"000000000000-1{ENDING}")
    (folder / f"000000000000-2{ENDING}").symlink_to("/dev/zero")
    assert [entry.number for entry, _ in spool.read()] == [1]
    assert spool.counts() == counted(folder) == Counts(fetched=1, spooled=1, spooled_bytes=spool.counts().spooled_bytes)


def test_a_file_over_the_limit_of_the_spool_is_set_aside_unread(folder, spool):
    spool.put(snapshot())
    with (folder / f"000000000000-1{ENDING}").open("wb") as file:
        file.truncate(2**40)
    assert [entry.number for entry, _ in spool.read()] == [1]
    assert spool.newest() is not None
    assert len(list((folder / "damaged").iterdir())) == 1


def test_a_folder_in_the_place_of_a_file_is_set_aside(folder, spool):
    spool.put(snapshot())
    (entry,) = waiting(folder)
    entry.path.unlink()
    entry.path.mkdir()
    assert list(spool.read()) == []
    assert spool.counts().dropped == 1


async def test_each_lost_snapshot_is_reported_with_its_tick_and_why(folder, store):
    lost = []
    spool = Spool(folder, limit=int(len(encode(snapshot())) * 1.5), lost=lambda tick, why: lost.append((tick, why)))
    spool.open()
    for minute in range(2):
        spool.put(snapshot(minute))
    waiting(folder)[0].path.write_bytes(b"x")
    await ViaSpool(spool, store).flush()
    spool.close()
    assert [tick for tick, _ in lost] == [NOON, NOON + MINUTE]
    assert "were full" in lost[0][1]
    assert "digest" in lost[1][1]


def test_of_those_set_aside_the_newest_are_kept(folder, spool):
    for minute in range(MOST_ASIDE + 2):
        spool.put(snapshot(minute))
        spool.set_aside(waiting(folder)[0], "bad")
    names = sorted(path.name for path in (folder / ASIDE).iterdir())
    assert len(names) == MOST_ASIDE
    assert names[-1].startswith(f"{MOST_ASIDE + 2:012d}-")
    assert spool.counts().dropped == MOST_ASIDE + 2


async def test_a_long_queue_is_handed_over_bit_by_bit(spool, store):
    delivery = ViaSpool(spool, store, time_limit=timedelta())
    store.failure = AWAY
    for minute in range(3):
        await delivery.accept(snapshot(minute))
    await delivery.flush()
    store.failure = None
    with capture_logs() as logs:
        for done in (1, 2, 3):
            await delivery.flush()
            assert len(store.snapshots) == done
    assert [entry["event"] for entry in logs] == ["store back: the spool is delivered"]


async def test_the_newest_waiting_snapshot_is_returned(spool, store):
    delivery = ViaSpool(spool, store)
    assert await delivery.newest() is None
    for minute in range(2):
        await delivery.accept(snapshot(minute))
    newest = await delivery.newest()
    assert newest is not None
    assert same(newest, snapshot(1))


def test_two_processes_do_not_share_a_spool(folder, spool):
    with pytest.raises(SettingsRejected, match="another process fills it"):
        opened(folder)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 777_777])
async def test_a_file_of_another_spool_is_stored_and_changes_no_count_of_ours(folder, spool, store, number):
    """Numbers 1 and 2 are stored, 3 waits, 4 is the next one (it looks like a file that a crash left uncounted)."""
    for minute in range(2):
        spool.put(snapshot(minute))
    await ViaSpool(spool, store).flush()
    store.failure = AWAY
    spool.put(snapshot(2))
    foreign = folder / f"{number:012d}-{int((NOON - MINUTE).timestamp())}.snapshot"
    foreign.write_bytes(encode(snapshot(-1)))
    ours = 4 if number == 4 else 3
    for counts in (counted(folder), spool.counts()):
        assert (counts.fetched, counts.stored, counts.spooled, counts.dropped) == (ours, 2, ours - 2, 0)
    store.failure = None
    await ViaSpool(spool, store).flush()
    assert len(store.snapshots) == 4
    spool.put(snapshot(3))
    await ViaSpool(spool, store).flush()
    for counts in (counted(folder), spool.counts()):
        assert (counts.fetched, counts.stored) == (ours + 1, ours + 1)
        assert not counts.spooled + counts.dropped


async def test_a_file_put_back_from_damaged_is_stored_and_counted_once(folder, spool):
    class Picky(MemoryStore):
        refuses = True

        async def write(self, snapshot):
            if self.refuses:
                raise StoreMalformed("partial write")
            await super().write(snapshot)

    picky = Picky(FakeClock())
    delivery = ViaSpool(spool, picky)
    await delivery.accept(snapshot())
    await delivery.flush()
    (aside,) = (folder / ASIDE).iterdir()
    picky.refuses = False
    aside.rename(folder / aside.name)
    for counts in (counted(folder), spool.counts()):
        assert counts == Counts(fetched=1, dropped=1)
    await delivery.flush()
    assert list(picky.snapshots) == [("price", NOON)]
    for counts in (counted(folder), spool.counts(), reopened_beside(folder)):
        assert counts == Counts(fetched=1, dropped=1)


def reopened_beside(folder: Path) -> Counts:
    """The counts that a process without the lock sees."""
    return Spool(folder, limit=2**20).counts()


@pytest.mark.parametrize("lock", ["removed", "a folder"])
def test_a_second_process_is_refused_also_when_the_lock_file_is_gone(folder, spool, lock):
    (folder / "lock").unlink()
    if lock == "a folder":
        (folder / "lock").mkdir()
    with pytest.raises(SettingsRejected, match="another process fills it"):
        opened(folder)


@pytest.mark.parametrize("name", [COUNTS, f"{COUNTS}.part", "000000000002-1785585660.snapshot.part"])
async def test_a_folder_in_the_place_of_a_file_of_the_spool_does_not_stop_it(folder, spool, store, name):
    spool.put(snapshot(0))
    (folder / name).unlink(missing_ok=True)
    (folder / name / "inside").mkdir(parents=True)
    spool.put(snapshot(1))
    await ViaSpool(spool, store).flush()
    for counts in (counted(folder), spool.counts()):
        assert counts == Counts(fetched=2)
    assert len(store.snapshots) == 2


@pytest.mark.parametrize("name", [f"{COUNTS}.part", "lock", ASIDE])
async def test_a_start_passes_over_what_lies_in_the_place_of_a_file_of_ours(folder, store, name):
    folder.mkdir(parents=True)
    if name == ASIDE:
        (folder / name).write_text("")
    else:
        (folder / name).mkdir()
    spool = opened(folder)
    spool.put(snapshot())
    await ViaSpool(spool, store).flush()
    assert spool.counts() == Counts(fetched=1)
    spool.close()


async def test_a_folder_removed_while_in_use_is_made_again_and_what_waited_there_counts_as_dropped(folder, store):
    lost = []
    spool = Spool(folder, limit=2**20, lost=lambda tick, why: lost.append((tick, why)))
    spool.open()
    delivery = ViaSpool(spool, store)
    await delivery.accept(snapshot(0))
    await delivery.flush()
    store.failure = AWAY
    await delivery.accept(snapshot(1))
    shutil.rmtree(folder)
    store.failure = None
    await delivery.flush()
    await delivery.accept(snapshot(2))
    await delivery.flush()
    for counts in (counted(folder), spool.counts()):
        assert counts == Counts(fetched=3, dropped=1)
    assert lost == [(NOON + MINUTE, "dropped: its file is gone from the spool")]
    with pytest.raises(SettingsRejected, match="another process fills it"):
        opened(folder)
    spool.close()


async def test_a_process_stops_writing_when_another_process_took_its_removed_folder(folder, spool, store):
    shutil.rmtree(folder)
    second = opened(folder)
    with pytest.raises(SpoolUnavailable):
        spool.put(snapshot())
    second.put(snapshot())
    assert second.counts() == Counts(fetched=1, spooled=1, spooled_bytes=len(encode(snapshot())))
    second.close()


async def test_one_file_removed_by_somebody_is_counted_as_dropped_and_not_as_stored(folder, spool, store):
    for minute in range(3):
        spool.put(snapshot(minute))
    waiting(folder)[1].path.unlink()
    for counts in (counted(folder), spool.counts()):
        assert (counts.fetched, counts.stored, counts.dropped, counts.spooled) == (3, 0, 1, 2)
    await ViaSpool(spool, store).flush()
    for counts in (counted(folder), spool.counts()):
        assert counts == Counts(fetched=3, dropped=1)


async def test_a_file_unreadable_for_a_moment_is_waited_for_and_then_stored_in_order(folder, spool, store):
    for minute in range(2):
        spool.put(snapshot(minute))
    first = waiting(folder)[0].path
    content = first.read_bytes()
    first.unlink()
    first.symlink_to(first.name)  # a read fails: too many levels of symbolic links
    for _ in range(MOST_READS - 1):
        await ViaSpool(spool, store).flush()
    assert not store.snapshots
    first.unlink()
    first.write_bytes(content)
    await ViaSpool(spool, store).flush()
    assert [tick for _, tick in store.snapshots] == [NOON, NOON + MINUTE]
    assert spool.counts() == Counts(fetched=2)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsRejected, match="can't be written"):
        opened(tmp_path / "file" / "price")


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["fetch", "deliver", "away", "back", "restart", "damage", "half confirmed"]),
            st.integers(0, 99),
        ),
        max_size=30,
    )
)
@settings(max_examples=examples(40), deadline=None)
async def test_fetched_is_always_stored_plus_spooled_plus_dropped(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("identity") / "price"
    store = MemoryStore(FakeClock())
    spool = opened(folder, limit=5 * len(encode(snapshot())))
    delivery = ViaSpool(spool, store)
    fetched = 0
    for step, number in steps:
        match step:
            case "fetch":
                await delivery.accept(snapshot(fetched))
                fetched += 1
            case "deliver":
                await delivery.flush()
            case "away":
                store.failure = AWAY
            case "back":
                store.failure = None
            case "restart":
                spool.close()
                spool = opened(folder, limit=5 * len(encode(snapshot())))
                delivery = ViaSpool(spool, store)
            case "damage":
                if waiting := sorted(folder.glob("*.snapshot")):
                    waiting[number % len(waiting)].write_bytes(b"x")
            case "half confirmed":
                if store.failure is None:
                    for _entry, waiting_one in spool.read():
                        await store.write(waiting_one)
                        break
        counts = spool.counts()
        assert counts.fetched == fetched == counts.stored + counts.spooled + counts.dropped
        # Stored, but not yet confirmed when the process died, may be one more.
        assert counts.stored <= len(store.snapshots) <= counts.stored + counts.spooled + counts.dropped
    spool.close()
