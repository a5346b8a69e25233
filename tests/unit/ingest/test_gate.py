"""The gate: which rows get through, which snapshots do, and that every record is accounted for."""

import math
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import ingest_price
import ingest_rank
from lib.errors import SnapshotRefused
from lib.ingest.gate import admit
from lib.schema import LARGEST_ID, LONGEST_TEXT, PRICE, TIER_PLACES, VOLUME_RANK, Series
from lib.snapshot import Snapshot, unpack_ids
from lib.source import Reading, read_source
from lib.source.extract import Extractor
from tests.fakes import NOON, recorded

PRICES = read_source(Path(ingest_price.__path__[0]) / "coinmarketcap.toml")
RANKS = read_source(Path(ingest_rank.__path__[0]) / "coinmarketcap.toml")

MINUTE = timedelta(minutes=1)
MARKET_CAP = Series("market_cap", (), ("market_cap_usd", "supply"))
RAW: dict[str, dict[str, Any]] = {
    "price": {"cmc_id": pl.Int64, "symbol": pl.String, "name": pl.String, "usd": pl.Float64, "volume_usd": pl.Float64},
    "volume_rank": {"cmc_id": pl.Int64, "volume_usd": pl.Float64},
    "market_cap": {"cmc_id": pl.Int64, "market_cap_usd": pl.Float64, "supply": pl.Float64},
}


def reading(rows, series: Series = PRICE, *, lost=None, **more) -> Reading:
    lost = lost or {}
    frame = pl.DataFrame(rows, schema=RAW[series.name] | more, orient="row")
    return Reading("acme", series, frame, len(rows) + sum(lost.values()), lost, 2.5, NOON, timedelta(seconds=3))


def priced(*ids: int) -> Reading:
    return reading([(id_, "ABC", "Abc", 1.0, 1.0) for id_ in ids])


def ranked(*volumes: float) -> Reading:
    return reading([(id_, volume) for id_, volume in enumerate(volumes, 1)], VOLUME_RANK)


def admitted(found: Reading, **more) -> Snapshot:
    return admit(found, NOON, MINUTE, **more)[0]


def refusal(found: Reading, **more) -> SnapshotRefused:
    with pytest.raises(SnapshotRefused) as refused:
        admit(found, NOON, MINUTE, **more)
    return refused.value


