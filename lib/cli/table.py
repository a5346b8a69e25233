"""Tables on a terminal: in its width, with its colours."""

from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from lib.text_table import Field, TextTable, plain_paint, to_text

_BOLD, _GREEN, _RED, _END = "\x1b[1m", "\x1b[32m", "\x1b[31m", "\x1b[0m"


def show(console: Console, table: TextTable, notice: str = "") -> None:
    """Print a table, and a notice below it. A line that needs more than the terminal's width is not cut."""
    table = replace(table, notes=[*table.notes, notice])
    has_colours = bool(console.color_system) and not console.no_color
    console.file.write(to_text(table, console.width, _paint if has_colours else plain_paint))
    console.file.flush()


def folded(*headings: str, **options: Any) -> Table:
    """A table for Rich to print whose cells go on in the next line: Rich would cut what is longer, numbers too."""
    return Table(*(Column(heading, overflow="fold") for heading in headings), **options)


def _paint(field: Field | None, text: str) -> str:
    """Headings bold, gains green, losses red."""
    if field is None:
        return f"{_BOLD}{text}{_END}"
    change = text.lstrip()
    colour = {"+": _GREEN, "-": _RED}.get(change[:1]) if field.signed and change.strip("+-0.") else None
    return text.replace(change, f"{colour}{change}{_END}") if colour else text
