"""Folders for files that are being made. Those of killed processes are deleted by the next one."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

PREFIX = "making-"


@contextmanager
def workspace(root: Path) -> Iterator[Path]:
    """A new folder in `root`, locked while it is used and deleted at the end."""
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root, wait=True):  # else another process could sweep the new folder before it is locked
        _sweep(root)
        folder = Path(mkdtemp(prefix=PREFIX, dir=root))
        lock = ExitStack()
        lock.enter_context(_locked(folder))
    with lock:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Delete the folders whose process has ended: its lock went with it."""
    for folder in root.glob(f"{PREFIX}*"):
        with suppress(OSError), _locked(folder) as is_locked:
            if is_locked:
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path, *, wait: bool = False) -> Iterator[bool]:
    """Lock a folder; yields whether it is locked. Without locks, as on some file systems, nothing is swept."""
    file = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(file)
