"""The embedded store: one SQLite file in WAL mode, shared by the processes. The only home of SQL.

Each series has a table clustered by (tick, tier, cmc_id), and a series with text tags one of its tag sets. One more
table holds the markers. A snapshot is one transaction.
"""

from lib.store.sqlite.retention import RETENTION
from lib.store.sqlite.store import SqliteStore

__all__ = ["RETENTION", "SqliteStore"]
