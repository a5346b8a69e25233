"""The archive in a folder. A file is written, synced, linked to its name, and then its folder is synced."""

import asyncio
import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from lib.archive.objects import TEMPORARY, scan_parts
from lib.archive.objects.open_parts import OpenParts
from lib.archive.objects.workspace import workspace
from lib.errors import StoreMalformed, StoreRejected, StoreUnavailable
from lib.snapshot_file import FileCalls, sync, write_synced

_CANNOT_LINK = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_REJECTED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT)


class FolderCalls(FileCalls, Protocol):
    """These, and those that make a folder and give a file its name."""

    def mkdir(self, path: Path) -> None: ...  # noqa: D102
    def link(self, source: Path, target: Path) -> None: ...  # noqa: D102


class Folder:
    """`Objects` in a folder. Hard links make "unless its name is taken" one step, which a rename is not."""

    def __init__(self, root: Path, *, calls: FolderCalls = os) -> None:
        self.shown = str(root)
        self._root = root
        self._calls = calls
        self._parts = OpenParts()

    async def create(self, name: str, content: bytes | Path) -> bool:
        """See `Objects.create`."""
        return await asyncio.to_thread(self._create, name, content)

    async def read(self, name: str) -> bytes:
        """See `Objects.read`."""
        return await asyncio.to_thread(self._read, name)

    async def names(self, prefix: str, *, after: str = "") -> list[str]:
        """See `Objects.names`."""
        return await asyncio.to_thread(self._list, prefix, after)

    async def delete(self, name: str) -> None:
        """See `Objects.delete`."""
        with self._translated():
            (self._root / name).unlink(missing_ok=True)

    async def local(self, name: str, folder: Path) -> Path:
        """See `Objects.local`."""
        path = self._root / name
        if not path.is_file():
            raise StoreMalformed(f"archive {self.shown}: {name} is missing")
        return path

    def scan(self, names: Sequence[str], columns: Mapping[str, Any]) -> pl.LazyFrame:
        """See `Objects.scan`."""
        if len(names) > 1:
            return scan_parts([self._root / name for name in names], columns)
        path = self._root / names[0]
        file = path.stat()  # a part that is mended is another file
        return self._parts.scan((path, file.st_ino, file.st_mtime_ns, file.st_size), str(path), columns)

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """See `Objects.workspace`."""
        with ExitStack() as stack:
            with self._translated():
                folder = stack.enter_context(workspace(self._root / TEMPORARY))
            yield folder

    def copies(self) -> AbstractContextManager[Path]:
        """See `Objects.copies`."""
        return nullcontext(self._root)

    def _create(self, name: str, content: bytes | Path) -> bool:
        with self._translated():
            target = self._root / name
            self._make_folder(target.parent)
            if isinstance(content, Path):
                sync(content, self._calls)
                return self._link(content, target)
            with workspace(self._root / TEMPORARY) as folder:
                made = folder / target.name
                write_synced(made, content, self._calls)
                return self._link(made, target)

    def _link(self, made: Path, target: Path) -> bool:
        """Give a synced file its name. Also a name that was taken is on disk when this returns."""
        created = True
        try:
            self._calls.link(made, target)
        except FileExistsError:
            created = False
        except OSError as exc:
            if exc.errno in _CANNOT_LINK:
                raise StoreRejected(f"archive {self.shown}: its file system has no hard links: {exc.strerror}") from exc
            raise
        self._sync_up(target.parent)
        return created

    def _make_folder(self, folder: Path) -> None:
        """Make a folder and those above it; a power cut takes none of them afterwards."""
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        with suppress(FileExistsError):
            self._calls.mkdir(folder)
        sync(folder.parent, self._calls)

    def _sync_up(self, folder: Path) -> None:
        """Sync a folder and those above it in the archive: a process that made one may have been killed before."""
        sync(folder, self._calls)
        if folder != self._root:
            self._sync_up(folder.parent)

    def _read(self, name: str) -> bytes:
        with self._translated():
            try:
                return (self._root / name).read_bytes()
            except FileNotFoundError as exc:
                raise StoreMalformed(f"archive {self.shown}: {name} is missing") from exc

    def _list(self, prefix: str, after: str) -> list[str]:
        with self._translated():
            files = (path for path in (self._root / prefix).rglob("*") if path.is_file())
            return sorted(name for path in files if (name := path.relative_to(self._root).as_posix()) > after)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            if exc.errno in _REJECTED:
                raise StoreRejected(f"archive {self.shown}: {exc}; look at TOPCOINS_ARCHIVE_URL") from exc
            raise StoreUnavailable(f"archive {self.shown}: {exc}") from exc
