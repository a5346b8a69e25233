"""What a fill's stretches are: together the whole, in even parts."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from lib.simulator.history import Fill, shared

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def fill(start: datetime, stop: datetime) -> Fill:
    return Fill(
        source=Path("coindesk.toml"),
        store=Path("topcoins.db"),
        log_file=Path("history.log"),
        assets=500,
        seed=1,
        events_at=NOON,
        start=start,
        stop=stop,
        interval=MINUTE,
    )


@given(before=st.integers(0, 100), seconds=st.integers(0, 4000), of=st.integers(1, 9))
def test_stretches_are_the_whole_in_order_and_even(before, seconds, of):
    whole = fill(NOON - timedelta(seconds=before), NOON + timedelta(seconds=seconds))
    parts = [whole.stretch(number, of).ticks() for number in range(of)]
    assert [tick for part in parts for tick in part] == whole.ticks()
    assert max(map(len, parts)) - min(map(len, parts)) <= 2


def test_every_worker_gets_a_stretch_of_every_source():
    day = [fill(NOON - timedelta(days=1), NOON), fill(NOON - timedelta(days=1), NOON + MINUTE)]
    workers = [[Fill.model_validate(each) for each in json.loads(argument)] for argument in shared(day)]
    for number, whole in enumerate(day):
        assert [tick for fills in workers for tick in fills[number].ticks()] == whole.ticks()
