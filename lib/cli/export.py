"""`topcoins export`: the list at each step, as a file."""

import os
from pathlib import Path
from typing import Annotated

import typer

from lib.cli.app import Exclude, Ids, KnownAt, MaxAge, Symbols, Url, VolumeToCap, app, console
from lib.cli.exit_code import ExitCode
from lib.errors import SettingsRejected

FORMATS = ("csv", "ndjson", "parquet")


@app.command()
def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file; its ending names the format.")],
    start: Annotated[str, typer.Option("--from", help="The first step, for example 2026-11-01 or now-30d.")],
    stop: Annotated[str, typer.Option("--to", help="The end; the last step is before it.")] = "now",
    every: Annotated[str, typer.Option(help="The distance between steps.")] = "1h",
    top: Annotated[int, typer.Option(min=1, max=5000, help="How many assets at each step.")] = 200,
    format: Annotated[str | None, typer.Option(help="csv, ndjson or parquet; else as the file's ending.")] = None,
    columns: Annotated[
        str | None, typer.Option(help="Which columns, for example symbol,price_usd,market_cap_usd.")
    ] = None,
    exclude: Exclude = None,
    max_volume_to_cap: VolumeToCap = None,
    symbols: Symbols = None,
    ids: Ids = None,
    max_age: MaxAge = None,
    known_at: KnownAt = None,
    url: Url = None,
) -> None:
    """Write the list at each step to a file. Run the same command again to resume after an interruption."""
    import httpx
    from rich.progress import Progress

    from lib.cli.client import address, key_header, no_answer, sent
    from lib.cli.download import TIMEOUT_S, Download
    from lib.http_client import open_sync_client

    kind = (format or output.suffix.removeprefix(".")).lower()
    if kind not in FORMATS:
        raise SettingsRejected(f"--format {kind}: must be csv, ndjson or parquet; for example csv")
    parameters = sent({
        "from": start, "to": stop, "every": every, "top": top, "columns": columns, "exclude": exclude,
        "max_volume_to_cap": max_volume_to_cap, "symbols": symbols, "ids": ids, "max_age": max_age,
        "known_at": known_at, "format": kind,
    })  # fmt: skip
    at = address(url)
    client = open_sync_client(os.environ, at, headers=key_header(), timeout_s=TIMEOUT_S)
    with client, Progress(console=console()) as progress:
        task = progress.add_task("steps", total=None)
        download = Download(client, f"{at}/v1/export", parameters, output)
        try:
            totals = download.run(lambda done, total: progress.update(task, completed=done, total=total))
        except httpx.HTTPError as exc:
            raise no_answer(at, exc) from exc
    console().print(f"{output}: {totals.steps} steps, {totals.answered} with a list, {totals.gaps} gaps")
    if totals.missing:
        console().print(f"in no list: {', '.join(sorted(totals.missing))}")
    if not totals.answered:
        console().print(f"no step has a list: {at}/v1/gaps names the gaps and their causes")
        raise typer.Exit(ExitCode.NO_DATA)
