"""The commands that ask a running API. They import libraries when they run: `--help` needs none of them."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lib.cli.app import (
    Asset,
    Columns,
    Exclude,
    Ids,
    Instant,
    Json,
    KnownAt,
    MaxAge,
    Shown,
    Symbols,
    Url,
    VolumeToCap,
    app,
    console,
    out,
)
from lib.cli.print_answer import MakeTable, print_answer, print_body, print_notice
from lib.errors import SettingsRejected

if TYPE_CHECKING:
    from httpx_sse import ServerSentEvent

FORMATS = ("table", "json", "csv")


@app.command()
def top(
    limit: Annotated[int, typer.Option(min=1, max=5000, help="How many assets.")] = 20,
    datetime: Instant = None,
    format: Shown = "table",
    columns: Columns = None,
    sort: Annotated[str | None, typer.Option(help="Order by this column; with - from the largest down.")] = None,
    exclude: Exclude = None,
    max_volume_to_cap: VolumeToCap = None,
    symbols: Symbols = None,
    ids: Ids = None,
    max_age: MaxAge = None,
    known_at: KnownAt = None,
    watch: Annotated[bool, typer.Option("--watch", help="Again at each new snapshot, until Ctrl-C.")] = False,
    url: Url = None,
) -> None:
    """Ask a running API for the top list."""
    from lib.answer_tables import top_table

    _check_format(format)
    if watch and (datetime or known_at):
        raise SettingsRejected("--watch follows now: leave out --datetime and --known-at")
    parameters = {
        "limit": limit, "datetime": datetime, "columns": columns, "sort": sort, "exclude": exclude,
        "max_volume_to_cap": max_volume_to_cap, "symbols": symbols, "ids": ids, "max_age": max_age,
        "known_at": known_at,
    }  # fmt: skip
    if format == "table":
        parameters["more"] = columns or "change_24h_pct"
    tag = _print(url, "/v1/top", format, parameters, top_table)
    for event in _events(url) if watch else ():
        if event.event == "snapshot":
            tag = _print(url, "/v1/top", format, parameters, top_table, tag)


@app.command()
def asset(
    id: Asset,
    datetime: Instant = None,
    max_age: MaxAge = None,
    known_at: KnownAt = None,
    json: Json = False,
    url: Url = None,
) -> None:
    """Ask a running API for one asset: price, volume, rank and more."""
    from lib.answer_tables import fields_text
    from lib.cli.client import ask, asset_path, notice_of

    parameters = {"datetime": datetime, "max_age": max_age, "known_at": known_at}
    answer = ask(url, asset_path(id), parameters)
    if json:
        print_answer(answer)
    else:
        print_body("\n".join(filter(None, [fields_text(answer.json(), out().width), notice_of(answer)])).encode())


@app.command()
def history(
    id: Asset,
    start: Annotated[str, typer.Option("--from", help="The first step, for example 2026-11-17 or now-7d.")] = "now-1d",
    stop: Annotated[str, typer.Option("--to", help="The end; the last step is before it.")] = "now",
    every: Annotated[str, typer.Option(help="The distance between steps.")] = "1h",
    fill: Annotated[
        str, typer.Option(help="Gaps: none leaves them out; null; previous repeats the last value, marked.")
    ] = "null",
    limit: Annotated[int, typer.Option(min=1, max=5000, help="How many steps, at most.")] = 1000,
    known_at: KnownAt = None,
    columns: Columns = None,
    format: Shown = "table",
    url: Url = None,
) -> None:
    """Ask a running API for one asset over time, gaps visible."""
    from lib.answer_tables import history_table
    from lib.cli.client import asset_path

    parameters = {
        "from": start, "to": stop, "every": every, "fill": fill, "limit": limit, "known_at": known_at,
        "columns": columns,
    }  # fmt: skip
    _print(url, f"{asset_path(id)}/history", format, parameters, history_table)


@app.command()
def movers(
    start: Annotated[
        str, typer.Option("--from", help="The earlier instant, for example 2026-11-17 or now-7d.")
    ] = "now-1d",
    stop: Annotated[str, typer.Option("--to", help="The later instant.")] = "now",
    top: Annotated[int, typer.Option(min=1, max=5000, help="The size of both lists.")] = 20,
    by: Annotated[str, typer.Option(help="The order of the table: by the change of price, volume or rank.")] = "price",
    format: Shown = "table",
    columns: Columns = None,
    exclude: Exclude = None,
    max_volume_to_cap: VolumeToCap = None,
    symbols: Symbols = None,
    ids: Ids = None,
    max_age: MaxAge = None,
    known_at: KnownAt = None,
    url: Url = None,
) -> None:
    """Ask a running API what rose, fell, entered or left the list.

    It compares two instants.
    """
    from lib.answer_tables import MOVES, movers_table

    if by not in MOVES:
        raise SettingsRejected(f"--by {by}: must be {', '.join(MOVES)}; for example --by volume")
    parameters = {
        "from": start, "to": stop, "top": top, "columns": columns, "exclude": exclude,
        "max_volume_to_cap": max_volume_to_cap, "symbols": symbols, "ids": ids, "max_age": max_age,
        "known_at": known_at,
    }  # fmt: skip
    _print(url, "/v1/movers", format, parameters, partial(movers_table, by=by))


@app.command()
def watch(
    url: Url = None,
    json: Annotated[bool, typer.Option("--json", help="Each event's data, for machines.")] = False,
) -> None:
    """Print a line for each new snapshot of a running API.

    It ends with Ctrl-C. A lost connection loses no event.
    """
    from lib.cli.watch import line

    for event in _events(url, notify=print_notice):
        print(event.data if json else line(event), flush=True)


def _check_format(format: str) -> None:
    if format not in FORMATS:
        raise SettingsRejected(f"--format {format}: must be table, json or csv; for example --format csv")


def _print(
    url: str | None, path: str, format: str, parameters: Mapping[str, Any], table: MakeTable, unless_tag: str = ""
) -> str:
    """Ask for an answer, and print it in this format. A table takes its columns from the JSON, which has all."""
    from lib.cli.client import ask

    _check_format(format)
    if format != "table":
        return print_answer(ask(url, path, {**parameters, "format": format}), unless_tag=unless_tag)
    answer = ask(url, path, {**parameters, "columns": None, "format": "json"})
    return print_answer(answer, table, parameters["columns"], unless_tag=unless_tag)


def _events(url: str | None, notify: Callable[[str], None] = lambda notice: None) -> "Iterator[ServerSentEvent]":
    """The events of a running API's stream, until Ctrl-C."""
    from lib.cli.client import address, key_header
    from lib.cli.watch import watch
    from lib.http_client import open_sync_client

    at = address(url)
    try:
        with open_sync_client(os.environ, at, headers=key_header()) as client:
            yield from watch(client, at, sleep=time.sleep, report=console().print, notify=notify)
    except KeyboardInterrupt:
        return
