"""The assets of the market: well-known ones under their real ids, then invented ones."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import TypeAdapter

from lib.simulator import noise

INVENTED: Final = 900_000
"""Invented assets have ids above this; CoinMarketCap's are far below."""

RENAMED, DELISTED, LISTED = INVENTED + 1, INVENTED + 2, INVENTED + 3
RENAMED_FROM: Final = ("SIMOLD", "Simulated Before Rename")

_PRICE, _VOLUME, _TURNOVER = range(101, 104)
_KNOWN = Path(__file__).with_name("assets.csv")  # values as CoinMarketCap listed them on 2024-03-19 and 2024-09-17


@dataclass(frozen=True, slots=True)
class Asset:
    """One asset and the values it fluctuates around."""

    cmc_id: int
    symbol: str
    name: str
    slug: str
    price: float
    volume_24h: float
    supply: float
    kind: str = "coin"


TAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "stable": ("stablecoin", "asset-backed-stablecoin", "usd-stablecoin"),
    "wrapped": ("wrapped-tokens",),
}
"""CoinMarketCap's tags per kind of asset."""

# One of each oddity, early, so that a small market has them too.
_ODD = (
    Asset(RENAMED, "SIMNEW", "Simulated After Rename", "simulated-rename", 12.5, 9e8, 4e8),
    Asset(DELISTED, "SIMGONE", "Simulated Delisted", "simulated-delisted", 3.75, 7e8, 5e8),
    Asset(LISTED, "SIMFRESH", "Simulated Newly Listed", "simulated-newly-listed", 0.85, 8e8, 2e9),
    Asset(900_004, "SIMTINY", "Simulated Tiny Price", "simulated-tiny-price", 1.3e-8, 2.5e8, 9e15),
    Asset(900_005, "SIMTWIN", "Simulated Twin A", "simulated-twin-a", 1.9, 1.6e8, 3e8),
    Asset(900_006, "SIMTWIN", "Simulated Twin B", "simulated-twin-b", 0.02, 1.1e8, 6e10),
    Asset(900_007, "SIMZERO", "Simulated Zero Volume", "simulated-zero-volume", 0.4, 0.0, 1e7),
    Asset(900_008, "+SIM", 'Simulated, "Quoted" Ünïcode', "simulated-quoted", 0.07, 9e7, 5e9),
)


PLAIN: Final = INVENTED + len(_ODD)
"""Invented assets above this id have no oddity by design; some have one by their key."""


def cast(seed: int, members: int) -> list[Asset]:
    """The first `members` of the market: at most four in five are real, the rest are invented."""
    with _KNOWN.open(encoding="utf-8", newline="") as file:
        known = TypeAdapter(list[Asset]).validate_python([*csv.DictReader(file)])[: max(1, members * 4 // 5)]
    odd = list(_ODD[: members - len(known)])
    return known + odd + _plain(seed, len(odd) + 1, members - len(known) - len(odd))


def _plain(seed: int, first: int, number: int) -> list[Asset]:
    """Invented assets with a heavy tail of volumes; one in fifty has none."""
    places = np.arange(first, first + number)
    keys = noise.keys(seed, places + INVENTED)
    price = 10 ** (noise.uniform(keys, _PRICE) * 11 - 8)  # 1e-8 to 1e3 USD
    spread = noise.uniform(keys, _VOLUME)
    volume = 5e7 * (1 + places / 40) ** -1.7 * np.exp(4 * spread - 2)
    supply = volume * (3 + 40 * noise.uniform(keys, _TURNOVER)) / price
    volume[spread < 0.02] = 0.0
    values = zip(count(first), price.tolist(), volume.tolist(), supply.tolist(), strict=False)
    return [
        Asset(INVENTED + n, f"SIM{n:04}", f"Simulated {n:04}", f"simulated-{n:04}", p, v, s) for n, p, v, s in values
    ]
