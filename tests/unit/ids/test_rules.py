"""Which id each row of the made-up list gets, and what holds for any list."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from lib.ids.asset import CoinMarketCapAsset, Contract, ProviderAsset
from lib.ids.keys import contract_key, name_keys, text_key
from lib.ids.rules import NO_CANDIDATE, TABLES, Rules, decide_all
from tests.unit.ids.made_up import assets, decided, decisions, tables, the_list, the_map

TEXTS = st.sampled_from(["", "A", "a", "B", "Wrapped A", "wA", "Á", "币", "A,B", "🚀"]) | st.text(max_size=3)
ADDRESSES = st.sampled_from(["0xAA", "0xaa", "Ab", "aB", "cd"])
CONTRACTS = st.builds(Contract, st.sampled_from(["ethereum", "solana"]), ADDRESSES)
OURS = st.lists(
    st.builds(
        CoinMarketCapAsset,
        st.integers(1, 12),
        TEXTS,
        TEXTS,
        st.sampled_from(["", "a", "b"]),
        st.none() | CONTRACTS,
        st.lists(st.tuples(TEXTS, TEXTS), max_size=1).map(tuple),
    ),
    max_size=8,
    unique_by=lambda asset: asset.cmc_id,
)
THEIRS = st.lists(
    st.builds(
        ProviderAsset,
        st.sampled_from(["", "a", "a-a", "b", "a-b", "1", "7"]),
        TEXTS,
        TEXTS,
        st.lists(CONTRACTS, max_size=2).map(tuple),
    ),
    max_size=6,
    unique_by=lambda asset: asset.own,
)


def test_each_row_of_the_made_up_list_gets_its_id_or_the_reason_why_not(subtests):
    assert "" not in decisions()
    for row in the_list():
        with subtests.test(row["trap"], own=row["own"]):
            if row["own"]:
                decision = decisions()[row["own"]]
                assert str(decision.cmc_id or "") == row["cmc_id"]
                assert (decision.rule if decision.cmc_id else decision.why.partition(": ")[0]) == row["why"]


def test_the_made_up_list_has_two_hundred_rows_and_every_rule():
    assert len(the_list()) >= 200
    rules = {decision.rule for decision in decisions().values() if decision.cmc_id}
    assert rules == {"user's table", "override", "contract", "name", "name of another contract", "slug", "former name"}


def test_the_order_of_the_lists_does_not_matter():
    shuffled = random.Random(5)
    map_, listed = [*the_map()], [*assets()]
    shuffled.shuffle(map_)
    shuffled.shuffle(listed)
    assert decided(map_, listed) == decisions()


def test_a_symbol_alone_a_slug_alone_and_a_name_alone_give_no_id():
    map_ = [CoinMarketCapAsset(1, "AAA", "First", "first")]
    listed = [
        ProviderAsset("aaa-second", "AAA", "Second"),
        ProviderAsset("bbb-first", "BBB", "Other"),
        ProviderAsset("ccc-x", "CCC", "First"),
    ]
    found = decide_all(Rules(map_, listed, slug_form="{symbol}-{slug}"), listed, {})
    assert {decision.why for decision in found.values()} == {NO_CANDIDATE}


def test_a_slug_is_compared_only_where_the_source_says_how_its_ids_are_made():
    map_ = [CoinMarketCapAsset(1, "CFX", "Conflux", "conflux-network")]
    listed = [ProviderAsset("cfx-conflux-network", "CFX", "Other")]
    assert Rules(map_, listed).decide(listed[0]).cmc_id is None
    assert Rules(map_, listed, slug_form="{symbol}-{slug}").decide(listed[0]).cmc_id == 1
    assert Rules(map_, listed, slug_form="{slug}").decide(listed[0]).cmc_id is None


@given(OURS, THEIRS)
@settings(deadline=None)
def test_no_two_assets_get_one_id_and_no_id_comes_from_nowhere(map_, listed):
    decided_so = decide_all(Rules(map_, listed, slug_form="{symbol}-{slug}"), listed, {})
    found = [decision.cmc_id for decision in decided_so.values() if decision.cmc_id]
    assert len(found) == len(set(found))
    by_id, by_own = {asset.cmc_id: asset for asset in map_}, {asset.own: asset for asset in listed}
    for own, decision in decided_so.items():
        if decision.cmc_id:
            ours, theirs = by_id[decision.cmc_id], by_own[own]
            keys = set(name_keys(theirs.symbol, theirs.name))
            same_contract = ours.contract and contract_key(ours.contract) in map(contract_key, theirs.contracts)
            same_name = keys & {key for pair in (ours[1:3], *ours.former) for key in name_keys(*pair)}
            same_symbol = {text_key(part) for part in ours.symbol.split(",")} & {
                text_key(part) for part in theirs.symbol.split(",")
            }
            assert same_contract or same_name or (same_symbol and own.endswith(ours.slug))
        else:
            assert decision.why


@given(OURS, THEIRS, st.randoms())
@settings(deadline=None)
def test_the_order_of_any_lists_does_not_matter(map_, listed, chance):
    once = decide_all(Rules(map_, listed, slug_form="{symbol}-{slug}"), listed, {})
    chance.shuffle(map_)
    chance.shuffle(listed)
    assert decide_all(Rules(map_, listed, slug_form="{symbol}-{slug}"), listed, {}) == once


@given(OURS, THEIRS)
@settings(deadline=None)
def test_a_second_id_with_the_same_symbol_and_name_never_gives_another_match_by_name(map_, listed):
    before = decide_all(Rules(map_, listed), listed, {})
    clones = [asset._replace(cmc_id=asset.cmc_id + 100, contract=None, former=()) for asset in map_]
    after = decide_all(Rules([*map_, *clones], listed), listed, {})
    for own, decision in after.items():
        assert decision.cmc_id is None or decision.cmc_id == before[own].cmc_id or before[own].cmc_id is None
        assert decision.rule != "name" or decision.cmc_id is None


def test_a_table_comes_before_every_rule():
    assert {tables()[own].rule for own in tables()} == set(TABLES)


@given(st.text())
@settings(deadline=None)
def test_a_key_is_not_empty_for_a_text_and_is_its_own_key(text):
    key = text_key(text)
    assert bool(key) == bool(text_key(text).strip()) or not text.strip()
    assert text_key(key) == key or "&" in text
