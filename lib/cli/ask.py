"""The commands that ask a running API. They import libraries when they run: `--help` needs none of them."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from lib.cli.app import (
    Asset,
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
from lib.cli.exit_code import ExitCode
from lib.errors import SettingsRejected

if TYPE_CHECKING:
    from httpx_sse import ServerSentEvent

FORMATS = ("table", "json", "csv")
FILES = ("csv", "ndjson", "parquet")


@app.command()
def top(
    limit: Annotated[int, typer.Option(min=1, max=5000, help="How many assets.")] = 20,
    datetime: Instant = None,
    format: Shown = "table",
    columns: Annotated[
        str | None, typer.Option(help="For table and csv: which columns, for example rank,symbol,market_cap_usd.")
    ] = None,
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
    _check_format(format)
    if watch and (datetime or known_at):
        raise SettingsRejected("--watch follows now: leave out --datetime and --known-at")
    parameters = {
        "limit": limit, "datetime": datetime, "columns": columns, "sort": sort, "exclude": exclude,
        "max_volume_to_cap": max_volume_to_cap, "symbols": symbols, "ids": ids, "max_age": max_age,
        "known_at": known_at,
    }  # fmt: skip
    _print_top(url, format, parameters)
    for event in _events(url) if watch else ():
        if event.event == "snapshot":
            out.clear()
            _print_top(url, format, parameters)


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
    from lib.cli.client import ask
    from lib.cli.table import fields_table, show

    parameters = {"datetime": datetime, "max_age": max_age, "known_at": known_at}
    body = ask(url, f"/v1/assets/{quote(id, safe='')}", parameters).content
    print_body(body) if json else show(out, fields_table(body))


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
    format: Shown = "table",
    url: Url = None,
) -> None:
    """Ask a running API for one asset over time, gaps visible."""
    from lib.cli.table import history_table, show

    parameters = {"from": start, "to": stop, "every": every, "fill": fill, "limit": limit}
    body = _ask(url, f"/v1/assets/{quote(id, safe='')}/history", format, parameters)
    show(out, history_table(body, out.width)) if format == "table" else print_body(body)


@app.command()
def movers(
    start: Annotated[
        str, typer.Option("--from", help="The earlier instant, for example 2026-11-17 or now-7d.")
    ] = "now-1d",
    stop: Annotated[str, typer.Option("--to", help="The later instant.")] = "now",
    top: Annotated[int, typer.Option(min=1, max=5000, help="The size of both lists.")] = 20,
    by: Annotated[str, typer.Option(help="The order of the table: by the change of price, volume or rank.")] = "price",
    format: Shown = "table",
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
    from lib.cli.table import MOVES, movers_table, show

    if by not in MOVES:
        raise SettingsRejected(f"--by {by}: must be {', '.join(MOVES)}; for example --by volume")
    parameters = {
        "from": start, "to": stop, "top": top, "exclude": exclude, "max_volume_to_cap": max_volume_to_cap,
        "symbols": symbols, "ids": ids, "max_age": max_age, "known_at": known_at,
    }  # fmt: skip
    body = _ask(url, "/v1/movers", format, parameters)
    show(out, movers_table(body, by, out.width)) if format == "table" else print_body(body)


@app.command()
def watch(
    url: Url = None,
    json: Annotated[bool, typer.Option("--json", help="Each event's data, for machines.")] = False,
) -> None:
    """Print a line for each new snapshot of a running API.

    It ends with Ctrl-C. A lost connection loses no event.
    """
    from lib.cli.watch import line

    for event in _events(url):
        print(event.data if json else line(event), flush=True)


@app.command()
def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file; its ending names the format.")],
    start: Annotated[str, typer.Option("--from", help="The first step, for example 2026-11-01 or now-30d.")],
    stop: Annotated[str, typer.Option("--to", help="The end; the last step is before it.")] = "now",
    every: Annotated[str, typer.Option(help="The distance between steps.")] = "1h",
    top: Annotated[int, typer.Option(min=1, max=5000, help="How many assets at each step.")] = 200,
    format: Annotated[str | None, typer.Option(help="csv, ndjson or parquet; else as the file's ending.")] = None,
    known_at: KnownAt = None,
    url: Url = None,
) -> None:
    """Write the list at each step to a file. Run the same command again to resume after an interruption."""
    import httpx
    from rich.progress import Progress

    from lib.cli.client import address, key_header, no_answer
    from lib.cli.download import TIMEOUT_S, Download
    from lib.http_client import open_sync_client

    parameters = {"from": start, "to": stop, "every": every, "top": str(top)}
    if known_at:
        parameters["known_at"] = known_at
    parameters["format"] = (format or output.suffix.removeprefix(".")).lower()
    if parameters["format"] not in FILES:
        raise SettingsRejected(f"--format {parameters['format']}: must be csv, ndjson or parquet; for example csv")
    at = address(url)
    client = open_sync_client(os.environ, headers=key_header(), timeout_s=TIMEOUT_S)
    with client, Progress(console=console) as progress:
        task = progress.add_task("steps", total=None)
        download = Download(client, f"{at}/v1/export", parameters, output)
        try:
            totals = download.run(lambda done, total: progress.update(task, completed=done, total=total))
        except httpx.HTTPError as exc:
            raise no_answer(at, exc) from exc
    gaps, answered = totals.get("gaps", 0), totals.get("answered", 0)
    console.print(f"{output}: {totals['steps']} steps, {answered} with a list, {gaps} gaps")
    if not answered:
        console.print(f"no step has a list: {at}/v1/gaps names the gaps and their causes")
        raise typer.Exit(ExitCode.NO_DATA)


def print_body(body: bytes) -> None:
    """An answer as it came; JSON indented on a terminal. It ends with a newline."""
    if sys.stdout.isatty() and body.startswith((b"{", b"[")):
        import orjson

        body = orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2)
    sys.stdout.flush()
    sys.stdout.buffer.write(body if body.endswith(b"\n") else body + b"\n")
    sys.stdout.buffer.flush()


def _print_top(url: str | None, format: str, parameters: Mapping[str, Any]) -> None:
    from lib.cli.client import ask
    from lib.cli.table import csv_table, show, top_table

    if format == "table" and parameters["columns"]:
        answer = ask(url, "/v1/top", {**parameters, "format": "csv"})
        table = csv_table(answer.text, out.width)
        table.caption = f"prices of {answer.headers['x-price-time']}, ranks of {answer.headers['x-rank-time']}"
        show(out, table)
    elif format == "table":
        answer = ask(url, "/v1/top", {**parameters, "format": "json", "more": "change_24h_pct"})
        show(out, top_table(answer.content, out.width))
    else:
        print_body(ask(url, "/v1/top", {**parameters, "format": format}).content)


def _check_format(format: str) -> None:
    if format not in FORMATS:
        raise SettingsRejected(f"--format {format}: must be table, json or csv; for example --format csv")


def _ask(url: str | None, path: str, format: str, parameters: Mapping[str, Any]) -> bytes:
    """The body of an answer that can be shown as a table, or is printed in this format."""
    from lib.cli.client import ask

    _check_format(format)
    return ask(url, path, {**parameters, "format": "csv" if format == "csv" else "json"}).content


def _events(url: str | None) -> "Iterator[ServerSentEvent]":
    """The events of a running API's stream, until Ctrl-C."""
    from lib.cli.client import address, key_header
    from lib.cli.watch import watch
    from lib.http_client import open_sync_client

    try:
        with open_sync_client(os.environ, headers=key_header()) as client:
            yield from watch(client, address(url), sleep=time.sleep, report=console.print)
    except KeyboardInterrupt:
        return
