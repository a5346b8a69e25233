"""One asset as of an instant, by its id or by a ticker that only one asset has."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from lib.clock import isoformat
from lib.errors import TopcoinsError
from lib.schema import ID, PRICE, VOLUME_RANK
from lib.store import Store
from query_api.asof.find_pair import PairFinder, PairFound
from query_api.asof.rows import RowReader


class NoAsset(TopcoinsError):
    """No such asset in the snapshots of the instant."""


class AmbiguousTicker(TopcoinsError):
    """Several assets have the ticker: the caller says which one, by its id."""

    def __init__(self, symbol: str, candidates: list[dict[str, Any]]) -> None:
        ids = ", ".join(f"{row[ID]} ({row['name']})" for row in candidates)
        super().__init__(f"{len(candidates)} assets have the ticker {symbol}: ask for one by its cmc_id, of {ids}")
        self.candidates = candidates


@dataclass(frozen=True, slots=True)
class AssetFound:
    """An asset and the pair of snapshots that tells of it."""

    at: datetime
    known_at: datetime
    found: PairFound
    row: dict[str, Any]


class AssetFinder:
    """Looks assets up in one store."""

    def __init__(self, store: Store, pairs: PairFinder) -> None:
        self._store = store
        self._pairs = pairs
        self._listings = RowReader(store)

    async def find(
        self, named: str, at: datetime, *, max_age: timedelta, known_at: datetime | None = None
    ) -> AssetFound:
        """The asset as the list of that instant has it, with what its price's source told besides.

        `known_at` is as `TopListFinder.find` has it.
        """
        found = await self._pairs.find(at, max_age=max_age, known_at=known_at)
        cmc_id = await self._identified(named, found)
        rank = await self._rows(found, cmc_id)
        limit = int(rank["rank"])
        rows = (await self._listings.first(found.pair, limit, found.resolution)).rows
        (row,) = rows.filter(cmc_id=cmc_id).to_dicts()
        told = await self._store.rows(PRICE, found.pair.price.tick, ids=[cmc_id], resolution=found.resolution)
        known_at = known_at or max(found.pair.price.visible_since, found.pair.rank.visible_since)
        return AssetFound(at, known_at, found, row | _besides(told.to_dicts()[0]))

    async def identified(self, named: str, at: datetime, *, max_age: timedelta) -> int:
        """The id of a ticker as of an instant. An id is itself, whether or not there is such an asset."""
        return (
            int(named) if _is_id(named) else await self._identified(named, await self._pairs.find(at, max_age=max_age))
        )

    async def _identified(self, named: str, found: PairFound) -> int:
        if _is_id(named):
            return int(named)
        tick, resolution = found.pair.price.tick, found.resolution
        price = await self._store.rows(PRICE, tick, fields=("usd",), resolution=resolution)
        rows = price.select(ID, "symbol", "name").iter_rows(named=True)
        candidates = [row for row in rows if row["symbol"] and row["symbol"].lower() == named.lower()]
        if not candidates:
            raise NoAsset(f"no asset has the ticker {named} in the prices of {isoformat(tick)}")
        if len(candidates) == 1:
            return int(candidates[0][ID])
        ids = [row[ID] for row in candidates]
        rank = await self._store.rows(VOLUME_RANK, found.pair.rank.tick, ids=ids, resolution=resolution)
        places = {row[ID]: int(row["rank"]) for row in rank.iter_rows(named=True)}
        ranked = [row | {"source_rank": places.get(row[ID])} for row in candidates]
        raise AmbiguousTicker(
            named, sorted(ranked, key=lambda row: (row["source_rank"] is None, row["source_rank"], row[ID]))
        )

    async def _rows(self, found: PairFound, cmc_id: int) -> dict[str, Any]:
        """The asset's rank row; NoAsset says which side lacks it."""
        sides = {PRICE: found.pair.price.tick, VOLUME_RANK: found.pair.rank.tick}
        for series, tick in sides.items():
            rows = await self._store.rows(
                series, tick, ids=[cmc_id], fields=series.fields[:1], resolution=found.resolution
            )
            if rows.is_empty():
                raise NoAsset(f"no asset has the cmc_id {cmc_id} in the {series.name} snapshot of {isoformat(tick)}")
        return rows.row(0, named=True)


def _is_id(named: str) -> bool:
    """Digits are an id, also where a ticker is made of them."""
    return named.isascii() and named.isdigit() and len(named) < 19


def _besides(told: dict[str, Any]) -> dict[str, Any]:
    flags = {name: None if told[name] is None else bool(told[name]) for name in ("stablecoin", "wrapped")}
    return {"market_cap_usd": told["market_cap_usd"], **flags}
