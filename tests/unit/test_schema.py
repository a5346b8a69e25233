"""Series, tiers and ids: what both stores and the answer agree on."""

from hypothesis import given, settings
from hypothesis import strategies as st

from lib import schema
from lib.schema import PRICE, TIER_PLACES, VOLUME_RANK


def test_a_tier_ends_at_its_place():
    tiers = schema.tiers_of(9999)
    assert [tiers[place - 1] for place in (1, 100, 101, 250, 251, 500, 501, 1000, 1001, 2500, 2501, 9999)] == [
        *(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5)
    ]


@given(st.integers(1, 6000))
@settings(deadline=None)
def test_the_tiers_read_for_n_places_are_exactly_those_the_places_fall_into(places):
    assert set(schema.tiers_of(places)) == set(range(schema.tiers_holding(places) + 1))


def test_tiers_grow_with_the_place():
    found = schema.tiers_of(max(TIER_PLACES) + 1).to_list()
    assert found == sorted(found)
    assert set(found) == set(range(len(TIER_PLACES) + 1))


def test_a_series_columns_are_its_id_its_tags_its_tier_and_its_fields():
    fields = ["usd", "updated_at", "market_cap_usd", "stablecoin", "wrapped"]
    assert list(PRICE.columns) == ["cmc_id", "symbol", "name", "tier", *fields]
    assert list(VOLUME_RANK.columns) == ["cmc_id", "tier", "rank", "volume_usd"]


def test_a_series_of_only_some_fields_keeps_its_name_its_tags_and_its_order():
    few = PRICE.only({"wrapped", "usd", "unknown"})
    assert (few.name, list(few.columns)) == ("price", ["cmc_id", "symbol", "name", "tier", "usd", "wrapped"])
    assert PRICE.only(PRICE.fields) == PRICE


def test_an_empty_series_has_the_columns_of_a_full_one():
    assert dict(PRICE.empty().schema) == PRICE.columns
    assert PRICE.empty().is_empty()


def test_every_field_has_a_unit():
    assert set(PRICE.units) == set(PRICE.fields)
    assert set(VOLUME_RANK.units) == set(VOLUME_RANK.fields)
