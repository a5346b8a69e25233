"""The manifest of a sealed day: its parts and its snapshots. A day is in the archive when its manifest is."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from typing import Literal, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from lib.archive.objects import Objects
from lib.clock import from_epoch
from lib.errors import StoreMalformed, StoreRejected
from lib.store import Resolution

FOLDER = "_manifest"
_NAME = re.compile(rf"{FOLDER}/date=(\d{{4}}-\d\d-\d\d)/(\d{{4,}})\.json")


class Part(BaseModel):
    """A Parquet file of a day: its name, and what it held when it was sealed."""

    model_config = ConfigDict(frozen=True)
    name: str
    table: str
    rows: int
    bytes: int
    sha256: str

    @property
    def number(self) -> int:
        """0 for the first part of its table and day."""
        return int(self.name.rpartition("-")[2].removesuffix(".parquet"))


class SealedTick(NamedTuple):
    """A snapshot of a sealed day: its rows, its content hash, and the number of the part that has it."""

    tick: datetime
    rows: int
    hash: str
    part: int


class Snapshots(BaseModel):
    """The snapshots of one series, oldest first, by column: a day's are thousands."""

    ticks: list[int]
    rows: list[int]
    hashes: list[str]
    parts: list[int]

    def __iter__(self) -> Iterator[SealedTick]:  # type: ignore[override]
        for tick, rows, hashed, part in zip(self.ticks, self.rows, self.hashes, self.parts, strict=True):
            yield SealedTick(from_epoch(tick), rows, hashed, part)

    @staticmethod
    def of(sealed: "list[SealedTick]") -> "Snapshots":
        """The columns of these snapshots."""
        each = sorted(sealed)
        return Snapshots(
            ticks=[int(one.tick.timestamp()) for one in each],
            rows=[one.rows for one in each],
            hashes=[one.hash for one in each],
            parts=[one.part for one in each],
        )


class Manifest(BaseModel):
    """All parts and snapshots of a day. A successor has a higher number, and repeats what came before.

    `spacing` is `1h` for a day of which only the hours were left when it was sealed.
    """

    version: Literal[1] = 1
    day: date
    number: int
    sealed_at: AwareDatetime
    spacing: Resolution
    parts: list[Part]
    snapshots: dict[str, Snapshots]


def start_of(day: date) -> datetime:
    """The first instant of a UTC day."""
    return datetime.combine(day, time(), UTC)


def part_name(table: str, day: date, number: int) -> str:
    """The name of a part. It is fixed, so that two archivers cannot store a day twice."""
    return f"{table}/date={day}/part-{number}.parquet"


def manifest_name(day: date, number: int) -> str:
    """The name of a manifest."""
    return f"{FOLDER}/date={day}/{number:04}.json"


async def manifest_names(objects: Objects, day: date) -> list[str]:
    """The names of a day's manifests, the one in force last. Other files, such as a file manager's, are none."""
    return [name for name in await objects.names(f"{FOLDER}/date={day}") if _NAME.fullmatch(name)]


async def newest_manifest(objects: Objects, day: date) -> Manifest | None:
    """The manifest in force of a day; None if the day is not sealed."""
    names = await manifest_names(objects, day)
    return await read_manifest(objects, names[-1]) if names else None


async def read_manifest(objects: Objects, name: str) -> Manifest:
    """A manifest by its name. Raises StoreRejected if a later version of topcoins wrote it."""
    try:
        return Manifest.model_validate_json(await objects.read(name))
    except ValidationError as exc:
        errors = exc.errors()
        if any(error["loc"] == ("version",) and isinstance(error["input"], int) for error in errors):
            text = f"archive {objects.shown}: {name} is of a later version of topcoins: upgrade this one"
            raise StoreRejected(text) from exc
        raise StoreMalformed(f"archive {objects.shown}: {name} is damaged: {errors[0]['msg']}") from exc


async def sealed_days(objects: Objects, *, after: str = "") -> dict[date, int]:
    """The days that have a manifest, with the number of the newest, oldest day first; only names after `after`."""
    days: dict[date, int] = {}
    for name in await objects.names(FOLDER, after=after):
        if match := _NAME.fullmatch(name):
            days[date.fromisoformat(match[1])] = int(match[2])
    return days
