"""Folders for files that are being made. Those of killed processes are deleted by the next one."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

PREFIX = "making-"


@contextmanager
def workspace(root: Path) -> Iterator[Path]:
    """A new folder in `root`, locked while it is used and deleted at the end."""
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    folder = Path(mkdtemp(prefix=PREFIX, dir=root))
    lock = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # without locks nothing is swept
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _sweep(root: Path) -> None:
    """Delete the folders whose process has ended: its lock went with it."""
    for folder in root.glob(f"{PREFIX}*"):
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
