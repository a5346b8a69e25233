"""The SQLite file: its connection, tables of earlier versions, transactions, and whether the file is still there."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import structlog

from lib.errors import StoreMalformed, StoreRejected, StoreUnavailable, TopcoinsError

log = structlog.get_logger()

BUSY = timedelta(seconds=10)
"""How long a writer waits for the transaction of another process."""

LOOK_S = 0.02

Connect = Callable[[Path, timedelta], sqlite3.Connection]
"""Opens the file; the duration is how long a statement waits for a lock."""


def connect(path: Path, busy: timedelta) -> sqlite3.Connection:
    """A connection in autocommit mode. Its one user may run in any thread."""
    return sqlite3.connect(
        path, timeout=busy.total_seconds(), isolation_level=None, check_same_thread=False, cached_statements=64
    )


class Database:
    """A connection to the file. `durable` makes each commit survive a power cut."""

    def __init__(self, path: Path, *, durable: bool, busy: timedelta, connect: Connect) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self.connection = connect(path, busy)
        self.execute = self.connection.execute
        try:
            self._use_wal(busy)
            # With NORMAL a power cut may take the newest commits; a confirmed snapshot must stay.
            self.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        except sqlite3.Error:
            self.close()
            raise
        self._file = _identity(path)
        self._wal = f"{path}-wal"
        self._wal_file: tuple[int, int] | None = None  # SQLite makes it at the first statement

    def _use_wal(self, busy: timedelta) -> None:
        """Have a write-ahead log. SQLite does not wait while another process gives a new file its own; this does."""
        deadline = time.monotonic() + busy.total_seconds()
        while True:
            try:
                self.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as exc:
                if exc.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise
                time.sleep(LOOK_S)

    def close(self) -> None:
        """Close the connection. The last process to do so merges the WAL into the file."""
        self.connection.close()

    def is_replaced(self) -> bool:
        """Whether another file is in the place of the one that was opened. Raises StoreUnavailable if there is none.

        SQLite would go on to read and write the deleted file, and everything would be lost at the next restart. The
        same holds for its write-ahead log, which is there as long as somebody has the file open.
        """
        try:
            if _identity(self._path) != self._file:
                return True
            self._check_wal()
            return False
        except FileNotFoundError:
            raise StoreUnavailable(
                f"store {self._path}: the file was deleted while in use: put it back, or restart all services to begin"
                " with an empty one"
            ) from None

    def _check_wal(self) -> None:
        present = _identity(self._wal) if os.path.exists(self._wal) else None
        self._wal_file = self._wal_file or present
        if present != self._wal_file:
            raise StoreUnavailable(f"store {self._wal}: the file was deleted while in use: restart all services")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the statements or none of them. Raises StoreUnavailable if the file is gone by the end."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")  # a full disk shows here
        except BaseException:
            if self.connection.in_transaction:  # some failures have rolled back by themselves
                self.execute("ROLLBACK")
            raise
        if self.is_replaced():
            raise StoreUnavailable(f"store {self._path}: the file was replaced during a write")

    def columns(self, table: str) -> frozenset[str]:
        """The names of a table's columns; none if there is no such table."""
        return frozenset(name for (name,) in self.execute("SELECT name FROM pragma_table_info(?)", (table,)))

    def add_columns(self, table: str, columns: Mapping[str, str]) -> None:
        """Give a table of an earlier version the columns that it lacks; its rows have null in them."""
        existing = self.columns(table)
        for name in (name for name in columns if name not in existing):
            try:
                self.execute(f'ALTER TABLE "{table}" ADD COLUMN "{name}" {columns[name]}')
            except sqlite3.OperationalError as exc:
                if "duplicate column" not in str(exc):  # another process was quicker
                    raise


def try_write(path: Path, *, connect: Connect = connect) -> None:
    """Begin a write to an existing file and undo it; raises what every write would."""
    try:
        database = Database(path, durable=False, busy=BUSY, connect=connect)
        try:
            database.execute("BEGIN IMMEDIATE")
            database.execute("CREATE TABLE attempt (one)")
            database.execute("ROLLBACK")
        finally:
            database.close()
    except (sqlite3.Error, OSError) as exc:
        raise translate(path, exc) from exc


def _identity(path: Path | str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def translate(path: Path, exc: sqlite3.Error | OSError) -> TopcoinsError:
    """What a caller should do about an error of SQLite or of the file system."""
    text = f"store {path}: {exc}"
    if isinstance(exc, sqlite3.OperationalError):
        return StoreUnavailable(text)
    if isinstance(exc, sqlite3.DataError | sqlite3.IntegrityError | sqlite3.InterfaceError):
        return StoreMalformed(text)
    return StoreRejected(text)
