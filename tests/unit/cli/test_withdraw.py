"""`topcoins withdraw`: ticks stop answering, and answer again."""

import asyncio
from datetime import timedelta

import orjson
import pytest
import structlog
from typer.testing import CliRunner

from lib.cli import withdraw
from lib.cli.app import app
from lib.errors import SettingsRejected
from lib.schema import PRICE
from lib.store.sqlite import SqliteStore
from tests.fakes import NOON, FakeClock
from tests.sample import sample_snapshot

MINUTE = timedelta(minutes=1)
SPAN = ("--series", "price", "--from", "2026-08-01T12:01Z", "--to", "2026-08-01T12:02Z")


@pytest.fixture
def store(tmp_path):
    return SqliteStore(tmp_path / "t.db", clock=FakeClock(NOON + timedelta(hours=1)))


@pytest.fixture
def run(tmp_path, store):
    async def fill() -> None:
        for n in range(4):
            await store.write(sample_snapshot(PRICE, NOON + n * MINUTE, 3))

    asyncio.run(fill())

    def invoke(*arguments):
        environ = {"TOPCOINS_STORE_URL": f"sqlite:///{tmp_path / 't.db'}"}
        with structlog.testing.capture_logs():
            return CliRunner().invoke(app, [withdraw.withdraw.__name__, *arguments], env=environ)

    return invoke


def answering(store: SqliteStore) -> list[int]:
    return [tick.minute for tick in asyncio.run(store.ticks("price", NOON, NOON + timedelta(hours=1)))]


def test_withdrawn_ticks_no_longer_answer_and_an_undone_withdrawal_answers_again(run, store):
    assert run(*SPAN, "--why", "wrong coin").stdout == (
        "2 ticks of price withdrawn, from 2026-08-01T12:01:00Z to 2026-08-01T12:02:00Z\n"
    )
    assert answering(store) == [0, 3]
    assert asyncio.run(store.nearest("price", NOON + MINUTE)).withdrawn_why == "wrong coin"
    undone = orjson.loads(run(*SPAN, "--undo", "--json").stdout)
    assert undone == {"series": "price", "undo": True, "ticks": ["2026-08-01T12:01:00Z", "2026-08-01T12:02:00Z"]}
    assert answering(store) == [0, 1, 2, 3]


def test_a_span_without_ticks_changes_nothing(run, store):
    span = ("--series", "price", "--from", "2026-08-01T13:00Z", "--to", "2026-08-01T13:30Z")
    assert run(*span, "--why", "x").stdout == "0 ticks of price withdrawn\n"
    assert answering(store) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (SPAN, "--why: a withdrawal needs its reason; for example"),
        ((*SPAN, "--why", " "), "--why: a withdrawal needs its reason; for example"),
        (("--series", "prices", *SPAN[2:], "--why", "x"), "--series prices: must be one of price, volume_rank;"),
        (
            ("--series", "price", "--from", "soon", "--to", "now", "--why", "x"),
            "--from 'soon' is no instant; write for",
        ),
        (
            ("--series", "price", "--from", "2026-08-02", "--to", "2026-08-01", "--why", "x"),
            "--to 2026-08-01 is before --from 2026-08-02; for example --from 2026-08-01 --to 2026-08-02",
        ),
    ],
)
def test_a_wrong_argument_is_named_with_an_example_and_nothing_changes(run, store, arguments, message):
    exc = run(*arguments).exception
    assert isinstance(exc, SettingsRejected)
    assert str(exc).startswith(message)
    assert answering(store) == [0, 1, 2, 3]
