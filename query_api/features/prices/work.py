"""The prices of many assets, each as of its own instant. Each snapshot is read once, not once for each row."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from lib.clock import isoformat
from lib.errors import StoreMalformed
from lib.schema import ID, LARGEST_ID, PRICE
from lib.store import Store
from lib.text import search_key
from query_api.asof.absence import NoSnapshot
from query_api.asof.asset import AmbiguousTicker, AssetFinder, By, NoAsset, by_ticker, check_sides, in_either, is_id
from query_api.asof.find_pair import PairFinder, PairFound
from query_api.asof.find_pairs import find_pairs
from query_api.asof.rows import PRICE_FIELDS
from query_api.long_work import LongWork

Asset = int | str
"""A CoinMarketCap id, or a name as in `/v1/assets/{id}`: digits may be an id, anything else is a ticker."""
Wanted = tuple[datetime, Asset]
Stored = Mapping[str, Any]
"""A row of the price series."""
_Key = tuple[datetime, datetime, str]


@dataclass(frozen=True, slots=True)
class Priced:
    """The answer to one row: the pair of its instant, and what it has of the asset, or why there is none."""

    at: datetime
    basis: PairFound | None
    found: Stored | NoSnapshot | NoAsset | AmbiguousTicker

    @property
    def known_since(self) -> datetime:
        """The earliest `known_at` that gives the same answer."""
        if self.basis:
            return self.basis.known_since
        assert isinstance(self.found, NoSnapshot)
        return self.found.known_at


class Prices:
    """Finds prices in one store, in steps of long work."""

    def __init__(self, store: Store, pairs: PairFinder, long_work: LongWork) -> None:
        self._store = store
        self._pairs = pairs
        self._assets = AssetFinder(store, pairs)
        self._long_work = long_work

    async def find(
        self, wanted: Sequence[Wanted], *, max_age: timedelta | None, known_at: datetime | None, by: By | None
    ) -> list[Priced]:
        """For each instant and asset what `AssetFinder.find` answers, in the same order."""
        bases = await self._bases({at for at, _ in wanted}, max_age, known_at)
        groups: dict[_Key, tuple[PairFound, set[Asset]]] = {}
        for at, asset in wanted:
            if isinstance(basis := bases[at], PairFound):
                groups.setdefault(_key(basis), (basis, set()))[1].add(asset)
        found = {}
        for key, (basis, assets) in groups.items():
            async with self._long_work.step():
                found[key] = await self._of_pair(basis, assets, by, known_at or basis.known_since)
        return [_priced(at, asset, bases[at], found) for at, asset in wanted]

    async def _bases(
        self, instants: Iterable[datetime], max_age: timedelta | None, known_at: datetime | None
    ) -> dict[datetime, PairFound | NoSnapshot]:
        """The pairs, without the markers around them, which are large."""
        found = await find_pairs(self._pairs, instants, self._long_work, max_age=max_age, known_at=known_at)
        return {
            at: replace(basis, markers=[]) if isinstance(basis, PairFound) else basis for at, basis in found.items()
        }

    async def _of_pair(
        self, basis: PairFound, assets: Collection[Asset], by: By | None, known_at: datetime
    ) -> dict[Asset, Stored | NoAsset | AmbiguousTicker]:
        """What a price snapshot has of these assets, in one read."""
        ids = {asset: int(asset) for asset in assets if isinstance(asset, int) or _is_id_in(asset, basis, by)}
        tickers = [search_key(asset) for asset in assets if isinstance(asset, str) and asset not in ids]
        rows = await self._store.rows(
            PRICE,
            basis.pair.price.tick,
            ids=[id_ for id_ in ids.values() if 0 < id_ <= LARGEST_ID],
            tickers=tickers or None,
            fields=PRICE_FIELDS,
            resolution=basis.resolution,
        )
        stored = {row[ID]: row for row in rows.iter_rows(named=True)}
        named = by_ticker(rows)
        found: dict[Asset, Stored | NoAsset | AmbiguousTicker] = {}
        for asset in assets:
            try:
                if isinstance(asset, int):
                    check_sides(basis, cmc_id := asset, known_at)
                else:
                    candidates = named.get(search_key(asset), [])
                    cmc_id = await self._assets.identify(asset, candidates, basis, by=by, known_at=known_at)
                found[asset] = _row_of(cmc_id, stored, basis)
            except (NoAsset, AmbiguousTicker) as exc:
                found[asset] = exc
        return found


def _row_of(cmc_id: int, stored: Mapping[int, Stored], basis: PairFound) -> Stored:
    if cmc_id not in stored:
        tick = isoformat(basis.pair.price.tick)
        raise StoreMalformed(f"the price snapshot of {tick} lacks the row of {cmc_id}, which its marker names")
    return stored[cmc_id]


def _is_id_in(name: str, basis: PairFound, by: By | None) -> bool:
    return by is None and is_id(name) and in_either(basis, int(name))


def _key(basis: PairFound) -> _Key:
    return basis.pair.price.tick, basis.pair.rank.tick, basis.resolution


def _priced(
    at: datetime,
    asset: Asset,
    basis: PairFound | NoSnapshot,
    found: Mapping[_Key, Mapping[Asset, Stored | NoAsset | AmbiguousTicker]],
) -> Priced:
    if isinstance(basis, NoSnapshot):
        return Priced(at, None, basis)
    return Priced(at, basis, found[_key(basis)][asset])
