"""A market as a pure function of time: ask for any instant, in any order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lib.simulator import noise
from lib.simulator.assets import DELISTED, LISTED, PLAIN, RENAMED, RENAMED_FROM, TAGS, cast
from lib.simulator.noise import Floats, Ids, Keys

DELISTING_AFTER_RENAME: Final = timedelta(minutes=10)

_HOURS = np.array([7.3, 45.0, 220.0, 1400.0, 9500.0])  # of each wave; every asset has them somewhat longer or shorter
_PRICE_SWING = np.array([0.008, 0.02, 0.05, 0.12, 0.35])  # of each wave, as a logarithm
_VOLUME_SWING = np.array([0.09, 0.1, 0.13, 0.1, 0.08])
_STABLE_SWING = 0.0015  # of the price's
_STALE = 0.04  # this part of the invented assets is updated only every few minutes
_WAVES, _MINUTE, _VOLUME_MINUTE, _PERIOD, _PHASE, _VENUE, _TWIN = range(1, 8)


class Row(NamedTuple):
    """One asset of a list. `cmc_id` is None for an asset of another provider that CoinMarketCap does not list."""

    cmc_id: int | None
    symbol: str
    name: str
    slug: str
    tags: Sequence[str]
    price: float
    volume_24h: float
    market_cap: float
    percent_change_24h: float
    last_updated: int


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything listed at one instant, as parallel columns. `venue_volume` is the volume that CoinDesk reports."""

    at: datetime
    ids: Ids
    symbols: Sequence[str]
    names: Sequence[str]
    slugs: Sequence[str]
    tags: Sequence[Sequence[str]]
    price: Floats
    volume_24h: Floats
    venue_volume: Floats
    market_cap: Floats
    percent_change_24h: Floats
    last_updated: Ids

    def rows(self, places: Ids) -> Iterator[Row]:
        """The assets at these places of the columns."""
        texts = ([column[n] for n in places] for column in (self.symbols, self.names, self.slugs, self.tags))
        values = (self.price, self.volume_24h, self.market_cap, self.percent_change_24h, self.last_updated)
        numbers = (column[places].tolist() for column in values)
        return map(Row, self.ids[places].tolist(), *texts, *numbers)


@dataclass(frozen=True, slots=True)
class Oddities:
    """Ids that CoinDesk lists oddly: twice, without foreign ids, or with foreign ids but not CMC's."""

    twins: frozenset[int] = frozenset()
    unlinked: frozenset[int] = frozenset()
    elsewhere: frozenset[int] = frozenset()


class Market:
    """A simulated market with `assets` assets listed at any instant.

    One asset is renamed at `events_at`; ten minutes later another is delisted and a new one takes its place.
    """

    def __init__(
        self, seed: int = 1, assets: int = 500, *, events_at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    ) -> None:
        if assets < 1:
            raise ValueError(f"a market needs at least one asset, not {assets}")
        everyone = cast(seed, assets + 1)  # one of them is not listed yet, or not any more
        self._ids = np.array([a.cmc_id for a in everyone], dtype=np.int64)
        self._texts = np.array([(a.symbol, a.name, a.slug) for a in everyone], dtype=object).T
        self._tags = [TAGS.get(a.kind, ()) for a in everyone]
        self._base = np.array([(a.price, a.volume_24h, a.supply) for a in everyone]).T
        self._keys = noise.keys(seed, self._ids)
        self._calm = np.where([a.kind == "stable" for a in everyone], _STABLE_SWING, 1.0)
        self._price_waves = _Waves(self._keys, _WAVES, _PRICE_SWING)
        self._volume_waves = _Waves(self._keys, _WAVES + 100, _VOLUME_SWING)
        invented = self._ids > PLAIN
        stale = invented & (noise.uniform(self._keys, _PERIOD) < _STALE)
        self._period = np.where(stale, 2 + (noise.uniform(self._keys, _PHASE) * 58).astype(np.int64), 1)
        self._venue = np.exp(0.12 * noise.signed(self._keys, _VENUE)) * 0.8
        self._renamed_at = events_at.timestamp() // 60
        self._swapped_at = (events_at + DELISTING_AFTER_RENAME).timestamp() // 60
        self.oddities = self._oddities(invented)

    def at(self, time: datetime) -> Listing:
        """The list in the minute of `time`, in a fixed order of assets."""
        minute = int(time.timestamp() // 60)
        there = self._ids != (LISTED if minute < self._swapped_at else DELISTED)
        if there.all():  # a market too small for the events
            there[-1] = False
        updated = (minute - 1) // self._period * self._period  # a listing shows the minute before, or an older one
        price = self._price(updated)
        volume = self._volume(minute - 1)
        symbols, names, slugs = self._texts
        if minute < self._renamed_at and RENAMED in self._ids:
            at = int(np.flatnonzero(self._ids == RENAMED)[0])
            symbols, names = symbols.copy(), names.copy()
            symbols[at], names[at] = RENAMED_FROM
        change = (price / self._price(updated - 24 * 60) - 1) * 100
        return Listing(
            at=datetime.fromtimestamp(minute * 60, UTC),
            ids=self._ids[there],
            symbols=symbols[there].tolist(),
            names=names[there].tolist(),
            slugs=slugs[there].tolist(),
            tags=[self._tags[n] for n in np.flatnonzero(there)],
            price=price[there],
            volume_24h=volume[there],
            venue_volume=(volume * self._venue * (1 + 0.01 * noise.signed(self._keys, minute // 5)))[there],
            market_cap=(price * self._base[2])[there],
            percent_change_24h=change[there],
            last_updated=updated[there] * 60,
        )

    def _price(self, minutes: NDArray[np.int64]) -> Floats:
        jitter = 0.001 * noise.signed(self._keys + minutes.astype(np.uint64), _MINUTE)
        price: Floats = self._base[0] * np.exp(self._calm * (self._price_waves.at(minutes) + jitter))
        return price

    def _volume(self, minute: int) -> Floats:
        jitter = 0.001 * noise.signed(self._keys + np.uint64(minute), _VOLUME_MINUTE)
        volume: Floats = self._base[1] * np.exp(self._volume_waves.at(minute) + jitter)
        return volume

    def _oddities(self, invented: NDArray[np.bool_]) -> Oddities:
        draw = noise.uniform(self._keys, _TWIN)

        def some(low: float, high: float) -> frozenset[int]:
            return frozenset(self._ids[invented & (draw >= low) & (draw < high)].tolist())

        bridged = frozenset({3408, 3717}) & frozenset(self._ids.tolist())  # USDC and WBTC are listed once per bridge
        return Oddities(some(0, 0.02) | bridged, some(0.1, 0.12), some(0.2, 0.22))


class _Waves:
    """A sum of sines per asset, each with its own phases and lengths."""

    def __init__(self, keys: Keys, salt: int, swing: Floats) -> None:
        lengths = 0.7 + 0.6 * np.array([noise.uniform(keys, salt + 10 + n) for n in range(len(_HOURS))])
        self._speed = 2 * np.pi / (_HOURS[:, None] * 60 * lengths)  # radians a minute
        self._phase = 2 * np.pi * np.array([noise.uniform(keys, salt + 20 + n) for n in range(len(_HOURS))])
        self._swing = swing

    def at(self, minute: NDArray[np.int64] | int) -> Floats:
        waves: Floats = self._swing @ np.sin(self._speed * minute + self._phase)
        return waves
