"""Which sources fill the price series, and the extra ones."""

from collections.abc import Sequence
from pathlib import Path

from lib.schema import PRICE
from lib.service import find_source
from lib.settings import Settings
from lib.source import SourceFile

HERE = Path(__file__).parent


def plan(settings: Settings) -> Sequence[Sequence[SourceFile]]:
    """The price source, then each extra source, every one a series of its own."""
    price = find_source(HERE, settings.price_source).filling(PRICE)
    return [[price], *([find_source(HERE, name)] for name in settings.extra_sources)]
