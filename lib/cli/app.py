"""The `topcoins` command's application, and what several commands share."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from lib import settings
from lib.clock import utc_now
from lib.schema import OWN, Series
from lib.settings import Settings
from lib.source import read_source
from lib.store import Store
from lib.store.address import open_store
from lib.version import VERSION

T = TypeVar("T")

app = typer.Typer(
    name="topcoins",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(stderr=True)

Assets = Annotated[int, typer.Option(min=1, max=5000, help="How many assets the market has.")]
Seed = Annotated[int, typer.Option(help="Each seed is a different market.")]
Url = Annotated[str | None, typer.Option(help="The address of the API; by default the one in the settings.")]
Json = Annotated[bool, typer.Option("--json", help="For machines.")]
Instant = Annotated[str | None, typer.Option(help="The instant, for example 2026-11-17T14:37Z or now-90m.")]
Asset = Annotated[str, typer.Argument(help="A CoinMarketCap id, or a ticker that only one asset has.")]
Shown = Annotated[str, typer.Option(help="table, json or csv.")]
Exclude = Annotated[str | None, typer.Option(help="Leave out stablecoins, wrapped, or both: stablecoins,wrapped.")]
VolumeToCap = Annotated[
    float | None, typer.Option(help="Leave out assets whose 24h volume is more than this many times their market cap.")
]
Symbols = Annotated[str | None, typer.Option(help="Only these tickers, for example BTC,ETH.")]
Ids = Annotated[str | None, typer.Option(help="Only these CoinMarketCap ids, for example 1,1027.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"topcoins {VERSION}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """The top coins by 24h volume, with USD prices, as of any minute."""


def _settings() -> Settings:
    return settings.load(os.environ)


def with_store(chosen: Settings, work: Callable[[Store], Awaitable[T]]) -> T:
    """The result of the work on the store of these settings, which is closed at the end."""

    async def run() -> T:
        store = open_store(chosen, utc_now)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def all_series(chosen: Settings) -> list[Series]:
    """The series of these settings: our own, and those of further sources."""
    return [*OWN.values(), *(read_source(Path(name)).values for name in chosen.extra_sources)]
