"""The spool: what passed the gate is on disk before it counts, and leaves only when the store has it."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.delivery import Spooled
from lib.errors import SettingsRejected, SpoolUnavailable, StoreMalformed, StoreRejected, StoreUnavailable
from lib.forecast import sample_snapshot
from lib.schema import PRICE
from lib.snapshot import Snapshot
from lib.spool import ASIDE, COUNTS, Damaged, Spool, counted, decode, encode
from tests.fakes import NOON, FakeClock, MemoryStore

MINUTE = timedelta(minutes=1)
AWAY = StoreUnavailable("away")


def snapshot(minute: int = 0, assets: int = 3) -> Snapshot:
    return sample_snapshot(PRICE, NOON + minute * MINUTE, assets)


def opened(folder: Path, limit: int = 2**20) -> Spool:
    spool = Spool(folder, limit=limit)
    spool.open()
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
@settings(max_examples=40)
def test_a_snapshot_reads_back_as_it_was_written(minute, assets):
    written = snapshot(minute, assets)
    assert same(decode(encode(written)), written)


@given(st.data())
@settings(max_examples=100)
def test_no_damage_to_a_file_goes_unseen(data):
    body = bytearray(encode(snapshot()))
    at = data.draw(st.integers(0, len(body) - 1))
    if data.draw(st.booleans()):
        body[at] ^= data.draw(st.integers(1, 255))
    else:
        body = body[:at]
    with pytest.raises(Damaged):
        decode(bytes(body))


async def test_what_the_store_takes_leaves_the_spool(spool, store):
    delivery = Spooled(spool, store)
    await delivery.take(snapshot())
    assert (spool.counts().fetched, spool.counts().spooled, spool.counts().stored) == (1, 1, 0)
    await delivery.deliver()
    assert (spool.counts().fetched, spool.counts().spooled, spool.counts().stored) == (1, 0, 1)
    assert same(store.snapshots["price", NOON], snapshot())


async def test_what_waits_is_delivered_in_order_and_after_a_restart(folder, spool, store):
    delivery = Spooled(spool, store)
    store.failure = AWAY
    for minute in (2, 0, 1):
        await delivery.take(snapshot(minute))
        await delivery.deliver()
    assert spool.counts().spooled == 3
    spool.close()
    store.failure = None
    again = opened(folder)
    await Spooled(again, store).deliver()
    again.close()
    assert [tick for _, tick in store.snapshots] == [NOON + minute * MINUTE for minute in (2, 0, 1)]
    assert again.counts().stored == 3


@pytest.mark.parametrize("failure", [AWAY, StoreRejected("token")])
async def test_a_store_that_is_away_or_refuses_us_keeps_everything_spooled(spool, store, failure):
    store.failure = failure
    delivery = Spooled(spool, store)
    for minute in range(3):
        await delivery.take(snapshot(minute))
        await delivery.deliver()
    assert (spool.counts().spooled, spool.counts().dropped) == (3, 0)


async def test_a_snapshot_the_store_can_never_take_is_set_aside_and_the_rest_delivered(folder, spool, store):
    class Picky(MemoryStore):
        async def write(self, snapshot):
            if snapshot.tick == NOON:
                raise StoreMalformed("partial write")
            await super().write(snapshot)

    picky = Picky(FakeClock())
    delivery = Spooled(spool, picky)
    for minute in range(3):
        await delivery.take(snapshot(minute))
    await delivery.deliver()
    counts = spool.counts()
    assert (counts.fetched, counts.stored, counts.dropped, counts.spooled) == (3, 2, 1, 0)
    assert len(list((folder / ASIDE).iterdir())) == 1


async def test_a_damaged_file_is_set_aside_counted_and_never_a_crash_loop(folder, spool, store):
    for minute in range(3):
        spool.put(snapshot(minute))
    (second,) = folder.glob("000000000002-*")
    second.write_bytes(second.read_bytes()[:-7])
    await Spooled(spool, store).deliver()
    await Spooled(spool, store).deliver()
    counts = spool.counts()
    assert (counts.fetched, counts.stored, counts.dropped, counts.spooled) == (3, 2, 1, 0)
    assert [path.name for path in (folder / ASIDE).iterdir()] == [second.name]


async def test_writing_twice_after_a_crash_before_the_confirmation_leaves_one(spool, store):
    spool.put(snapshot())
    for _entry, waiting in spool.take():
        await store.write(waiting)  # and here the process dies, before confirm
    await Spooled(spool, store).deliver()
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


def test_an_unfinished_file_is_no_snapshot_and_goes_at_the_next_start(folder, spool):
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
    waiting = [waiting.tick for _, waiting in spool.take()]
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


def test_two_processes_do_not_share_a_spool(folder, spool):
    with pytest.raises(SettingsRejected, match="another process fills it"):
        opened(folder)


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
@settings(max_examples=40, deadline=None)
async def test_fetched_is_always_stored_plus_spooled_plus_dropped(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("identity") / "price"
    store = MemoryStore(FakeClock())
    spool = opened(folder, limit=5 * len(encode(snapshot())))
    delivery = Spooled(spool, store)
    fetched = 0
    for step, number in steps:
        match step:
            case "fetch":
                await delivery.take(snapshot(fetched))
                fetched += 1
            case "deliver":
                await delivery.deliver()
            case "away":
                store.failure = AWAY
            case "back":
                store.failure = None
            case "restart":
                spool.close()
                spool = opened(folder, limit=5 * len(encode(snapshot())))
                delivery = Spooled(spool, store)
            case "damage":
                if waiting := sorted(folder.glob("*.snapshot")):
                    waiting[number % len(waiting)].write_bytes(b"x")
            case "half confirmed":
                if store.failure is None:
                    for _entry, waiting_one in spool.take():
                        await store.write(waiting_one)
                        break
        counts = spool.counts()
        assert counts.fetched == fetched == counts.stored + counts.spooled + counts.dropped
        # Stored, but not yet confirmed when the process died, may be one more.
        assert counts.stored <= len(store.snapshots) <= counts.stored + counts.spooled + counts.dropped
    spool.close()
