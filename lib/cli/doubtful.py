"""`topcoins doubtful`: lists, admits and drops the lists that were kept apart because they are not plausible."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from lib.cli.app import Commands, Json, app, console, load_settings, with_store
from lib.clock import isoformat
from lib.errors import SettingsRejected

if TYPE_CHECKING:
    from lib.store import Store

doubtful = typer.Typer(cls=Commands, help="The lists that are kept apart because they are not plausible.")
app.add_typer(doubtful, name="doubtful")

Names = Annotated[list[str], typer.Argument(help="As `topcoins doubtful` shows them.")]


@doubtful.callback(invoke_without_command=True)
def show(context: typer.Context, json: Json = False) -> None:
    """List them, oldest first, with the reasons."""
    if context.invoked_subcommand:
        return
    from lib.ingest.doubtful import reasons_of, tick_of

    files = list(_files())
    if json:
        lists = [{"name": _name(file), "tick": isoformat(tick_of(file)), "reasons": reasons_of(file)} for file in files]
        print(orjson.dumps(lists).decode())
        return
    for file in files:
        print(f"{_name(file)}  {isoformat(tick_of(file))}  {'; '.join(reasons_of(file))}")
    if not files:
        console().print("No list is in doubt.")


@doubtful.command()
def admit(names: Names) -> None:
    """Store lists. The next list of the series is compared with what was stored last."""
    files = [_find(name) for name in dict.fromkeys(names)]

    async def run(store: "Store") -> None:
        for file in files:
            print(f"{_name(file)}: {await admit_file(file, store)}", flush=True)

    with_store(load_settings(), run)


@doubtful.command(name="drop")
def drop_(names: Names) -> None:
    """Remove lists."""
    from lib.ingest.doubtful import drop

    for file in [_find(name) for name in names]:
        drop(file)
        print(f"{_name(file)}: dropped")


async def admit_file(file: Path, store: "Store") -> str:
    """Store a doubtful list and remove its file; what became of it. A tick that has a snapshot keeps that one."""
    import asyncio

    from lib.ingest.doubtful import drop
    from lib.snapshot import Snapshot
    from lib.snapshot_file import decode

    snapshot = decode(await asyncio.to_thread(file.read_bytes))
    newest = await store.nearest(snapshot.series.name, snapshot.tick)
    if newest and newest.tick == snapshot.tick:
        return "not stored: its tick has a snapshot; drop it, or withdraw that one"
    await store.write(Snapshot(snapshot.series, replace(snapshot.marker, new_level=True), snapshot.rows))
    drop(file)
    return "stored"


def _files() -> Iterator[Path]:
    from lib.ingest.doubtful import FOLDER, stored_lists

    for folder in sorted(load_settings().spool_dir.glob(f"*/{FOLDER}")):
        yield from stored_lists(folder)


def _name(file: Path) -> str:
    return f"{file.parent.parent.name}/{file.stem}"


def _find(name: str) -> Path:
    files = {_name(file): file for file in _files()}
    if name not in files:
        raise SettingsRejected(f"{name} is no doubtful list; there are: {', '.join(files) or 'none'}")
    return files[name]
