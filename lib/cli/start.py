"""The commands that start the stack: `demo`, `up`; and `backfill`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from lib.cli.app import Assets, app, console, duration, load_settings, out
from lib.cli.print_answer import print_body


@app.command()
def demo(
    assets: Assets = 500,
    history: Annotated[str, typer.Option(help="How much history to fill.")] = "24h",
    port: Annotated[int, typer.Option(min=1, max=65535, envvar="TOPCOINS_HTTP_PORT", help="For programs.")] = 6667,
    safe_port: Annotated[
        int, typer.Option(min=1, max=65535, envvar="TOPCOINS_HTTP_SAFE_PORT", help="For browsers: they refuse 6667.")
    ] = 8667,
    data: Annotated[
        Path | None, typer.Option(help="Keep the data in this folder; else it is deleted at the end.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Print the first list and exit.")] = False,
    json: Annotated[bool, typer.Option("--json", help="With --once: the list as JSON.")] = False,
) -> None:
    """Run everything on a simulated market: no key, no server."""
    from lib.cli.demo import Demo

    asked = Demo(assets, duration("--history", history), port, safe_port, data, once)
    body = asked.run(console(), os.environ)
    if body and json:
        print_body(body)
    elif body:
        import orjson

        from lib.answer_tables import top_table
        from lib.cli.table import show

        show(out(), top_table(orjson.loads(body)))


@app.command()
def up() -> None:
    """Run the ingestors and the API with the sources of the settings."""
    from lib.cli.up import Up

    Up(console(), os.environ).run()


@app.command()
def backfill(
    since: Annotated[str, typer.Option("--since", help="How far back to look for gaps.")] = "7d",
    yes: Annotated[bool, typer.Option("--yes", help="Buy without asking.")] = False,
) -> None:
    """List the gaps, and the credits to fill them; buy after a yes.

    A vendor sells one list a day, never minutes.
    """
    from lib.cli.backfill import run

    run(load_settings(), since, yes=yes)
