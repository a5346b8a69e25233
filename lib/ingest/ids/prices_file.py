"""The prices of a provider's last list, by CoinMarketCap's ids: a second opinion on a list in doubt."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl
from pydantic import AwareDatetime, BaseModel

from lib.ingest.ids.report import stem
from lib.ingest.state_file import read_states, save_state
from lib.schema import ID
from lib.source import Reading
from lib.source.id_tables import OWN_USD

ENDING = ".prices.json"


class ProviderPrices(BaseModel):
    """The prices of a provider as of `at`."""

    source: str
    at: AwareDatetime
    usd: Mapping[int, float]


def write_prices(folder: Path, reading: Reading, rows: pl.DataFrame) -> None:
    """Replace the provider's file. A disk that refuses costs no list."""
    usd = dict(rows.select(ID, OWN_USD).drop_nulls().filter(pl.col(OWN_USD) > 0).iter_rows())
    prices = ProviderPrices(source=reading.source, at=reading.newest_update or reading.observed_at, usd=usd)
    file = folder / f"{stem(reading.series.name, reading.source)}{ENDING}"
    save_state(file, prices, "a provider's prices can't be written")


def read_prices(folder: Path) -> list[ProviderPrices]:
    """The newest prices of each provider, without those that can't be read."""
    return read_states(ProviderPrices, folder.glob(f"*{ENDING}"))
