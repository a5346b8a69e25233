"""Poisoned lists are kept apart; markets that crash, real lists and lists of a new level get through."""

import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from structlog.testing import capture_logs

import ingest_price
import ingest_rank
from lib.errors import SnapshotDoubtful, SnapshotRefused
from lib.ingest.doubtful import AGREEING, FOLDER, MOST, count_doubtful, reasons_of, stored_lists, tick_of
from lib.ingest.judge import MOST_ABSENT, Judge, JudgeState
from lib.ingest.missed import cause_of
from lib.ingest.plausible import LONG_LIST
from lib.schema import PRICE, VOLUME_RANK, Series
from lib.snapshot import Snapshot
from lib.snapshot_file import decode
from lib.source import Reading, read_source
from lib.source.extract import Extractor
from tests.fakes import NOON, recorded

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
ASSETS = 300
BITCOIN = 1

Row = dict[str, Any]
Change = Callable[[list[Row]], list[Row]]


def market(assets: int = ASSETS, *, seed: int = 1) -> list[Row]:
    """A made-up list by market capitalisation: Bitcoin first."""
    dice = random.Random(seed)
    return [
        {"cmc_id": place, "symbol": f"A{place}", "name": f"Asset {place}", "usd": 60_000 / place * dice.uniform(0.5, 2)}
        | {"volume_usd": 3e10 / place**1.2 * dice.uniform(0.8, 1.2), "market_cap_usd": 1e12 / place}
        for place in range(1, assets + 1)
    ]


def moved(by: float, volumes: float = 1.0) -> Change:
    return lambda rows: [row | {"usd": row["usd"] * by, "volume_usd": row["volume_usd"] * volumes} for row in rows]


def with_row(place: int, **values: float) -> Change:
    return lambda rows: [row | values if n == place else row for n, row in enumerate(rows)]


def same(rows: list[Row]) -> list[Row]:
    return rows


class Stream:
    """One series' lists in the order they come, through one judge."""

    def __init__(self, series: Series = PRICE, folder: Path | None = None, assets: int = 5000) -> None:
        self.series = series
        self.folder = folder
        self.assets = assets
        self.judge = Judge(assets=assets, folder=folder)
        self.before: Snapshot | None = None
        self.now = NOON
        self.rejected: dict[str, int] = {}

    def restart(self) -> None:
        self.judge = Judge(assets=self.assets, folder=self.folder)

    def send(self, rows: Sequence[Row], *, after: timedelta = MINUTE, source: str = "acme") -> Snapshot:
        self.now += after
        frame = pl.DataFrame(list(rows), schema_overrides={"usd": pl.Float64, "volume_usd": pl.Float64})
        reading = Reading(source, self.series, frame, len(rows), {}, 1.0, self.now, timedelta(seconds=1))
        snapshot, rejected = self.judge.admit(reading, self.now, before=self.before, interval=MINUTE)
        self.before, self.rejected = snapshot, dict(rejected)
        return snapshot

    def doubt(self, rows: Sequence[Row], *, after: timedelta = MINUTE, source: str = "acme") -> str:
        with pytest.raises(SnapshotDoubtful) as doubt:
            self.send(rows, after=after, source=source)
        assert cause_of(doubt.value) == "doubtful"
        return str(doubt.value)


