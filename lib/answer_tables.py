"""The API's answers as tables of text: of the command line, and of `format=text`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from lib.text_table import Field, TextTable, wrapped
from lib.units import format_duration

Answer = Mapping[str, Any]
"""A parsed JSON answer."""

RANK, ID, SYMBOL = Field("Rank"), Field("CMC id", spare=3), Field("Symbol", is_name=True)
NAME, PRICE, VOLUME = Field("Name", spare=1, is_name=True), Field("Price USD"), Field("24h volume USD", spare=2)
TOP = (RANK, ID, SYMBOL, NAME, PRICE, Field("24h %", signed=True), VOLUME)
HISTORY = (Field("At"), PRICE, VOLUME, Field("Source rank", spare=3), Field("Price age", spare=1))
MOVERS = (
    RANK, Field("Was"), Field("Change", spare=3), Field("CMC id", spare=4), SYMBOL, PRICE,
    Field("Price %", signed=True), Field("24h volume %", spare=2, signed=True),
)  # fmt: skip
WHOLE = 1e8
"""From here on eight digits are less than a whole number."""
MOVES = {"price": "price_change_pct", "volume": "volume_24h_change_pct", "rank": "rank_change"}
"""What movers can be ordered by, and the field of it."""


def top_table(answer: Answer, columns: Sequence[str] | None = None) -> TextTable:
    """A top list, with its times: the usual columns, or these of its JSON."""
    title = f"Top {answer['count']} by 24h volume as of {answer['requested_at']}"
    basis = (
        f"prices of {answer['price_time']} ({answer['sources']['price']}){_value_age(answer)},"
        f" ranks of {answer['rank_time']} ({answer['sources']['rank']}){_unchanged(answer, 'rank')}{_left_out(answer)}"
    )
    rows = [
        (
            str(row["rank"]), str(row["cmc_id"]), row["symbol"] or "", row["name"] or "", plain(row["price_usd"]),
            _change(row.get("change_24h_pct")), f"{row['volume_24h_usd']:,.0f}",
        )
        for row in answer["data"]
    ]  # fmt: skip
    return _with_columns(TextTable(title, TOP, rows, [basis]), answer["data"], columns)


def history_table(answer: Answer, columns: Sequence[str] | None = None) -> TextTable:
    """The points of a history, with their coverage: the usual columns, or these of its JSON."""
    rows = [(point["at"], *_values(point)) for point in answer["data"]]
    names = ", ".join(dict.fromkeys(f"{each['symbol']} ({each['name']})" for each in answer["names"]))
    title = f"{names or answer['cmc_id']} from {answer['from']} to {answer['to']} every {answer['every']}"
    coverage = ", ".join(f"{count} {name}" for name, count in answer["coverage"].items())
    table = TextTable(title, HISTORY, rows, [coverage, *_sources(answer["data"])])
    return _with_columns(table, answer["data"], columns)


def _sources(points: Sequence[Answer]) -> list[str]:
    """Where the prices and ranks of a history are from. An API before 0.2 does not say so."""
    names = [
        " and ".join(dict.fromkeys(point[side] for point in points if point.get(side)))
        for side in ("price_source", "rank_source")
    ]
    return [f"prices of {names[0]}, ranks of {names[1]}"] if all(names) else []


def _values(point: Answer) -> tuple[str, str, str, str]:
    if point["price_usd"] is None:
        return "", "", "", "not listed" if point["price_time"] else "gap"
    age = f"{_age(point['price_time'], point['at'])}{' (filled)' if point['filled'] else ''}"
    return plain(point["price_usd"]), f"{point['volume_24h_usd']:,.0f}", str(point["source_rank"]), age


def movers_table(answer: Answer, columns: Sequence[str] | None = None, by: str = "price") -> TextTable:
    """The movers, the largest rise of price, volume or rank first, then what entered or left."""
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
    title = f"Top {answer['top']} of {stop['requested_at']} against {start['requested_at']}, by {by}"
    counts = (
        f"{answer['stayed']} stayed, {answer['entered']} entered, {answer['left']} left;"
        f" prices of {start['price_time']} and {stop['price_time']}"
    )
    return _with_columns(TextTable(title, MOVERS, rows, [counts]), ordered, columns)


def _with_columns(table: TextTable, rows: Sequence[Answer], columns: Sequence[str] | None) -> TextTable:
    """The table with these columns of the rows instead of its own, if there are any. The last ones go first."""
    if columns is None:
        return table
    fields = [Field(name, spare=place, is_name=name in ("symbol", "name")) for place, name in enumerate(columns)]
    return replace(table, fields=fields, rows=[[_cell(row[name]) for name in columns] for row in rows])


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return _number(value)
    return str(value)


def fields_text(answer: Answer, width: int) -> str:
    """The fields of an answer in words, one below the other."""
    fields = [
        (_label(name), _duration(value) if name.endswith("_s") else _words(value)) for name, value in answer.items()
    ]
    first = max(len(label) for label, _ in fields) + 2
    lines = [wrapped(f"{label:<{first}}{words}", width, indent=first) for label, words in fields]
    return "".join(f"{line}\n" for each in lines for line in each)


def _label(name: str) -> str:
    label = name.replace("_", " ").replace("usd", "USD").replace("cmc", "CMC").removesuffix(" s")
    return f"{label[0].upper()}{label[1:]}"


def _duration(seconds: float | None) -> str:
    return "-" if seconds is None else format_duration(timedelta(seconds=seconds))


def _words(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return _number(value)
        case dict():
            return ", ".join(f"{name} {_words(own)}" for name, own in value.items())
        case list():
            return ", ".join(map(_words, value)) or "none"
    return str(value)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= WHOLE else plain(value)


def plain(value: float) -> str:
    """A number with eight significant digits, as a plain decimal."""
    return format(Decimal(f"{value:.8g}"), ",f")


def _value_age(answer: Answer) -> str:
    """How old the newest price is, and whether all are as before: a frozen vendor's list is new, its values are old."""
    updated = [row["price_updated_at"] for row in answer["data"] if row.get("price_updated_at")]
    newest = f", newest value {_age(max(updated), max(answer['requested_at'], max(updated)))} old" if updated else ""
    return newest + _unchanged(answer, "price")


def _unchanged(answer: Answer, side: str) -> str:
    return ", unchanged" if answer["unchanged"][side] else ""


def _left_out(answer: Answer) -> str:
    """What the filters left out, and what they asked for in vain."""
    counts = "".join(f"; {count} left out by {name}" for name, count in answer.get("filtered", {}).items() if count)
    missing = ", ".join(map(str, answer.get("missing") or []))
    return counts + (f"; not in the list: {missing}" if missing else "")


def _age(tick: str, at: str) -> str:
    return format_duration(datetime.fromisoformat(at) - datetime.fromisoformat(tick))


def _whole(number: int | None, otherwise: str) -> str:
    return otherwise if number is None else str(number)


def _change(percent: float | None) -> str:
    """A change in percent; one that rounds to zero has no minus."""
    return "" if percent is None else f"{percent:+z,.2f}"