UNTOLD = {"market_cap_usd": None, "stablecoin": None, "wrapped": None}
SOUND = (1, "BTC", "Bitcoin", 60000.0, 5.0)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((None, "A", "A", 1.0, 1.0), "cmc_id is missing or not a whole number"),
        ((0, "A", "A", 1.0, 1.0), "cmc_id is not above 0"),
        ((-5, "A", "A", 1.0, 1.0), "cmc_id is not above 0"),
        ((LARGEST_ID + 1, "A", "A", 1.0, 1.0), f"cmc_id is above {LARGEST_ID}"),
        ((2, "A", "A", None, 1.0), "usd is missing or not a number"),
        ((2, "A", "A", math.nan, 1.0), "usd is not a finite number"),
        ((2, "A", "A", math.inf, 1.0), "usd is not a finite number"),
        ((2, "A", "A", -math.inf, 1.0), "usd is not a finite number"),
        ((2, "A", "A", 0.0, 1.0), "usd is not above 0"),
        ((2, "A", "A", -1.0, 1.0), "usd is not above 0"),
        ((2, "A", "A", 1.0, math.nan), "volume_usd is not a finite number"),
        ((2, "A", "A", 1.0, math.inf), "volume_usd is not a finite number"),
        ((2, "A", "A", 1.0, -1.0), "volume_usd is below 0"),
        ((2, "A" * (LONGEST_TEXT + 1), "A", 1.0, 1.0), f"symbol is over {LONGEST_TEXT} characters"),
        ((2, "A", "É" * (LONGEST_TEXT + 1), 1.0, 1.0), f"name is over {LONGEST_TEXT} characters"),
    ],
)
def test_a_price_row_is_rejected_with_its_reason_counted(row, reason):
    snapshot, rejected = admit(reading([SOUND, row, row]), NOON, MINUTE)
    assert rejected == {reason: 2}
    assert snapshot.rows["cmc_id"].to_list() == [1]
    assert (snapshot.marker.assets, snapshot.marker.rejected, snapshot.marker.duplicates) == (1, 2, 0)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((None, 1.0), "cmc_id is missing or not a whole number"),
        ((2, None), "volume_usd is missing or not a number"),
        ((2, math.nan), "volume_usd is not a finite number"),
        ((2, -0.5), "volume_usd is below 0"),
    ],
)
def test_a_rank_row_is_rejected_with_its_reason_counted(row, reason):
    snapshot, rejected = admit(reading([(1, 5.0), row], VOLUME_RANK), NOON, MINUTE)
    assert rejected == {reason: 1}
    assert snapshot.rows["cmc_id"].to_list() == [1]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((2, None, None), "every value is missing"),
        ((2, math.nan, 1.0), "market_cap_usd is not a finite number"),
        ((2, 1.0, math.inf), "supply is not a finite number"),
        ((0, 1.0, 1.0), "cmc_id is not above 0"),
    ],
)
def test_a_row_of_a_third_series_is_rejected_with_its_reason_counted(row, reason):
    snapshot, rejected = admit(reading([(1, 5.0, None), row], MARKET_CAP), NOON, MINUTE)
    assert rejected == {reason: 1}
    assert snapshot.rows.to_dicts() == [{"cmc_id": 1, "tier": 0, "market_cap_usd": 5.0, "supply": None}]


def test_a_row_with_several_faults_counts_once():
    _, rejected = admit(reading([SOUND, (None, "A" * 999, "A", math.nan, -1.0)]), NOON, MINUTE)
    assert rejected == {"cmc_id is missing or not a whole number": 1}


def test_records_that_gave_no_row_are_counted_with_the_rejected():
    snapshot, rejected = admit(reading([SOUND], lost={"record is not an object": 3}), NOON, MINUTE)
    assert rejected == {"record is not an object": 3}
    assert snapshot.marker.rejected == 3


def test_a_price_without_a_volume_is_sound_and_a_tag_or_time_may_be_missing():
    found = reading([(2, None, None, 1e-8, None, math.nan), (*SOUND, 7.0)], updated_at=pl.Float64)
    assert admitted(found).rows.to_dicts() == [
        {"cmc_id": 1, "symbol": "BTC", "name": "Bitcoin", "tier": 0, "usd": 60000.0, "updated_at": 7.0, **UNTOLD},
        {"cmc_id": 2, "symbol": None, "name": None, "tier": 0, "usd": 1e-8, "updated_at": None, **UNTOLD},
    ]


@pytest.mark.parametrize(
    ("name", "kept", "lost"),
    [
        ("market_cap_usd", [1e12, 0.5], [0.0, -1.0, math.nan, math.inf, None]),
        ("stablecoin", [0.0, 1.0], [0.5, -1.0, 2.0, math.nan, math.inf, None]),
        ("wrapped", [0.0, 1.0], [0.5, -1.0, 2.0, math.nan, math.inf, None]),
    ],
)
def test_an_invalid_cap_or_flag_becomes_null_and_its_price_stays(name, kept, lost):
    rows = [(id_, "A", "A", 1.0, 1.0, value) for id_, value in enumerate([*kept, *lost], 1)]
    snapshot, rejected = admit(reading(rows, PRICE, lost=None, **{name: pl.Float64}), NOON, MINUTE)
    assert snapshot.rows[name].to_list() == [*kept, *[None] * len(lost)]
    assert not rejected


