"""Answers as tables for a terminal."""

from datetime import datetime
from typing import Any

import orjson
from rich.table import Table
from rich.text import Text

from lib.units import format_duration


def top_table(body: bytes) -> Table:
    """A top list as a table, with its times in title and caption."""
    answer = orjson.loads(body)
    table = Table(
        title=f"Top {answer['count']} by 24h volume as of {answer['requested_at']}",
        caption=f"prices of {answer['price_time']} ({answer['sources']['price']}){_value_age(answer)},"
        f" ranks of {answer['rank_time']} ({answer['sources']['rank']}){_unchanged(answer, 'rank')}",
    )
    for name in ("Rank", "CMC id", "Symbol", "Name", "Price USD", "24h volume USD"):
        table.add_column(name, justify="left" if name in ("Symbol", "Name") else "right")
    for row in answer["data"]:
        table.add_row(
            str(row["rank"]),
            str(row["cmc_id"]),
            # Text, not markup: a ticker may hold brackets.
            Text(row["symbol"] or ""),
            Text(row["name"] or ""),
            f"{row['price_usd']:,.8g}",
            f"{row['volume_24h_usd']:,.0f}",
        )
    return table


def _value_age(answer: dict[str, Any]) -> str:
    """How old the newest price is, and whether all are as before: a frozen vendor's list is new, its values are old."""
    updated = [row["price_updated_at"] for row in answer["data"] if row.get("price_updated_at")]
    newest = f", newest value {_age(max(updated), max(answer['requested_at'], max(updated)))} old" if updated else ""
    return newest + _unchanged(answer, "price")


def _unchanged(answer: dict[str, Any], side: str) -> str:
    return ", unchanged" if answer["unchanged"][side] else ""


def fields_table(body: bytes) -> Table:
    """The fields of a JSON answer, one below the other."""
    answer = orjson.loads(body)
    table = Table(show_header=False)
    for name, value in answer.items():
        shown = ", ".join(f"{key} {own}" for key, own in value.items()) if isinstance(value, dict) else value
        table.add_row(name, Text("" if shown is None else str(shown)))
    return table


def history_table(body: bytes) -> Table:
    """The points of a JSON answer as a table, with their coverage in the caption."""
    answer = orjson.loads(body)
    names = ", ".join(dict.fromkeys(f"{one['symbol']} ({one['name']})" for one in answer["names"]))
    table = Table(
        title=Text(f"{names or answer['cmc_id']} from {answer['from']} to {answer['to']} every {answer['every']}"),
        caption=", ".join(f"{count} {name}" for name, count in answer["coverage"].items()),
    )
    table.add_column("At", no_wrap=True, min_width=len("2026-11-17T14:37:00Z"))  # rows are recognised by their minute
    for name in ("Price USD", "24h volume USD", "Source\nrank", "Price age"):
        table.add_column(name, justify="right")
    for point in answer["data"]:
        if point["price_usd"] is None:
            table.add_row(point["at"], "", "", "", "not listed" if point["price_time"] else "gap")
            continue
        table.add_row(
            point["at"],
            f"{point['price_usd']:,.8g}",
            f"{point['volume_24h_usd']:,.0f}",
            str(point["source_rank"]),
            f"{_age(point['price_time'], point['at'])}{' (filled)' if point['filled'] else ''}",
        )
    return table


def movers_table(body: bytes) -> Table:
    """The movers of a JSON answer as a table, the times of both lists in the title."""
    answer = orjson.loads(body)
    start, stop = answer["from"], answer["to"]
    table = Table(
        title=f"Top {answer['top']} of {stop['requested_at']} against {start['requested_at']}",
        caption=f"{answer['stayed']} stayed, {answer['entered']} entered, {answer['left']} left;"
        f" prices of {start['price_time']} and {stop['price_time']}",
    )
    for name in ("Rank", "Was", "Change", "CMC id", "Symbol", "Price USD", "Price %", "24h volume %"):
        table.add_column(name, justify="left" if name == "Symbol" else "right")
    for row in answer["data"]:
        table.add_row(
            _whole(row["rank_to"], row["move"]),
            _whole(row["rank_from"], row["move"]),
            "" if row["rank_change"] is None else f"{row['rank_change']:+d}",
            str(row["cmc_id"]),
            Text(row["symbol"] or ""),
            "" if row["price_to_usd"] is None else f"{row['price_to_usd']:,.8g}",
            _percent(row["price_change_pct"]),
            _percent(row["volume_24h_change_pct"]),
        )
    return table


def _age(tick: str, at: str) -> str:
    return format_duration(datetime.fromisoformat(at) - datetime.fromisoformat(tick))


def _whole(number: int | None, otherwise: str) -> str:
    return otherwise if number is None else str(number)


def _percent(change: float | None) -> str:
    return "" if change is None else f"{change:+.2f}"
