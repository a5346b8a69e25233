"""From the settings to the store that answers: the hot store, with the archive behind it."""

from lib.archive.no_store import NoStore
from lib.archive.objects import Objects
from lib.archive.reader import ArchiveReader
from lib.archive.tiers import Tiers
from lib.clock import Clock
from lib.errors import SettingsRejected
from lib.settings import NONE, SQLITE, Settings
from lib.store import Store
from lib.store.address import open_store


def open_tiers(settings: Settings, objects: Objects | None, clock: Clock) -> Store:
    """The store of the settings, and the archive behind it, if there is one. Does no I/O yet."""
    if objects is None:
        if settings.store_url == NONE:
            raise SettingsRejected(
                "TOPCOINS_STORE_URL and TOPCOINS_ARCHIVE_URL are both none, so nothing can answer; for example"
                " TOPCOINS_ARCHIVE_URL=./data/archive"
            )
        return open_store(settings, clock)
    hot = NoStore(clock) if settings.store_url == NONE else open_store(settings, clock)
    keep = settings.minutes_kept if settings.store_url.startswith(SQLITE) else None
    return Tiers(hot, ArchiveReader(objects, clock=clock), clock=clock, keep=keep)
