"""`uv run python -m tests.soak --minutes 60 --seed 1`: mixed load, faults and kills on real processes.

Ends with a table, and with exit code 1 when a snapshot is unaccounted for, an answer was a 5xx other than 503 or
false, or a process's memory grew after its warm-up by more than `figures.GROWTH`.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from lib import settings
from lib.clock import utc_now
from lib.ingest.spool_folder import counted
from lib.schema import OWN
from lib.store import Store
from lib.store.address import open_store
from tests.flow.processes import Api, Stage
from tests.influxd import fresh_influxd
from tests.ports import free_port
from tests.soak.figures import Account, Seen, table, verdict
from tests.soak.trouble import ASSETS, INGESTORS, INTERVAL_S, Trouble, script
from tests.soak.visitors import PATIENCE_S, Visitors

EVER = datetime(1971, 1, 1, tzinfo=UTC)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Mixed load with faults.")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--store", choices=("sqlite", "influx"), default="sqlite")
    return parser.parse_args()


async def main() -> int:
    arguments = parse_arguments()
    print(
        f"seed {arguments.seed}, {arguments.minutes:g} minutes, {arguments.store}, from {utc_now():%Y-%m-%d %H:%M:%S}Z",
        flush=True,
    )
    own = {name: value for name, value in os.environ.items() if not name.startswith("TOPCOINS_")}
    seen = Seen()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="topcoins-soak-")))
        chosen: dict[str, object] = {"STORE_URL": f"sqlite:///{folder / 'topcoins.db'}"}
        if arguments.store == "influx":
            (folder / "influxd").mkdir()
            chosen = {"STORE_URL": stack.enter_context(fresh_influxd(folder / "influxd"))}
        stage = stack.enter_context(Stage(folder, own | {"PYTHONUNBUFFERED": "1", "POLARS_MAX_THREADS": "1"}))
        if arguments.store == "influx":
            assert stage.topcoins("init", "--folder", str(folder / "tokens"), **chosen).ends() == 0
            chosen["INFLUX_TOKEN_FILE"] = folder / "tokens" / "operator" / "influx_token"
        accounts = await run(stage, chosen | {"SPOOL_DIR": folder / "spool", "LOG_FORMAT": "json"}, arguments, seen)
        print(table(seen, accounts), flush=True)
        if wrong := verdict(seen, accounts):
            print("\n".join(["", "WRONG:", *wrong, "", *last_words(folder)]))
            return 1
    print("all well")
    return 0


async def run(stage: Stage, chosen: dict[str, object], arguments: argparse.Namespace, seen: Seen) -> dict[str, Account]:
    """The whole soak: start, load and trouble, stop, count."""
    faults = stage.folder / "faults.toml"
    faults.write_text(script(arguments.seed, arguments.minutes))
    upstream = stage.simulator("--assets", str(ASSETS), "--unlimited", "--faults", str(faults))
    chance = random.Random(arguments.seed)
    fetching = {"ASSETS": ASSETS, "INTERVAL": f"{INTERVAL_S}s", **upstream}
    trouble = Trouble(stage, chosen | fetching, seen, chance)
    for name in INGESTORS:
        trouble.start(name)
    port, safe_port = free_port(), free_port()
    process = stage.start("-m", "query_api", HTTP_PORT=port, HTTP_SAFE_PORT=safe_port, **chosen)
    Api(process, port, safe_port).answers()
    trouble.watch("query_api", process)
    begin = time.monotonic()
    until = begin + arguments.minutes * 60
    limits = httpx.Limits(max_connections=None, keepalive_expiry=2)  # the API closes idle ones after 5 s
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S, limits=limits) as client:
        visitors = Visitors(port, seen, chance, client)
        async with asyncio.TaskGroup() as group:
            group.create_task(visitors.keep_coming(until))
            group.create_task(trouble.kill(begin, until))
            group.create_task(trouble.sample(until))
            if arguments.store == "sqlite":
                group.create_task(trouble.lock(stage.folder / "topcoins.db", until))
    trouble.stop()
    environ = {f"TOPCOINS_{name}": str(value) for name, value in chosen.items()}
    store = open_store(settings.load(environ), utc_now)
    try:
        return {name: await account(store, name, stage.folder / "spool" / name) for name in OWN}
    finally:
        await store.close()


async def account(store: Store, series: str, spool: Path) -> Account:
    """A series' snapshots, counted where they are."""
    counts = counted(spool)
    stored = await store.markers(EVER, utc_now() + timedelta(minutes=1), series=series)
    return Account(counts.fetched, len(stored), counts.spooled, counts.dropped)


def last_words(folder: Path) -> list[str]:
    """The last lines of each process on stderr."""
    return [f"{path.name}: {path.read_text('utf-8', 'replace')[-1000:]}" for path in folder.glob("*.err")]


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
