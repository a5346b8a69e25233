"""One asset as of an instant, by its id or by a ticker that only one asset has."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import polars as pl

from lib.clock import isoformat
from lib.errors import TopcoinsError
from lib.schema import ID, PRICE, VOLUME_RANK
from lib.snapshot import unpack_ids
from lib.store import Resolution, Store
from lib.text import is_digits, search_key
from query_api.asof.find_pair import PairFinder, PairFound
from query_api.asof.rows import read_first_rows

By = Literal["symbol"]
"""How a name is read: as a ticker only. By default digits are an id."""
FLAGS = ("stablecoin", "wrapped")

Named = dict[str, Any]
"""An asset's id, ticker and name."""


class NoAsset(TopcoinsError):
    """The snapshots of the instant have no such asset. `ticker` is the one that none has, if one was asked for."""

    def __init__(self, message: str, *, known_at: datetime, ticker: str | None = None) -> None:
        super().__init__(message)
        self.known_at = known_at
        self.ticker = ticker


class AmbiguousTicker(TopcoinsError):
    """Several assets have the ticker. The caller must choose one by its id."""

    def __init__(self, symbol: str, candidates: Sequence[Named]) -> None:
        ids = ", ".join(f"{row[ID]} ({row['name']})" for row in candidates)
        super().__init__(f"{len(candidates)} assets have the ticker {symbol}: ask for one by its cmc_id, of {ids}")
        self.candidates = candidates


async def find_asset(
    finder: PairFinder,
    name: str,
    at: datetime,
    *,
    max_age: timedelta | None,
    known_at: datetime | None = None,
    by: By | None = None,
) -> tuple[PairFound, dict[str, Any], Sequence[Named]]:
    """The asset as the list of that instant has it. `known_at` ignores snapshots stored after it.

    The pair, the asset's row of the list with what else its price source reports, and the other assets whose ticker is
    the name.
    """
    store, basis = finder.store, await finder.find(at, max_age=max_age, known_at=known_at)
    candidates = await with_ticker(store, name, basis.pair.price.tick, basis.resolution)
    cmc_id = await identify(store, name, candidates, basis, by=by)
    resolution = basis.resolution
    rank = await store.rows(VOLUME_RANK, basis.pair.rank.tick, ids=[cmc_id], fields=("rank",), resolution=resolution)
    (first,) = await read_first_rows(store, [basis.pair], int(rank["rank"].item()), resolution)
    (row,) = first.rows.filter(cmc_id=cmc_id).to_dicts()
    namesakes = [other for other in candidates if other[ID] != cmc_id]
    return basis, row | await _reported(store, basis, cmc_id), namesakes


async def identify(store: Store, name: str, candidates: Sequence[Named], basis: PairFound, *, by: By | None) -> int:
    """The asset that a name means in a pair that has it on both sides; `candidates` have the name as ticker.

    Digits are the id of an asset that is in either snapshot; anything else is a ticker. NoAsset names the side
    that lacks the asset.
    """
    if is_id_in(name, basis, by):
        cmc_id = int(name)
    elif len(candidates) == 1:
        cmc_id = int(candidates[0][ID])
    elif candidates:
        raise AmbiguousTicker(name, await _by_rank(store, candidates, basis))
    else:
        kind = "cmc_id or ticker" if by is None and is_digits(name) else "ticker"
        why = f"no asset has the {kind} {name} in the snapshots of {isoformat(basis.pair.price.tick)}"
        raise NoAsset(why, known_at=basis.known_at, ticker=name)
    check_sides(basis, cmc_id)
    return cmc_id


async def with_ticker(store: Store, ticker: str, tick: datetime, resolution: Resolution) -> list[Named]:
    """The assets of a price snapshot with this ticker, in any case."""
    wanted = search_key(ticker)
    rows = await store.rows(PRICE, tick, fields=("usd",), tickers=[wanted], resolution=resolution)
    return by_ticker(rows).get(wanted, [])


async def _by_rank(store: Store, candidates: Sequence[Named], basis: PairFound) -> list[Named]:
    ids = [row[ID] for row in candidates]
    rank = await store.rows(VOLUME_RANK, basis.pair.rank.tick, ids=ids, resolution=basis.resolution)
    places = {row[ID]: int(row["rank"]) for row in rank.iter_rows(named=True)}
    ranked = [row | {"source_rank": places.get(row[ID])} for row in candidates]
    return sorted(ranked, key=lambda row: (row["source_rank"] is None, row["source_rank"], row[ID]))


async def _reported(store: Store, basis: PairFound, cmc_id: int) -> dict[str, Any]:
    """What the price source reports beside the list's columns."""
    price = await store.rows(PRICE, basis.pair.price.tick, ids=[cmc_id], resolution=basis.resolution)
    row = price.row(0, named=True)
    flags = {name: None if row[name] is None else bool(row[name]) for name in FLAGS}
    return {"market_cap_usd": row["market_cap_usd"], **flags}


def is_id_in(name: str, basis: PairFound, by: By | None) -> bool:
    """Whether a name means the id of an asset that is in one of a pair's snapshots."""
    if by or not is_digits(name):
        return False
    return any(int(name) in unpack_ids(marker.ids) for marker in (basis.pair.price, basis.pair.rank))


def check_sides(basis: PairFound, cmc_id: int) -> None:
    """Raise NoAsset for an asset that is not in both snapshots of a pair."""
    for series, marker in ((PRICE, basis.pair.price), (VOLUME_RANK, basis.pair.rank)):
        if cmc_id not in unpack_ids(marker.ids):
            why = f"no asset has the cmc_id {cmc_id} in the {series.name} snapshot of {isoformat(marker.tick)}"
            raise NoAsset(why, known_at=basis.known_at)


def by_ticker(rows: pl.DataFrame) -> dict[str, list[Named]]:
    """The assets of a price snapshot's rows by their tickers, as `search_key` has them."""
    tickers: dict[str, list[Named]] = {}
    for row in rows.select(ID, "symbol", "name").iter_rows(named=True):
        if row["symbol"]:
            tickers.setdefault(search_key(row["symbol"]), []).append(row)
    return tickers
