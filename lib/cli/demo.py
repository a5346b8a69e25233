"""`topcoins demo`: the three services as processes, over a simulated market."""

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lib import settings
from lib.cli.ports import free_port, refuse_taken, wait_for_port
from lib.cli.stack import Ended, Stack, running
from lib.clock import DAY, slot, utc_now
from lib.endpoint import LOOPBACK, shown_url
from lib.settings import PREFIX, SERVICES
from lib.simulator.history import REPORT_EVERY, Fill, shared, sources

INTERVAL = timedelta(seconds=60)
EARLIER, EARLIER_INTERVAL = timedelta(days=7), timedelta(minutes=10)
"""The week before the history has a list this often: last Tuesday has an answer, and each list its changes over 7 d."""
EVENTS_EVERY = timedelta(hours=12)
PATIENCE_S = 150.0  # the second attempt of an ingestor comes a minute after its first
SIMULATED = "The market is simulated: no price, volume or rank is real."


@dataclass(frozen=True, slots=True)
class Demo:
    """The demo, with its options."""

    assets: int
    history: timedelta
    port: int
    safe_port: int
    data: Path | None
    once: bool

    def run(self, console: Console, environ: Mapping[str, str]) -> bytes:
        """Run until Ctrl-C. With `once`, return the first list instead."""
        refuse_taken(self.port, "--port")
        refuse_taken(self.safe_port, "--safe-port")
        with _folder(self.data) as data, running(data) as stack:
            return self._run(stack, data, console, _without_settings(environ))
        return b""

    def _run(self, stack: Stack, data: Path, console: Console, environ: dict[str, str]) -> bytes:
        now = utc_now()
        events_at = slot(now - timedelta(hours=1), EVENTS_EVERY)
        simulator = free_port()
        console.print(SIMULATED, style="bold yellow")
        console.print(f"Data and logs are in {data}" + ("" if self.data else " and are deleted when the demo ends"))
        arguments = ["--port", str(simulator), "--assets", str(self.assets), "--events-at", events_at.isoformat()]
        stack.start("simulator", ["-m", "lib.cli", "simulate", "--unlimited", *arguments], environ)
        wait_for_port(stack, simulator)
        own = environ | self._settings(data, simulator)
        start_services(stack, own)
        # With --data an earlier run may have left a list; the history must end where this run begins.
        body = first_list(stack, self.port, now.replace(microsecond=0))
        if self.once:
            return body
        print_addresses(console, LOOPBACK, self.port, self.safe_port, now)
        firsts = zip(sources(), _ticks(body), strict=True)
        fills = [fill for source, first in firsts for fill in self.fills(source, data, events_at, first)]
        self._fill(stack, fills, console, environ)
        start_archiver(stack, own)
        console.print("Ctrl-C ends it.")
        stack.wait()
        return b""

    def _settings(self, data: Path, simulator: int) -> dict[str, str]:
        upstream = f"http://127.0.0.1:{simulator}"
        settings = {
            "STORE_URL": f"sqlite:///{data / 'topcoins.db'}",
            "ARCHIVE_URL": str(data / "archive"),
            "SPOOL_DIR": str(data / "spool"),
            "CMC_URL": upstream,
            "COINDESK_URL": upstream,
            "CMC_API_KEY": "demo",
            "COINDESK_API_KEY": "demo",
            "ASSETS": str(self.assets),
            "HTTP_PORT": str(self.port),
            "HTTP_SAFE_PORT": str(self.safe_port),
            "NOTICE": SIMULATED,
        }
        return {PREFIX + name: value for name, value in settings.items()}

    def _fill(self, stack: Stack, fills: list[Fill], console: Console, environ: Mapping[str, str]) -> None:
        """Fill the history up to the first live tick of each series, on all cores."""
        total = sum(len(each.ticks()) for each in fills)
        if not total:
            return
        began = time.monotonic()
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("filling the history, newest first", total=total)
            parts = [["-m", "lib.simulator.history", part] for part in shared(fills)]
            workers = [stack.start("history", part, environ, passing=True) for part in parts]
            reports = [worker.stdout for worker in workers if worker.stdout]
            for report in reports:
                os.set_blocking(report.fileno(), False)

            def finished() -> bool:
                progress.advance(task, REPORT_EVERY * sum(len(report.readlines()) for report in reports))
                return all(worker.poll() is not None for worker in workers)

            stack.wait(finished)
            stack.check()
            progress.update(task, completed=total)
        console.print(f"{total} snapshots of {self.assets} assets filled in {time.monotonic() - began:.1f} s.")

    def fills(self, source: Path, data: Path, events_at: datetime, first: datetime) -> list[Fill]:
        """The minutes of the history; before a whole day of them, a week of fewer lists."""
        begin = slot(first - self.history, INTERVAL)
        fill = partial(Fill, source=source, store=data / "topcoins.db", assets=self.assets, events_at=events_at)
        minutes = fill(start=begin, stop=first, interval=INTERVAL)
        if self.history < DAY:
            return [minutes]
        week = slot(begin - EARLIER, EARLIER_INTERVAL)
        return [fill(start=week, stop=begin, interval=EARLIER_INTERVAL), minutes]


