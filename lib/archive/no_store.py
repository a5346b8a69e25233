"""`STORE_URL=none`: a hot store without anything, for an API that answers from the archive alone."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NoReturn, Unpack

import polars as pl

from lib.archive.tables import series_columns
from lib.clock import Clock
from lib.errors import StoreRejected
from lib.schema import Series
from lib.store import Selection, Store, merged_names


class NoStore(Store):
    """A `Store` that has nothing and takes nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def _refuse(self, *args: Any, **more: Any) -> NoReturn:
        raise StoreRejected(
            "TOPCOINS_STORE_URL is none: nothing can be written; for example sqlite:///./data/topcoins.db"
        )

    async def _nothing(self, *args: Any, **more: Any) -> list[Any]:
        return []

    async def _none(self, *args: Any, **more: Any) -> Any:
        return None

    write = withdraw = undo_withdrawal = _refuse
    markers = ticks = stored_ticks = _nothing
    nearest = first = _none

    async def history(self, series: Series, *args: Any, **more: Any) -> pl.DataFrame:
        """See `Store.history`."""
        return pl.DataFrame(schema=series_columns(series))

    async def rows_between(
        self, series: Series, ticks: Collection[datetime], **selection: Unpack[Selection]
    ) -> dict[datetime, pl.DataFrame]:
        """See `Store.rows_between`."""
        return dict.fromkeys(ticks, series.only(selection.get("fields")).empty())

    async def asset_names(self, since: datetime) -> pl.DataFrame:
        """See `Store.asset_names`."""
        return merged_names([])

    def horizon(self) -> datetime:
        """See `Store.horizon`."""
        return self._clock()

    async def ready(self) -> None:
        """See `Store.ready`."""

    async def close(self) -> None:
        """See `Store.close`."""
