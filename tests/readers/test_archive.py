"""Other engines read the archive by the lines of docs/archive.md, and all find the same.

They need the dependency group `readers`: `uv run --group readers pytest tests/readers`.
"""

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lib.archive.archiver import Archiver
from lib.archive.objects import Objects
from lib.archive.objects.folder import Folder
from lib.clock import MINUTE
from lib.schema import ID, PRICE, TIER, VOLUME_RANK, Series
from lib.snapshot import Snapshot
from tests.contract.snapshots import snapshot
from tests.fakes import FakeClock, MemoryStore
from tests.seaweedfs import Prefix

PAGE = Path(__file__).parents[2] / "docs/archive.md"
BLOCKS: dict[str, str] = dict(
    re.findall(r"(?ms)^```py (duckdb|polars|pandas|pyarrow|duckdb-s3)\n(.*?)^```$", PAGE.read_text("utf-8"))
)
AT = datetime(2026, 11, 25, 14, 37, tzinfo=UTC)
BOTH = (PRICE, VOLUME_RANK)


def reading(series: Series, tick: datetime) -> Snapshot:
    """Three assets; the third is gone after the first minute. The rank is the reverse of the id's order."""
    minute = int((tick - AT) / MINUTE)
    ids = [1, 2, 3] if minute < 0 else [1, 2]
    rows = [
        {ID: n, TIER: 0, "usd": n + minute / 100, "volume_usd": 10.0 * n, "rank": float(len(ids) + 1 - n)}
        | {"symbol": f"T{n}", "name": None}
        for n in ids
    ]
    own = [{name: row[name] for name in row if name in series.columns} for row in rows]
    return snapshot(series, tick, own, interval=MINUTE)


PLACES = ["folder", pytest.param("s3", marks=pytest.mark.s3)]


@pytest.fixture(params=PLACES)
def objects(request, tmp_path, monkeypatch) -> Objects:
    """Where the archive is. The engines know an object store by the usual variables."""
    if request.param == "folder":
        return Folder(tmp_path / "data/archive")
    s3: Prefix = request.getfixturevalue("s3")
    for name, value in {
        "AWS_ACCESS_KEY_ID": s3.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.secret_key,
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3.endpoint,
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    return s3.objects(tmp_path / "making")


@pytest.fixture
async def archive(objects: Objects, tmp_path, monkeypatch) -> str:
    """Two sealed days, a part that came late, a tick that is withdrawn, and one whose withdrawal was undone."""
    clock = FakeClock(datetime(2026, 11, 27, tzinfo=UTC) - timedelta(hours=1))
    store = MemoryStore(clock)
    for minute in (-1, 0, 1, 2):
        for series in BOTH:
            await store.write(reading(series, AT + minute * MINUTE))
    archiver = Archiver(store, objects, BOTH, clock=clock, spools=tmp_path)
    await archiver.catch_up()
    await store.write(reading(PRICE, AT + 3 * MINUTE))
    await store.withdraw("price", AT + 2 * MINUTE, AT + 2 * MINUTE, why="wrong")
    await store.withdraw("volume_rank", AT, AT, why="a mistake")
    clock.move(minutes=1)
    await store.undo_withdrawal("volume_rank", AT, AT)
    await archiver.catch_up()
    monkeypatch.chdir(tmp_path)
    return objects.shown


def lines_of(engine: str, archive: str) -> str:
    """The page's lines for an engine, with the archive's address and what an object store needs."""
    lines = BLOCKS[engine].replace('"data/archive"', repr(archive))
    if engine == "duckdb" and "://" in archive:
        lines = lines.replace("duckdb.connect()\n", f"duckdb.connect()\n{BLOCKS['duckdb-s3']}")
    return lines


def plain(result: Any) -> list[Any]:
    """A result's rows as tuples, one value as itself."""
    if isinstance(result, pl.DataFrame):
        rows: list[Any] = result.rows()
    elif hasattr(result, "itertuples"):
        rows = [tuple(row) for row in result.itertuples(index=False)]
    elif hasattr(result, "to_pylist"):
        rows = [tuple(row.values()) if isinstance(row, dict) else row for row in result.to_pylist()]
    else:
        rows = list(result)
    return [row[0] if isinstance(row, tuple) and len(row) == 1 else row for row in rows]


@pytest.mark.parametrize("engine", ["duckdb", "polars", "pandas", "pyarrow"])
async def test_an_engine_finds_list_history_and_members_by_the_lines_of_the_page(archive, engine):
    pytest.importorskip(engine, reason="needs the dependency group readers")
    found: dict[str, Any] = {}
    exec(lines_of(engine, archive), found)
    assert [tuple(row) for row in plain(found["top"])] == [(2, "T2", 2.0), (1, "T1", 1.0)]
    prices = [(tick.timestamp(), usd) for tick, usd in plain(found["history"])]
    minutes = (-1, 0, 1, 3)
    assert prices == [((AT + minute * MINUTE).timestamp(), 1 + minute / 100) for minute in minutes]
    assert plain(found["members"]) == [1, 2, 3]


async def test_polars_and_deltalake_read_the_delta_log(objects, archive):
    deltalake = pytest.importorskip("deltalake", reason="needs the dependency group readers")
    for series, ticks in (("price", 5), ("volume_rank", 4)):
        rows = pl.scan_delta(f"{archive}/{series}").collect()
        raw = pl.read_parquet(f"{archive}/{series}/*/part-*.parquet", hive_partitioning=True)
        assert rows.sort("tick", ID).equals(raw.select(rows.columns).sort("tick", ID))
        assert rows["tick"].n_unique() == ticks
        assert set(rows["date"]) == {date(2026, 11, 25)}
        table = deltalake.DeltaTable(f"{archive}/{series}")
        assert table.to_pyarrow_dataset().to_table().num_rows == len(rows)
        assert len(table.file_uris()) == len(await objects.names(f"{series}/date=2026-11-25"))
