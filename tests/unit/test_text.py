"""Names: everything but control characters is kept, and found again."""

import polars as pl
import pytest

from lib.text import clean_name, no_column, search_key
from query_api.asof.filters import Filters

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"


@pytest.mark.parametrize(
    "name", [FAMILY, "\u0915\u094d\u200d\u0937", "a\u00adb", "\u200f\u05d0", "\ue000", "a\u00a0b", "a\u3000b"]
)
def test_a_name_is_kept_and_found_by_itself_in_any_case(name):
    assert clean_name(name) == name
    prices = pl.DataFrame({"cmc_id": [1, 2], "symbol": [f"X{name}", None]})
    filters = Filters(symbols=(f" x{name}\u00a0",))
    assert filters.named_in(prices) == [1]
    assert filters.missing([], [f"X{name}"]) == ()


@pytest.mark.parametrize("name", ["a\x00b", "a\nb", "a\x85b", "a\x7fb"])
def test_a_control_character_is_a_space_on_both_sides(name):
    assert clean_name(name) == "a b"
    assert search_key(name.upper()) == "a b"


def test_half_a_character_can_be_stored():
    assert clean_name("a\ud83d").encode() == "a\ufffd".encode()


@pytest.mark.parametrize(
    ("name", "near"), [("price", "; did you mean price_usd?"), ("Rank", "; did you mean rank?"), ("xyz", "")]
)
def test_an_unknown_column_is_refused_with_the_known_one_that_is_near(name, near):
    assert no_column(name, ["rank", "price_usd"]) == f"{name!r} is no column{near}; they are rank, price_usd"