def test_a_text_of_the_greatest_length_is_sound():
    assert admitted(reading([(1, "A" * LONGEST_TEXT, "É" * LONGEST_TEXT, 1.0, 1.0)])).marker.assets == 1


def test_control_characters_of_a_record_do_not_reach_the_snapshot():
    record = {"id": 1, "symbol": "BT\x00C", "name": "Bit\r\ncoin", "quote": {"USD": {"price": 1, "volume_24h": 1}}}
    rows, _ = Extractor(PRICES).rows([record])
    found = Reading("acme", PRICE, rows, 1, {}, 0, NOON, MINUTE)
    assert admitted(found).rows.select("symbol", "name").row(0) == ("BT C", "Bit  coin")


# Ranks, duplicates, tiers


def test_the_rank_is_dense_by_volume_then_by_id():
    found = reading([(9, 5.0), (3, 7.0), (4, 5.0), (1, 0.0), (2, 9.0), (5, 0.0)], VOLUME_RANK)
    assert admitted(found).rows.select("cmc_id", "rank").sort("rank")["cmc_id"].to_list() == [2, 3, 4, 9, 1, 5]
    assert sorted(admitted(found).rows["rank"]) == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def test_of_two_rows_with_one_id_the_one_with_the_higher_volume_stays():
    snapshot = admitted(reading([(1, 5.0), (2, 6.0), (1, 9.0), (1, 7.0)], VOLUME_RANK))
    assert snapshot.marker.duplicates == 2
    assert snapshot.rows.select("cmc_id", "rank", "volume_usd").rows() == [(1, 1.0, 9.0), (2, 2.0, 6.0)]


def test_of_two_prices_with_one_id_the_one_with_the_higher_volume_stays():
    snapshot = admitted(reading([(1, "A", "A", 1.0, None), (1, "B", "B", 2.0, 5.0), (1, "C", "C", 3.0, 4.0)]))
    assert snapshot.rows.select("symbol", "usd").rows() == [("B", 2.0)]
    assert snapshot.marker.duplicates == 2


def test_of_equal_duplicates_the_first_is_kept():
    rows = [(id_, str(turn), "", float(turn + 1), 5.0) for turn in range(3) for id_ in range(1, 2001)]
    assert set(admitted(reading(rows)).rows["symbol"]) == {"0"}


def test_a_rejected_row_is_no_duplicate_and_hides_no_sound_one():
    snapshot = admitted(reading([(1, "A", "A", 0.0, 9.0), (1, "B", "B", 2.0, 1.0)]))
    assert (snapshot.marker.rejected, snapshot.marker.duplicates) == (1, 0)
    assert snapshot.rows["symbol"].to_list() == ["B"]


@pytest.mark.parametrize("series", [PRICE, VOLUME_RANK])
def test_the_tier_is_the_place_by_the_series_own_volume(series):
    count = max(TIER_PLACES) + 5
    rows = [(id_, "A", "A", 1.0, float(id_)) if series is PRICE else (id_, float(id_)) for id_ in range(1, count + 1)]
    by_place = admitted(reading(rows, series)).rows.sort("cmc_id", descending=True)["tier"].to_list()
    assert [by_place.count(tier) for tier in range(6)] == [100, 150, 250, 500, 1500, 5]
    assert by_place == sorted(by_place)


def test_prices_without_a_volume_come_after_those_with_one():
    rows = [(id_, "A", "A", 1.0, None if id_ <= 50 else 0.0) for id_ in range(1, 151)]
    tiers = admitted(reading(rows)).rows
    assert tiers.filter(pl.col("tier") == 1)["cmc_id"].to_list() == list(range(1, 51))


# The marker


