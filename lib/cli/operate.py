"""The commands for operators."""

import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from lib.cli.app import Assets, Json, Seed, all_series, app, console, instant, load_settings, out, with_store
from lib.cli.exit_code import ExitCode, Refused
from lib.clock import utc_now
from lib.errors import SettingsRejected

if TYPE_CHECKING:
    from lib.archive.backup import Day
    from lib.store import Store

NOTHING = "there is no day to copy: look at TOPCOINS_STORE_URL, TOPCOINS_ARCHIVE_URL, and for a restore at the folder"


@app.command(name="import")
def import_(
    files: Annotated[list[Path], typer.Argument(help="Files that `topcoins export` or /v1/export has made.")],
) -> None:
    """Import earlier exports at their own ticks.

    A tick that the store has stays as it is.
    """
    from lib.archive.imports import imported

    async def run(store: "Store") -> None:
        async for done in imported(files, store, clock=utc_now):
            print(f"{done.file}: {done.written} snapshots written, {done.kept} ticks had one", flush=True)

    with_store(load_settings(), run)


@app.command()
def doctor(json: Json = False) -> None:
    """Check settings, keys, credits, clock, store and disk.

    The exit code is 1 when something is wrong.
    """
    from lib.cli.doctor import as_json, examine, show

    findings = examine(os.environ, utc_now, console().print)
    if json:
        sys.stdout.buffer.write(as_json(findings) + b"\n")
    else:
        show(findings, out())
    if not all(finding.well for finding in findings):
        raise typer.Exit(1)


@app.command()
def key(
    name: Annotated[str, typer.Argument(help="The client's name, for example grafana.")],
    json: Json = False,
) -> None:
    """Make a client's key for the API. It is shown only once, because the API stores its hash."""
    from lib.access import new_key

    made = new_key(name)
    if json:
        print(orjson.dumps({"name": name, "key": made.key, "line": made.line}).decode())
        return
    print(made.key)
    print(made.line)
    console().print("The first line is the client's. The second goes into TOPCOINS_CLIENT_KEYS.")


@app.command()
def init(
    folder: Annotated[Path, typer.Option(help="The folder for each consumer's token.")] = Path("data/tokens"),
    scrape: Annotated[
        str | None,
        typer.Option(help="The address of metrics for InfluxDB to read, such as http://query_api:9668/metrics."),
    ] = None,
    json: Json = False,
) -> None:
    """Set up InfluxDB: buckets, downsampling, a token per service.

    It can be run again.
    """
    from lib.http_client import open_sync_client
    from lib.store.influx.setup import Setup
    from lib.store.influx.store import RETENTION

    chosen = load_settings()
    if not chosen.store_url.startswith("http"):
        raise SettingsRejected(
            f"TOPCOINS_STORE_URL={chosen.store_url}: the embedded store needs no init; for example http://localhost:8086"
        )
    with open_sync_client(os.environ, chosen.store_url) as client:
        done = Setup(
            url=chosen.store_url,
            org=chosen.influx_org,
            bucket=chosen.influx_bucket,
            retention=RETENTION,
            folder=folder,
            client=client,
            scrape=scrape,
        )
        done.run()
    if json:
        sys.stdout.write(orjson.dumps({"made": done.made, "kept": done.kept}).decode() + "\n")
        return
    for what, names in (("made", done.made), ("kept", done.kept)):
        for name in names:
            console().print(f"{what:5} {name}")


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="The folder of the backup.")],
    since: Annotated[
        str | None, typer.Option("--from", help="The first day, for example 2026-11-01; else the first one there is.")
    ] = None,
) -> None:
    """Copy the archive, with what only the store has, and check it. Adds to a backup that is there."""
    from lib.archive.backup import back_up
    from lib.archive.objects.address import open_objects

    chosen = load_settings()
    start = instant("--from", since).date() if since else date.min
    series, archive = all_series(chosen), open_objects(chosen)

    with_store(chosen, lambda store: _print_days(back_up(store, archive, folder, series, clock=utc_now, start=start)))


@app.command()
def restore(folder: Annotated[Path, typer.Argument(help="A folder `topcoins backup` has filled.")]) -> None:
    """Write a backup into the store and the archive.

    Each day is read back: counts and checksums must be the same.
    """
    from lib.archive.objects.address import open_objects
    from lib.archive.restore import restore as run_restore

    chosen = load_settings()
    archive = open_objects(chosen)

    with_store(chosen, lambda store: _print_days(run_restore(folder, store, archive, clock=utc_now)))


@app.command()
def simulate(
    host: Annotated[
        str, typer.Option(help="The address to listen on; other machines must not reach it.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 9667,
    assets: Assets = 500,
    seed: Seed = 1,
    replay: Annotated[Path | None, typer.Option(help="A folder of recorded answers to serve instead.")] = None,
    match: Annotated[str, typer.Option(help="Which of the folder's files.")] = "*",
    faults: Annotated[Path | None, typer.Option(help="A fault script, TOML.")] = None,
    events_at: Annotated[datetime | None, typer.Option(help="When an asset is renamed and another delisted.")] = None,
    unlimited: Annotated[bool, typer.Option("--unlimited", help="No limits of requests and credits.")] = False,
    assets_per_credit: Annotated[int, typer.Option(min=1, help="Of CoinMarketCap's latest list.")] = 250,
    credits: Annotated[int, typer.Option(min=0, help="A month, of each key of CoinMarketCap.")] = 15_000,
    requests: Annotated[int, typer.Option(min=0, help="A minute, of each key of CoinMarketCap.")] = 50,
) -> None:
    """Serve the upstream APIs, simulated or replayed.

    By default on loopback.
    """
    import uvicorn

    from lib.cli.ports import refuse_taken
    from lib.simulator import Market, Plan, Replay, create_app, load_faults

    refuse_taken(port, "--port")
    plan = Plan(requests_per_minute=requests, credits_per_month=credits, assets_per_credit=assets_per_credit)
    events = {"events_at": events_at.replace(tzinfo=events_at.tzinfo or UTC)} if events_at else {}
    app = create_app(
        Replay(replay, match) if replay else Market(seed, assets, **events),
        utc_now,
        plan=Plan.unlimited() if unlimited else plan,
        faults=load_faults(faults) if faults else (),
    )
    what = "recorded answers" if replay else f"a simulated market of {assets} assets"
    console().print(f"Serving {what}; to use it, set:")
    for name in ("CMC", "COINDESK", "COINPAPRIKA", "COINGECKO"):
        console().print(f"  TOPCOINS_{name}_URL=http://127.0.0.1:{port}")
    for name in ("CMC", "COINDESK", "COINGECKO"):
        console().print(f"  TOPCOINS_{name}_API_KEY=demo")
    console().print("A key that begins with bad is refused.")
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False, lifespan="off")


async def _print_days(days: "AsyncIterator[Day]") -> None:
    count = 0
    async for day in days:
        count += 1
        passed = f", {day.passed} past the retention left out" if day.passed else ""
        print(f"{day.day} {day.series}: {day.snapshots} snapshots, {day.rows} rows, {day.checksum}{passed}", flush=True)
    if not count:
        raise Refused(NOTHING, ExitCode.NO_DATA)