def start_services(stack: Stack, environ: Mapping[str, str]) -> None:
    """Start the two ingestors and the API."""
    for service in SERVICES:
        stack.start(service, ["-m", service], environ)


def start_archiver(stack: Stack, environ: Mapping[str, str]) -> None:
    """Start the archiver, if the settings name an archive."""
    if settings.load(environ).archive_url != "none":
        stack.start("archive", ["-m", "lib.cli", "archive"], environ)


def first_list(stack: Stack, port: int, since: datetime) -> bytes:
    """The first top list whose ticks are both at or after `since`; raises Ended when none comes in time."""
    body = b""
    deadline = time.monotonic() + PATIENCE_S

    def answered() -> bool:
        nonlocal body
        try:
            response = httpx.get(f"http://127.0.0.1:{port}/v1/top", params={"limit": 10}, trust_env=False, verify=False)
        except httpx.TransportError:
            return False
        body = response.content
        is_new = response.status_code == httpx.codes.OK and min(_ticks(body)) >= since
        if not is_new and time.monotonic() > deadline:
            raise Ended(f"no list within {PATIENCE_S:g} s: {response.text}")
        return is_new

    stack.wait(answered)
    return body


def print_addresses(
    console: Console, host: str, port: int, safe_port: int, now: datetime, *, key: bool = False
) -> None:
    """Print addresses to try; with `key`, commands that send one."""
    earlier = slot(now - timedelta(hours=1), INTERVAL).strftime("%Y-%m-%dT%H:%MZ")
    base = shown_url(host, port)
    curl = 'curl -H "X-Api-Key: $KEY"' if key else "curl"
    for url in (
        f"{base}?limit=200",
        f"{base}?limit=200&format=csv",
        f"{base}?limit=200&datetime={earlier}&format=csv",
        f"{base}/v1/status",
    ):
        console.print(f"  {curl} '{url}'", soft_wrap=True)
    own_key = 'TOPCOINS_CLIENT_KEY="$KEY" ' if key else ""
    console.print(f"  {own_key}topcoins top --limit 20 --url {base}", soft_wrap=True)
    why = " (browsers refuse port 6667)" if port == 6667 else ""
    console.print(f"  {shown_url(host, safe_port)} in a browser{why}", soft_wrap=True)


def _ticks(body: bytes) -> tuple[datetime, datetime]:
    """The price's and the rank's tick of an answer."""
    answer = orjson.loads(body)
    return datetime.fromisoformat(answer["price_time"]), datetime.fromisoformat(answer["rank_time"])


@contextmanager
def _folder(data: Path | None) -> Iterator[Path]:
    if data is not None:
        data.mkdir(parents=True, exist_ok=True)
        yield data.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="topcoins-demo-") as folder:
        yield Path(folder)


def _without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without our settings: a demo must not use a real key or store."""
    return {name: value for name, value in environ.items() if not name.startswith(PREFIX)} | {
        "PYTHONUNBUFFERED": "1",
        "POLARS_MAX_THREADS": os.environ.get("POLARS_MAX_THREADS", "1"),
    }
