"""The `topcoins` command: each command a thin call. Answers go to stdout, everything else to stderr."""

import asyncio
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import httpx
import orjson
import typer
from rich.console import Console
from rich.progress import Progress

from lib import settings
from lib.cli.option import duration
from lib.clock import utc_now
from lib.errors import SettingsRejected, TopcoinsError
from lib.schema import OWN, Series
from lib.settings import Settings
from lib.source import read_source
from lib.store.address import open_store

if TYPE_CHECKING:
    from lib.backup import Day

app = typer.Typer(
    name="topcoins",
    help="The top coins by 24h volume, with USD prices, as of any minute.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(stderr=True)

Assets = Annotated[int, typer.Option(min=1, max=5000, help="How many assets the market has.")]
Seed = Annotated[int, typer.Option(help="Another seed is another market.")]
Url = Annotated[str | None, typer.Option(help="The API to ask; else the one of the settings.")]
Shown = Annotated[str, typer.Option(help="table, json or csv.")]
Exclude = Annotated[str | None, typer.Option(help="Without stablecoins, wrapped or both: stablecoins,wrapped.")]
VolumeToCap = Annotated[
    float | None, typer.Option(help="Without assets that trade more than so many times their market cap in 24 h.")
]
Symbols = Annotated[str | None, typer.Option(help="Only these tickers, for example BTC,ETH.")]
Ids = Annotated[str | None, typer.Option(help="Only these CoinMarketCap ids, for example 1,1027.")]


@app.command()
def demo(
    assets: Assets = 500,
    history: Annotated[str, typer.Option(help="How much history to fill.")] = "24h",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 6667,
    safe_port: Annotated[int, typer.Option(min=1, max=65535, help="For browsers: they refuse 6667.")] = 8667,
    data: Annotated[Path | None, typer.Option(help="Keep the data here; else it goes at the end.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Print the first list and exit.")] = False,
    json: Annotated[bool, typer.Option("--json", help="With --once: the list as JSON.")] = False,
) -> None:
    """Run everything on a simulated market: no key, no server, nothing real."""
    from lib.demo import Demo

    asked = Demo(assets, duration("--history", history), port, safe_port, data, once)
    body = asked.run(console, os.environ)
    if body:
        _print_list(body, "json" if json else "table")


@app.command()
def up() -> None:
    """Run both ingestors and the API with the real sources of the settings."""
    from lib.demo import up as run

    chosen = _settings()
    run(console, os.environ, chosen.http_port, chosen.http_safe_port)


@app.command()
def top(
    limit: Annotated[int, typer.Option(min=1, max=5000)] = 20,
    datetime: Annotated[str | None, typer.Option(help="The instant, for example 2026-11-17T14:37Z or now-90m.")] = None,
    format: Shown = "table",
    exclude: Exclude = None,
    max_volume_to_cap: VolumeToCap = None,
    symbols: Symbols = None,
    ids: Ids = None,
    url: Url = None,
) -> None:
    """Ask a running API for the top list."""
    body = _ask(
        url,
        "/v1/top",
        format,
        limit=limit,
        datetime=datetime,
        exclude=exclude,
        max_volume_to_cap=max_volume_to_cap,
        symbols=symbols,
        ids=ids,
    )
    _print_list(body, format)


@app.command()
def asset(
    id: Annotated[str, typer.Argument(help="A CoinMarketCap id, or a ticker that only one asset has.")],
    datetime: Annotated[str | None, typer.Option(help="The instant, for example 2026-11-17T14:37Z or now-90m.")] = None,
    json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
    url: Url = None,
) -> None:
    """Ask a running API for one asset: price, volume, rank, market cap, kind."""
    from lib.table import fields_table

    body = _ask(url, f"/v1/assets/{quote(id, safe='')}", None, datetime=datetime)
    Console().print(fields_table(body)) if not json else _print_list(body, "json")


@app.command()
def history(
    id: Annotated[str, typer.Argument(help="A CoinMarketCap id, or a ticker that only one asset has.")],
    start: Annotated[str, typer.Option("--from", help="The first step, for example 2026-11-17 or now-7d.")] = "now-1d",
    stop: Annotated[str, typer.Option("--to", help="Where it ends; the last step lies before.")] = "now",
    every: Annotated[str, typer.Option(help="The distance between steps.")] = "1h",
    fill: Annotated[str, typer.Option(help="Gaps: left out (none), null, or previous, marked.")] = "null",
    limit: Annotated[int, typer.Option(min=1, max=5000, help="How many steps, at most.")] = 1000,
    format: Shown = "table",
    url: Url = None,
) -> None:
    """Ask a running API for one asset over time, gaps visible."""
    from lib.table import history_table

    asked: dict[str, str | int | float | None] = {"from": start, "to": stop, "every": every, "fill": fill}
    body = _ask(url, f"/v1/assets/{quote(id, safe='')}/history", format, **asked, limit=limit)
    Console().print(history_table(body)) if format == "table" else _print_list(body, format)


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
    """Ask a running API who rose, fell, entered or left the list between two instants."""
    from lib.table import movers_table

    asked: dict[str, str | int | float | None] = {"from": start, "to": stop, "top": top}
    asked |= {"exclude": exclude, "max_volume_to_cap": max_volume_to_cap, "symbols": symbols, "ids": ids}
    body = _ask(url, "/v1/movers", format, **asked)
    Console().print(movers_table(body)) if format == "table" else _print_list(body, format)


@app.command()
def watch(
    url: Annotated[str | None, typer.Option(help="The API to ask; else the one of the settings.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Each event's data, for machines.")] = False,
) -> None:
    """Print a line for each new snapshot of a running API, until Ctrl-C; a cut loses none."""
    from lib.watch import line, watch

    try:
        with httpx.Client(trust_env=False, headers=_key()) as client:
            for event in watch(client, _address(url), sleep=time.sleep, tell=console.print):
                print(event.data if json else line(event), flush=True)
    except KeyboardInterrupt:
        return


@app.command()
def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file; its ending tells the format.")],
    start: Annotated[str, typer.Option("--from", help="The first step, for example 2026-11-01 or now-30d.")],
    stop: Annotated[str, typer.Option("--to", help="Where it ends; the last step lies before.")] = "now",
    every: Annotated[str, typer.Option(help="The distance between steps.")] = "1h",
    top: Annotated[int, typer.Option(min=1, max=5000)] = 200,
    format: Annotated[str | None, typer.Option(help="csv, ndjson or parquet; else as the file's ending.")] = None,
    url: Annotated[str | None, typer.Option(help="The API to ask; else the one of the settings.")] = None,
) -> None:
    """Write who was in the list, step by step, to a file. The same command again goes on after an interruption."""
    from lib.download import TIMEOUT_S, Download

    asked = {"from": start, "to": stop, "every": every, "top": str(top)}
    asked["format"] = (format or output.suffix.removeprefix(".")).lower()
    if asked["format"] not in ("csv", "ndjson", "parquet"):
        raise SettingsRejected(f"--format {asked['format']}: must be csv, ndjson or parquet; for example -o top.csv")
    address = _address(url)
    client = httpx.Client(trust_env=False, headers=_key(), timeout=TIMEOUT_S)
    with client, Progress(console=console) as progress:
        task = progress.add_task("steps", total=None)
        download = Download(client, f"{address}/v1/export", asked, output)
        try:
            steps = download.run(lambda done, total: progress.update(task, completed=done, total=total))
        except httpx.HTTPError as exc:
            raise TopcoinsError(f"{address} does not answer ({exc}); the same command again goes on from here") from exc
    console.print(f"{output}: {steps} steps", highlight=False)


