"""The commands that ask a running API. They import libraries when they run: `--help` needs none of them."""

import os
import sys
import time
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from lib.cli.app import (
    Asset,
    Exclude,
    Ids,
    Instant,
    Json,
    Shown,
    Symbols,
    Url,
    VolumeToCap,
    _settings,
    app,
    console,
    out,
)
from lib.endpoint import http_url, to_ask
from lib.errors import SettingsRejected, TopcoinsError


@app.command()
def top(
    limit: Annotated[int, typer.Option(min=1, max=5000)] = 20,
    datetime: Instant = None,
    format: Shown = "table",
    exclude: Exclude = None,
    max_volume_to_cap: VolumeToCap = None,
    symbols: Symbols = None,
    ids: Ids = None,
    url: Url = None,
) -> None:
    """Ask a running API for the top list."""
    filters = {"exclude": exclude, "max_volume_to_cap": max_volume_to_cap, "symbols": symbols, "ids": ids}
    _print_list(_ask(url, "/v1/top", format, limit=limit, datetime=datetime, **filters), format)


@app.command()
def asset(
    id: Asset,
    datetime: Instant = None,
    json: Json = False,
    url: Url = None,
) -> None:
    """Ask a running API for one asset: price, volume, rank, market cap, kind."""
    from lib.cli.table import fields_table

    body = _ask(url, f"/v1/assets/{quote(id, safe='')}", None, datetime=datetime)
    out.print(fields_table(body)) if not json else _print_list(body, "json")


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
    from lib.cli.table import history_table

    parameters = {"from": start, "to": stop, "every": every, "fill": fill}
    body = _ask(url, f"/v1/assets/{quote(id, safe='')}/history", format, **parameters, limit=limit)
    out.print(history_table(body)) if format == "table" else _print_list(body, format)


@app.command()
def movers(
    start: Annotated[
        str, typer.Option("--from", help="The earlier instant, for example 2026-11-17 or now-7d.")
    ] = "now-1d",
    stop: Annotated[str, typer.Option("--to", help="The later instant.")] = "now",
    top: Annotated[int, typer.Option(min=1, max=5000)] = 20,
    format: Shown = "table",
    exclude: Exclude = None,
    max_volume_to_cap: VolumeToCap = None,
    symbols: Symbols = None,
    ids: Ids = None,
    url: Url = None,
) -> None:
    """Ask a running API what rose, fell, entered or left the list between two instants."""
    from lib.cli.table import movers_table

    filters = {"exclude": exclude, "max_volume_to_cap": max_volume_to_cap, "symbols": symbols, "ids": ids}
    body = _ask(url, "/v1/movers", format, **{"from": start, "to": stop}, top=top, **filters)
    out.print(movers_table(body)) if format == "table" else _print_list(body, format)


@app.command()
def watch(
    url: Url = None,
    json: Annotated[bool, typer.Option("--json", help="Each event's data, for machines.")] = False,
) -> None:
    """Print a line for each new snapshot of a running API, until Ctrl-C. A lost connection loses no event."""
    from lib.cli.watch import line, watch
    from lib.http_client import open_sync_client

    try:
        with open_sync_client(os.environ, headers=_key()) as client:
            for event in watch(client, _address(url), sleep=time.sleep, report=console.print):
                print(event.data if json else line(event), flush=True)
    except KeyboardInterrupt:
        return


@app.command()
def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file; its ending names the format.")],
    start: Annotated[str, typer.Option("--from", help="The first step, for example 2026-11-01 or now-30d.")],
    stop: Annotated[str, typer.Option("--to", help="The end; the last step is before it.")] = "now",
    every: Annotated[str, typer.Option(help="The distance between steps.")] = "1h",
    top: Annotated[int, typer.Option(min=1, max=5000)] = 200,
    format: Annotated[str | None, typer.Option(help="csv, ndjson or parquet; else as the file's ending.")] = None,
    url: Url = None,
) -> None:
    """Write the list at each step to a file. Run the same command again to resume after an interruption."""
    import httpx
    from rich.progress import Progress

    from lib.cli.download import TIMEOUT_S, Download
    from lib.http_client import open_sync_client

    parameters = {"from": start, "to": stop, "every": every, "top": str(top)}
    parameters["format"] = (format or output.suffix.removeprefix(".")).lower()
    if parameters["format"] not in ("csv", "ndjson", "parquet"):
        raise SettingsRejected(f"--format {parameters['format']}: must be csv, ndjson or parquet; for example csv")
    address = _address(url)
    client = open_sync_client(os.environ, headers=_key(), timeout_s=TIMEOUT_S)
    with client, Progress(console=console) as progress:
        task = progress.add_task("steps", total=None)
        download = Download(client, f"{address}/v1/export", parameters, output)
        try:
            totals = download.run(lambda done, total: progress.update(task, completed=done, total=total))
        except httpx.HTTPError as exc:
            raise TopcoinsError(f"{address} does not answer ({exc}); run the same command again to resume") from exc
    gaps, answered = totals.get("gaps", 0), totals.get("answered", 0)
    console.print(f"{output}: {totals['steps']} steps, {answered} with a list, {gaps} gaps")
    if not answered:
        console.print("no step has a list: `topcoins status` shows what is stored")
        raise typer.Exit(3)


def _address(url: str | None) -> str:
    from pydantic import TypeAdapter, ValidationError

    from lib import settings
    from lib.settings.values import ServerUrl

    if url is None:
        chosen = settings.load(os.environ, "query_api")
        return http_url(to_ask(chosen.http_host), chosen.http_port)
    try:
        return TypeAdapter(ServerUrl).validate_python(url)
    except ValidationError as exc:  # its text has the address, and so a password in it
        why = exc.errors()[0]["msg"].removeprefix("Value error, ")
        raise SettingsRejected(f"--url {settings.shown(url)}: {why}; for example http://127.0.0.1:6667") from None


def _key() -> dict[str, str]:
    key = _settings().client_key
    return {"x-api-key": key.get_secret_value()} if key else {}


def _ask(url: str | None, path: str, format: str | None, **parameters: str | int | float | None) -> bytes:
    """The body of a running API's answer; raises TopcoinsError with the problem's title, detail and example."""
    import httpx

    from lib.http_client import open_sync_client

    if format not in ("table", "json", "csv", None):
        raise SettingsRejected(f"--format {format}: must be table, json or csv; for example --format csv")
    params = {name: str(value) for name, value in parameters.items() if value is not None}
    if format:
        params["format"] = "csv" if format == "csv" else "json"
    address = _address(url)
    try:
        with open_sync_client(os.environ, headers=_key(), timeout_s=30) as client:
            response = client.get(f"{address}{path}", params=params)
    except httpx.HTTPError as exc:
        raise TopcoinsError(f"{address} does not answer ({exc}); start it with topcoins demo or topcoins up") from exc
    if not response.is_success:
        problem = response.json()
        example = f"; for example {problem['example']}" if problem.get("example") else ""
        raise TopcoinsError(f"{problem['title']}: {problem['detail']}{example}")
    return response.content


def _print_list(body: bytes, format: str) -> None:
    from lib.cli.table import top_table

    if format == "table":
        out.print(top_table(body))
    else:
        sys.stdout.buffer.write(body if body.endswith(b"\n") else body + b"\n")
