"""From a store's address to the store."""

from pathlib import Path

from lib.clock import Clock
from lib.settings import Settings
from lib.store import Store
from lib.store.sqlite import SqliteStore

SQLITE = "sqlite:///"


def open_store(settings: Settings, clock: Clock) -> Store:
    """The store the settings name. Does no I/O yet: an absent store shows at its first use."""
    return SqliteStore(Path(settings.store_url.removeprefix(SQLITE)), clock=clock)
