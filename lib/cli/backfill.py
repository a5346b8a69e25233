"""`topcoins backfill`: lists the gaps, asks, and buys."""

import os
import sys
from importlib.resources import files
from pathlib import Path

import httpx
import typer

from lib.archive.backfill import Offer, TooOld, fill, forget_answers, offers, shared_answers
from lib.cli.app import console, duration, out, with_store
from lib.cli.table import folded
from lib.clock import isoformat, utc_now
from lib.http_client import open_client
from lib.ingest.sources import configured_source, only_usable
from lib.settings import Settings
from lib.source import Source, read_source
from lib.store import Store

SOURCES = (("ingest_price", "coinmarketcap_historical.toml"), ("ingest_rank", "coinmarketcap_historical.toml"))


def run(chosen: Settings, since: str, *, yes: bool) -> None:
    """List, ask, buy."""
    start = utc_now().replace(microsecond=0) - duration("--since", since)

    async def work(store: Store) -> None:
        async with open_client(os.environ) as client:
            sources = [_source(chosen, package, name, client) for package, name in SOURCES]
            listed = await offers(sources, store, start, now=utc_now(), spools=chosen.spool_dir, assets=chosen.assets)
            _show(listed)
            await _print_left(listed)
            if _wanted(listed, yes):
                await _buy(listed, store, chosen)

    with_store(chosen, work)


def _source(chosen: Settings, package: str, name: str, client: httpx.AsyncClient) -> Source:
    file = read_source(Path(str(files(package) / name)))
    shared = shared_answers(chosen.spool_dir, utc_now)
    return only_usable([configured_source(file, chosen, client=client, clock=utc_now, shared=shared)])[0]


def _show(listed: list[Offer]) -> None:
    table = folded("series", "missing", "ticks", "cause", "last lists of", "credits")
    for offer in listed:
        for gap in offer.gaps:
            days = [call for call in offer.calls if gap.first.date() <= call.day <= gap.last.date()]
            lists = "\n".join(str(call.day) for call in days) or "nothing"
            cost = str(sum(call.credits for call in days))
            span = f"{gap.first:%Y-%m-%d %H:%MZ}\n{gap.last:%Y-%m-%d %H:%MZ}"
            table.add_row(offer.source.series.name, span, str(gap.ticks), gap.cause, lists, cost)
    out().print(table)
    for offer in listed:
        print(
            f"{offer.source.series.name}: {len(offer.calls)} of {len(offer.calls) + offer.lost} missing ticks can be"
            f" bought from {offer.source.name} for {offer.credits} credits;"
            f" {offer.lost} are lost (no vendor sells minutes)"
        )


async def _print_left(listed: list[Offer]) -> None:
    if any(offer.calls for offer in listed) and (left := await listed[0].source.allowance()):
        credits = sum(offer.credits for offer in listed)
        console().print(f"Together {credits} of the {left.left:g} credits the key has left.")


def _wanted(listed: list[Offer], yes: bool) -> bool:
    if not any(offer.calls for offer in listed) or yes:
        return yes
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        print("Nothing is spent without --yes.")
        return False
    return typer.confirm("Buy them?", err=True)


async def _buy(listed: list[Offer], store: Store, chosen: Settings) -> None:
    for offer in listed:
        bought = fill(offer, store, spools=chosen.spool_dir, limit=chosen.spool_limit, assets=chosen.assets)
        async for each in bought:
            if isinstance(each, TooOld):
                print(f"{offer.source.series.name}: the plan does not reach back to {each.call.day}: {each.why}")
                break
            rows = f"{each.snapshot.marker.assets} assets" if each.snapshot else "already stored, nothing changed"
            print(f"{offer.source.series.name} {isoformat(each.tick)}: {rows}, {each.credits:g} credits", flush=True)
    forget_answers(chosen.spool_dir)
