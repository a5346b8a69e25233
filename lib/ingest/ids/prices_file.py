"""The prices of a provider's last list, by CoinMarketCap's ids: a second opinion on a list in doubt."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import polars as pl
import structlog
from pydantic import AwareDatetime, BaseModel, ValidationError

from lib.schema import ID
from lib.snapshot_file import write_whole
from lib.source import Reading
from lib.source.id_tables import OWN_USD

log = structlog.get_logger()

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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / f"{reading.source}{ENDING}", prices.model_dump_json().encode())
    except OSError as exc:
        log.warning("a provider's prices can't be written", folder=str(folder), why=exc.strerror)


def read_prices(folder: Path) -> list[ProviderPrices]:
    """The newest prices of each provider, without those that can't be read."""
    prices = []
    with suppress(OSError):
        for file in sorted(folder.glob(f"*{ENDING}")):
            with suppress(OSError, ValidationError):
                prices.append(ProviderPrices.model_validate_json(file.read_bytes()))
    return prices
