"""Which sources fill the volume rank."""

from collections.abc import Sequence
from pathlib import Path

from lib.ingest.sources import find_source
from lib.schema import VOLUME_RANK
from lib.settings import Settings
from lib.source import SourceFile

HERE = Path(__file__).parent


def plan(settings: Settings) -> Sequence[Sequence[SourceFile]]:
    """The rank sources, in the order they are tried."""
    return [[find_source(HERE, name, "rank_source").filling(VOLUME_RANK) for name in settings.rank_source]]


def checked(settings: Settings) -> Sequence[SourceFile]:
    """The rank sources that are only compared with what is stored."""
    return [find_source(HERE, name, "check_source").filling(VOLUME_RANK) for name in settings.check_source]
