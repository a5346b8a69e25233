"""Reads the backups of versions before 0.2: a folder a day, a file a snapshot in the spool's form."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import date
from pathlib import Path

from lib.snapshot import Snapshot
from lib.snapshot_file import ENDING, DamagedFile, decode

DAY_FOLDER = "[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]"
"""Other folders, such as `lost+found` or `.snapshot`, are no part of a backup."""


def old_days(folder: Path) -> Iterator[date]:
    """The days of an old backup, oldest first."""
    return (date.fromisoformat(day.name) for day in sorted(folder.glob(DAY_FOLDER)))


async def old_snapshots(folder: Path, day: date, damaged: list[str]) -> AsyncIterator[tuple[Path, Snapshot]]:
    """The snapshots of a day, each series oldest first. Adds the files that are damaged to `damaged`."""
    for path in sorted((folder / str(day)).glob(f"*{ENDING}")):
        try:
            yield path, decode(await asyncio.to_thread(path.read_bytes))
        except DamagedFile as exc:
            damaged.append(f"{path}: {exc}")
