"""Connections to a SQLite file that a test makes fail."""

import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from lib.store.sqlite.database import Connect

Kind = TypeVar("Kind", bound=sqlite3.Connection)


def connecting(kind: type[Kind], opened: list[Kind]) -> Connect:
    """Opens the file with a connection of this kind, as the store does, and adds it to those opened."""

    def connect(path: Path, busy: timedelta) -> sqlite3.Connection:
        opened.append(sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=kind))
        return opened[-1]

    return connect
