"""The `topcoins` command's application, and what several commands share."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lib import settings
from lib.schema import OWN, Series
from lib.settings import Settings
from lib.source import read_source
from lib.version import VERSION

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


def all_series(chosen: Settings) -> list[Series]:
    """The series of these settings: our own, and those of further sources."""
    return [*OWN.values(), *(read_source(Path(name)).values for name in chosen.extra_sources)]
