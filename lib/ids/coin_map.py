"""CoinMarketCap's map of ids as it is kept from day to day."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from lib.ids.asset import CoinMarketCapAsset, Contract, chain_names

FRESH = timedelta(days=2)
"""An older map makes no new match: a coin that it does not have yet makes its namesake look unique."""


def read_rows(rows: pl.DataFrame) -> list[CoinMarketCapAsset]:
    """The assets of a map's rows; those without an id, symbol or name are left out."""
    platform_ids = rows["platform_id"].drop_nulls().cast(pl.Int64, strict=False).to_list()
    names = chain_names(set(platform_ids))
    sound = rows.filter(pl.col("cmc_id") > 0).drop_nulls(["symbol", "name"])
    columns = sound.select("cmc_id", "symbol", "name", "slug", "platform_id", "address")
    return [
        CoinMarketCapAsset(id_, symbol, name, slug or "", _contract(names.get(int(platform or 0)), address))
        for id_, symbol, name, slug, platform, address in columns.iter_rows()
    ]


def _contract(chain: str | None, address: str | None) -> Contract | None:
    return Contract(chain, address) if chain and address else None


@dataclass(frozen=True, slots=True)
class CoinMap:
    """The map of a day. Ids that left it stay in `assets`; `gone` has the day on which each was first missing."""

    day: date
    assets: tuple[CoinMarketCapAsset, ...]
    gone: Mapping[int, date]

    def is_fresh(self, today: date) -> bool:
        """Whether new matches may be made with it."""
        return today - self.day < FRESH

    def refreshed(self, assets: Iterable[CoinMarketCapAsset], day: date) -> "CoinMap":
        """This map with the assets of a newer one. Assets that left stay; former symbols and names are remembered."""
        before = {asset.cmc_id: asset for asset in self.assets}
        new = {asset.cmc_id: _with_former(asset, before.get(asset.cmc_id)) for asset in assets}
        gone = {id_: self.gone.get(id_, day) for id_ in before.keys() - new.keys()}
        return CoinMap(day, (*new.values(), *(before[id_] for id_ in sorted(gone))), gone)


def _with_former(now: CoinMarketCapAsset, before: CoinMarketCapAsset | None) -> CoinMarketCapAsset:
    if before is None:
        return now
    pairs = dict.fromkeys([*before.former, (before.symbol, before.name)])
    return now._replace(former=tuple(pair for pair in pairs if pair != (now.symbol, now.name)))
