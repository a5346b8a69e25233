"""Tables as aligned text. A number is never cut: a column is left out first, and a name is shortened."""

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from lib.text import without_control

SHORTEST_NAME = 8
GAP = "  "
"""Between two columns."""
_DIRECTIONS = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Marks that change the direction of what follows, so that a terminal shows the numbers after a name reversed."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column. Of those that may be left out, the one with the highest `spare` goes first; 0 never goes.

    The numbers of a `signed` column are gains and losses.
    """

    heading: str
    spare: int = 0
    is_name: bool = False
    signed: bool = False


@dataclass(frozen=True, slots=True)
class TextTable:
    """Rows of cells under their headings, below a title and above notes."""

    title: str
    fields: Sequence[Field]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


Paint = Callable[[Field | None, str], str]
"""Returns a cell, or with None a line of headings, in its colour. It may not change the width."""


def plain_paint(field: Field | None, text: str) -> str:
    """No colour."""
    return text


def to_text(table: TextTable, width: int, paint: Paint = plain_paint) -> str:
    """The table in lines of at most `width`; longer ones only where the numbers alone need more."""
    rows = [[printable(cell) for cell in row] for row in table.rows]
    widths = _fitted(table.fields, rows, width)
    left_out = [field.heading for place, field in enumerate(table.fields) if place not in widths]
    more = [f"left out at this width: {', '.join(left_out)}"] if left_out else []
    notes = [line for note in (*more, *table.notes) for line in wrapped(note, width)]
    return "\n".join([*wrapped(table.title, width), "", *_lines(table.fields, rows, widths, paint), "", *notes, ""])


def wrapped(text: str, width: int, *, indent: int = 0) -> list[str]:
    """A text in lines of at most `width`, all but the first one indented."""
    lines = textwrap.TextWrapper(width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
    return lines.wrap(printable(text))


def _lines(
    fields: Sequence[Field], rows: Sequence[Sequence[str]], widths: Mapping[int, int], paint: Paint
) -> Iterator[str]:
    headings = [_padded(fields[place], fields[place].heading, widths[place]) for place in widths]
    yield paint(None, GAP.join(headings).rstrip())
    for row in rows:
        cells = [paint(fields[place], _padded(fields[place], row[place], widths[place])) for place in widths]
        yield GAP.join(cells).rstrip()


def _fitted(fields: Sequence[Field], rows: Sequence[Sequence[str]], width: int) -> dict[int, int]:
    """The places of the columns that fit into the width, and how wide each is."""
    full = [max(map(cell_len, (field.heading, *(row[place] for row in rows)))) for place, field in enumerate(fields)]
    widths = {
        place: min(full[place], SHORTEST_NAME) if field.is_name else full[place] for place, field in enumerate(fields)
    }
    while _needed(widths) > width and any(fields[place].spare for place in widths):
        del widths[max(widths, key=lambda place: fields[place].spare)]
    for place in widths:  # names get what is free, from the left
        widths[place] = min(full[place], widths[place] + max(0, width - _needed(widths)))
    return widths


def _needed(widths: dict[int, int]) -> int:
    return sum(widths.values()) + len(GAP) * (len(widths) - 1)


def _padded(field: Field, text: str, width: int) -> str:
    length = cell_len(text)
    if not field.is_name:
        return " " * (width - length) + text
    return set_cell_size(text, width) if length <= width else f"{set_cell_size(text, width - 1)}…"


def printable(text: str) -> str:
    """A text of an upstream without what changes the rest of its line."""
    return _DIRECTIONS.sub("", without_control(text))
