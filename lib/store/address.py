"""From a store's address to the store."""

from pathlib import Path

from lib.clock import Clock
from lib.errors import SettingsRejected
from lib.settings import NONE, SQLITE, Settings
from lib.store import Store
from lib.store.sqlite import SqliteStore


def open_store(settings: Settings, clock: Clock) -> Store:
    """The store the settings name. Does no I/O yet: an absent store shows at its first use."""
    if settings.store_url == NONE:
        raise SettingsRejected(
            "TOPCOINS_STORE_URL is none: only query_api can do without a store; for example"
            " sqlite:///./data/topcoins.db"
        )
    if settings.store_url.startswith("http"):
        # Its client takes a second to import, which the embedded store's users need not wait for.
        from lib.store.influx import InfluxStore

        return InfluxStore(
            settings.store_url,
            org=settings.influx_org,
            bucket=settings.influx_bucket,
            token=settings.influx_token,
            clock=clock,
            read_url=settings.store_read_url,
        )
    path, keep = Path(settings.store_url.removeprefix(SQLITE)), settings.minutes_kept
    if settings.archive_url == NONE:
        return SqliteStore(path, clock=clock, retention=keep)
    return SqliteStore(path, clock=clock, keep_sealed=keep)