POISON: dict[str, tuple[Series, Change, str]] = {
    "all prices times 16.5 million": (PRICE, moved(16_500_000), "median of usd"),
    "all prices in another unit": (PRICE, moved(1e-3), "median of usd"),
    "all prices a third higher and more": (PRICE, moved(1.5), "median of usd"),
    "prices of other coins": (PRICE, lambda rows: shifted(rows, "usd"), "median of usd"),
    "all prices 1": (PRICE, lambda rows: [row | {"usd": 1.0} for row in rows], "one value"),
    "most prices one value": (
        PRICE,
        lambda rows: [row | ({"usd": 3.5} if n % 10 else {}) for n, row in enumerate(rows)],
        "one value",
    ),
    "no Bitcoin": (PRICE, lambda rows: rows[1:], "no Bitcoin"),
    "no Bitcoin in the ranks": (VOLUME_RANK, lambda rows: rows[1:], "no Bitcoin"),
    "no first places": (PRICE, lambda rows: rows[:1] + rows[6:], "first places: 5 of the first 10 vanished"),
    "no first places in the ranks": (VOLUME_RANK, lambda rows: rows[:1] + rows[6:], "first places: 5"),
    "unknown coins in first places": (
        VOLUME_RANK,
        lambda rows: [*rows, *({"cmc_id": 9000 + n, "volume_usd": 2e10} for n in range(5))],
        "are new in the first 30",
    ),
    "other coins": (PRICE, lambda rows: [row | {"cmc_id": row["cmc_id"] + 9000} for row in rows], "other assets"),
    "all volumes 0": (VOLUME_RANK, lambda rows: [row | {"volume_usd": 0.0} for row in rows], "no volume"),
    "all volumes 1": (VOLUME_RANK, lambda rows: [row | {"volume_usd": 1.0} for row in rows], "one value"),
    "all volumes in thousands": (VOLUME_RANK, moved(1, 1e-3), "median of volume_usd"),
    "all volumes times a million": (VOLUME_RANK, moved(1, 1e6), "median of volume_usd"),
    "under half of the list": (PRICE, lambda rows: rows[:149], "short: 149 assets are under half of the 300"),
    "a part of the prices times a thousand": (
        PRICE,
        lambda rows: [row | ({"usd": row["usd"] * 1e3} if n % 3 == 0 else {}) for n, row in enumerate(rows)],
        "jumps: 100 of 300",
    ),
    "a part of the prices times fifty": (
        PRICE,
        lambda rows: [row | ({"usd": row["usd"] * 50} if n % 5 < 2 else {}) for n, row in enumerate(rows)],
        "jumps: 120 of 300",
    ),
    "a part of the volumes times a thousand": (
        VOLUME_RANK,
        lambda rows: [
            row | ({"volume_usd": row["volume_usd"] * 1e3} if n % 5 < 2 else {}) for n, row in enumerate(rows)
        ],
        "jumps: 120 of 300",
    ),
    "volumes of other coins": (
        VOLUME_RANK,
        lambda rows: [
            row | {"volume_usd": other["volume_usd"]} for row, other in zip(rows, reversed(rows), strict=True)
        ],
        "first places: 10 of the first 10 vanished from the first 30",
    ),
    "a page that came twice": (PRICE, lambda rows: rows[:150] + rows[:150], "duplicates: 150 of 300 rows repeat an id"),
}


def shifted(rows: list[Row], column: str) -> list[Row]:
    values = [row[column] for row in rows]
    return [row | {column: values[(n + 100) % len(values)]} for n, row in enumerate(rows)]


@pytest.mark.parametrize("name", POISON)
def test_a_poisoned_list_is_kept_apart_with_its_figures_and_the_next_sound_one_gets_through(name, tmp_path):
    series, change, reason = POISON[name]
    stream = Stream(series, tmp_path)
    good = stream.send(market())
    with capture_logs() as logs:
        assert reason in stream.doubt(change(market()))
    assert [entry["event"] for entry in logs] == ["list is doubtful: it is kept apart, not stored"]
    (file,) = stored_lists(tmp_path / FOLDER)
    assert (tick_of(file), reasons_of(file)) == (stream.now, logs[0]["reasons"])
    assert len(decode(file.read_bytes()).rows) == len({row["cmc_id"] for row in change(market())})
    after = stream.send(market())
    assert (after.marker.assets, after.marker.new_level) == (good.marker.assets, False)


@pytest.mark.parametrize("series", [PRICE, VOLUME_RANK])
@pytest.mark.parametrize("change", [same, moved(1.02, 1.02), moved(0.8, 1.5), lambda rows: rows[:150]])
def test_what_a_market_does_gets_through(series, change):
    stream = Stream(series)
    stream.send(market())
    assert not stream.send(change(market())).marker.new_level


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_a_market_that_falls_sixty_percent_in_ten_minutes_gets_through(steps):
    stream = Stream()
    stream.send(market())
    for step in range(1, steps + 1):
        rows = moved(0.4 ** (step / steps), 1 + step / steps)(market())
        assert not stream.send(rows, after=10 * MINUTE / steps).marker.new_level


def test_the_bounds_grow_with_the_time_between_two_lists():
    for after, passes in ((MINUTE, False), (30 * MINUTE, True)):
        stream = Stream()
        stream.send(market())
        if passes:
            stream.send(moved(0.5)(market()), after=after)
        else:
            stream.doubt(moved(0.5)(market()), after=after)


