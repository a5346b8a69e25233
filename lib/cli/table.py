"""Answers as tables for a terminal. A number is never cut: a column is left out first, and a name is shortened."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from lib.units import format_duration

SHORTEST_NAME = 8
BORDER = 3
"""Cells that a column takes beside its text."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column. Of those that may be left out, the one with the highest `spare` goes first; 0 never goes."""

    heading: str
    spare: int = 0
    is_name: bool = False


RANK, ID, SYMBOL = Field("Rank"), Field("CMC id", spare=3), Field("Symbol", is_name=True)
NAME, PRICE, VOLUME = Field("Name", spare=1, is_name=True), Field("Price USD"), Field("24h volume USD", spare=2)
TOP = (RANK, ID, SYMBOL, NAME, PRICE, Field("24h %"), VOLUME)
HISTORY = (Field("At"), PRICE, VOLUME, Field("Source rank", spare=3), Field("Price age", spare=1))
MOVERS = (
    RANK, Field("Was"), Field("Change", spare=3), Field("CMC id", spare=4), SYMBOL, PRICE, Field("Price %"),
    Field("24h volume %", spare=2),
)  # fmt: skip

Cell = str | Text


def show(console: Console, table: Table) -> None:
    """Print a table. If it needs more than the console's width even so, its lines are longer: nothing is cut."""
    if (table.min_width or 0) > console.width:
        console.width = table.min_width or 0
    console.print(table, crop=False)


def top_table(body: bytes, width: int) -> Table:
    """A top list, with its times in title and caption."""
    answer = orjson.loads(body)
    rows = [
        (
            str(row["rank"]), str(row["cmc_id"]), row["symbol"] or "", row["name"] or "", plain(row["price_usd"]),
            _change(row.get("change_24h_pct")), f"{row['volume_24h_usd']:,.0f}",
        )
        for row in answer["data"]
    ]  # fmt: skip
    table = _fitted(TOP, rows, width)
    table.title = Text(f"Top {answer['count']} by 24h volume as of {answer['requested_at']}")
    table.caption = Text(
        f"prices of {answer['price_time']} ({answer['sources']['price']}){_value_age(answer)},"
        f" ranks of {answer['rank_time']} ({answer['sources']['rank']}){_unchanged(answer, 'rank')}{_left_out(answer)}"
    )
    return table


def csv_table(body: str, width: int) -> Table:
    """The rows of a CSV, under its own header. The last columns go first."""
    header, *rows = csv.reader(io.StringIO(body, newline=""))
    names = {number for number, name in enumerate(header) if name in ("symbol", "name")}
    fields = [Field(name, spare=number, is_name=number in names) for number, name in enumerate(header)]
    return _fitted(fields, rows, width)


def fields_table(body: bytes) -> Table:
    """The fields of a JSON answer in words, one below the other."""
    table = Table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in orjson.loads(body).items():
        label = name.replace("_", " ").replace("usd", "USD").replace("cmc", "CMC").removesuffix(" s")
        table.add_row(f"{label[0].upper()}{label[1:]}", Text(_words(value)))
    return table


def history_table(body: bytes, width: int) -> Table:
    """The points of a history, with their coverage in the caption."""
    answer = orjson.loads(body)
    rows = [(point["at"], *_values(point)) for point in answer["data"]]
    names = ", ".join(dict.fromkeys(f"{each['symbol']} ({each['name']})" for each in answer["names"]))
    table = _fitted(HISTORY, rows, width)
    table.title = Text(f"{names or answer['cmc_id']} from {answer['from']} to {answer['to']} every {answer['every']}")
    table.caption = ", ".join(f"{count} {name}" for name, count in answer["coverage"].items())
    return table


def _values(point: dict[str, Any]) -> tuple[str, str, str, str]:
    if point["price_usd"] is None:
        return "", "", "", "not listed" if point["price_time"] else "gap"
    age = f"{_age(point['price_time'], point['at'])}{' (filled)' if point['filled'] else ''}"
    return plain(point["price_usd"]), f"{point['volume_24h_usd']:,.0f}", str(point["source_rank"]), age


MOVES = {"price": "price_change_pct", "volume": "volume_24h_change_pct", "rank": "rank_change"}
"""What movers can be ordered by, and the field of it."""


