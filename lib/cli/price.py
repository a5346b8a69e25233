"""`topcoins price`: the prices for the rows of one's own CSV file, in parts that the API takes."""

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from lib.cli.app import KnownAt, MaxAge, Url, app, console
from lib.cli.exit_code import ExitCode
from lib.errors import SettingsRejected
from lib.price_rows import ASSET, MOST_BYTES, MOST_ROWS, MOST_TIMES, TIME
from lib.text import is_digits

FORMATS = ("csv", "json", "ndjson")
IDS, TICKERS = ("cmc_id", "id"), ("ticker", "symbol")
ADDED = ("price_usd", "price_time", "price_age_s", "price_source", "price_cmc_id", "error", "error_detail")
"""The columns that are added. A file of trades often has a `price` of its own."""
_FROM = {"price_cmc_id": "cmc_id", "error_detail": "detail"}
"""The fields of an answer that are called otherwise there."""
_LONGEST_CELL = 300
"""More than any time or ticker has: such a row gets an error, and need not be sent whole."""

Row = list[str]
Answer = Mapping[str, Any]


@app.command()
def price(
    file: Annotated[Path, typer.Argument(help="A CSV file with the columns time and ticker (or cmc_id); - is stdin.")],
    asset: Annotated[
        str | None, typer.Option(help="The column of the assets, where it is not ticker, symbol, cmc_id or id.")
    ] = None,
    time: Annotated[str, typer.Option(help="The column of the times.")] = TIME,
    format: Annotated[str, typer.Option(help="csv, json or ndjson.")] = "csv",
    max_age: MaxAge = None,
    known_at: KnownAt = None,
    url: Url = None,
) -> None:
    """Add to each row of a CSV file the price as of its time.

    A running API is asked. Other columns stay as they are.
    """
    from lib.cli.client import ask, notice_of

    if format not in FORMATS:
        raise SettingsRejected(f"--format {format}: must be csv, json or ndjson; for example --format json")
    counts: Counter[str] = Counter()
    notices: set[str] = set()
    with _opened(file) as text:
        table = Table(text, "stdin" if str(file) == "-" else str(file), time=time, asset=asset)
        parameters = {"max_age": max_age, "known_at": known_at, "by": table.by, "format": "json"}

        def prices(body: bytes) -> list[Answer]:
            answer = ask(url, "/v1/prices", parameters, body=body)
            notices.add(notice_of(answer))
            return list(answer.json()["data"])

        for line in lines(table.header, counted(priced(table, prices), counts), format):
            sys.stdout.write(line)
    sys.stdout.flush()
    errors = "".join(f", {count} {reason}" for reason, count in counts.items() if reason)
    console().print(f"{table.name}: {counts.total()} rows, {counts['']} with a price{errors}")
    for notice in filter(None, notices):
        console().print(notice)
    if counts and not counts[""]:
        raise typer.Exit(ExitCode.NO_DATA)


class Table:
    """The rows of a CSV file, each with what to ask for. SettingsRejected names what is wrong with the file."""

    def __init__(self, text: Iterable[str], name: str, *, time: str = TIME, asset: str | None = None) -> None:
        self.name = name
        lines = self._in_utf8(text)
        first = next(lines, "")
        # Where the comma is part of a number, spreadsheets write a semicolon.
        self._reader = csv.reader(chain([first], lines), delimiter=max(",;\t", key=first.count), strict=True)
        self.header = self._next() or []
        for name in ADDED:
            if name in self.header:
                raise SettingsRejected(f"{self.name} has a column {name}, which this command adds: rename it")
        self._time = self._place(time)
        column = asset or self._asset_column()
        self._asset = self._place(column)
        self._is_id = column.lower() in IDS
        self.by = "symbol" if column.lower() in TICKERS else None

    def rows(self) -> Iterator[tuple[Row, Mapping[str, Any]]]:
        """Each row, and the row of the request for it. A row that has no request has its answer in place of that."""
        while (row := self._next()) is not None:
            if not row:
                continue  # an empty line
            if len(row) != len(self.header):
                yield self._whole(row), _bad_row(f"line {self._reader.line_num} has {self._cells(row)}")
                continue
            asset = row[self._asset].strip()[:_LONGEST_CELL]
            number = int(asset) if self._is_id and is_digits(asset) else asset
            yield row, {TIME: row[self._time].strip()[:_LONGEST_CELL], ASSET: number}

    def _whole(self, row: Row) -> Row:
        """As many cells as the header has, so that the columns that are added stay in their place."""
        return [*row, *[""] * len(self.header)][: len(self.header)]

    def _cells(self, row: Row) -> str:
        surplus = ",".join(row[len(self.header) :])
        return f"{len(row)} cells, the header has {len(self.header)}{surplus and f'; left out here: {surplus}'}"

    def _in_utf8(self, text: Iterable[str]) -> Iterator[str]:
        try:
            yield from text
        except UnicodeDecodeError as exc:
            raise SettingsRejected(f"{self.name} is not UTF-8; save it as CSV in UTF-8") from exc

    def _next(self) -> Row | None:
        try:
            return next(self._reader, None)
        except csv.Error as exc:
            raise SettingsRejected(f"{self.name}, line {self._reader.line_num}: is no CSV: {exc}") from exc

    def _asset_column(self) -> str:
        known = [name for name in self.header if name.lower() in (*IDS, *TICKERS)]
        if len(known) > 1:
            raise SettingsRejected(
                f"{self.name} has the columns {' and '.join(known)}: choose one, for example --asset {known[-1]}"
            )
        return known[0] if known else TICKERS[0]

    def _place(self, name: str) -> int:
        lower = [each.strip().lower() for each in self.header]
        if lower.count(name.lower()) != 1:
            shown = ", ".join(self.header) or "no header"
            option = "--time" if name.lower() == TIME else "--asset"
            raise SettingsRejected(
                f"{self.name} needs one column {name}; it has {shown}. For another name: {option} COLUMN"
            )
        return lower.index(name.lower())


