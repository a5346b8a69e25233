"""Tables of answers: a number is never cut, whatever the width of the terminal."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from lib.answer_tables import fields_text, history_table, movers_table, plain, top_table
from lib.text_table import to_text

POINT = {"price_usd": 92311.5, "volume_24h_usd": 61234567890.1, "source_rank": 2, "filled": False}
AT = "2026-11-17T15:00:00Z"
LIST = {
    "count": 0, "requested_at": AT, "price_time": AT, "rank_time": AT,
    "sources": {"price": "coinmarketcap", "rank": "coindesk"}, "unchanged": {"price": True, "rank": False},
}  # fmt: skip
ROW = {
    "rank": 4999, "cmc_id": 24478, "symbol": "PEPE", "name": "Pepe, a coin with a long name",
    "price_usd": 4.2471604e-06, "volume_24h_usd": 132839259201.0, "change_24h_pct": -12.345,
}  # fmt: skip
MOVER = {
    "rank_to": 3, "rank_from": 4, "rank_change": 1, "cmc_id": 1, "symbol": "PEPE", "move": "stayed",
    "price_to_usd": 4.2471604e-06, "price_change_pct": 3.5, "volume_24h_change_pct": -2.25,
}  # fmt: skip
MOVERS = {"from": LIST, "to": LIST, "top": 40, "stayed": 1, "entered": 1, "left": 0}
WIDTHS = (40, 60, 80, 200)


def shown(points: list[dict[str, object]], width=80) -> str:
    answer = {
        "cmc_id": 1,
        "from": "2026-11-17T14:00:00Z",
        "to": AT,
        "every": "1m",
        "coverage": {"expected": 4, "present": 1, "absent": 1, "missing": 2, "filled": 1},
        "names": [{"symbol": "[BTC]", "name": "Bitcoin"}],
        "data": points,
    }
    return to_text(history_table(answer), width)


def test_each_step_of_a_history_has_its_minute_the_age_of_its_price_or_why_it_has_none():
    ticks = {"price_time": "2026-11-17T14:07:00Z", "price_source": "coinmarketcap"}
    none = dict.fromkeys(("price_usd", "volume_24h_usd", "source_rank"))
    text = shown(
        [
            {"at": "2026-11-17T14:07:00Z", **POINT, **ticks, "rank_source": "coindesk"},
            {"at": "2026-11-17T14:09:30Z", **POINT, **ticks, "rank_source": "coinmarketcap", "filled": True},
            {"at": "2026-11-17T14:10:00Z", **none, **ticks, "rank_source": "coindesk", "filled": False},
            {"at": "2026-11-17T14:11:00Z", **none, "price_time": None, "price_source": None, "filled": False},
        ],
        100,
    )
    cells = [re.split("  +", line) for line in text.splitlines()[3:7]]
    assert [line[0] for line in cells] == [f"2026-11-17T14:{at}Z" for at in ("07:00", "09:30", "10:00", "11:00")]
    assert [line[-1].strip() for line in cells] == ["0s", "2m30s (filled)", "not listed", "gap"]
    assert cells[0][1:4] == ["92,311.5", "61,234,567,890", "2"]
    assert "[BTC] (Bitcoin)" in text
    assert "prices of coinmarketcap, ranks of coindesk and coinmarketcap" in text


def test_a_history_of_an_api_that_names_no_sources_is_shown_without():
    assert "prices of" not in shown([{"at": AT, **POINT, "price_time": AT}])


def test_the_caption_of_a_list_shows_that_its_values_are_old():
    answer = {**LIST, "data": []}
    row = {"rank": 1, "cmc_id": 1, "symbol": "BTC", "name": "Bitcoin", "price_usd": 1.0, "volume_24h_usd": 1.0}
    assert "(coinmarketcap), unchanged, ranks" in top_table(answer).notes[0]
    rows = [{**row, "price_updated_at": at} for at in ("2026-11-17T13:19:00Z", None, "2026-11-17T13:00:00Z")]
    caption = top_table({**answer, "data": rows}).notes[0]
    assert "(coinmarketcap), newest value 1h41m old, unchanged, ranks" in caption


def test_the_caption_of_a_filtered_list_names_what_is_left_out_and_what_is_missing():
    answer = {**LIST, "filtered": {"stablecoins": 7, "wrapped": 0}, "missing": ["NOPE"], "data": [ROW]}
    caption = top_table(answer).notes[0]
    assert caption.endswith("; 7 left out by stablecoins; not in the list: NOPE")


@pytest.mark.parametrize("width", WIDTHS)
def test_a_list_shows_whole_prices_at_every_width(width):
    text = to_text(top_table({**LIST, "data": [ROW]}), width)
    assert "0.0000042471604" in text
    assert "-12.34" in text or "-12.35" in text
    assert ("132,839,259,201" in text) != ("left out at this width: " in text and "24h volume USD" in text)


@pytest.mark.parametrize("width", WIDTHS)
def test_movers_show_whole_numbers_at_every_width(width):
    text = to_text(movers_table({**MOVERS, "data": [MOVER]}), width)
    assert "0.0000042471604" in text
    assert "+3.50" in text


def test_a_column_is_left_out_before_a_line_gets_longer_than_the_terminal():
    for width in (60, 80, 100):
        lines = to_text(top_table({**LIST, "data": [ROW]}), width).splitlines()
        assert max(map(len, lines)) <= width


@given(st.floats(min_value=1e-12, max_value=1e15))
def test_a_price_of_a_table_is_a_plain_decimal_with_eight_digits(value):
    text = plain(value)
    assert "e" not in text.lower()
    assert float(text.replace(",", "")) == float(f"{value:.8g}")


def test_movers_are_ordered_by_what_is_asked_and_those_without_a_change_come_last():
    rows = [
        {**MOVER, "symbol": "UP", "rank_change": -2, "price_change_pct": 9.0},
        {**MOVER, "symbol": "NEW", "rank_change": None, "price_change_pct": None, "rank_from": None, "move": "entered"},
        {**MOVER, "symbol": "CLIMB", "rank_change": 5, "price_change_pct": -1.0},
    ]
    for by, order in (("price", ["UP", "CLIMB", "NEW"]), ("rank", ["CLIMB", "UP", "NEW"])):
        text = to_text(movers_table({**MOVERS, "data": rows}, by=by), 120)
        assert sorted(("UP", "CLIMB", "NEW"), key=text.index) == order


def test_the_fields_of_an_asset_are_words():
    answer = {
        "price_usd": 0.00001,
        "market_cap_usd": 2326859123.4,
        "price_age_s": 83.0,
        "unchanged": {"price": False},
        "wrapped": True,
        "also_ticker_of": [],
    }
    lines = [re.split("  +", line) for line in fields_text(answer, 80).splitlines()]
    assert lines == [
        ["Price USD", "0.00001"],
        ["Market cap USD", "2,326,859,123"],
        ["Price age", "1m23s"],
        ["Unchanged", "price no"],
        ["Wrapped", "yes"],
        ["Also ticker of", "none"],
    ]


@pytest.mark.parametrize("width", WIDTHS)
def test_chosen_columns_have_whole_numbers_and_the_last_one_goes_first(width):
    row = {**ROW, "market_cap_usd": 1418545497141.1409, "filled": False, "price_updated_at": None}
    table = top_table({**LIST, "data": [row]}, ["symbol", "price_usd", "filled", "price_updated_at", "market_cap_usd"])
    text = to_text(table, width)
    assert re.search("^PEPE +0.0000042471604", text, re.MULTILINE)
    assert ("1,418,545,497,141" in text) == (width > 60)
    assert ("\nleft out at this width: market_cap_usd\n" in text) == (width == 60)
    assert "false" in text or width == 40
    assert table.notes == top_table({**LIST, "data": [row]}).notes


def test_chosen_columns_of_movers_and_of_a_history_are_in_the_order_of_their_tables():
    rows = [{**MOVER, "symbol": "DOWN", "price_change_pct": -1.0}, {**MOVER, "symbol": "UP"}]
    movers = to_text(movers_table({**MOVERS, "data": rows}, ["symbol", "rank_change"]), 80)
    assert re.search("UP +1\nDOWN +1\n", movers)
    history = {"cmc_id": 1, "from": AT, "to": AT, "every": "1m", "coverage": {}, "names": []}
    point = {"at": AT, "price_time": AT, **POINT}
    assert "92,311.5\n" in to_text(history_table({**history, "data": [point]}, ["at", "price_usd"]), 80)


def test_columns_are_aligned_also_below_wide_and_shortened_names():
    rows = [
        {**ROW, "name": name} for name in ("币安人生", "Pepe, a coin with a very long name indeed", "\u202eevil\x1b[2J")
    ]
    heading, *lines = to_text(top_table({**LIST, "data": rows}), 80).splitlines()[2:6]
    stop = heading.index("Price USD") + len("Price USD")
    assert all(cell_len(line.partition("0.0000042471604")[0]) + len("0.0000042471604") == stop for line in lines)
    assert "…" in lines[1]
    assert "\x1b" not in lines[2]
    assert "\u202e" not in lines[2]


def test_a_change_that_rounds_to_zero_has_no_minus() -> None:
    text = to_text(movers_table({**MOVERS, "data": [{**MOVER, "price_change_pct": -0.001}]}), 120)
    assert "+0.00" in text
    assert "-0.00" not in text
