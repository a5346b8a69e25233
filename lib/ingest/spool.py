"""The spool: a snapshot is on disk before it counts as fetched, and is removed only when the store has it.

One folder per series, one process per folder. At any moment, also after a crash: fetched = stored + spooled + dropped.
The contract is docs/delivery.md.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import structlog

from lib.errors import SettingsRejected, SpoolUnavailable
from lib.ingest.spool_folder import ASIDE, COUNTS, Account, Counts, Entry, entries, lock_folder, read_account
from lib.snapshot import Snapshot
from lib.snapshot_file import ENDING, PART, DamagedFile, decode, encode, write_whole

log = structlog.get_logger()

MOST_ASIDE = 100
"""The number of set-aside snapshots that are kept."""
MOST_READS = 10
"""A file that can't be read this often in a row is set aside. Until then the failure may pass."""

Lost = Callable[[datetime, str], None]
"""Called for each snapshot that was fetched and will never be stored: its tick, and why."""

Write = Callable[[Path, bytes], None]
"""Writes a file whole or not at all; it is on disk when this returns."""


class Spool:
    """The spool of one series. When it is full, the oldest snapshots are dropped, counted and logged.

    Each method may raise SpoolUnavailable: the disk failed.
    """

    def __init__(
        self, folder: Path, *, limit: int, lost: Lost = lambda tick, why: None, write: Write = write_whole
    ) -> None:
        self._folder = folder
        self._limit = limit
        self._lost = lost
        self._write = write
        self._locks: list[int] = []
        self._account: Account | None = None
        self._ticks: dict[int, datetime] = {}
        self._failed_reads: dict[str, int] = {}

    def open(self) -> None:
        """Lock the folder for this process and finish what a crash left; SettingsRejected when another has it."""
        try:
            self._locks = lock_folder(self._folder)
        except BlockingIOError as exc:
            raise SettingsRejected(
                f"spool {self._folder}: another process fills it; give each its own TOPCOINS_SPOOL_DIR"
            ) from exc
        except OSError as exc:
            raise SettingsRejected(
                f"TOPCOINS_SPOOL_DIR: {self._folder} can't be written: {exc.strerror}; for example ./data/spool"
            ) from exc
        with suppress(SpoolUnavailable), self._disk():  # a full disk must not prevent the start: what waits must leave
            for unfinished in self._folder.glob(f"*{PART}"):
                unfinished.unlink() if unfinished.is_file() else self._move_aside(unfinished)
            self._ticks = {entry.number: entry.tick for entry in entries(self._folder) if self._counted.waits(entry)}
            if not self._is_saved():
                self._save(self._counted)

    def close(self) -> None:
        """Release the folder."""
        for lock in self._locks:
            os.close(lock)
        self._locks = []

    def put(self, snapshot: Snapshot) -> None:
        """Write a snapshot to disk."""
        body = encode(snapshot)
        if len(body) > self._limit:
            raise SpoolUnavailable(f"spool {self._folder}: a snapshot of {len(body)} bytes is over its limit")
        with self._disk():
            self._keep_folder()
            self._make_room(len(body))
            account = self._counted.with_files(entries(self._folder))
            number = account.last + 1
            self._put(self._folder / f"{number:012d}-{int(snapshot.tick.timestamp())}{ENDING}", body)
        self._ticks[number] = snapshot.tick
        self._account = account.model_copy(update={"fetched": account.fetched + 1, "last": number})
        with suppress(SpoolUnavailable), self._disk():  # the file is on disk and counts; `confirm` writes the count
            self._save(self._account)

    def amend(self, snapshot: Snapshot) -> None:
        """Replace the file of the snapshot that was put last with this one, of the same tick."""
        with self._disk():
            for entry in entries(self._folder):
                if entry.number == self._counted.last and entry.tick == snapshot.tick:
                    self._put(entry.path, encode(snapshot))

    def read(self) -> Iterator[tuple[Entry, Snapshot]]:
        """The snapshots on disk in the order of fetching. Damaged ones are set aside and count as dropped."""
        with self._disk():
            self._keep_folder()
            files = entries(self._folder)
            self._report_vanished({entry.number for entry in files})
        for entry in files:
            try:
                yield entry, self._decoded(entry)
            except FileNotFoundError:
                continue  # the next read reports it
            except (DamagedFile, IsADirectoryError) as exc:
                self.set_aside(entry, str(exc))
            except OSError as exc:
                self._refuse_unreadable(entry, str(exc.strerror))
            self._failed_reads.pop(entry.path.name, None)

    def newest(self) -> Snapshot | None:
        """The last snapshot on disk that can be read; None without one."""
        with self._disk():
            files = entries(self._folder)
        for entry in reversed(files):
            with suppress(DamagedFile, OSError):
                return self._decoded(entry)
        return None

    def _decoded(self, entry: Entry) -> Snapshot:
        """The snapshot of a file. One over the spool's limit is not ours, and may be over the memory."""
        if entry.size > self._limit:
            raise DamagedFile(f"{entry.size} bytes are more than the spool takes")
        return decode(entry.path.read_bytes())

    def confirm(self, entry: Entry) -> None:
        """Count a snapshot as stored, then remove its file."""
        with self._disk():
            self._finish(entry, stored=1)
            entry.path.unlink(missing_ok=True)

    def set_aside(self, entry: Entry, why: str) -> None:
        """Count a snapshot that can never be delivered as dropped, and move its file to `damaged/`."""
        log.error("snapshot set aside", file=entry.path.name, tick=entry.tick, why=why)
        self._lost(entry.tick, f"set aside: {why}")
        with self._disk():
            self._finish(entry, stored=0)
            self._move_aside(entry.path)

    def counts(self) -> Counts:
        """What became of this series' snapshots."""
        with self._disk():
            files = entries(self._folder) if self._folder.exists() else []
            return self._counted.with_files(files).counts(files)

    @property
    def _counted(self) -> Account:
        """The account as this process knows it, which holds also when counts.json is damaged while it runs."""
        if self._account is None:
            self._account = read_account(self._folder)
        return self._account

    def _keep_folder(self) -> None:
        """Make and lock the folder again when it was removed or replaced while in use."""
        if not self._locks:
            return
        try:
            same = os.path.samestat(os.stat(self._folder), os.fstat(self._locks[0])) and (self._folder / ASIDE).is_dir()
        except FileNotFoundError:
            same = False
        if not same:
            log.error("the spool's folder was removed while in use; it is made again", folder=str(self._folder))
            self.close()
            self._locks = lock_folder(self._folder)

    def _report_vanished(self, numbers: set[int]) -> None:
        """Report snapshots whose files were removed by somebody else. They count as dropped."""
        for number in [number for number in self._ticks if number not in numbers]:
            tick = self._ticks.pop(number)
            log.error("snapshot dropped: its file is gone from the spool", tick=tick, number=number)
            self._lost(tick, "dropped: its file is gone from the spool")

    def _refuse_unreadable(self, entry: Entry, why: str) -> None:
        name = entry.path.name
        self._failed_reads[name] = self._failed_reads.get(name, 0) + 1
        if self._failed_reads[name] < MOST_READS:
            raise SpoolUnavailable(f"spool {self._folder}: {name}: {why}")
        self.set_aside(entry, why)

    def _make_room(self, size: int) -> None:
        files = entries(self._folder)
        over = sum(entry.size for entry in files) + size - self._limit
        for entry in files:
            if over <= 0:
                break
            over -= entry.size
            log.error("snapshot dropped: the spool is full", tick=entry.tick, limit=self._limit)
            self._lost(entry.tick, f"dropped: the spool's {self._limit} bytes were full")
            self._finish(entry, stored=0)
            entry.path.unlink()

    def _finish(self, entry: Entry, *, stored: int) -> None:
        """Count a snapshot as stored or dropped, on disk; a stray changes no count."""
        account = self._counted.with_files([entry])
        if account.waits(entry):
            self._save(account.model_copy(update={"stored": account.stored + stored, "done": entry.number}))
        self._ticks.pop(entry.number, None)

    def _is_saved(self) -> bool:
        with suppress(OSError):
            return (self._folder / COUNTS).read_bytes() == self._counted.model_dump_json().encode()
        return False

    def _save(self, account: Account) -> None:
        self._put(self._folder / COUNTS, account.model_dump_json().encode())
        self._account = account

    def _put(self, path: Path, body: bytes) -> None:
        """Write a file. A folder that is in its place is moved to `damaged/`."""
        for taken in (path, path.with_name(path.name + PART)):
            if taken.is_dir():
                self._move_aside(taken)
        self._write(path, body)

    def _move_aside(self, path: Path) -> None:
        aside = self._folder / ASIDE
        target = aside / path.name
        target = aside / f"{path.name}.{len(os.listdir(aside))}" if target.exists() else target
        path.rename(target)
        for oldest in sorted(path for path in aside.iterdir() if path.is_file())[:-MOST_ASIDE]:
            oldest.unlink()

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise SpoolUnavailable(f"spool {self._folder}: {exc.strerror}") from exc
