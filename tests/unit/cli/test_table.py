"""Tables on a terminal: in its colours, which change no width."""

import io

import pytest
from rich.console import Console

from lib.cli.table import folded, show
from lib.text_table import Field, TextTable

TABLE = TextTable(
    "Title",
    [Field("Symbol", is_name=True), Field("24h %", signed=True)],
    [("UP", "+1.00"), ("DOWN", "-2.00"), ("SAME", "+0.00")],
)


@pytest.mark.parametrize("width", [12, 20, 40])
def test_no_character_is_cut_from_a_table_that_rich_prints(width):
    out = io.StringIO()
    table = folded("own id", "tick")
    table.add_row("btc-bitcoin-12345678901", "2026-11-17T14:37:00Z")
    Console(file=out, width=width).print(table)
    assert "…" not in out.getvalue()
    cells = [line.split("│")[1:3] for line in out.getvalue().splitlines() if line.startswith("│")]
    assert ["".join(part.strip() for part in parts) for parts in zip(*cells, strict=True)] == [
        "btc-bitcoin-12345678901",
        "2026-11-17T14:37:00Z",
    ]


def printed(**options) -> str:
    out = io.StringIO()
    show(Console(file=out, width=80, **options), TABLE)
    return out.getvalue()


def test_gains_are_green_losses_red_and_headings_bold_where_the_terminal_has_colours():
    text = printed(force_terminal=True, color_system="standard", no_color=False)
    assert "\x1b[32m+1.00\x1b[0m" in text
    assert "\x1b[31m-2.00\x1b[0m" in text
    assert "  +0.00\n" in text
    assert "\x1b[1mSymbol" in text


@pytest.mark.parametrize("options", [{}, {"force_terminal": True, "no_color": True}])
def test_a_pipe_and_a_terminal_without_colours_get_none(options):
    assert "\x1b" not in printed(**options)