def test_the_marker_has_the_source_of_the_snapshot_and_its_ids():
    marker = admit(priced(3, 1, 2, 2), NOON + MINUTE, MINUTE, backfilled=True)[0].marker
    assert (marker.series, marker.source, marker.tick) == ("price", "acme", NOON + MINUTE)
    assert (marker.assets, marker.rejected, marker.duplicates) == (3, 0, 1)
    assert (marker.duration, marker.observed_at, marker.credits) == (timedelta(seconds=3), NOON, 2.5)
    assert (marker.interval, marker.unchanged, marker.backfilled) == (MINUTE, False, True)
    assert unpack_ids(marker.ids).tolist() == [1, 2, 3]


def test_values_that_are_those_of_the_tick_before_are_called_unchanged():
    before = admitted(ranked(3.0, 2.0))
    assert admitted(ranked(3.0, 2.0), before=before).marker.unchanged
    assert not admitted(ranked(3.0, 2.5), before=before).marker.unchanged
    assert not admitted(ranked(3.0, 2.0, 1.0), before=before).marker.unchanged
    assert not before.marker.unchanged


def test_the_same_values_in_another_order_are_unchanged():
    rows = [(1, "A", "A", 1.0, None), (2, None, "B", 2.0, 5.0)]
    before = admitted(reading(rows))
    assert admitted(reading(rows[::-1]), before=before).marker.unchanged


# Whole snapshots refused


@pytest.mark.parametrize("series", [PRICE, VOLUME_RANK, MARKET_CAP])
def test_a_snapshot_without_rows_is_refused(series):
    assert str(refusal(reading([], series))) == f"acme: 0 of 0 {series.name} rows are sound: nothing is left"


def test_a_snapshot_without_a_sound_row_is_refused_with_the_most_frequent_reasons():
    rows = [(None, "A", "A", 1.0, 1.0)] * 5 + [(1, "A", "A", 0.0, 1.0)] * 3 + [(1, "A", "A", None, 1.0)] * 2
    refused = refusal(reading([*rows, (0, "A", "A", 1.0, 1.0)]))
    assert str(refused) == (
        "acme: 0 of 11 price rows are sound (5 x cmc_id is missing or not a whole number, 3 x usd is not above 0,"
        " 2 x usd is missing or not a number): nothing is left"
    )


def test_a_list_in_euro_is_refused_for_its_missing_dollar_prices():
    rows, lost = Extractor(PRICES).rows(recorded("cmc-listings-latest-eur-100-20220612T1837Z")["data"])
    refused = refusal(Reading("coinmarketcap", PRICE, rows, 100, lost, 0, NOON, MINUTE))
    assert "0 of 100 price rows are sound (100 x usd is missing or not a number): nothing is left" in str(refused)


# Every record is accounted for


@pytest.mark.parametrize("source", [PRICES, RANKS], ids=lambda source: source.series)
@pytest.mark.parametrize(
    "name",
    [
        "cmc-listings-latest-1000-20210629T0023Z",
        "cmc-listings-latest-100-20240317T1034Z",
        "cmc-listings-latest-100-20240317T1203Z",
        "cmc-sandbox-listings-latest-10-20190814T1251Z",
    ],
)
def test_a_recorded_list_gets_through_with_its_own_values_and_every_record_counted(source, name):
    records = recorded(name)["data"]
    rows, lost = Extractor(source).rows(records)
    snapshot, rejected = admit(Reading("cmc", source.values, rows, len(records), lost, 0, NOON, MINUTE), NOON, MINUTE)
    marker = snapshot.marker
    assert marker.assets + marker.rejected + marker.duplicates == len(records)
    assert marker.rejected == sum(rejected.values())
    assert marker.assets == len(snapshot.rows) >= 0.97 * len(records)
    captured = {record["id"]: record for record in records}
    assert len(captured) == len(records)
    for row in snapshot.rows.iter_rows(named=True):
        quote = captured[row["cmc_id"]]["quote"]["USD"]
        if source is PRICES:
            assert row["usd"] == quote["price"]
            assert row["symbol"] == captured[row["cmc_id"]]["symbol"]
        else:
            assert row["volume_usd"] == quote["volume_24h"]
    volumes = {id_: record["quote"]["USD"]["volume_24h"] for id_, record in captured.items()}
    by_volume = sorted(snapshot.rows["cmc_id"], key=lambda id_: (-volumes[id_], id_))
    if source is RANKS:
        assert snapshot.rows.sort("rank")["cmc_id"].to_list() == by_volume
    assert snapshot.rows.filter(pl.col("tier") == 0)["cmc_id"].to_list() == sorted(by_volume[:100])