def test_three_lists_that_agree_set_the_new_level_and_their_marker_has_new_level(tmp_path):
    stream = Stream(folder=tmp_path)
    stream.send(market())
    for _ in range(AGREEING - 1):
        stream.doubt(moved(1e-3)(market()))
    with capture_logs() as logs:
        assert stream.send(moved(1e-3)(market())).marker.new_level
    (entry,) = logs
    assert (entry["event"], entry["why"]) == (
        "doubtful list accepted as the new level",
        "3 lists agree with each other",
    )
    assert not stream.send(moved(1e-3)(market())).marker.new_level


def test_lists_that_disagree_with_each_other_set_no_level():
    stream = Stream()
    stream.send(market())
    for n in range(6):
        stream.doubt(moved(10.0 ** (n + 2))(market()))


def test_a_sound_list_between_doubtful_ones_ends_the_doubt():
    stream = Stream()
    for _ in range(3):
        stream.send(market())
        stream.doubt(moved(1e-3)(market()))
        stream.doubt(moved(1e-3)(market()))


@pytest.mark.parametrize("change", [POISON["all prices 1"][1]])
def test_a_list_with_a_fault_of_its_own_confirms_nothing_for_a_day(change):
    stream = Stream()
    stream.send(market())
    for _ in range(5):
        stream.doubt(change(market()))
    assert stream.send(change(market()), after=DAY).marker.new_level
    assert not stream.send(change(market())).marker.new_level


def test_a_list_with_a_fault_of_its_own_is_no_new_level_when_it_is_the_first_after_an_outage(tmp_path):
    stream = Stream(folder=tmp_path)
    stream.send(market())
    poisoned = POISON["all prices 1"][1](market())
    stream.doubt(poisoned, after=2 * DAY)
    stream.restart()
    stream.doubt(poisoned)
    assert stream.send(poisoned, after=DAY).marker.new_level


def test_a_list_that_is_shorter_for_good_is_the_new_level_after_three(tmp_path):
    stream = Stream(folder=tmp_path, assets=1000)
    stream.send(market(1000))
    assert "short: 400 assets" in stream.doubt(market(1000)[:400])
    stream.doubt(market(1000)[:400])
    assert stream.send(market(1000)[:400]).marker.new_level


def test_half_of_fewer_assets_asked_for_is_enough():
    stream = Stream(assets=20)
    stream.send(market(100))
    assert not stream.send(market(100)[:10]).marker.new_level
    assert "under half of the 20" not in stream.doubt(market(100)[:4])


@pytest.mark.parametrize("change", [moved(0.1), lambda rows: rows[:100]])
def test_the_snapshot_before_counts_for_a_day_at_most(change):
    stream = Stream()
    stream.send(market())
    stream.doubt(change(market()), after=DAY - 2 * MINUTE)
    assert stream.send(change(market()), after=2 * MINUTE).marker.new_level


def test_after_a_restart_the_doubtful_lists_of_before_still_count(tmp_path):
    stream = Stream(folder=tmp_path)
    stream.send(market())
    for _ in range(AGREEING - 1):
        stream.doubt(moved(1e-3)(market()))
        stream.restart()
    assert stream.send(moved(1e-3)(market())).marker.new_level


def test_lists_of_two_sources_do_not_confirm_each_other():
    stream = Stream()
    stream.send(market())
    for source in ("acme", "other", "acme", "other"):
        stream.doubt(moved(1e-3)(market()), source=source)
    assert stream.send(moved(1e-3)(market())).marker.new_level


def test_two_sources_may_count_other_volumes_but_not_other_prices():
    stream = Stream(VOLUME_RANK)
    stream.send(market())
    assert not stream.send(moved(1, 0.01)(market()), source="other").marker.new_level
    prices = Stream()
    prices.send(market())
    prices.doubt(moved(0.01)(market()), source="other")


def test_the_folder_of_doubtful_lists_is_bounded(tmp_path):
    stream = Stream(folder=tmp_path)
    stream.send(market(5))
    for n in range(MOST + 3):
        stream.doubt(moved(10.0 ** (3 * (n % 2) + 2))(market(5)))
    assert count_doubtful(tmp_path) == MOST
    assert len(list((tmp_path / FOLDER).iterdir())) == 2 * MOST


# A list that is compared with nothing


