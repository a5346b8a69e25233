"""The map from day to day, and the tables that people keep."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.ids.asset import CoinMarketCapAsset, Contract
from lib.ids.coin_map import CoinMap, read_rows
from lib.ids.tables import read_table
from lib.ingest.state_file import read_state, save_state
from lib.source import read_source
from lib.source.extract import Extractor
from lib.source.source_file import VENDORS
from tests.unit.ids.made_up import the_map

DAY = date(2026, 8, 1)
NEXT = DAY + timedelta(days=1)
A, B = CoinMarketCapAsset(1, "AAA", "First", "first"), CoinMarketCapAsset(2, "BBB", "Second", "second")


def record(id_: object, symbol: object, name: object, platform: object = None) -> dict[str, object]:
    return {"id": id_, "symbol": symbol, "name": name, "slug": "s", "is_active": 1, "platform": platform}


def rows(*records: dict[str, object]) -> pl.DataFrame:
    return Extractor(read_source(VENDORS / "coinmarketcap_map.toml")).rows(records)[0]


@pytest.mark.parametrize(("number", "others", "chain"), [(1027, 1839, "ethereum"), (14, 1, "bnb"), (1839, 1027, "bnb")])
def test_a_chain_is_known_by_its_coin_or_by_its_number(number, others, chain):
    platforms = [{"id": id_, "name": "x", "slug": "x", "token_address": "0xA"} for id_ in (number, others)]
    read = read_rows(rows(*(record(n, "A", "N", platform) for n, platform in enumerate(platforms, 1))))
    assert read[0].contract == Contract(chain, "0xA")


def test_a_token_on_a_chain_that_has_no_name_of_ours_has_no_contract():
    platform = {"id": 77_777, "name": "x", "slug": "x", "token_address": "0xA"}
    assert read_rows(rows(record(5, "A", "N", platform)))[0].contract is None


def test_records_without_an_id_a_symbol_or_a_name_are_left_out():
    read = read_rows(rows(record(1, "A", "N"), record(None, "B", "N"), record(3, "", "N"), record(4, "D", None)))
    assert [asset.cmc_id for asset in read] == [1]


def test_ids_that_left_the_map_stay_with_the_day_they_were_first_missing():
    first = CoinMap(DAY, (A, B), {})
    second = first.refreshed([A], NEXT)
    third = second.refreshed([A], NEXT + timedelta(days=1))
    assert {asset.cmc_id for asset in third.assets} == {1, 2}
    assert third.gone == second.gone == {2: NEXT}
    assert third.refreshed([A, B], NEXT + timedelta(days=2)).gone == {}


def test_former_symbols_and_names_are_remembered():
    renamed = A._replace(symbol="NEW")
    again = CoinMap(DAY, (A,), {}).refreshed([renamed], NEXT).refreshed([renamed._replace(name="Third")], NEXT)
    assert again.assets[0].former == (("AAA", "First"), ("NEW", "First"))
    back = again.refreshed([A], NEXT)
    assert back.assets[0].former == (("NEW", "First"), ("NEW", "Third"))


def test_a_map_of_the_day_before_yesterday_makes_no_new_match():
    coin_map = CoinMap(DAY, (A,), {})
    assert [coin_map.is_fresh(DAY + timedelta(days=days)) for days in (0, 1, 2)] == [True, True, False]


def test_a_map_reads_back_as_it_was_written(tmp_path: Path):
    coin_map = CoinMap(DAY, tuple(the_map()), {1074: NEXT})
    save_state(tmp_path / "map.json", coin_map, "it can't be written")
    assert read_state(CoinMap, tmp_path / "map.json") == coin_map


def test_a_map_of_an_earlier_version_can_be_read(tmp_path: Path):
    assets = '[[1,"A","First","first",[],[]],[2,"B","Second","second",["bnb","0xB"],[["O","Old"]]]]'
    (tmp_path / "map.json").write_text(f'{{"day":"{DAY}","assets":{assets},"gone":{{"2":"{NEXT}"}}}}')
    read = read_state(CoinMap, tmp_path / "map.json")
    assert read
    assert read.gone == {2: NEXT}
    assert [asset.contract for asset in read.assets] == [None, Contract("bnb", "0xB")]
    assert read.assets[1].former == (("O", "Old"),)


@given(st.lists(st.lists(st.sampled_from([A, B, A._replace(name="Other")]), unique_by=lambda asset: asset.cmc_id)))
@settings(deadline=None)
def test_no_id_ever_leaves_the_kept_map(days):
    coin_map, seen = CoinMap(DAY, (), {}), set()
    for number, listed in enumerate(days):
        coin_map = coin_map.refreshed(listed, DAY + timedelta(days=number))
        seen |= {asset.cmc_id for asset in listed}
        assert {asset.cmc_id for asset in coin_map.assets} == seen
        assert set(coin_map.gone) == seen - {asset.cmc_id for asset in listed}


def test_a_table_has_an_id_or_none_for_each_of_a_sources_ids():
    table = read_table("\ufeffsource,own,cmc_id\n# by hand\n\nacme, a-b ,7\nacme,c-d,\nzeta,a-b,8\n", "user's table")
    assert table["acme"]["a-b"].cmc_id == 7
    assert (table["acme"]["c-d"].cmc_id, table["acme"]["c-d"].why) == (None, "the user's table gives it no id")
    assert table["zeta"]["a-b"].cmc_id == 8


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "line 1: the columns must be source,own,cmc_id"),
        ("own,cmc_id\n", "line 1: the columns must be source,own,cmc_id, not 'own,cmc_id'"),
        ("source,own,cmc_id\nacme,a\n", "line 2: 'acme,a' is not source, own id and cmc_id, such as coinpaprika,btc-"),
        ("source,own,cmc_id\nacme,,1\n", "line 2: 'acme,,1' is not source"),
        ("source,own,cmc_id\nacme,a,b\n", "line 2: cmc_id 'b' is not a CoinMarketCap id, such as coinpaprika,btc-bit"),
        ("source,own,cmc_id\nacme,a,-1\n", "line 2: cmc_id '-1' is not a CoinMarketCap id"),
        ("source,own,cmc_id\nacme,a,99999999\n", "line 2: cmc_id '99999999' is not a CoinMarketCap id"),
        ("source,own,cmc_id\nacme,a,1\nacme,a,2\n", "line 3: 'a' of acme is there twice"),
    ],
)
def test_a_faulty_table_is_refused_with_the_line_and_an_example(text, why):
    with pytest.raises(ValueError, match=r".") as refused:
        read_table(text, "user's table")
    assert str(refused.value).startswith(why)
