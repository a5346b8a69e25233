"""`topcoins doubtful`: an operator sees, admits and drops what was kept apart."""

from datetime import timedelta

import orjson
import pytest
from typer.testing import CliRunner

from lib.cli.app import app
from lib.cli.doubtful import admit_file
from lib.errors import SettingsRejected, StoreUnavailable
from lib.ingest.doubtful import FOLDER, DoubtfulLists, stored_lists
from lib.schema import PRICE
from tests.fakes import NOON, FakeClock, MemoryStore
from tests.sample import sample_snapshot

MINUTE = timedelta(minutes=1)


@pytest.fixture
def spools(tmp_path):
    """Two lists in doubt."""
    lists = DoubtfulLists(tmp_path / "spool" / "price")
    for minute, reason in enumerate(("no Bitcoin: the list before had it", "short: 3 assets")):
        lists.keep(sample_snapshot(PRICE, NOON + minute * MINUTE, 3), [reason])
    return tmp_path / "spool"


@pytest.fixture
def run(spools, tmp_path):
    environ = {"TOPCOINS_SPOOL_DIR": str(spools), "TOPCOINS_STORE_URL": f"sqlite:///{tmp_path}/topcoins.db"}
    return lambda *words: CliRunner().invoke(app, ["doubtful", *words], env=environ)


NAMES = [f"price/{int((NOON + minute * MINUTE).timestamp())}-sample" for minute in range(2)]


def test_the_lists_in_doubt_are_shown_with_their_ticks_and_reasons(run):
    assert [line.split()[0] for line in run().stdout.splitlines()] == NAMES
    assert "2026-08-01T12:01:00Z  short: 3 assets" in run().stdout
    first = {"name": NAMES[0], "tick": "2026-08-01T12:00:00Z", "reasons": ["no Bitcoin: the list before had it"]}
    assert orjson.loads(run("--json").stdout)[0] == first


def test_dropped_lists_are_gone_and_an_unknown_name_is_refused_with_those_that_exist(run):
    assert run("drop", NAMES[0]).stdout == f"{NAMES[0]}: dropped\n"
    assert [line.split()[0] for line in run().stdout.splitlines()] == NAMES[1:]
    failure = run("drop", NAMES[0]).exception
    assert isinstance(failure, SettingsRejected)
    assert NAMES[1] in str(failure)


def test_an_admitted_list_is_in_the_store_and_no_longer_in_doubt(run):
    assert run("admit", *NAMES).stdout == "".join(f"{name}: stored\n" for name in NAMES)
    assert run().stdout == ""


def test_a_list_that_is_named_twice_is_admitted_once(run):
    result = run("admit", NAMES[0], NAMES[0])
    assert (result.exit_code, result.stdout) == (0, f"{NAMES[0]}: stored\n")


@pytest.mark.parametrize("name", ["notes.snapshot", "a copy-1.snapshot", f"{'9' * 30}-sample.snapshot"])
def test_another_file_in_the_folder_is_no_list(spools, run, name):
    (spools / "price" / FOLDER / name).write_bytes(b"")
    assert [line.split()[0] for line in run().stdout.splitlines()] == NAMES


async def test_an_admitted_list_is_marked_as_the_new_level(spools):
    store = MemoryStore(FakeClock(NOON + 5 * MINUTE))
    file = stored_lists(spools / "price" / FOLDER)[0]
    assert await admit_file(file, store) == "stored"
    marker = await store.nearest("price", NOON)
    assert marker is not None
    assert (marker.tick, marker.new_level, marker.stored_at) == (NOON, True, NOON + 5 * MINUTE)


async def test_a_list_is_kept_when_its_tick_has_a_snapshot_or_the_store_is_away(spools):
    store = MemoryStore(FakeClock())
    await store.write(sample_snapshot(PRICE, NOON, 4))
    file = stored_lists(spools / "price" / FOLDER)[0]
    assert (await admit_file(file, store)).startswith("not stored: its tick has a snapshot")
    store.failure = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        await admit_file(file, store)
    assert len(stored_lists(spools / "price" / FOLDER)) == 2
