"""The files of a spool's folder: snapshots in the order of fetching, and counts.json. Read without the spool's lock.

Snapshots are numbered. Those up to number `done` are stored or dropped; those after it, up to `last`, wait. Any other
file is a stray: the copy of a file of another spool, or one put back from `damaged/`. A stray is delivered like the
rest, and changes no count.
"""

import codecs
import errno
import fcntl
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from lib.clock import from_epoch
from lib.snapshot_file import ENDING

COUNTS = "counts.json"
ASIDE = "damaged"
LOCK = "lock"
CANNOT_LOCK = (errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)
"""A file system that can't lock a folder, such as NFS, answers so."""
MOST_READS = 5


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the snapshots that passed the gate: fetched = stored + spooled + dropped."""

    fetched: int = 0
    dropped: int = 0
    spooled: int = 0
    spooled_bytes: int = 0

    @property
    def stored(self) -> int:
        """How many the store has confirmed."""
        return self.fetched - self.dropped - self.spooled


@dataclass(frozen=True, slots=True)
class Entry:
    """A snapshot file. `number` is its place in the order of fetching."""

    path: Path
    number: int
    tick: datetime
    size: int


_Number = Annotated[int, Field(ge=0, lt=10**12)]


class Account(BaseModel):
    """The content of counts.json. Snapshots up to number `done` are stored or dropped; those up to `last` wait."""

    fetched: _Number
    stored: _Number
    done: _Number
    last: _Number

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.stored > self.fetched or self.done > self.last:
            raise ValueError("more snapshots are stored than were fetched")
        return self

    def waits(self, entry: Entry) -> bool:
        """Whether this file is a snapshot of ours that waits; else it is a stray."""
        return self.done < entry.number <= self.last

    def with_files(self, files: Sequence[Entry]) -> "Account":
        """With the files that a crash left uncounted: they follow the last counted number without a hole."""
        numbers = {entry.number for entry in files}
        last = self.last
        while last + 1 in numbers:
            last += 1
        return self.model_copy(update={"fetched": self.fetched + last - self.last, "last": last})

    def counts(self, files: Sequence[Entry]) -> Counts:
        """The counts of a folder with these files. A snapshot that waited and whose file is gone is dropped."""
        waiting = [entry for entry in files if self.waits(entry)]
        spooled = len({entry.number for entry in waiting})
        return Counts(
            fetched=self.fetched,
            dropped=self.fetched - self.stored - spooled,
            spooled=spooled,
            spooled_bytes=sum(entry.size for entry in waiting),
        )


class _OldAccount(BaseModel):
    """counts.json of version 0.1.0. The files of the numbers in `leaving` are counted as dropped already."""

    fetched: _Number
    dropped: _Number
    leaving: tuple[int, ...] = ()

    def account(self, files: Sequence[Entry]) -> Account:
        waiting = [entry.number for entry in files if entry.number not in self.leaving]
        last = max([self.fetched, *waiting])
        stored = max(last - self.dropped - len(waiting), 0)
        return Account(fetched=last, stored=stored, done=min(waiting, default=last + 1) - 1, last=last)


def entries(folder: Path) -> list[Entry]:
    """The snapshot files of a folder in the order of fetching; OSError when the folder can't be read."""
    files = []
    for name in os.listdir(folder):
        number, _, tick = name.removesuffix(ENDING).partition("-")
        if not (name.endswith(ENDING) and number.isascii() and number.isdigit()):
            continue
        with suppress(ValueError, OverflowError, FileNotFoundError):  # not ours, or just delivered
            files.append(Entry(folder / name, int(number), from_epoch(int(tick)), _size(folder / name)))
    return sorted(files, key=lambda entry: (entry.number, entry.path.name))


def _size(path: Path) -> int:
    """The size of a file or folder; ValueError for a pipe or a device, which would never end."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise
    except OSError:
        return 0  # unreadable for a moment
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise ValueError(f"{path} is no file")
    return status.st_size


def read_account(folder: Path) -> Account:
    """The account of a folder, files that a crash left uncounted included. Without counts.json: made from the files."""
    files = entries_or_none(folder)
    try:
        body = (folder / COUNTS).read_bytes().removeprefix(codecs.BOM_UTF8)  # Windows editors put it first
    except OSError:
        return _from_files(folder, files)
    for model in (Account, _OldAccount):
        with suppress(ValidationError):
            account = model.model_validate_json(body)
            return account.account(files) if isinstance(account, _OldAccount) else account.with_files(files)
    return _from_files(folder, files)


def _from_files(folder: Path, files: Sequence[Entry]) -> Account:
    """The least that the files show. What was stored before is unknown and not counted."""
    numbers = [entry.number for entry in files]
    aside = entries_or_none(folder / ASIDE)
    last = max(numbers, default=max((entry.number for entry in aside), default=0))
    return Account(fetched=len(set(numbers)) + len(aside), stored=0, done=min(numbers, default=last + 1) - 1, last=last)


def entries_or_none(folder: Path) -> list[Entry]:
    """As `entries`; no files when the folder can't be read."""
    with suppress(OSError):
        return entries(folder)
    return []


def counted(folder: Path) -> Counts:
    """The counts of a spool's folder, also while its process writes to it."""
    for _ in range(MOST_READS):
        account, files = read_account(folder), entries_or_none(folder)
        if read_account(folder) == account:
            break
    return account.counts(files)


def waiting(folder: Path) -> list[Entry]:
    """The snapshots of a folder that wait for the store, in the order of fetching."""
    account = read_account(folder)
    return [entry for entry in entries_or_none(folder) if account.waits(entry)]


def lock_folder(folder: Path) -> list[int]:
    """Make a spool's folder and lock it for this process; BlockingIOError when another process has it.

    Locks the folder itself, where the file system can, and a file in it: a file alone could be removed.
    """
    aside = folder / ASIDE
    if aside.is_file():
        aside.rename(aside.with_suffix(".file"))
    aside.mkdir(parents=True, exist_ok=True)
    locks: list[int] = []
    try:
        for path, flags in ((folder, os.O_RDONLY), (folder / LOCK, os.O_RDWR | os.O_CREAT)):
            with suppress(IsADirectoryError):
                locks.append(os.open(path, flags, 0o644))
                _lock(locks[-1])
    except OSError:
        for lock in locks:
            os.close(lock)
        raise
    return locks


def _lock(file: int) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        if exc.errno not in CANNOT_LOCK:
            raise