def first_list() -> list[Row]:
    """The made-up market, and the two coins that are redeemable for a dollar."""
    tether = {"cmc_id": 825, "symbol": "USDT", "usd": 0.9996, "volume_usd": 4e10}
    usd_coin = {"cmc_id": 3408, "symbol": "USDC", "usd": 1.0001, "volume_usd": 5e9}
    return [*market(), tether, usd_coin]


UNLIKE: dict[str, tuple[Series, Change, str]] = {
    "all prices times 16.5 million": (PRICE, moved(16_500_000), "price of Bitcoin: "),
    "all prices times a thousand": (PRICE, moved(1e3), "price of Bitcoin: "),
    "all prices in thousands": (PRICE, moved(1e-3), "no dollar: USDT at 0.0009996 and USDC at 0.001 of a dollar"),
    "all prices in bitcoins": (PRICE, moved(1 / 60_000), "price of Bitcoin: "),
    "all prices in euros": (PRICE, moved(0.95), "no dollar: USDT at 0.9496 and USDC at 0.9501"),
    "prices of other coins": (PRICE, lambda rows: shifted(rows, "usd"), "no dollar"),
    "no Bitcoin": (PRICE, lambda rows: rows[1:], "no Bitcoin"),
    "no Bitcoin in the ranks": (VOLUME_RANK, lambda rows: rows[1:], "no Bitcoin"),
    "other ids": (PRICE, lambda rows: [row | {"cmc_id": row["cmc_id"] + 9000} for row in rows], "no Bitcoin"),
    "all volumes in thousands": (VOLUME_RANK, moved(1, 1e-3), "volume of Bitcoin: "),
    "all volumes times a hundred": (VOLUME_RANK, moved(1, 1e2), "whole volume: "),
    "several trillions": (
        VOLUME_RANK,
        lambda rows: [row | ({"volume_usd": 8e12} if n < 3 else {}) for n, row in enumerate(rows)],
        "whole volume: ",
    ),
}


@pytest.mark.parametrize("name", UNLIKE)
@pytest.mark.parametrize("days_before", [0, 2])
def test_a_list_unlike_any_market_is_doubtful_as_the_first_one_ever_and_as_the_first_after_days(
    name, days_before, tmp_path
):
    series, change, reason = UNLIKE[name]
    stream = Stream(series, tmp_path)
    if days_before:
        stream.send(first_list())
    assert reason in stream.doubt(change(first_list()), after=days_before * DAY + MINUTE)
    for _ in range(AGREEING):
        stream.doubt(change(first_list()))
    assert count_doubtful(tmp_path) == AGREEING + 1
    assert not stream.send(first_list(), after=timedelta(0)).marker.rejected


@pytest.mark.parametrize("name", UNLIKE)
def test_a_list_unlike_any_market_that_was_admitted_is_the_measure_of_the_next_ones(name, tmp_path):
    series, change, _ = UNLIKE[name]
    stream = Stream(series, tmp_path)
    stream.doubt(change(first_list()))
    stream.before = decode(stored_lists(tmp_path / FOLDER)[0].read_bytes())
    for after in (MINUTE, 2 * DAY):
        assert stream.send(change(first_list()), after=after).marker.assets


def test_one_dollar_that_lost_its_peg_makes_no_doubt():
    stream = Stream()
    rows = [row | ({"usd": 0.88} if row["cmc_id"] == 3408 else {}) for row in first_list()]
    assert not stream.send(rows).marker.new_level


def test_an_id_counts_as_a_dollar_only_with_the_dollars_symbol():
    assert Stream().send(market(1000)).marker.assets == 1000


def test_bounds_on_a_first_list_do_not_judge_a_short_list_or_one_of_an_early_year():
    assert Stream().send(moved(1e-6)(market(LONG_LIST - 1))).marker.assets == LONG_LIST - 1
    early = Stream(VOLUME_RANK)
    early.now = datetime.fromisoformat("2015-01-01T00:00Z")
    assert not early.send(moved(1, 1e-3)(market())).marker.new_level


def test_a_volume_above_all_others_is_rejected_in_a_first_list_too():
    stream = Stream(VOLUME_RANK)
    rows = with_row(50, volume_usd=1e12)(market())
    assert stream.send(rows).marker.rejected == 1
    assert stream.send(rows).marker.rejected == 0


# Single rows


