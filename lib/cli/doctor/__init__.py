"""`topcoins doctor`: checks the installation. Each finding names what was checked and what was seen."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import httpx
import orjson
from rich.console import Console
from rich.table import Table

from lib import settings
from lib.cli.doctor.archived import check_archive
from lib.cli.doctor.disk import check_disk, check_server_disk
from lib.cli.doctor.finding import Finding
from lib.cli.doctor.keys import check_keys
from lib.cli.doctor.stored import check_gaps, check_readings, check_store, check_ticks
from lib.cli.forecast import sqlite_bytes_per_tick
from lib.clock import Clock
from lib.errors import SettingsRejected
from lib.http_client import open_client
from lib.settings import PREFIX, SQLITE, Settings
from lib.store.address import open_store


def examine(environ: Mapping[str, str], clock: Clock) -> list[Finding]:
    """All findings. Broken settings are the only finding, because nothing else can be checked then."""
    try:
        chosen = settings.load(environ)
    except SettingsRejected as exc:
        return [Finding("settings", False, str(exc))]
    where = environ.get(f"{PREFIX}CONFIG", "the environment and the defaults")
    try:
        client = open_client(environ, timeout_s=10)
    except SettingsRejected as exc:
        return [Finding("proxy and certificates", False, str(exc))]
    return [Finding("settings", True, f"read from {where}"), *asyncio.run(_examine(chosen, client, clock))]


async def _examine(chosen: Settings, client: httpx.AsyncClient, clock: Clock) -> list[Finding]:
    async with client:
        return await findings_of(chosen, client, clock)


def show(findings: Sequence[Finding], console: Console) -> None:
    """The findings as a table for people."""
    table = Table("", "checked", "seen", show_lines=False, box=None)
    for finding in findings:
        mark = "[green]well[/]" if finding.well else "[bold red]wrong[/]"
        table.add_row(mark, finding.what, finding.seen)
    console.print(table)


def as_json(findings: Sequence[Finding]) -> bytes:
    """The findings for machines."""
    return orjson.dumps([asdict(finding) for finding in findings])


async def findings_of(chosen: Settings, client: httpx.AsyncClient, clock: Clock) -> list[Finding]:
    """The findings for these settings: keys, store, ticks, disk."""
    store = open_store(chosen, clock)
    embedded = chosen.store_url.startswith(SQLITE)
    try:
        return [
            *await check_keys(chosen, client, store, clock),
            await check_store(store),
            *await check_ticks(store, clock()),
            *check_readings(clock(), chosen.spool_dir),
            *await check_gaps(store, clock(), chosen.spool_dir),
            *await check_archive(chosen, store, clock()),
            *(
                check_disk(chosen, await sqlite_bytes_per_tick(chosen.assets))
                if embedded
                else [await check_server_disk(chosen, client)]
            ),
        ]
    finally:
        await store.close()
