"""Another provider makes a list doubtful only together with a move that is large by itself."""

from datetime import timedelta

import polars as pl
import pytest

from lib.errors import SnapshotDoubtful
from lib.ingest.ids.compare import write_prices
from lib.ingest.judge import Judge
from lib.schema import ID, PRICE, VOLUME_RANK, Series
from lib.source import Reading
from lib.source.id_tables import OWN_USD
from tests.fakes import NOON

MINUTE = timedelta(minutes=1)
IDS = range(1, 61)


def reading(series: Series, by: float, minute: int) -> Reading:
    rows = pl.DataFrame(
        {
            ID: list(IDS),
            "symbol": [f"S{id_}" for id_ in IDS],
            "name": [f"N{id_}" for id_ in IDS],
            "usd": [by * (100.0 + id_) for id_ in IDS],
            "volume_usd": [by * 1e9 / id_ for id_ in IDS],
        }
    )
    return Reading("coinmarketcap", series, rows, len(rows), {}, 0.0, NOON + minute * MINUTE, timedelta(seconds=1))


@pytest.fixture
def judged(tmp_path):
    """Judges a list that moved by a factor, after one that did not; with a provider's list, if there is one."""

    def judge(by: float, *, provider: float | None, minutes_old: int = 5, series: Series = PRICE) -> list[str]:
        if provider is not None:
            theirs = pl.DataFrame({ID: list(IDS), OWN_USD: [provider * (100.0 + id_) for id_ in IDS]})
            at = NOON + MINUTE - minutes_old * MINUTE
            write_prices(tmp_path / "ids", Reading("acme", VOLUME_RANK, theirs, 60, {}, 0.0, at, MINUTE), theirs)
        judge = Judge(assets=60, folder=tmp_path / series.name, clock_check=False)
        before, _ = judge.admit(reading(series, 1.0, 0), NOON, before=None, interval=MINUTE)
        try:
            judge.admit(reading(series, by, 1), NOON + MINUTE, before=before, interval=MINUTE)
        except SnapshotDoubtful as exc:
            return str(exc).partition("doubtful: ")[2].split("; ")
        return []

    return judge


CONTRADICTED = ["acme contradicts: its prices of 11:56 UTC are those of the list before"]


def test_a_move_beyond_half_of_the_bound_is_in_doubt_if_a_provider_contradicts_it(judged):
    assert judged(1.25, provider=1.0) == CONTRADICTED
    assert judged(0.8, provider=1.001) == CONTRADICTED


@pytest.mark.parametrize("provider", [None, 1.25, 1.2])
def test_the_same_move_is_in_no_doubt_without_a_provider_or_with_one_that_moved_too(judged, provider):
    assert judged(1.25, provider=provider) == []


@pytest.mark.parametrize("provider", [0.5, 0.9, 1.0, 1.1, 3.0])
def test_disagreement_alone_makes_no_list_doubtful_not_even_in_the_worst_minute_of_a_crash(judged, provider):
    assert judged(1.0, provider=provider) == []
    assert judged(0.9, provider=provider) == []


def test_a_provider_that_did_not_agree_with_the_list_before_says_nothing(judged):
    assert judged(1.25, provider=0.8) == []


@pytest.mark.parametrize("minutes", [16, -1])
def test_prices_of_another_time_say_nothing(judged, minutes):
    assert judged(1.25, provider=1.0, minutes_old=minutes) == []


def test_volumes_have_no_second_opinion(judged):
    assert judged(3.0, provider=1.0, series=VOLUME_RANK) == []


def test_beyond_the_whole_bound_both_reasons_are_given(judged):
    assert [reason.split(":")[0] for reason in judged(1.5, provider=1.0)] == ["median of usd", "acme contradicts"]
