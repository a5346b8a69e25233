"""What is fetched once a day and kept on disk: CoinMarketCap's map, and the contracts of a provider."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Generic, TypeVar

import structlog

from lib.clock import Clock
from lib.errors import SourceMalformed, TopcoinsError
from lib.ids.asset import Contract, ProviderAsset
from lib.ids.coin_map import CoinMap, read_rows
from lib.ingest.state_file import read_state, save_state
from lib.source import Reading, Source
from lib.source.expression import get
from lib.source.id_tables import Contracts
from lib.source.page import MOST_RECORDS
from lib.source.values import read_text

log = structlog.get_logger()

AGAIN_AFTER = timedelta(minutes=10)
"""A fetch that failed is tried again so much later."""
CANNOT_READ = "a daily list can't be read"
TIME_LIMIT = timedelta(seconds=30)
LEAST = 0.9
"""A map of fewer than this part of the ids before is a part of a map: it would make namesakes look unique."""


@dataclass(frozen=True, slots=True)
class ProviderAssets:
    """What a provider lists of its assets beside their prices: contracts, also of assets beyond the list."""

    day: date
    assets: tuple[ProviderAsset, ...]


T = TypeVar("T", bound=CoinMap | ProviderAssets)


class DailyCopy(Generic[T]):
    """A value that `fetch` gets once a day, from the one before it. While it can't be fetched the old one is used."""

    def __init__(
        self,
        kind: type[T],
        file: Path | None,
        *,
        clock: Clock,
        fetch: Callable[[T | None], Awaitable[T]],
    ) -> None:
        self._kind = kind
        self._file = file
        self._clock = clock
        self._fetch = fetch
        self._value: T | None = None
        self._again: datetime | None = None
        self._lock = asyncio.Lock()

    async def current(self) -> T | None:
        """Today's value, or the newest one that could be had; None if there never was one."""
        async with self._lock:  # several providers use one map
            now = self._clock()
            today = now.astimezone(UTC).date()
            if not self._is_of(today):
                self._value = await asyncio.to_thread(read_state, self._kind, self._file, CANNOT_READ) or self._value
            if not self._is_of(today) and (self._again is None or now >= self._again):
                await self._refresh(now)
            return self._value

    def _is_of(self, today: date) -> bool:
        return self._value is not None and self._value.day >= today

    async def _refresh(self, now: datetime) -> None:
        try:
            self._value = await self._fetch(self._value)
        except TopcoinsError as exc:
            day = self._value.day if self._value else None
            log.warning("a daily list can't be fetched; the old one is used", why=str(exc), day=day)
            self._again = now + AGAIN_AFTER
            return
        self._again = None
        await asyncio.to_thread(save_state, self._file, self._value, "a daily list can't be written")


async def fetch_map(sources: Sequence[Source], clock: Clock, before: CoinMap | None) -> CoinMap:
    """CoinMarketCap's map of today, with the ids that left it, from the first source that gives one.

    SourceMalformed where it is only a part of a map.
    """
    reading = await _first_reading(sources)
    assets = read_rows(reading.rows)
    usual = len(before.assets) - len(before.gone) if before else 1
    if len(assets) < usual * LEAST:
        raise SourceMalformed(f"{reading.source}: only {len(assets)} ids, the map before had {usual}")
    today = clock().astimezone(UTC).date()
    return (before or CoinMap(today, (), {})).refreshed(assets, today)


async def _first_reading(sources: Sequence[Source]) -> Reading:
    for source in sources[:-1]:
        with suppress(TopcoinsError):
            return await source.read(MOST_RECORDS, TIME_LIMIT)
    return await sources[-1].read(MOST_RECORDS, TIME_LIMIT)


Fetch = Callable[[str, Mapping[str, str | int | float]], Awaitable[Any]]


async def fetch_contracts(
    contracts: Contracts, fetch: Fetch, clock: Clock, before: ProviderAssets | None
) -> ProviderAssets:
    """A provider's contracts of today. Of a chain that can't be asked those before stay; raises if none can be."""
    assets: dict[str, ProviderAsset] = {}
    failures: list[TopcoinsError] = []
    requests = list(_requests(contracts))
    for path, chains in requests:
        try:
            body = await fetch(path, contracts.params)
        except TopcoinsError as exc:
            failures.append(exc)
            _keep(assets, before, set(chains.values()))
            continue
        for record in get(contracts.at, body) or []:
            _read(contracts, record, chains, assets)
    if len(failures) == len(requests):
        raise failures[0]
    if failures:
        log.warning("contracts of some chains can't be fetched", why=[str(failure) for failure in failures])
    return ProviderAssets(clock().astimezone(UTC).date(), tuple(assets.values()))


def _requests(contracts: Contracts) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Each path to ask, and the chains of its answer, by the provider's names."""
    if "{chain}" not in contracts.path:
        yield contracts.path, contracts.chains
        return
    for name, chain in contracts.chains.items():
        yield contracts.path.replace("{chain}", name), {name: chain}


def _read(contracts: Contracts, record: Any, chains: Mapping[str, str], assets: dict[str, ProviderAsset]) -> None:
    own = read_text(get(contracts.own, record))
    if not own:
        return
    symbol, name = (read_text(get(path, record)) or "" for path in (contracts.symbol, contracts.name))
    asset = assets.get(own) or ProviderAsset(own, symbol, name)
    for their_name, chain in chains.items():
        if address := read_text(get(contracts.address.replace("{chain}", their_name), record)):
            asset = asset._replace(contracts=(*asset.contracts, Contract(chain, address)))
    assets[own] = asset


def _keep(assets: dict[str, ProviderAsset], before: ProviderAssets | None, chains: set[str]) -> None:
    """Add the contracts on these chains that were known before."""
    for asset in before.assets if before else ():
        contracts = tuple(contract for contract in asset.contracts if contract.chain in chains)
        if contracts:
            known = assets.get(asset.own) or asset._replace(contracts=())
            assets[asset.own] = known._replace(contracts=(*known.contracts, *contracts))
