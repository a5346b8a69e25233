"""A fill: its parts are even and together the whole; its history has no gaps, or it reports them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ingest_rank
from lib.clock import slot, utc_now
from lib.schema import VOLUME_RANK
from lib.simulator import history
from lib.simulator.history import STRETCH, Fill, shared
from lib.store.sqlite import SqliteStore

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SOURCE = Path(ingest_rank.__path__[0]) / "coindesk.toml"


def fill(start: datetime, stop: datetime, *, source: Path = SOURCE, folder: Path = Path()) -> Fill:
    return Fill(
        source=source,
        store=folder / "topcoins.db",
        assets=20,
        events_at=NOON,
        start=start,
        stop=stop,
        interval=MINUTE,
    )


@given(before=st.integers(0, 100), seconds=st.integers(0, 12_000), of=st.integers(1, 9))
def test_the_workers_stretches_are_the_whole_and_even_and_the_newest_is_the_first(before, seconds, of):
    whole = fill(NOON - timedelta(seconds=before), NOON + timedelta(seconds=seconds))
    parts = [whole.model_copy(update={"worker": n, "workers": of}).stretches() for n in range(of)]
    assert sorted(tick for part in parts for stretch in part for tick in stretch) == whole.ticks()
    for part in parts:
        assert [stretch[0] for stretch in part] == sorted((stretch[0] for stretch in part), reverse=True)
        assert all(stretch == sorted(stretch) for stretch in part)
    counts = [sum(map(len, part)) for part in parts]
    assert max(counts) - min(counts) <= STRETCH
    newest = [part[0] for part in parts if part]
    assert {tick for stretch in newest for tick in stretch} == {*whole.ticks()[-len(newest) * STRETCH :]}


def test_every_worker_gets_stretches_of_every_source():
    day = [fill(NOON - timedelta(days=1), NOON), fill(NOON - timedelta(days=1), NOON + MINUTE)]
    workers = [[Fill.model_validate(each) for each in json.loads(argument)] for argument in shared(day)]
    for number, whole in enumerate(day):
        shares = [[tick for stretch in fills[number].stretches() for tick in stretch] for fills in workers]
        assert all(shares)
        assert sorted(tick for share in shares for tick in share) == whole.ticks()


async def test_a_fill_continues_where_it_was_interrupted(tmp_path):
    now = slot(utc_now(), MINUTE)  # a fill is a recent one: the store thins out what is old
    done: list[None] = []
    longer = STRETCH + 2
    for start in (now - 2 * MINUTE, now - longer * MINUTE):
        await history.fill(fill(start, now, folder=tmp_path), lambda: done.append(None))
    store = SqliteStore(tmp_path / "topcoins.db", clock=utc_now)
    found = await store.markers(now - timedelta(days=1), now, series=VOLUME_RANK.name)
    await store.close()
    assert [(marker.tick, marker.backfilled) for marker in found] == [
        (now - n * MINUTE, True) for n in range(longer, 0, -1)
    ]
    assert len(done) == 2 + longer


async def test_a_tick_without_a_snapshot_ends_the_fill(tmp_path):
    broken = tmp_path / "coindesk.toml"
    broken.write_text(SOURCE.read_text().replace('path = "/asset/', 'path = "/nowhere/'))
    done: list[None] = []
    with pytest.raises(
        RuntimeError, match=r"^coindesk: no snapshot for 2026-01-01 11:59:00\+00:00; the log has the reason$"
    ):
        await history.fill(fill(NOON - MINUTE, NOON, source=broken, folder=tmp_path), lambda: done.append(None))
    assert not done
