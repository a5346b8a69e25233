"""A Delta log for each table, derived from the manifests, so that other engines read exact tables.

It may lag behind the manifests and never contradicts them: part names are fixed, and adding one again changes nothing.
No statistics: with those of some columns only, deltalake would find no rows by the others.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

import orjson
import polars as pl

from lib.archive import tables
from lib.archive.manifest import Manifest, Part
from lib.archive.objects import Objects
from lib.schema import Series

FOLDER = "_delta_log"
_TYPES: Mapping[Any, str] = {
    pl.Int64: "long",
    pl.Int8: "byte",
    pl.Float64: "double",
    pl.String: "string",
    pl.Boolean: "boolean",
    pl.Datetime: "timestamp",
}
_CONFIGURATION = {"delta.appendOnly": "true", "delta.enableExpiredLogCleanup": "false"}


def columns_by_table(series: Iterable[Series]) -> dict[str, Mapping[str, Any]]:
    """The columns of every table."""
    return {
        **{each.name: tables.series_columns(each) for each in series},
        tables.MARKERS: tables.MARKER_COLUMNS,
        tables.WITHDRAWALS: tables.WITHDRAWAL_COLUMNS,
        tables.GAPS: tables.GAP_COLUMNS,
    }


@dataclass(slots=True)
class DeltaLog:
    """The log of one table. It reads what is there at its first use."""

    objects: Objects
    table: str
    columns: Mapping[str, Any]
    _sizes: dict[str, int] | None = None
    _schema: str = ""
    _numbers: "count[int]" = field(default_factory=count)

    async def add(self, manifest: Manifest) -> None:
        """Add the parts of a manifest that the log lacks."""
        sizes = await self._read() if self._sizes is None else self._sizes
        parts = [part for part in manifest.parts if part.table == self.table and sizes.get(_path(part)) != part.bytes]
        schema = _schema_of(self.columns)
        if not parts:
            return
        actions = [_add(part, manifest.sealed_at) for part in parts]
        if schema != self._schema:
            actions = [*_opening(self.table, schema), *actions]
        body = b"\n".join(map(orjson.dumps, actions))
        # A number that is taken is another archiver's: its actions and ours do not depend on each other.
        while not await self.objects.create(f"{self.table}/{FOLDER}/{next(self._numbers):020}.json", body):
            pass
        self._schema = schema
        sizes.update({_path(part): part.bytes for part in parts})

    async def _read(self) -> dict[str, int]:
        names = [name for name in await self.objects.names(f"{self.table}/{FOLDER}") if name.endswith(".json")]
        sizes: dict[str, int] = {}
        for name in names:
            for action in map(orjson.loads, (await self.objects.read(name)).splitlines()):
                if "add" in action:
                    sizes[action["add"]["path"]] = action["add"]["size"]
                self._schema = action.get("metaData", {}).get("schemaString", self._schema)
        self._numbers = count(len(names))
        self._sizes = sizes
        return sizes


def _path(part: Part) -> str:
    return part.name.partition("/")[2]


def _add(part: Part, at: datetime) -> dict[str, Any]:
    day = _path(part).partition("/")[0].removeprefix("date=")
    values = {"path": _path(part), "partitionValues": {"date": day}, "size": part.bytes, "dataChange": True}
    return {"add": values | {"modificationTime": int(at.timestamp() * 1000)}}


def _opening(table: str, schema: str) -> list[dict[str, Any]]:
    """What a log begins with, and what a new column needs."""
    about = {
        "id": table,
        "format": {"provider": "parquet", "options": {}},
        "schemaString": schema,
        "partitionColumns": ["date"],
        "configuration": _CONFIGURATION,
        "createdTime": 0,
    }
    return [{"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}, {"metaData": about}]


def _schema_of(columns: Mapping[str, Any]) -> str:
    types = {name: _TYPES[kind.base_type()] for name, kind in columns.items()} | {"date": "date"}
    fields = [{"name": name, "type": kind, "nullable": True, "metadata": {}} for name, kind in types.items()]
    return orjson.dumps({"type": "struct", "fields": fields}).decode()
