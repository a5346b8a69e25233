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
from lib.archive.objects.folder import Folder
from lib.clock import MINUTE
from lib.schema import ID, PRICE, TIER, VOLUME_RANK, Series
from lib.snapshot import Snapshot
from tests.contract.snapshots import snapshot
from tests.fakes import FakeClock, MemoryStore

PAGE = Path(__file__).parents[2] / "docs/archive.md"
BLOCKS = dict(re.findall(r"(?ms)^```py (duckdb|polars|pandas|pyarrow)\n(.*?)^```$", PAGE.read_text("utf-8")))
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


@pytest.fixture
async def archive(tmp_path, monkeypatch):
    """Two sealed days, a part that came late, a tick that is withdrawn, and one whose withdrawal was undone."""
    clock = FakeClock(datetime(2026, 11, 27, tzinfo=UTC) - timedelta(hours=1))
    store = MemoryStore(clock)
    for minute in (-1, 0, 1, 2):
        for series in BOTH:
            await store.write(reading(series, AT + minute * MINUTE))
    archiver = Archiver(store, Folder(tmp_path / "data/archive"), BOTH, clock=clock, spools=tmp_path)
    await archiver.catch_up()
    await store.write(reading(PRICE, AT + 3 * MINUTE))
    await store.withdraw("price", AT + 2 * MINUTE, AT + 2 * MINUTE, why="wrong")
    await store.withdraw("volume_rank", AT, AT, why="a mistake")
    clock.move(minutes=1)
    await store.undo_withdrawal("volume_rank", AT, AT)
    await archiver.catch_up()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data/archive"


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
    exec(BLOCKS[engine], found)
    assert [tuple(row) for row in plain(found["top"])] == [(2, "T2", 2.0), (1, "T1", 1.0)]
    prices = [(tick.timestamp(), usd) for tick, usd in plain(found["history"])]
    minutes = (-1, 0, 1, 3)
    assert prices == [((AT + minute * MINUTE).timestamp(), 1 + minute / 100) for minute in minutes]
    assert plain(found["members"]) == [1, 2, 3]


async def test_polars_and_deltalake_read_the_delta_log(archive):
    deltalake = pytest.importorskip("deltalake", reason="needs the dependency group readers")
    for series, ticks in (("price", 5), ("volume_rank", 4)):
        rows = pl.scan_delta(str(archive / series)).collect()
        raw = pl.read_parquet(archive / series / "*/part-*.parquet", hive_partitioning=True)
        assert rows.sort("tick", ID).equals(raw.select(rows.columns).sort("tick", ID))
        assert rows["tick"].n_unique() == ticks
        assert set(rows["date"]) == {date(2026, 11, 25)}
        table = deltalake.DeltaTable(str(archive / series))
        assert table.to_pyarrow_dataset().to_table().num_rows == len(rows)
        assert len(table.file_uris()) == len(list((archive / series).glob("*/part-*.parquet")))
