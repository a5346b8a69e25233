"""The price test before a match is used, and the pin that keeps it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.ids.pins import NOT_CONFIRMED, NOT_TESTED, SET_ASIDE, TAKEN, Listed, Pin, Pins
from lib.ids.price_test import MOST_OFF, Quote, mixed_up
from lib.ids.rules import PROPOSALS, Decision

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
COIN = Listed("AAA", "First", 2.0)
BY_NAME = Decision("a", 1, "name")


def used(pins: Pins, decision: Decision, listed: Listed, quote: Quote | None, *, may_pin: bool = True) -> Decision:
    quotes = {decision.cmc_id or 1: quote} if quote else {}
    return pins.use({decision.own: decision}, {decision.own: listed}, quotes, now=NOW, may_pin=may_pin)[decision.own]


@pytest.mark.parametrize(("usd", "is_used"), [(2.0, True), (2.09, True), (1.91, True), (2.2, False), (0.02, False)])
def test_a_match_is_used_and_pinned_when_both_prices_are_within_five_percent(usd, is_used):
    pins = Pins()
    decision = used(pins, BY_NAME, COIN, Quote(usd))
    assert (decision.cmc_id == 1) == is_used
    assert list(pins.all) == (["a"] if is_used else [])
    assert is_used or decision.why == f"{NOT_CONFIRMED}: 1"


@pytest.mark.parametrize(("listed", "quote"), [(COIN, None), (COIN._replace(usd=None), Quote(2.0))])
def test_a_match_without_both_prices_is_not_used(listed, quote):
    assert used(Pins(), BY_NAME, listed, quote).why == NOT_TESTED


def test_a_stale_map_makes_no_new_match_and_keeps_the_old_ones():
    pins = Pins()
    assert used(pins, BY_NAME, COIN, Quote(2.0), may_pin=False).why == NOT_TESTED
    used(pins, BY_NAME, COIN, Quote(2.0))
    assert used(pins, BY_NAME, COIN, Quote(2.0), may_pin=False).cmc_id == 1


@pytest.mark.parametrize("rule", PROPOSALS)
@pytest.mark.parametrize(
    ("name", "quote", "is_used"),
    [
        ("First", Quote(2.0), True),
        ("First", Quote(2.0, is_copy=True), False),
        ("First", Quote(1.01), False),
        ("Wrapped First", Quote(2.0), False),
        ("Binance-Peg First", Quote(2.0), False),
    ],
)
def test_a_proposal_needs_a_price_that_no_other_coin_has_by_design(rule, name, quote, is_used):
    decision = used(Pins(), Decision("a", 1, rule), Listed("AAA", name, quote.usd), quote)
    assert (decision.cmc_id == 1) == is_used
    assert used(Pins(), BY_NAME, Listed("AAA", name, quote.usd), quote).cmc_id == 1


def test_a_pinned_match_is_set_aside_when_its_price_is_off_in_three_lists_in_a_row_and_used_again():
    pins = Pins({"a": Pin(1, "name", "AAA", "First", NOW)})
    seen = [used(pins, BY_NAME, COIN, Quote(usd)).cmc_id for usd in (2.2, 2.2, 2.2, 2.2, 2.0)]
    assert seen == [1, 1, None, None, 1]
    assert [used(pins, BY_NAME, COIN, Quote(2.2)).cmc_id for _ in range(MOST_OFF - 1)] == [1, 1]


def test_a_pinned_match_is_set_aside_at_once_when_its_price_is_twice_the_other():
    pins = Pins({"a": Pin(1, "name", "AAA", "First", NOW)})
    assert used(pins, BY_NAME, COIN, Quote(4.0)).why == f"{SET_ASIDE}: 1"
    assert used(pins, BY_NAME, COIN, Quote(2.0)).cmc_id == 1


def test_without_a_price_the_last_test_of_a_pinned_match_counts():
    pins = Pins({"a": Pin(1, "name", "AAA", "First", NOW)})
    assert used(pins, BY_NAME, COIN, None).cmc_id == 1


@pytest.mark.parametrize("now", [Decision("a", 2, "contract"), Decision("a", None, None, "several ids"), None])
def test_a_match_that_would_change_is_reported_and_not_changed(now):
    pins = Pins({"a": Pin(1, "name", "AAA", "First", NOW)})
    decisions = {"a": now} if now else {}
    assert pins.use(decisions, {"a": COIN}, {1: Quote(2.0)}, now=NOW, may_pin=True)["a"].cmc_id == 1
    changes = [(change.own, change.pinned, change.now) for change in pins.changes(decisions)]
    assert changes == ([("a", 1, now.cmc_id)] if now else [])


def test_the_users_table_comes_before_a_pin_and_needs_no_price():
    pins = Pins({"a": Pin(1, "name", "AAA", "First", NOW), "b": Pin(7, "name", "BBB", "Second", NOW)})
    decisions = {"a": Decision("a", 7, "user's table"), "b": Decision("b", 7, "name")}
    found = pins.use(decisions, {"a": COIN, "b": COIN}, {7: Quote(2.0)}, now=NOW, may_pin=True)
    assert found["a"].cmc_id == 7
    assert pins.all.keys() <= {"b"}


def test_an_id_of_the_users_table_is_not_given_to_another_by_the_shipped_one():
    decisions = {"a": Decision("a", 7, "user's table"), "b": Decision("b", 7, "override")}
    found = Pins().use(decisions, {"a": COIN, "b": COIN}, {7: Quote(2.0)}, now=NOW, may_pin=True)
    assert (found["a"].cmc_id, found["b"].why) == (7, f"{TAKEN}: 7")


def test_an_id_that_is_pinned_to_one_asset_is_not_given_to_another():
    pins = Pins({"gone": Pin(1, "name", "AAA", "First", NOW)})
    assert used(pins, BY_NAME, COIN, Quote(2.0)).why == f"{TAKEN}: 1"


def test_a_coin_with_the_symbol_and_price_of_one_that_is_far_off_is_left_out_and_bridged_copies_are_not():
    listed = [
        ("core", "CORE", 0.8938, Quote(0.9)),
        ("cvault", "core", 0.8942, Quote(3_800.0)),  # its own price is another: the provider mixed the two up
        ("other", "CORE", 0.5, Quote(0.5)),
        ("tether", "USDT", 1.0, Quote(1.0)),
        ("bridged", "USDT", 1.0, None),
        ("peg", "USDT", 1.0, Quote(1.08)),
        ("unknown", "CORE", None, Quote(1.0)),
    ]
    assert mixed_up(listed) == {"core"}


LISTS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 3) | st.none(), st.sampled_from([1.5, 2.0, 2.05, 4.0, None])),
    max_size=4,
    unique_by=lambda row: row[0],
)


@given(st.lists(LISTS, max_size=6))
@settings(deadline=None)
def test_a_pin_never_changes_its_id_and_no_id_is_used_twice(lists):
    pins = Pins()
    pinned: dict[str, int] = {}
    quotes = {1: Quote(1.5), 2: Quote(2.0), 3: Quote(2.05)}
    for rows in lists:
        decisions = {own: Decision(own, id_, "name" if id_ else None, "" if id_ else "none") for own, id_, _ in rows}
        listed = {own: Listed("S", "N", usd) for own, _, usd in rows}
        found = pins.use(decisions, listed, quotes, now=NOW, may_pin=True)
        ids = [decision.cmc_id for decision in found.values() if decision.cmc_id]
        assert len(ids) == len(set(ids))
        for own, pin in pins.all.items():
            assert pinned.setdefault(own, pin.cmc_id) == pin.cmc_id
