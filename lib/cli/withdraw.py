"""`topcoins withdraw`: stored ticks stop answering, or answer again. Nothing is deleted."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from lib.cli.app import Json, all_series, app, instant, load_settings, with_store
from lib.clock import isoformat, utc_now
from lib.errors import SettingsRejected

if TYPE_CHECKING:
    from lib.settings import Settings
    from lib.store import Store


@app.command()
def withdraw(
    series: Annotated[str, typer.Option("--series", help="price, volume_rank, or a further series.")],
    start: Annotated[str, typer.Option("--from", help="The first tick, for example 2026-11-17T14:37Z.")],
    stop: Annotated[str, typer.Option("--to", help="The last tick; it is withdrawn too.")],
    why: Annotated[str, typer.Option("--why", help="The reason; readers of /v1/gaps see it.")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Let withdrawn ticks answer again.")] = False,
    json: Json = False,
) -> None:
    """Withdraw stored ticks: from now on they answer no more. With --undo they answer again."""
    chosen = load_settings()
    if series not in (known := [each.name for each in all_series(chosen)]):
        raise SettingsRejected(f"--series {series}: must be one of {', '.join(known)}; for example --series price")
    if not undo and not why.strip():
        raise SettingsRejected('--why: a withdrawal needs its reason; for example --why "prices of another coin"')
    first, last = instant("--from", start), instant("--to", stop)
    if last < first:
        raise SettingsRejected(f"--to {stop} is before --from {start}; for example --from {stop} --to {start}")
    ticks = with_store(chosen, lambda store: _change(chosen, store, series, first, last, why=None if undo else why))
    if json:
        print(orjson.dumps({"series": series, "undo": undo, "ticks": [isoformat(tick) for tick in ticks]}).decode())
        return
    span = f", from {isoformat(ticks[0])} to {isoformat(ticks[-1])}" if ticks else ""
    print(f"{len(ticks)} ticks of {series} {'restored' if undo else 'withdrawn'}{span}")


async def _change(
    chosen: "Settings", store: "Store", series: str, first: datetime, last: datetime, *, why: str | None
) -> list[datetime]:
    """Withdraw in the store and in the archive; without a reason, undo it."""
    from lib.archive.objects.address import open_objects
    from lib.archive.withdraw import Withdrawals

    objects = open_objects(chosen)
    place = Withdrawals(store, objects, all_series(chosen), clock=utc_now) if objects else store
    if why is None:
        return await place.undo_withdrawal(series, first, last)
    return await place.withdraw(series, first, last, why=why)