@app.command()
def backfill(
    since: Annotated[str, typer.Option("--since", help="How far back to look for gaps.")] = "7d",
    yes: Annotated[bool, typer.Option("--yes", help="Buy without asking.")] = False,
) -> None:
    """List the gaps and what can be bought back for how many credits, and buy it if you say so. Never minutes."""
    from lib.cli.backfill import run

    run(_settings(), since, yes=yes, console=console)


@app.command(name="import")
def import_(
    files: Annotated[list[Path], typer.Argument(help="Files that `topcoins export` or /v1/export has made.")],
) -> None:
    """Bring earlier exports back, at their own ticks, where the store has no snapshot. Only their top is there."""
    from lib.imports import imported

    chosen = _settings()

    async def run() -> None:
        store = open_store(chosen, utc_now)
        try:
            async for done in imported(files, store, clock=utc_now):
                print(f"{done.file}: {done.written} snapshots written, {done.kept} ticks had one", flush=True)
        finally:
            await store.close()

    asyncio.run(run())


@app.command()
def doctor(json: Annotated[bool, typer.Option("--json", help="For machines.")] = False) -> None:
    """Check settings, keys, credits, clock, store and disk; exit code 1 when something is wrong."""
    from lib.doctor import as_json, examine, show

    findings = examine(os.environ, utc_now)
    if json:
        sys.stdout.buffer.write(as_json(findings) + b"\n")
    else:
        show(findings, Console())
    if not all(finding.well for finding in findings):
        raise typer.Exit(1)


