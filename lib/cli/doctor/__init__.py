"""`topcoins doctor`: checks the installation. Each finding names what was checked, what was seen and what to do.

One module for each group of findings; `findings_of` lists the groups.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import httpx
import orjson
from rich.console import Console
from rich.text import Text

from lib import settings
from lib.cli.doctor.archived import check_archive
from lib.cli.doctor.credits import check_credits
from lib.cli.doctor.disk import check_disk, check_server_disk
from lib.cli.doctor.finding import Finding
from lib.cli.doctor.ports import check_ports
from lib.cli.doctor.providers import check_providers
from lib.cli.doctor.sources import check_how_asked, find_sources, try_sources
from lib.cli.doctor.storage import check_same_store, check_spools, check_store
from lib.cli.doctor.stored import check_gaps, check_readings, check_ticks
from lib.cli.table import folded
from lib.clock import Clock
from lib.errors import SettingsRejected
from lib.http_client import open_client
from lib.settings import NONE, PREFIX, SERVICES, SQLITE, Settings
from lib.store import Store
from lib.store.address import open_store
from lib.store.sqlite import SqliteStore
from lib.text import without_control

Announce = Callable[[str], None]
"""Says what is about to be done that others may notice."""

Findings = Finding | Iterable[Finding]


def examine(
    environ: Mapping[str, str], clock: Clock, announce: Announce, *, client: httpx.AsyncClient | None = None
) -> list[Finding]:
    """All findings. Broken settings are the only finding, because nothing else can be checked then."""
    try:
        services = {name: settings.load(environ, name) for name in SERVICES}
    except SettingsRejected as exc:
        return [Finding("settings", False, str(exc))]
    try:
        opened = client or open_client(environ, timeout_s=10)
    except SettingsRejected as exc:
        return [Finding("proxy and certificates", False, str(exc))]

    async def run() -> list[Finding]:
        async with opened:
            token_file = environ.get(f"{PREFIX}INFLUX_TOKEN_FILE", "")
            findings = await findings_of(services, opened, clock, announce, token_file)
            return [*findings, *await _guarded("ports", lambda: check_ports(services["query_api"]))]

    where = environ.get(f"{PREFIX}CONFIG", "the environment and the defaults")
    return [Finding("settings", True, f"read from {where}"), *_redacted(asyncio.run(run()), services.values())]


def _redacted(findings: Iterable[Finding], services: Iterable[Settings]) -> list[Finding]:
    """The findings without secrets, and without what may be one in a wrong setting."""
    for redaction in [chosen.redaction for chosen in services]:
        findings = [replace(each, seen=redaction.text(each.seen)) for each in findings]
    return list(findings)


def show(findings: Sequence[Finding], console: Console) -> None:
    """The findings as a table for people. Texts of upstreams are neither markup nor control sequences."""
    table = folded("", "checked", "seen", show_lines=False, box=None)
    for finding in findings:
        mark = Text("well", "green") if finding.well else Text("wrong", "bold red")
        table.add_row(mark, Text(without_control(finding.what)), Text(without_control(finding.seen)))
    console.print(table)


def as_json(findings: Sequence[Finding]) -> bytes:
    """The findings for machines."""
    return orjson.dumps([asdict(finding) for finding in findings])


async def findings_of(
    services: Mapping[str, Settings], client: httpx.AsyncClient, clock: Clock, announce: Announce, token_file: str
) -> list[Finding]:
    """The findings for the settings of each service, group by group."""
    chosen = services["ingest_price"]
    sources, findings = find_sources(services, client, clock)
    spools = dict.fromkeys(each.settings.spool_dir / each.file.series for each in sources)
    interval = min((each.interval for each in sources if each.may_fill), default=chosen.interval)
    path = Path(chosen.store_url.removeprefix(SQLITE)) if chosen.store_url.startswith(SQLITE) else None
    async with _store_to_read(chosen, path, clock) as store:
        checks: list[tuple[str, Callable[[], Findings | Awaitable[Findings]]]] = [
            ("sources", lambda: check_how_asked(sources)),
            ("credits", lambda: check_credits(sources, store, clock)),
            ("answers", lambda: try_sources(sources, announce)),
            ("same store", lambda: check_same_store(services)),
            ("store", lambda: check_store(chosen, path, store, client, token_file)),
            ("spool", lambda: check_spools(list(spools))),
            ("ticks", lambda: check_ticks(store, clock())),
            ("readings", lambda: check_readings(clock(), chosen.spool_dir)),
            ("providers", lambda: check_providers(clock(), chosen.spool_dir)),
            ("gaps", lambda: check_gaps(store, clock(), chosen.spool_dir)),
            ("archive", lambda: check_archive(chosen, store, clock())),
            ("disk", lambda: _check_disk(chosen, path, interval, client)),
        ]
        for what, check in checks:
            findings += await _guarded(what, check)
    return findings


async def _check_disk(chosen: Settings, path: Path | None, interval: timedelta, client: httpx.AsyncClient) -> Findings:
    if chosen.store_url == NONE:
        return []
    if path is None:
        return await check_server_disk(chosen, interval, client)
    return check_disk(path, chosen.assets, interval, chosen.minutes_kept)


@asynccontextmanager
async def _store_to_read(chosen: Settings, path: Path | None, clock: Clock) -> AsyncIterator[Store]:
    """The store. When there is no file yet it is an empty store elsewhere: opening the file would make it."""
    with tempfile.TemporaryDirectory(prefix="topcoins-doctor-") as folder:
        exists = chosen.store_url != NONE and (path is None or await asyncio.to_thread(path.is_file))
        store = open_store(chosen, clock) if exists else SqliteStore(Path(folder) / "empty.db", clock=clock)
        try:
            yield store
        finally:
            await store.close()


async def _guarded(what: str, check: Callable[[], Findings | Awaitable[Findings]]) -> list[Finding]:
    """The findings of a group. An error of our own is a finding too, so that the other groups are still shown."""
    try:
        result = check()
        findings = await result if isinstance(result, Awaitable) else result
        return [findings] if isinstance(findings, Finding) else list(findings)
    except Exception as exc:
        return [Finding(what, False, f"the check itself failed: {type(exc).__name__}: {exc}; please report this")]