@pytest.mark.parametrize("by", [101, 1 / 101, 1e9])
def test_a_price_that_jumps_a_hundredfold_is_rejected_until_the_next_list_confirms_it(by):
    stream = Stream()
    stream.send(market())
    jumped = with_row(50, usd=market()[50]["usd"] * by)(market())
    assert stream.send(jumped).marker.assets == ASSETS - 1
    assert stream.rejected == {"usd moved a hundredfold": 1}
    assert stream.send(jumped).marker.assets == ASSETS
    assert stream.rejected == {}
    assert stream.send(jumped).marker.assets == ASSETS


def test_a_price_that_returns_is_accepted_and_one_that_jumps_further_is_rejected_again():
    stream = Stream()
    usd = market()[50]["usd"]
    stream.send(market())
    for by, assets in ((1e3, ASSETS - 1), (1e6, ASSETS - 1), (1, ASSETS), (1e3, ASSETS - 1), (1.5e3, ASSETS)):
        assert stream.send(with_row(50, usd=usd * by)(market())).marker.assets == assets


@pytest.mark.parametrize("series", [PRICE, VOLUME_RANK])
@pytest.mark.parametrize(
    "between", ["nothing", "a restart", "a list without it", "both", "twenty-three hours without it"]
)
def test_a_row_that_jumps_is_rejected_after_a_restart_and_after_its_absence(series, between, tmp_path):
    stream, rows = Stream(series, tmp_path / series.name), market()
    jumped = with_row(5, usd=rows[5]["usd"] * 150, volume_usd=1e13)(rows)
    stream.send(rows)
    if between in ("a list without it", "both"):
        stream.send(rows[:5] + rows[6:])
    if between.startswith("twenty"):
        for _ in range(23):
            stream.send(rows[:5] + rows[6:], after=60 * MINUTE)
            stream.restart()
    if between in ("a restart", "both"):
        stream.restart()
    assert 6 not in stream.send(jumped).rows["cmc_id"]
    assert sum(stream.rejected.values()) == 1
    if between in ("a restart", "both"):
        stream.restart()
    assert 6 in stream.send(jumped).rows["cmc_id"]  # confirmed


def test_an_asset_that_comes_back_after_a_day_or_at_a_new_level_is_not_compared(tmp_path):
    stream, rows = Stream(PRICE, tmp_path / "price"), market()
    without, jumped = rows[:5] + rows[6:], with_row(5, usd=rows[5]["usd"] * 150)
    stream.send(rows)
    for _ in range(24):
        stream.send(without, after=60 * MINUTE)
    assert 6 in stream.send(jumped(rows)).rows["cmc_id"]
    stream.send(without)
    higher = moved(1000)(without)
    for _ in range(AGREEING - 1):
        stream.doubt(higher)
    assert stream.send(higher).marker.new_level
    assert 6 in stream.send(moved(1000)(jumped(rows))).rows["cmc_id"]


def test_of_the_absent_assets_the_newest_are_remembered():
    assets = market(MOST_ABSENT + 350)
    listed, early, late = assets[:300], assets[300:400], assets[400:]
    lists = ([*listed, *early], [*listed, *late], listed)
    first, second, third = (Stream().send(rows, after=number * MINUTE) for number, rows in enumerate(lists))
    state = JudgeState(absent=JudgeState().after(second, first, {}))
    assert {*state.absent} == {row["cmc_id"] for row in early}
    remembered = state.after(third, second, {})
    assert len(remembered) == MOST_ABSENT
    assert {row["cmc_id"] for row in late} <= {*remembered}


def test_the_day_after_which_a_doubt_ends_goes_on_over_restarts(tmp_path):
    stream, rows = Stream(PRICE, tmp_path / "price"), market()
    stream.send(rows)
    ones = [row | {"usd": 1.0} for row in rows]
    for _ in range(47):
        stream.doubt(ones, after=30 * MINUTE)
        stream.restart()
    stream.doubt(ones, after=30 * MINUTE)
    assert stream.send(ones, after=30 * MINUTE).marker.new_level


def test_a_price_that_moves_ninety_ninefold_gets_through():
    stream = Stream()
    stream.send(market())
    assert stream.send(with_row(50, usd=market()[50]["usd"] * 99)(market())).marker.assets == ASSETS


