"""`Objects`: where the archive's files are, a folder or an object store. Nothing in it is ever overwritten."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import polars as pl

from lib.errors import StoreRejected

TEMPORARY = "_tmp"


class Objects(Protocol):
    """Files under names with slashes. Every method may raise StoreUnavailable or StoreRejected.

    A file has its name only when it is whole. After `create` returns, it survives a power cut.
    """

    async def create(self, name: str, content: bytes | Path) -> bool:
        """Store a file unless its name is taken; returns False if it is. A `Path` is a file of a `workspace`."""

    async def read(self, name: str) -> bytes:
        """The content of a file. Raises StoreMalformed if there is none of this name."""

    async def names(self, prefix: str, *, after: str = "") -> list[str]:
        """The names in the folder `prefix` and below it, in order; only those after `after`."""

    async def delete(self, name: str) -> None:
        """Delete a file; it may be absent."""

    async def local(self, name: str, folder: Path) -> Path:
        """The file on this machine: itself, or a copy in `folder`. Raises StoreMalformed if there is none."""

    def scan(self, names: Sequence[str], columns: Mapping[str, Any]) -> pl.LazyFrame:
        """A lazy frame over Parquet files with these columns; one that a file lacks is null.

        Only the row groups that a filter needs are read.
        """

    def workspace(self) -> AbstractContextManager[Path]:
        """A folder for files that are being made. It is deleted at the end; after a kill, by the next one."""

    def copies(self) -> AbstractContextManager[Path]:
        """A folder for `local`. A place that can only be read needs no other."""

    @property
    def shown(self) -> str:
        """The address without secrets, for messages."""


def scan_parts(
    sources: Sequence[Any], columns: Mapping[str, Any], options: Mapping[str, Any] | None = None
) -> pl.LazyFrame:
    """A lazy frame over Parquet files, by path, address or content."""
    return pl.scan_parquet(
        list(sources),
        schema=dict(columns),
        missing_columns="insert",
        extra_columns="ignore",
        hive_partitioning=False,
        storage_options=dict(options) if options else None,
    )


async def is_stored(objects: Objects, name: str) -> bool:
    """Whether there is a file of this name."""
    return name in await objects.names(name.rpartition("/")[0])


async def probe(objects: Objects) -> None:
    """Raise StoreRejected unless a file can be stored once only: sealing relies on it."""
    name = f"{TEMPORARY}/probe-{uuid4().hex}"
    if await objects.create(name, b"probe"):
        try:
            is_refused = not await objects.create(name, b"second")
        finally:
            await objects.delete(name)
        if is_refused:
            return
    raise StoreRejected(
        f"archive {objects.shown}: a second conditional put of the same name is not refused, so two archivers"
        " could overwrite each other; for example SeaweedFS must be newer than March 2026"
    )