@app.command()
def key(
    name: Annotated[str, typer.Argument(help="Whose key it is, for example grafana.")],
    json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Make a client's key for the API. It is shown this once: the API is told only its hash."""
    from lib.access import new_key

    made = new_key(name)
    if json:
        print(orjson.dumps({"name": name, "key": made.key, "line": made.line}).decode())
        return
    print(made.key)
    print(made.line)
    console.print("The first line is the client's. The second goes into TOPCOINS_CLIENT_KEYS.", highlight=False)


@app.command()
def init(
    folder: Annotated[Path, typer.Option(help="Where each consumer's token goes.")] = Path("data/tokens"),
    json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Make an InfluxDB ready: buckets, downsampling, one scoped token per consumer. Can be run again."""
    from lib.store.influx.setup import set_up
    from lib.store.influx.store import RETENTION

    chosen = _settings()
    if not chosen.store_url.startswith("http"):
        raise SettingsRejected(
            f"TOPCOINS_STORE_URL={chosen.store_url}: the embedded store needs no init; for example http://localhost:8086"
        )
    with httpx.Client(trust_env=False) as client:
        done = set_up(
            chosen.store_url,
            org=chosen.influx_org,
            bucket=chosen.influx_bucket,
            retention=RETENTION,
            folder=folder,
            client=client,
        )
    if json:
        sys.stdout.write(orjson.dumps({"made": done.made, "kept": done.kept}).decode() + "\n")
        return
    for what, names in (("made", done.made), ("kept", done.kept)):
        for name in names:
            console.print(f"{what:5} {name}", highlight=False)


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="Where the backup goes, one folder a day.")],
    since: Annotated[datetime | None, typer.Option("--from", help="The first day; else the archive's.")] = None,
) -> None:
    """Write every snapshot of the store to files. Goes on where an interrupted one was."""
    from lib.backup import back_up

    chosen = _settings()
    start = since.replace(tzinfo=since.tzinfo or UTC) if since else None

    async def run() -> None:
        store = open_store(chosen, utc_now)
        try:
            async for day in back_up(store, _series(chosen), folder, clock=utc_now, start=start):
                _tell_day(day)
        finally:
            await store.close()

    asyncio.run(run())


@app.command()
def restore(folder: Annotated[Path, typer.Argument(help="A folder `topcoins backup` has filled.")]) -> None:
    """Write a backup into the store, reading each day back: counts and checksums must be the same."""
    from lib.backup import restore as run_restore

    chosen = _settings()

    async def run() -> None:
        store = open_store(chosen, utc_now)
        try:
            async for day in run_restore(folder, store):
                _tell_day(day)
        finally:
            await store.close()

    asyncio.run(run())


@app.command()
def simulate(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 9667,
    assets: Assets = 500,
    seed: Seed = 1,
    replay: Annotated[Path | None, typer.Option(help="A folder of recorded answers to serve instead.")] = None,
    match: Annotated[str, typer.Option(help="Which of the folder's files.")] = "*",
    faults: Annotated[Path | None, typer.Option(help="A fault script, TOML.")] = None,
    events_at: Annotated[datetime | None, typer.Option(help="When an asset is renamed and another delisted.")] = None,
    unlimited: Annotated[bool, typer.Option("--unlimited", help="No limits of requests and credits.")] = False,
) -> None:
    """Serve the upstream APIs on loopback, simulated or replayed."""
    from lib.demo import refuse_taken
    from lib.simulator.serve import serve

    refuse_taken(port, "--port")
    serve(
        console, port, assets=assets, seed=seed, replay=replay, match=match, faults=faults, events_at=events_at,
        unlimited=unlimited,
    )  # fmt: skip


def main() -> None:
    """The command's entry: what goes wrong is one sentence on stderr and exit code 1."""
    from lib.spool import Damaged
    from lib.stack import Ended

    try:
        app()
    except (TopcoinsError, Damaged, Ended, ValueError) as exc:
        sys.exit(f"topcoins: {exc}")


def _settings() -> Settings:
    return settings.load(os.environ)


def _address(url: str | None) -> str:
    chosen = _settings()
    return (url or f"http://{chosen.http_host}:{chosen.http_port}").rstrip("/")


def _key() -> dict[str, str]:
    key = _settings().client_key
    return {"x-api-key": key.get_secret_value()} if key else {}


def _series(chosen: Settings) -> list[Series]:
    return [*OWN.values(), *(read_source(Path(name)).values for name in chosen.extra_sources)]


def _tell_day(day: "Day") -> None:
    passed = f", {day.passed} past the retention left out" if day.passed else ""
    print(f"{day.day} {day.series}: {day.snapshots} snapshots, {day.rows} rows, {day.checksum}{passed}", flush=True)


def _ask(url: str | None, path: str, format: str | None, **asked: str | int | float | None) -> bytes:
    """A running API's answer as JSON or CSV; what it refuses, in its own words."""
    if format not in ("table", "json", "csv", None):
        raise SettingsRejected(f"--format {format}: must be table, json or csv; for example --format csv")
    params = {name: str(value) for name, value in asked.items() if value is not None}
    if format:
        params["format"] = "csv" if format == "csv" else "json"
    address = _address(url)
    try:
        response = httpx.get(f"{address}{path}", params=params, headers=_key(), trust_env=False, timeout=30)
    except httpx.HTTPError as exc:
        raise TopcoinsError(f"{address} does not answer ({exc}); start it with topcoins demo or topcoins up") from exc
    if not response.is_success:
        problem = response.json()
        example = f"; for example {problem['example']}" if problem.get("example") else ""
        raise TopcoinsError(f"{problem['title']}: {problem['detail']}{example}")
    return response.content


def _print_list(body: bytes, format: str) -> None:
    from lib.table import top_table

    if format == "table":
        Console().print(top_table(body))
    else:
        sys.stdout.buffer.write(body if body.endswith(b"\n") else body + b"\n")
