"""`topcoins archive`: seals closed days into the archive, as a service or once."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from lib.cli.app import Commands, Json, all_series, app, load_settings, with_store
from lib.clock import utc_now
from lib.errors import SettingsRejected, Unavailable

if TYPE_CHECKING:
    from lib.archive.archiver import Archiver
    from lib.archive.objects import Objects
    from lib.schema import Series
    from lib.settings import Settings
    from lib.store import Store

archive = typer.Typer(
    cls=Commands, help="Seal closed days into the archive. Runs until Ctrl-C, or does one of the commands below."
)
app.add_typer(archive, name="archive")


@archive.callback(invoke_without_command=True)
def service(context: typer.Context) -> None:
    """Seal each closed day soon after its end, and add what comes late, until SIGTERM or Ctrl-C."""
    if context.invoked_subcommand is None:
        from lib import process

        with process.begin("archive", []) as chosen:
            _with_archiver(chosen, _serve)


@archive.command()
def seal() -> None:
    """Seal every closed day that is not sealed, and end.

    What came late is added to the others.
    """
    _with_archiver(load_settings(), _seal)


@archive.command()
def verify(
    mend: Annotated[bool, typer.Option("--mend", help="Write damaged parts again from the store.")] = False,
) -> None:
    """Check every sealed day: digests, content hashes, no tick twice. Exit code 1 when something is wrong."""
    chosen = load_settings()
    if not with_store(chosen, lambda store: _verify(chosen, store if mend else None)):
        raise typer.Exit(1)


@archive.command()
def status(json: Json = False) -> None:
    """How far the archive is.

    The exit code is 1 when a closed day has waited for hours.
    """
    from lib.archive.archiver import read_progress

    chosen = load_settings()
    objects = objects_of(chosen)
    progress = with_store(chosen, lambda store: read_progress(store, objects, all_series(chosen), utc_now()))
    unsealed = [str(day) for day in progress.unsealed]
    if json:
        print(orjson.dumps({"sealed": progress.sealed, "until": progress.newest, "unsealed": unsealed}).decode())
    else:
        until = f", all up to {progress.newest}" if progress.newest else ""
        print(f"{progress.sealed} days sealed in {objects.shown}{until}; not sealed: {', '.join(unsealed) or 'none'}")
    if progress.is_late(utc_now()):
        raise typer.Exit(1)


def objects_of(chosen: "Settings") -> "Objects":
    """The archive of the settings; SettingsRejected if they name none."""
    from lib.archive.objects.address import open_objects

    if objects := open_objects(chosen):
        return objects
    raise SettingsRejected("TOPCOINS_ARCHIVE_URL is none: there is no archive; for example ./data/archive")


def _with_archiver(chosen: "Settings", work: "Callable[[Archiver, Objects], Awaitable[None]]") -> None:
    from lib.archive.archiver import Archiver

    objects, series = objects_of(chosen), all_series(chosen)

    async def run(store: "Store") -> None:
        await work(Archiver(store, objects, series, clock=utc_now, spools=chosen.spool_dir), objects)

    with_store(chosen, run)


async def _verify(chosen: "Settings", store: "Store | None") -> bool:
    """Print each day; with a store, mend what it can. Returns whether all is well in the end."""
    from lib.archive.mend import Mender
    from lib.archive.verify import verify as check

    objects, series, is_well, days = objects_of(chosen), all_series(chosen), True, 0
    async for day in check(objects, series):
        days += 1
        print(f"{day.day}: {day.snapshots} snapshots, {'well' if not day.faults else 'DAMAGED'}", flush=True)
        for fault in day.faults:
            print(f"  {fault.name}: {fault.what}", flush=True)
        failures: Sequence[object] = day.faults
        if day.faults and store:
            failures = await Mender(store, objects, series, clock=utc_now).mend(day)
            print("\n".join(f"  not mended: {failure}" for failure in failures) or "  mended", flush=True)
        is_well = is_well and not failures
    if not days:
        print(f"no day is sealed in {objects.shown}")
    return await _verify_months(objects, series, mend=store is not None) and is_well


async def _verify_months(objects: "Objects", series: "Sequence[Series]", *, mend: bool) -> bool:
    """Print each sealed month; mend it from its days. Returns whether all is well in the end."""
    from lib.archive.manifest import sealed_days
    from lib.archive.seal_month import MonthSealer
    from lib.archive.verify import delete_month, verify_months

    damaged = []
    async for month, faults in verify_months(objects):
        print(f"{month}: hours of the month, {'well' if not faults else 'DAMAGED'}", flush=True)
        print("".join(f"  {fault.name}: {fault.what}\n" for fault in faults), end="", flush=True)
        damaged += [month] if faults else []
    if not mend:
        return not damaged
    for month in damaged:
        await delete_month(objects, month)
    months = await MonthSealer(objects, series).catch_up(await sealed_days(objects), utc_now().date())
    sealed = {f"{month:%Y-%m}" for month in months}
    for month in damaged:
        print(f"  {month}: {'mended' if month in sealed else 'its damaged files are deleted: its days have the same'}")
    return True


async def _seal(archiver: "Archiver", objects: "Objects") -> None:
    from lib.archive.objects import probe

    await probe(objects)
    sealed = await archiver.catch_up()
    print("\n".join(f"{day} sealed" for day in sealed) or f"no closed day waits to be sealed in {objects.shown}")


async def _serve(archiver: "Archiver", objects: "Objects") -> None:
    from lib import process
    from lib.archive.archiver import EVERY
    from lib.archive.objects import probe
    from lib.ingest.poll import Poll

    with suppress(Unavailable):  # an absent object store does not stop the service; the first run logs it
        await probe(objects)
    stop, poll = process.stop_at_signals(), Poll(utc_now)
    poll.add("archive", archiver.run, lambda: EVERY)
    await poll.run(stop)
