"""Rows out of records: JMESPaths, types, and the records that give no row."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jmespath
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import ingest_price
import ingest_rank
from lib.schema import LONGEST_TEXT, PRICE
from lib.source import read_source
from lib.source.expression import compile_getter
from lib.source.extract import NOT_AN_OBJECT, UNREADABLE, Extractor
from lib.source.values import read_id, read_number, read_text, read_time
from lib.text import without_control
from tests.fakes import recorded

PRICES = read_source(Path(ingest_price.__path__[0]) / "coinmarketcap.toml")
COINDESK = read_source(Path(ingest_rank.__path__[0]) / "coindesk.toml")
CMC_RANK = read_source(Path(ingest_rank.__path__[0]) / "coinmarketcap.toml")

NAMES = ["a", "b", "ID", '"x y"']
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.sampled_from(["", "CMC", "1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([name.strip('"') for name in NAMES]), inner, max_size=4)
    ),
    max_leaves=12,
)


def quoted(price: float | None) -> dict[str, Any]:
    return {"id": 1, "symbol": "BTC", "name": "Bitcoin", "quote": {"USD": {"price": price, "volume_24h": 5.0}}}


@pytest.mark.parametrize("source", [PRICES, COINDESK, CMC_RANK], ids=lambda source: f"{source.name}-{source.series}")
@pytest.mark.parametrize(
    "name",
    [
        "cmc-listings-latest-100-20240317T1034Z",
        "cmc-v3-listings-latest-4-20260619",
        "cmc-listings-latest-eur-100-20220612T1837Z",
        "coindesk-asset-v1-top-list-1of3396-20250606",
    ],
)
def test_every_shipped_path_selects_what_jmespath_selects_in_recorded_records(source, name):
    answer = recorded(name)
    for record in answer.get("data") or answer["Data"]["LIST"]:
        record |= {name: jmespath.search(path, record) for name, path in source.records.let.items()}
        for path in source.fields.values():
            assert compile_getter(path)(record) == jmespath.search(path, record)


def test_quotes_in_a_map_and_in_a_list_give_the_same_rows():
    in_a_list = recorded("cmc-v3-listings-latest-4-20260619")["data"]
    in_a_map = [record | {"quote": {quote["symbol"]: quote for quote in record["quote"]}} for record in in_a_list]
    assert in_a_map != in_a_list
    for source in (PRICES, CMC_RANK):
        extract = Extractor(source)
        assert_frame_equal(extract.rows(in_a_map)[0], extract.rows(in_a_list)[0])


def test_the_dollar_quote_is_found_among_others_in_either_form():
    usd, eur = {"price": 2.0, "volume_24h": 1.0}, {"price": 1.0, "volume_24h": 9.0}
    in_a_map = {"id": 1, "quote": {"EUR": eur, "USD": usd}}
    in_a_list = {"id": 1, "quote": [{"symbol": "EUR", **eur}, {"symbol": "USD", **usd}]}
    rows, rejected = Extractor(PRICES).rows([in_a_map, in_a_list])
    assert rows["usd"].to_list() == [2.0, 2.0]
    assert not rejected
    assert Extractor(CMC_RANK).rows([in_a_map, in_a_list])[0]["volume_usd"].to_list() == [1.0, 1.0]


@pytest.mark.parametrize(
    "name",
    [
        "cmc-listings-latest-1000-20210629T0023Z",
        "cmc-listings-latest-100-20240317T1034Z",
        "cmc-listings-latest-100-20240317T1203Z",
        "cmc-listings-historical-3-20240115T2340Z",
        "cmc-sandbox-listings-latest-10-20190814T1251Z",
        "cmc-v3-listings-latest-4-20260619",
    ],
)
def test_a_recorded_list_gives_each_records_own_values_in_its_order(name):
    records = recorded(name)["data"]
    rows, rejected = Extractor(PRICES).rows(records)
    assert not rejected
    assert rows["cmc_id"].to_list() == [record["id"] for record in records]
    assert rows["symbol"].to_list() == [record["symbol"] for record in records]
    assert rows["name"].to_list() == [record["name"].strip() for record in records]
    quotes = [record["quote"]["USD"] if isinstance(record["quote"], dict) else record["quote"][0] for record in records]
    assert rows["usd"].to_list() == [quote["price"] for quote in quotes]
    assert rows["volume_usd"].to_list() == [quote["volume_24h"] for quote in quotes]
    at = [datetime.fromisoformat(quote["last_updated"]).timestamp() for quote in quotes]
    assert rows["updated_at"].to_list() == at
    assert rows["market_cap_usd"].to_list() == [quote["market_cap"] for quote in quotes]
    assert rows["stablecoin"].to_list() == ["stablecoin" in record["tags"] for record in records]
    assert rows["wrapped"].to_list() == ["wrapped-tokens" in record["tags"] for record in records]


def test_recorded_stablecoins_and_wrapped_coins_are_known_by_their_tags():
    rows, _ = Extractor(PRICES).rows(recorded("cmc-listings-latest-1000-20210629T0023Z")["data"])
    assert {"USDT", "USDC", "DAI"} <= set(rows.filter(stablecoin=1.0)["symbol"])
    assert set(rows.filter(wrapped=1.0)["symbol"]) == {"WBTC", "RENBTC", "WBNB", "WNXM"}
    assert rows["stablecoin"].sum() == 25


@pytest.mark.parametrize(
    ("tags", "stablecoin", "wrapped"),
    [
        ({"tags": []}, 0.0, 0.0),
        ({"tags": ["mineable"]}, 0.0, 0.0),
        ({"tags": ["stablecoin", "wrapped-tokens"]}, 1.0, 1.0),
        ({"tags": ["algorithmic-stablecoin"]}, 0.0, 0.0),
        ({"tags": None}, None, None),
        ({"tags": "stablecoin"}, None, None),
        ({}, None, None),
    ],
)
def test_an_asset_without_tags_to_look_into_may_be_a_stablecoin_or_not(tags, stablecoin, wrapped):
    rows, rejected = Extractor(PRICES).rows([quoted(1.0) | tags])
    assert rows.select("stablecoin", "wrapped").rows() == [(stablecoin, wrapped)]
    assert not rejected


def test_a_list_in_euro_has_no_dollar_prices():
    rows, rejected = Extractor(PRICES).rows(recorded("cmc-listings-latest-eur-100-20220612T1837Z")["data"])
    assert rows["usd"].null_count() == len(rows) == 100
    assert not rejected


def test_the_documented_coindesk_asset_gives_its_cmc_id_and_24h_volume():
    rows, rejected = Extractor(COINDESK).rows(recorded("coindesk-asset-v1-top-list-1of3396-20250606")["Data"]["LIST"])
    assert rows.to_dicts() == [{"cmc_id": 1, "volume_usd": 26913933943.9413}]
    assert not rejected


@pytest.mark.parametrize(
    ("ids", "cmc_id"),
    [
        ([{"NAME": "CMC", "ID": "1027"}], 1027),
        ([{"NAME": "CG", "ID": "ethereum"}, {"NAME": "CMC", "ID": "1027"}], 1027),
        ([{"NAME": "CMC", "ID": 1027}], 1027),
        ([{"NAME": "CMC", "ID": "1027"}, {"NAME": "CMC", "ID": "1"}], 1027),
        ([{"NAME": "CMC", "ID": ""}], None),
        ([{"NAME": "CMC", "ID": "ethereum"}], None),
        ([{"NAME": "CMC", "ID": None}], None),
        ([{"NAME": "CMC"}], None),
        ([{"NAME": "CG", "ID": "1027"}], None),
        ([None, 5, "CMC", {"NAME": "CMC", "ID": "1027"}], 1027),
        ([], None),
        (None, None),
        ({"NAME": "CMC", "ID": "1027"}, None),
        ("CMC", None),
    ],
)
def test_a_coindesk_id_is_the_alternative_one_that_names_cmc(ids, cmc_id):
    rows, _ = Extractor(COINDESK).rows([{"ASSET_ALTERNATIVE_IDS": ids, "SPOT_MOVING_24_HOUR_QUOTE_VOLUME_USD": 5}])
    assert rows.to_dicts() == [{"cmc_id": cmc_id, "volume_usd": 5.0}]


def test_a_coindesk_asset_without_alternative_ids_has_no_cmc_id():
    assert Extractor(COINDESK).rows([{}])[0].to_dicts() == [{"cmc_id": None, "volume_usd": None}]


def test_records_that_are_no_objects_are_counted_and_left_out():
    rows, rejected = Extractor(PRICES).rows([None, 5, "BTC", [], quoted(1.5)])
    assert rows["usd"].to_list() == [1.5]
    assert rejected == {NOT_AN_OBJECT: 4}


def test_records_a_path_cannot_be_evaluated_on_are_counted_and_left_out():
    source = PRICES.model_copy(update={"fields": PRICES.fields | {"usd": "max_by(quotes, &price).price"}})
    rows, rejected = Extractor(source).rows([{"quotes": [{"price": "x"}, {"price": 1}]}, {"quotes": [{"price": 2}]}])
    assert rows["usd"].to_list() == [2.0]
    assert rejected == {UNREADABLE: 1}


def test_records_left_out_by_a_filter_are_counted_by_it():
    records = PRICES.records.model_copy(update={"where": ["is_active", "quote.USD.price"]})
    extract = Extractor(PRICES.model_copy(update={"records": records}))
    rows, rejected = extract.rows([quoted(1.0) | {"is_active": True}, quoted(2.0), quoted(None) | {"is_active": True}])
    assert rows["usd"].to_list() == [1.0]
    assert rejected == {"left out by is_active": 1, "left out by quote.USD.price": 1}


def test_no_records_are_no_rows_with_the_right_columns():
    rows, rejected = Extractor(PRICES).rows([])
    assert rows.is_empty()
    assert dict(rows.schema) == {
        "cmc_id": pl.Int64(),
        "symbol": pl.String(),
        "name": pl.String(),
        "usd": pl.Float64(),
        "volume_usd": pl.Float64(),
        "updated_at": pl.Float64(),
        "market_cap_usd": pl.Float64(),
        "stablecoin": pl.Float64(),
        "wrapped": pl.Float64(),
    }
    assert not rejected


@given(st.lists(st.dictionaries(st.sampled_from(["id", "symbol", "name", "quote"]), JSON | st.text(), max_size=4)))
@settings(deadline=None)
def test_any_record_gives_a_row_of_the_right_types_or_is_counted(records):
    rows, rejected = Extractor(PRICES).rows(records)
    assert len(rows) + rejected.total() == len(records)
    assert rows.schema["usd"] == pl.Float64


@given(st.integers(-(2**63) + 1, 2**63 - 1))
@settings(deadline=None)
def test_a_whole_number_is_itself_as_a_number_and_if_below_19_digits_as_text(whole):
    assert read_id(whole) == whole
    if 0 <= whole < 10**18:
        assert read_id(str(whole)) == whole


@given(JSON | st.text() | st.floats() | st.integers())
@settings(deadline=None)
def test_an_id_fits_its_column_or_is_none(value):
    found = read_id(value)
    assert found is None or (type(found) is int and abs(found) < 2**63)


NO_IDS: list[object] = [
    True,
    False,
    None,
    "",
    "1.0",
    "1e3",
    "-1",
    "+1",
    " 1",
    "1_0",
    "٣",
    "0x1",
    "9" * 19,
    "BTC",
    [],
    {},
]


def test_what_is_no_id_is_none(subtests):
    for value in [*NO_IDS, 1.5, math.nan, math.inf, 2**63, 1e300]:
        with subtests.test(value=value):
            assert read_id(value) is None


@pytest.mark.parametrize(("value", "id_"), [(1.0, 1), ("007", 7), (0, 0), (-5, -5)])
def test_an_id_may_be_written_otherwise(value, id_):
    assert read_id(value) == id_


@given(st.text(st.characters()))
@settings(deadline=None)
def test_a_text_has_no_control_characters_and_no_space_around_it_or_is_none(value):
    read = read_text(value)
    assert read is None or read.strip() == read == without_control(read)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "M", "Cf", "Co"]), min_size=1, max_size=LONGEST_TEXT))
@settings(deadline=None)
def test_a_text_keeps_everything_but_control_characters(value):
    assert read_text(value) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("  BTC ", "BTC"),
        ("BT\x00C", "BT C"),
        ("a\r\nb", "a  b"),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f468\u200d\U0001f469\u200d\U0001f467"),
        ("\u0915\u094d\u200d\u0937", "\u0915\u094d\u200d\u0937"),
        ("soft\u00adhyphen", "soft\u00adhyphen"),
        ("\u200f\u05d0", "\u200f\u05d0"),
        ("\ue000", "\ue000"),
        ("a\u00a0b\u3000c", "a\u00a0b\u3000c"),
        ("Rocket \ud83d", "Rocket \ufffd"),
        ("a\x85b\x7fc", "a b c"),
        ("x\x1b[31m", "x [31m"),
        ("É 🚀", "É 🚀"),
        ("\t\n", None),
        ("", None),
        (None, None),
        (5, None),
        (["BTC"], None),
    ],
)
def test_control_characters_become_spaces(value, text):
    assert read_text(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**15), 10**15))
@settings(deadline=None)
def test_a_number_is_the_same_as_text(value):
    assert read_number(value) == value
    assert read_number(repr(value)) == value


@given(JSON | st.text() | st.floats() | st.integers())
@settings(deadline=None)
def test_a_number_is_a_float_or_none(value):
    assert type(read_number(value)) in (float, type(None))


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)))
@settings(deadline=None)
def test_a_time_is_its_epoch_seconds_and_utc_without_an_offset(at):
    aware = at.replace(tzinfo=UTC)
    for text in (at.isoformat(), aware.isoformat(), f"{at.isoformat()}Z"):
        assert read_time(text) == aware.timestamp()


NO_NUMBERS = [
    "dear", "abc", "1,5", "1_000", "1_0", "\uff11\uff12", "\u0663", "0x10", "1e", "e5", ".", "+-1", " 5", "5 ", "--5",
    "1.2.3", "NaN", "inf", "Infinity", "-inf", "None", "$5", "5%", "1e5_0", True, False, [], {}, [1], {"USD": 1},
]  # fmt: skip


def test_what_is_no_number_is_nan_which_the_gate_rejects(subtests):
    for value in [*NO_NUMBERS, "2026-11-17T14:36:55Z", "2026-11-17"]:
        with subtests.test(value=value):
            assert math.isnan(read_number(value) or 0.0)


def test_what_is_no_time_is_nan_which_the_gate_rejects(subtests):
    for value in [
        *NO_NUMBERS,
        "2021-13-45T00:00:00Z",
        "2021-06-29Tnoon",
        "2021-06-29T12",
        "\uff12021-06-29T12:00:00Z",
        "2021-W26-2",
        "2021-06-29T25:00:00Z",
        "2021-06-29T12:00:00+99:99",
    ]:
        with subtests.test(value=value):
            assert math.isnan(read_time(value) or 0.0)


@pytest.mark.parametrize("value", [None, "", " ", "\t"])
def test_a_missing_number_is_none(value):
    assert read_number(value) is None
    assert read_time(value) is None


@pytest.mark.parametrize("value", [10**400, 1e400, "1e400", "9" * 350])
def test_a_number_beyond_a_double_is_infinite(value):
    assert read_number(value) == math.inf


def test_a_text_longer_than_the_gate_accepts_is_cut_one_character_beyond():
    assert read_text("X" * 10**6) == "X" * (LONGEST_TEXT + 1)


def test_the_rows_of_a_series_are_named_as_its_fields():
    assert set(PRICE.fields) <= set(PRICES.fields)
