"""The `topcoins` command's application, and what several commands share."""

import os
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup

from lib.clock import utc_now
from lib.errors import SettingsRejected
from lib.units import parse_duration

if TYPE_CHECKING:  # imported by the commands that need them: Rich takes as long as all else, Polars half a second
    from rich.console import Console

    from lib.schema import Series
    from lib.settings import Settings
    from lib.store import Store

T = TypeVar("T")

HELP = ("-h", "--help")


class Commands(TyperGroup):
    """A group of commands whose help is shown without Pydantic, which takes twice as long as all else."""

    def get_params(self, ctx: Any) -> Any:
        """The group's options. Typer checks a flag without a value by Pydantic, one that is false by itself."""
        options = super().get_params(ctx)
        for option in options:
            if getattr(option, "is_flag", False) and option.default is None:
                option.default = False
        return options


app = typer.Typer(
    name="topcoins",
    cls=Commands,
    no_args_is_help=True,
    context_settings={"help_option_names": [*HELP]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def out(*, stderr: bool = False) -> "Console":
    """For answers. Nothing on it is markup, because texts of upstreams may have brackets. Its width is that of now."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def console() -> "Console":
    """For all but answers."""
    return out(stderr=True)


Assets = Annotated[int, typer.Option(min=1, max=5000, help="How many assets the market has.")]
Seed = Annotated[int, typer.Option(help="Each seed is a different market.")]
Url = Annotated[str | None, typer.Option(help="The address of the API; by default the one in the settings.")]
Json = Annotated[bool, typer.Option("--json", help="For machines.")]
Instant = Annotated[str | None, typer.Option(help="The instant, for example 2026-11-17T14:37Z or now-90m.")]
Asset = Annotated[str, typer.Argument(help="A CoinMarketCap id, or a ticker that only one asset has.")]
Shown = Annotated[str, typer.Option(help="table, json or csv.")]
Columns = Annotated[str | None, typer.Option(help="For table and csv: which columns, for example symbol,price_usd.")]
Exclude = Annotated[str | None, typer.Option(help="Leave out stablecoins, wrapped, or both: stablecoins,wrapped.")]
VolumeToCap = Annotated[
    float | None, typer.Option(help="Leave out assets whose 24h volume is more than this many times their market cap.")
]
KnownAt = Annotated[
    str | None, typer.Option(help="Only what the store had at this instant: the `known_at` of an earlier answer.")
]
MaxAge = Annotated[
    str | None, typer.Option(help="How far before the instant the prices may lie, for example 10m or 24h.")
]
Symbols = Annotated[str | None, typer.Option(help="Only these tickers, for example BTC,ETH.")]
Ids = Annotated[str | None, typer.Option(help="Only these CoinMarketCap ids, for example 1,1027.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from lib.version import VERSION

        print(f"topcoins {VERSION}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """The top coins by 24h volume, with USD prices, as of any minute."""
    if context.obj:  # what `main` has to do before a command
        context.obj()


def load_settings() -> "Settings":
    """The settings of this environment."""
    from lib import settings

    return settings.load(os.environ)


def duration(option: str, text: str) -> timedelta:
    """A duration option; SettingsRejected names the option when it is none."""
    try:
        return parse_duration(text)
    except ValueError as exc:
        raise SettingsRejected(f"{option} {text}: {exc}") from exc


def instant(option: str, text: str) -> datetime:
    """An option that is an instant in any form; SettingsRejected names the option when it is none."""
    from lib.instants import parse_instant

    try:
        return parse_instant(text, utc_now())
    except ValueError as exc:
        raise SettingsRejected(f"{option} {exc}") from exc


def with_store(chosen: "Settings", work: "Callable[[Store], Awaitable[T]]") -> T:
    """The result of the work on the store of these settings, which is closed at the end."""
    import asyncio

    from lib.store.address import open_store

    async def run() -> T:
        store = open_store(chosen, utc_now)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def all_series(chosen: "Settings") -> "list[Series]":
    """The series of these settings: our own, and those of further sources."""
    from lib.schema import OWN
    from lib.source import extra_series

    return [*OWN.values(), *extra_series(chosen)]
