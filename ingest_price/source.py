"""Which sources fill the price series, and the extra ones."""

from collections.abc import Sequence
from pathlib import Path

from lib.errors import SettingsRejected
from lib.ingest.service import find_source
from lib.schema import OWN, PRICE
from lib.settings import Settings
from lib.source import SourceFile

HERE = Path(__file__).parent


def plan(settings: Settings) -> Sequence[Sequence[SourceFile]]:
    """The price source, then each extra source, every one a series of its own."""
    price = find_source(HERE, settings.price_source).filling(PRICE)
    extra = [find_source(HERE, name) for name in settings.extra_sources]
    for source in extra:
        if source.series in OWN:
            raise SettingsRejected(f"extra source {source.name} fills {source.series}, which has sources of its own")
    return [[price], *([source] for source in extra)]
