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
from query_api.asof.asset import AmbiguousTicker, By, NoAsset, by_ticker, check_sides, identify, is_id_in
from query_api.asof.find_pair import PairFinder, PairFound
from query_api.asof.rows import PRICE_FIELDS
from query_api.long_work import LongWork
from query_api.services import Services

Asset = int | str
"""A CoinMarketCap id, or a name as in `/v1/assets/{id}`: digits may be an id, anything else is a ticker."""
Wanted = tuple[datetime, Asset]
Stored = Mapping[str, Any]
"""A row of the price series."""


@dataclass(frozen=True, slots=True)
class Priced:
    """The answer to one row: the pair of its instant, and what it has of the asset, or why there is none."""

    basis: PairFound | NoSnapshot
    found: Stored | NoSnapshot | NoAsset | AmbiguousTicker

    @property
    def known_since(self) -> datetime:
        """The earliest `known_at` that gives the same answer."""
        return self.basis.known_since if isinstance(self.basis, PairFound) else self.basis.known_at


async def find_prices(
    services: Services, wanted: Sequence[Wanted], *, max_age: timedelta | None, known_at: datetime | None, by: By | None
) -> list[Priced]:
    """For each instant and asset what `find_asset` answers, in the same order. In steps of long work."""
    finder, long_work = services.lists.pair_finder, services.long_work
    bases = await find_pairs(finder, {at for at, _ in wanted}, long_work, max_age=max_age, known_at=known_at)
    groups: dict[object, tuple[PairFound, set[Asset]]] = {}
    for at, asset in wanted:
        if isinstance(basis := bases[at], PairFound):
            groups.setdefault(basis.key, (basis, set()))[1].add(asset)
    found = {}
    for key, (basis, assets) in groups.items():
        async with long_work.step():
            found[key] = await _of_pair(services.store, basis, assets, by)
    return [
        Priced(basis := bases[at], found[basis.key][asset] if isinstance(basis, PairFound) else basis)
        for at, asset in wanted
    ]


async def _of_pair(
    store: Store, basis: PairFound, assets: Collection[Asset], by: By | None
) -> dict[Asset, Stored | NoAsset | AmbiguousTicker]:
    """What a price snapshot has of these assets, in one read."""
    ids = {asset: int(asset) for asset in assets if isinstance(asset, int) or is_id_in(asset, basis, by)}
    tickers = [search_key(asset) for asset in assets if isinstance(asset, str) and asset not in ids]
    rows = await store.rows(
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
                check_sides(basis, cmc_id := asset)
            else:
                cmc_id = await identify(store, asset, named.get(search_key(asset), []), basis, by=by)
            if cmc_id not in stored:
                tick = isoformat(basis.pair.price.tick)
                raise StoreMalformed(f"the price snapshot of {tick} lacks the row of {cmc_id}, which its marker names")
            found[asset] = stored[cmc_id]
        except (NoAsset, AmbiguousTicker) as exc:
            found[asset] = exc
    return found


async def find_pairs(
    finder: PairFinder,
    instants: Iterable[datetime],
    long_work: LongWork,
    *,
    max_age: timedelta | None,
    known_at: datetime | None,
) -> dict[datetime, PairFound | NoSnapshot]:
    """What `PairFinder.search` answers for each instant. It is asked once for all instants that one answer is for."""
    answers: dict[datetime, PairFound | NoSnapshot] = {}
    last: PairFound | NoSnapshot | None = None
    for at in sorted(instants, reverse=True):
        if last is None or not _answers_too(last, at):
            async with long_work.step():
                last = await finder.search(at, max_age=max_age, known_at=known_at)
        if isinstance(last, PairFound):
            last = replace(last, at=at, among=())  # these markers are large
        elif last.absence:
            last = last.absence.explain(at)
        answers[at] = last
    return answers


def _answers_too(answer: PairFound | NoSnapshot, earlier: datetime) -> bool:
    """Whether the answer of an instant is certain to be that of an earlier one, for the same parameters.

    A pair is the newest up to every instant from its ticks on.
    """
    if isinstance(answer, NoSnapshot):
        return answer.absence is not None and answer.absence.covers(earlier)
    return max(answer.pair.price.tick, answer.pair.rank.tick) <= earlier