def _bad_row(why: str) -> Answer:
    return dict.fromkeys((_FROM.get(name, name) for name in ADDED), None) | {"error": "bad_row", "detail": why}


def priced(table: Table, prices: Callable[[bytes], Iterable[Answer]]) -> Iterator[tuple[Row, Answer]]:
    """Each row with its answer. The API is asked for as many rows at once as it takes."""
    rows: list[tuple[Row, Answer | None]] = []
    parts: list[bytes] = []
    times: set[str] = set()
    size = 0
    for row, question in table.rows():
        is_answered = TIME not in question
        part = b"" if is_answered else json.dumps(question, ensure_ascii=False).encode()
        too_many_times = len(times) == MOST_TIMES and not is_answered and question[TIME] not in times
        if len(rows) == MOST_ROWS or size + len(part) > MOST_BYTES - 2 or too_many_times:
            yield from _answered(rows, parts, prices)
            rows, parts, times, size = [], [], set(), 0
        rows.append((row, question if is_answered else None))
        if is_answered:
            continue
        parts.append(part)
        times.add(question[TIME])
        size += len(part) + 1
    yield from _answered(rows, parts, prices)


def _answered(
    rows: Iterable[tuple[Row, Answer | None]], parts: list[bytes], prices: Callable[[bytes], Iterable[Answer]]
) -> Iterator[tuple[Row, Answer]]:
    """The rows that have no answer yet get those of the API, in order."""
    pairs = list(zip(parts, prices(b"[%b]" % b",".join(parts)) if parts else (), strict=True))
    answers = (answer for _, answer in pairs)
    for row, answer in rows:
        yield row, next(answers) if answer is None else answer


def counted(rows: Iterable[tuple[Row, Answer]], counts: Counter[str]) -> Iterator[tuple[Row, Answer]]:
    """The rows, counted by their error; those with a price under an empty text."""
    for row, answer in rows:
        counts[answer["error"] or ""] += 1
        yield row, answer


def lines(header: Row, rows: Iterable[tuple[Row, Answer]], format: str) -> Iterator[str]:
    """The rows with their new columns, as text of this format."""
    answered = ((row, [answer[_FROM.get(name, name)] for name in ADDED]) for row, answer in rows)
    if format == "csv":
        head = _csv_line([*header, *ADDED])
        for row, added in answered:
            yield head + _csv_line([*row, *map(_cell, added)])
            head = ""
        yield head
        return
    begin, between, end = ("[\n", ",\n", "\n]\n") if format == "json" else ("", "\n", "\n")
    names = [*header, *ADDED]
    for row, added in answered:
        record = json.dumps(dict(zip(names, [*row, *added], strict=True)), ensure_ascii=False)
        yield f"{begin}{record}"
        begin = between
    yield end if begin == between else "[]\n" * (format == "json")


def _csv_line(cells: Row) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()


def _cell(value: Any) -> str:
    """A value as a cell; a number is a plain decimal that reads back as the same number."""
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    return "" if value is None else str(value)


@contextmanager
def _opened(file: Path) -> Iterator[IO[str]]:
    """The text of a file, or of stdin, without the mark that some programs begin UTF-8 with."""
    if str(file) == "-":
        yield io.TextIOWrapper(sys.stdin.buffer, "utf-8-sig", newline="")
        return
    try:
        text = file.open(encoding="utf-8-sig", newline="")
    except OSError as exc:
        raise SettingsRejected(f"{file} can't be read: {exc.strerror}; - is stdin") from exc
    with text:
        yield text