def movers_table(body: bytes, by: str, width: int) -> Table:
    """The movers, the largest rise of price, volume or rank first, then what entered or left."""
    answer = orjson.loads(body)
    start, stop = answer["from"], answer["to"]
    field = MOVES[by]
    ordered = sorted(answer["data"], key=lambda row: (row[field] is None, -(row[field] or 0)))
    rows = [
        (
            _whole(row["rank_to"], row["move"]), _whole(row["rank_from"], row["move"]),
            "" if row["rank_change"] is None else f"{row['rank_change']:+d}", str(row["cmc_id"]), row["symbol"] or "",
            "" if row["price_to_usd"] is None else plain(row["price_to_usd"]), _change(row["price_change_pct"]),
            _change(row["volume_24h_change_pct"]),
        )
        for row in ordered
    ]  # fmt: skip
    table = _fitted(MOVERS, rows, width)
    table.title = Text(f"Top {answer['top']} of {stop['requested_at']} against {start['requested_at']}, by {by}")
    table.caption = Text(
        f"{answer['stayed']} stayed, {answer['entered']} entered, {answer['left']} left;"
        f" prices of {start['price_time']} and {stop['price_time']}"
    )
    return table


def plain(value: float) -> str:
    """A number with eight significant digits, as a plain decimal."""
    return format(Decimal(f"{value:.8g}"), ",f")


def _fitted(fields: Sequence[Field], rows: Sequence[Sequence[Cell]], width: int) -> Table:
    """A table of the columns that fit into the width. Its `min_width` is what it needs."""
    full = [
        max(cell_len(field.heading), *(_length(row[place]) for row in rows), 0) for place, field in enumerate(fields)
    ]
    widths = [min(wide, SHORTEST_NAME) if field.is_name else wide for field, wide in zip(fields, full, strict=True)]
    places = list(range(len(fields)))
    while _needed(widths, places) > width and any(fields[place].spare for place in places):
        places.remove(max(places, key=lambda place: fields[place].spare))
    for place in places:  # names get what is free, from the left
        widths[place] = min(full[place], widths[place] + max(0, width - _needed(widths, places)))
    table = Table(min_width=_needed(widths, places))
    for place in places:
        justify: JustifyMethod = "left" if fields[place].is_name else "right"
        table.add_column(fields[place].heading, justify=justify, no_wrap=True, width=widths[place])
    for row in rows:
        # Text, not markup: a ticker may hold brackets.
        table.add_row(*(cell if isinstance(cell := row[place], Text) else Text(cell) for place in places))
    return table


def _needed(widths: Sequence[int], places: Sequence[int]) -> int:
    return sum(widths[place] + BORDER for place in places) + 1


def _length(cell: Cell) -> int:
    return cell.cell_len if isinstance(cell, Text) else cell_len(cell)


def _value_age(answer: dict[str, Any]) -> str:
    """How old the newest price is, and whether all are as before: a frozen vendor's list is new, its values are old."""
    updated = [row["price_updated_at"] for row in answer["data"] if row.get("price_updated_at")]
    newest = f", newest value {_age(max(updated), max(answer['requested_at'], max(updated)))} old" if updated else ""
    return newest + _unchanged(answer, "price")


def _unchanged(answer: dict[str, Any], side: str) -> str:
    return ", unchanged" if answer["unchanged"][side] else ""


def _left_out(answer: dict[str, Any]) -> str:
    """What the filters left out, and what they asked for in vain."""
    counts = "".join(f"; {count} left out by {name}" for name, count in answer.get("filtered", {}).items() if count)
    missing = ", ".join(map(str, answer.get("missing") or []))
    return counts + (f"; not in the list: {missing}" if missing else "")


def _words(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return plain(value)
        case dict():
            return ", ".join(f"{name} {_words(own)}" for name, own in value.items())
        case list():
            return ", ".join(map(_words, value)) or "none"
    return str(value)


def _age(tick: str, at: str) -> str:
    return format_duration(datetime.fromisoformat(at) - datetime.fromisoformat(tick))


def _whole(number: int | None, otherwise: str) -> str:
    return otherwise if number is None else str(number)


def _change(percent: float | None) -> Text:
    """A change in percent, green or red where the terminal has colours."""
    if percent is None:
        return Text("")
    return Text(f"{percent:+,.2f}", style="green" if percent > 0 else "red" if percent < 0 else "")
