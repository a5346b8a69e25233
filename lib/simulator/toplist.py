"""CoinDesk's list: every entry by its 24h volume, with the oddities its data has."""

from typing import Any, Final

import numpy as np

from lib.simulator.market import Listing, Oddities, Row

_TWIN_SHARE: Final = 0.37  # of the volume, for the second entry of the same asset
_TWIN_IDS: Final = 50_000_000


class TopList:
    """One listing as CoinDesk orders it. Records are made page by page, because most are never requested."""

    def __init__(self, listing: Listing, oddities: Oddities) -> None:
        self.listing = listing
        self._oddities = oddities
        rows = np.arange(len(listing.ids))
        twins = np.flatnonzero(np.isin(listing.ids, list(oddities.twins)))
        self._row = np.concatenate([rows, twins])
        self._twin = np.arange(len(self._row)) >= len(rows)
        self._volume = listing.venue_volume[self._row] * np.where(self._twin, _TWIN_SHARE, 1.0)
        # An asset's second entry has a different id, so that the order is stable.
        self._id = listing.ids[self._row] + self._twin * _TWIN_IDS
        self._order = np.lexsort((self._id, -self._volume))

    def __len__(self) -> int:
        return len(self._order)

    def page(self, number: int, size: int, *, descending: bool = True) -> list[dict[str, Any]]:
        """The records of a 1-based page; none past the last."""
        order = self._order if descending else self._order[::-1]
        chosen = order[(number - 1) * size : number * size]
        columns = (column[chosen].tolist() for column in (self._id, self._twin, self._volume))
        entries = zip(self.listing.rows(self._row[chosen]), *columns, strict=True)
        return [
            {
                "ID": id_,
                "TYPE": "162",
                "SYMBOL": row.symbol,
                "NAME": row.name + (" (bridged)" if twin else ""),
                "ASSET_TYPE": "TOKEN" if twin else "BLOCKCHAIN",
                "ASSET_ALTERNATIVE_IDS": self._alternatives(row),
                "PRICE_USD": row.price,
                "PRICE_USD_LAST_UPDATE_TS": row.last_updated,
                "TOTAL_MKT_CAP_USD": row.market_cap,
                "SPOT_MOVING_24_HOUR_QUOTE_VOLUME_USD": volume,
                "TOPLIST_BASE_RANK": {"SPOT_MOVING_24_HOUR_QUOTE_VOLUME_USD": place},
            }
            for place, (row, id_, twin, volume) in enumerate(entries, 1 + (number - 1) * size)
        ]

    def _alternatives(self, row: Row) -> list[dict[str, str]] | None:
        if row.cmc_id in self._oddities.unlinked:
            return None
        cmc = [] if row.cmc_id in self._oddities.elsewhere else [{"NAME": "CMC", "ID": str(row.cmc_id)}]
        return [*cmc, {"NAME": "CG", "ID": row.slug}]
