"""Export and import: a fresh store answers for the exported instants as the first did; nothing is written over."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lib.archive.imports import imported, read_export
from lib.errors import SettingsRejected
from lib.instants import Span
from lib.schema import ID, PRICE, VOLUME_RANK
from lib.snapshot import pack_ids
from lib.store import Store
from query_api.asof.asset import find_asset
from query_api.asof.top_list import ListQuery, TopListFinder
from query_api.features.export.work import Steps, read_steps
from query_api.http.content_type import TableFormat
from query_api.long_work import LongWork
from tests.contract.snapshots import MINUTE
from tests.fakes import NOON, FakeClock, MemoryStore
from tests.sample import sample_snapshot
from tests.unit.query_api.exports import export_chunks

TICKS = [NOON + n * MINUTE for n in (0, 10, 20, 40)]
SPAN = Span(NOON, NOON + 50 * MINUTE, 5 * MINUTE)
ASSETS, TOP = 130, 40
FORMATS = ("csv", "ndjson", "parquet")
READERS: dict[str, Any] = {
    "csv": partial(pl.read_csv, comment_prefix="#"),
    "ndjson": partial(pl.read_ndjson, infer_schema_length=None),
    "parquet": pl.read_parquet,
}


def lists(store: Store) -> TopListFinder:
    return TopListFinder(store, max_skew=MINUTE)


def read(store: Store) -> Steps:
    return read_steps(lists(store), SPAN, ListQuery(TOP, 10 * MINUTE), LongWork())


@pytest.fixture
def clock():
    return FakeClock(NOON + timedelta(hours=2))


@pytest.fixture
async def archive():
    store = MemoryStore(FakeClock(NOON + timedelta(hours=1)))
    for tick in TICKS:
        for series in (PRICE, VOLUME_RANK):
            snapshot = sample_snapshot(series, tick, ASSETS)
            if series == VOLUME_RANK:
                places = pl.col("volume_usd").rank("ordinal", descending=True).cast(pl.Float64)
                snapshot = replace(snapshot, rows=snapshot.rows.with_columns(rank=places))
            else:  # every third asset has no price, so the source ranks of a list have holes
                rows = snapshot.rows.gather_every(3, 1)
                marker = replace(snapshot.marker, ids=pack_ids(rows[ID]), assets=len(rows))
                snapshot = replace(snapshot, rows=rows, marker=marker)
            await store.write(snapshot)
    return store


async def written(archive: Store, folder: Path, format: TableFormat) -> Path:
    file = folder / f"top.{format}"
    with file.open("wb") as out:
        async for chunk in export_chunks(format, read(archive)):
            out.write(chunk)
    return file


@pytest.mark.parametrize("format", FORMATS)
async def test_a_fresh_store_gives_the_exported_answers_again(archive, store, clock, tmp_path, format):
    file = await written(archive, tmp_path, format)
    clock.move(hours=2)
    (done,) = [each async for each in imported([file], store, clock=clock)]
    assert (done.written, done.kept) == (2 * len(TICKS), 0)
    for at in (NOON + n * MINUTE for n in (0, 5, 25, 45)):
        first, again = [await lists(each).find(at, ListQuery(TOP, 10 * MINUTE)) for each in (archive, store)]
        assert again.rows.to_dicts() == first.rows.to_dicts()
        assert again.rows["source_rank"].to_list() != list(range(1, TOP + 1))
        assert (again.pair.price.tick, again.pair.rank.tick) == (first.pair.price.tick, first.pair.rank.tick)
        assert again.pair.price.source == first.pair.price.source
        assert again.pair.price.backfilled
        assert again.known_at == clock()
        assert again.matched == TOP < first.matched
        last = again.rows.row(-1, named=True)
        _, asset, _ = await find_asset(lists(store).pair_finder, str(last[ID]), at, max_age=10 * MINUTE)
        assert asset.items() >= last.items()


async def test_what_is_in_the_store_stays(archive, store, clock, tmp_path):
    own = sample_snapshot(PRICE, TICKS[1], 7, source="own")
    await store.write(own)
    file = await written(archive, tmp_path, "parquet")
    (done,) = [each async for each in imported([file], store, clock=clock)]
    assert (done.written, done.kept) == (2 * len(TICKS) - 1, 1)
    assert len(await store.rows(PRICE, TICKS[1])) == 7
    (again,) = [each async for each in imported([file], store, clock=clock)]
    assert (again.written, again.kept) == (0, 2 * len(TICKS))


@pytest.mark.parametrize("format", FORMATS)
async def test_a_file_that_was_cut_off_is_refused(archive, tmp_path, format):
    file = await written(archive, tmp_path, format)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(SettingsRejected, match="has no end"):
        read_export(file)


@pytest.mark.parametrize(
    ("name", "body", "says"),
    [
        ("top.xlsx", b"", r"ends in \.csv, \.ndjson or \.parquet"),
        ("top.csv", b"a,b\r\n1,2\r\n#end,steps=1\r\n", "is not an export"),
        ("top.ndjson", b'{"data":[{"cmc_id":1}]}\n{"end":true,"steps":1}\n', "is not an export"),
    ],
)
def test_what_is_no_export_is_refused_with_its_name(tmp_path, name, body, says):
    (tmp_path / name).write_bytes(body)
    with pytest.raises(SettingsRejected, match=f"{name}.*{says}"):
        read_export(tmp_path / name)


@pytest.mark.parametrize("format", FORMATS)
async def test_imported_snapshots_are_marked_as_imported_in_a_later_export(archive, store, clock, tmp_path, format):
    first = await written(archive, tmp_path, format)
    [each async for each in imported([first], store, clock=clock)]
    (tmp_path / "again").mkdir()
    again = await written(store, tmp_path / "again", format)
    for file, imported_again in ((first, False), (again, True)):
        rows = READERS[format](file)
        for side in ("price_backfilled", "rank_backfilled"):
            assert rows.filter(pl.col("rank").is_not_null())[side].unique().to_list() == [imported_again]


async def test_an_export_with_ticks_of_the_future_is_not_imported(archive, store, clock, tmp_path):
    file = await written(archive, tmp_path, "parquet")
    clock.now = NOON + 15 * MINUTE
    with pytest.raises(SettingsRejected, match=r"top\.parquet: its tick \S+ is in the future"):
        [each async for each in imported([file], store, clock=clock)]
    assert await store.first(PRICE.name) is None
