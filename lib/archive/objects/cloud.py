"""The archive in an object store: S3 and what speaks it, Google Cloud Storage, Azure. The only home of obstore."""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import obstore
import polars as pl
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)
from obstore.store import ObjectStore

from lib.archive.objects import scan_parts
from lib.archive.objects.open_parts import OpenParts
from lib.archive.objects.workspace import workspace
from lib.errors import StoreMalformed, StoreRejected, StoreUnavailable

LARGEST_PUT = 64 * 2**20
"""A larger file is uploaded in parts."""
_STATUS = re.compile(r"status code: (\d{3})")
_KEYS = "; look at TOPCOINS_ARCHIVE_ACCESS_KEY and TOPCOINS_ARCHIVE_SECRET_KEY"
_SPOOL = "TOPCOINS_SPOOL_DIR"
_ADVICE = {"401": _KEYS, "403": _KEYS, "404": "; make the bucket or container first: topcoins makes none"}
_REJECTED = (NotSupportedError, PermissionDeniedError, UnauthenticatedError, UnknownConfigurationKeyError)


class Cloud:
    """`Objects` in an object store. `address` and `options` are those by which Polars reads it.

    Without an address, such as in memory, a scan reads whole files.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        shown: str,
        making: Path,
        address: str = "",
        options: Mapping[str, Any] | None = None,
        largest_put: int = LARGEST_PUT,
        parts: OpenParts | None = None,
    ) -> None:
        self._store = store
        self.shown = shown
        self._making = making
        self._address = address
        self._options = dict(options or {})
        self._largest_put = largest_put
        self._parts = parts or OpenParts()

    async def create(self, name: str, content: bytes | Path) -> bool:
        """See `Objects.create`. An upload that was killed leaves nothing that a reader sees."""
        size = (await asyncio.to_thread(content.stat)).st_size if isinstance(content, Path) else len(content)
        with self._translated(name):
            try:
                in_parts = size > self._largest_put
                await obstore.put_async(self._store, name, content, mode="create", use_multipart=in_parts)
            except (AlreadyExistsError, PreconditionError):
                return False
        return True

    async def read(self, name: str) -> bytes:
        """See `Objects.read`."""
        with self._translated(name):
            answer = await obstore.get_async(self._store, name)
            return bytes(await answer.bytes_async())

    async def names(self, prefix: str, *, after: str = "") -> list[str]:
        """See `Objects.names`."""
        names: list[str] = []
        with self._translated(prefix):
            async for some in obstore.list(self._store, f"{prefix}/", offset=after or None):
                names += [each["path"] for each in some]
        return sorted(names)

    async def delete(self, name: str) -> None:
        """See `Objects.delete`."""
        with self._translated(name):
            try:
                await obstore.delete_async(self._store, name)
            except FileNotFoundError:
                return

    async def local(self, name: str, folder: Path) -> Path:
        """See `Objects.local`."""
        target = folder / name.replace("/", "-")
        with self._translated(name), target.open("wb") as file:
            answer = await obstore.get_async(self._store, name)
            async for chunk in answer.stream():
                await asyncio.to_thread(file.write, chunk)
        return target

    def scan(self, names: Sequence[str], columns: Mapping[str, Any]) -> pl.LazyFrame:
        """See `Objects.scan`."""
        if not self._address:
            whole = [bytes(obstore.get(self._store, name).bytes()) for name in names]
            return scan_parts(whole, columns)
        if len(names) > 1:
            return scan_parts([f"{self._address}/{name}" for name in names], columns, self._options)
        return self._parts.scan(names[0], f"{self._address}/{names[0]}", columns, storage_options=self._options)

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """See `Objects.workspace`."""
        with ExitStack() as stack:
            try:
                folder = stack.enter_context(workspace(self._making))
            except OSError as exc:
                raise StoreRejected(f"archive {self.shown}: its files are made here: {exc}; look at {_SPOOL}") from exc
            yield folder

    copies = workspace

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as exc:  # obstore raises no error of its own for it
            raise StoreMalformed(f"archive {self.shown}: {name} is missing") from exc
        except BaseError as exc:
            reason = str(exc).strip().partition("\n")[0].partition(": <?xml")[0][:300]  # the rest repeats the request
            status = _STATUS.search(reason)
            advice = _ADVICE.get(status[1], "") if status else ""
            kind = StoreRejected if advice or isinstance(exc, _REJECTED) else StoreUnavailable
            raise kind(f"archive {self.shown}: {name}: {reason}{advice}") from exc
        except OSError as exc:  # of the disk where files are on their way
            raise StoreUnavailable(f"archive {self.shown}: {name}: {exc}") from exc