@pytest.mark.parametrize("new_coin", [False, True])
def test_a_volume_above_all_others_is_rejected_until_the_next_list_confirms_it(new_coin):
    stream = Stream(VOLUME_RANK)
    stream.send(market())
    rows = [*market(), {"cmc_id": 9999, "volume_usd": 8e12}] if new_coin else with_row(50, volume_usd=8e12)(market())
    first = stream.send(rows)
    assert first.rows.filter(pl.col("volume_usd") == 8e12).is_empty()
    assert first.rows.filter(pl.col("rank") == 1)["cmc_id"].to_list() == [BITCOIN]
    assert sum(stream.rejected.values()) == 1
    assert stream.send(rows).rows["volume_usd"].max() == 8e12


def test_two_volumes_above_all_others_do_not_hide_each_other():
    stream = Stream(VOLUME_RANK)
    stream.send(market())
    rows = [row | ({"volume_usd": 8e12} if row["cmc_id"] in (50, 60) else {}) for row in market()]
    assert stream.send(rows).marker.assets == ASSETS - 2
    assert stream.send(rows).marker.assets == ASSETS


def test_a_general_rise_of_volumes_rejects_no_row():
    stream = Stream(VOLUME_RANK)
    stream.send(market())
    assert stream.send(moved(1, 15)(market()), after=timedelta(hours=20)).marker.rejected == 0


@pytest.mark.parametrize(("assets", "rejected"), [(49, 0), (50, 1)])
def test_a_short_list_may_have_one_asset_above_all_others(assets, rejected):
    stream = Stream(VOLUME_RANK)
    stream.send(market(assets))
    stream.send(with_row(30, volume_usd=8e12)(market(assets)))
    assert sum(stream.rejected.values()) == rejected


# What really happened


SOURCES = {
    "price": read_source(Path(ingest_price.__path__[0]) / "coinmarketcap.toml"),
    "volume_rank": read_source(Path(ingest_rank.__path__[0]) / "coinmarketcap.toml"),
}
REAL = ("cmc-listings-latest-1000-20210629T0023Z", "cmc-sandbox-listings-latest-10-20190814T1251Z")
STEP = ("cmc-listings-latest-100-20240317T1034Z", "cmc-listings-latest-100-20240317T1203Z")


def real(name: str, series: str, tick: datetime, judge: Judge, before: Snapshot | None = None) -> Snapshot:
    records = recorded(name)["data"]
    rows, lost = Extractor(SOURCES[series]).rows(records)
    reading = Reading("cmc", SOURCES[series].values, rows, len(records), lost, 0, tick, MINUTE)
    return judge.admit(reading, tick, before=before, interval=MINUTE)[0]


@pytest.mark.parametrize("series", SOURCES)
@pytest.mark.parametrize("name", [*REAL, *STEP])
def test_a_recorded_list_gets_through_as_the_first(name, series):
    assert not real(name, series, NOON, Judge(assets=5000)).marker.new_level


@pytest.mark.parametrize("series", SOURCES)
def test_two_recorded_lists_get_through_as_a_step_without_a_reject_more(series):
    judge = Judge(assets=5000)
    first = real(STEP[0], series, datetime.fromisoformat("2024-03-17T10:34Z"), judge)
    second = real(STEP[1], series, datetime.fromisoformat("2024-03-17T12:03Z"), judge, first)
    assert not second.marker.new_level
    assert second.marker.rejected == first.marker.rejected


def test_a_list_without_a_sound_row_is_refused_and_not_kept_as_doubtful(tmp_path):
    stream = Stream(folder=tmp_path)
    with pytest.raises(SnapshotRefused) as refused:
        stream.send([row | {"usd": 0.0} for row in market()])
    assert not isinstance(refused.value, SnapshotDoubtful)
    assert not count_doubtful(tmp_path)


def test_a_wild_market_raises_no_alarm():
    """A day of 10 % daily volatility in ten-minute steps, where one asset in a hundred jumps fivefold."""
    dice = np.random.default_rng(7)
    stream = Stream(VOLUME_RANK), Stream(PRICE)
    rows = market(200)
    for _ in range(144):
        moves = np.exp(dice.normal(0, 0.1 / np.sqrt(144), (2, 200)))
        moves[:, dice.random(200) < 0.01 / 144] *= 5
        rows = [
            row | {"usd": row["usd"] * price, "volume_usd": row["volume_usd"] * volume}
            for row, price, volume in zip(rows, *moves, strict=True)
        ]
        for each in stream:
            assert not each.send(rows, after=10 * MINUTE).marker.new_level
            assert not each.rejected
