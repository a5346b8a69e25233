"""Which sources fill the price series, and the extra ones."""

from collections.abc import Sequence
from pathlib import Path

from lib.errors import SettingsRejected
from lib.ingest.sources import find_source
from lib.schema import COIN_MAP, OWN, PRICE
from lib.settings import Settings
from lib.source import SourceFile

HERE = Path(__file__).parent


def plan(settings: Settings) -> Sequence[Sequence[SourceFile]]:
    """The price sources in the order they are tried, then each extra source, every one a series of its own."""
    prices = [find_source(HERE, name, "price_source").filling(PRICE) for name in settings.price_source]
    extra = [find_source(HERE, name, "extra_sources") for name in settings.extra_sources]
    for source in extra:
        if source.series in (*OWN, COIN_MAP.name):
            raise SettingsRejected(f"extra source {source.name} fills {source.series}, which has sources of its own")
    return [prices, *([source] for source in extra)]