NUMBERS = st.none() | st.floats() | st.sampled_from([0.0, -0.0, 1.0, 1e-8, 1e308, -1.0, math.nan, math.inf, -math.inf])
IDS = st.none() | st.integers(-2, 6) | st.sampled_from([LARGEST_ID, LARGEST_ID + 1, 2**62])
TEXTS = st.none() | st.sampled_from(["BTC", "X" * (LONGEST_TEXT + 1)])


def accounted_for(found: Reading) -> Snapshot | None:
    try:
        snapshot, rejected = admit(found, NOON, MINUTE)
    except SnapshotRefused:  # no row is sound
        return None
    marker = snapshot.marker
    assert marker.assets + marker.rejected + marker.duplicates == found.records
    assert marker.rejected == sum(rejected.values())
    assert marker.assets == len(snapshot.rows) == snapshot.rows["cmc_id"].n_unique() > 0
    assert snapshot.rows["cmc_id"].is_sorted()
    assert snapshot.rows["cmc_id"].is_between(1, LARGEST_ID).all()
    assert dict(snapshot.rows.schema) == found.series.columns
    assert unpack_ids(marker.ids).tolist() == snapshot.rows["cmc_id"].to_list()
    return snapshot


LOST = st.dictionaries(st.sampled_from(["record is not an object", "left out by x"]), st.integers(1, 3))


@given(st.lists(st.tuples(IDS, TEXTS, TEXTS, NUMBERS, NUMBERS), max_size=30), LOST)
@settings(deadline=None)
def test_every_price_record_is_accepted_rejected_or_a_duplicate(rows, lost):
    snapshot = accounted_for(reading(rows, lost=lost))
    if snapshot:
        assert (snapshot.rows["usd"] > 0).all()
        assert snapshot.rows["usd"].is_finite().all()


@given(st.lists(st.tuples(IDS, NUMBERS), max_size=30), LOST)
@settings(deadline=None)
def test_every_rank_record_is_accepted_rejected_or_a_duplicate(rows, lost):
    snapshot = accounted_for(reading(rows, VOLUME_RANK, lost=lost))
    if snapshot:
        by_rank = snapshot.rows.sort("rank")
        assert by_rank["rank"].to_list() == [float(place) for place in range(1, len(by_rank) + 1)]
        places = list(zip(-by_rank["volume_usd"], by_rank["cmc_id"], strict=True))
        assert places == sorted(places)
        highest: Counter[int] = Counter()
        for id_, volume in rows:
            if id_ and volume is not None and math.isfinite(volume):
                highest[id_] = max(highest[id_], volume)
        assert all(row["volume_usd"] == highest[row["cmc_id"]] for row in by_rank.iter_rows(named=True))


@given(st.lists(st.tuples(IDS, NUMBERS, NUMBERS), max_size=30), LOST)
@settings(deadline=None)
def test_every_record_of_a_third_series_is_accepted_rejected_or_a_duplicate(rows, lost):
    accounted_for(reading(rows, MARKET_CAP, lost=lost))


@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from([0.0, 1.0, 2.0])), min_size=1), st.randoms())
@settings(deadline=None)
def test_the_order_of_the_records_changes_no_rank(rows, chance):
    shuffled = list(rows)
    chance.shuffle(shuffled)
    assert_frame_equal(admitted(reading(rows, VOLUME_RANK)).rows, admitted(reading(shuffled, VOLUME_RANK)).rows)
