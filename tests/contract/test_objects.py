"""One contract for every place of an archive: a folder, obstore's memory and local stores, a real object store."""

import asyncio

import polars as pl
import pytest
from obstore.store import LocalStore
from obstore.store import MemoryStore as InMemory

from lib.archive.objects import TEMPORARY, Objects, probe
from lib.archive.objects.cloud import Cloud
from lib.archive.objects.folder import Folder
from lib.errors import StoreMalformed

COLUMNS = {"tick": pl.Int64(), "usd": pl.Float64()}
WRITERS = 3


@pytest.fixture(params=["folder", "memory", "local", pytest.param("s3", marks=pytest.mark.s3)])
def objects(request, tmp_path):
    making = tmp_path / "making"
    match request.param:
        case "folder":
            return Folder(tmp_path / "archive")
        case "memory":
            return Cloud(InMemory(), shown="memory", making=making)
        case "local":
            return Cloud(LocalStore(tmp_path / "archive", mkdir=True), shown="local", making=making)
    return request.getfixturevalue("s3").objects(making)


async def test_a_file_is_read_back(objects, tmp_path):
    assert await objects.create("price/date=2026-08-01/a", b"body")
    with objects.workspace() as folder:
        (folder / "made").write_bytes(b"of a file")
        assert await objects.create("price/b", folder / "made")
        assert (await objects.local("price/b", folder)).read_bytes() == b"of a file"
    assert await objects.read("price/date=2026-08-01/a") == b"body"
    assert await objects.read("price/b") == b"of a file"


async def test_a_taken_name_is_not_overwritten(objects):
    assert await objects.create("price/a", b"first")
    with objects.workspace() as folder:
        (folder / "made").write_bytes(b"second")
        assert not await objects.create("price/a", folder / "made")
    assert not await objects.create("price/a", b"third")
    assert await objects.read("price/a") == b"first"


async def test_of_several_writers_of_a_name_one_wins_and_its_file_is_there(objects):
    bodies = [bytes([n]) * 5000 for n in range(WRITERS)]
    created = await asyncio.gather(*(objects.create("price/a", body) for body in bodies))
    assert created.count(True) == 1
    assert await objects.read("price/a") == bodies[created.index(True)]


async def test_names_are_those_of_a_folder_in_order_and_only_those_after_another(objects):
    for name in ("_manifest/date=2026-08-02/0000.json", "_manifest/date=2026-08-01/0001.json", "_manifest2/a"):
        await objects.create(name, b"{}")
    both = ["_manifest/date=2026-08-01/0001.json", "_manifest/date=2026-08-02/0000.json"]
    assert await objects.names("_manifest") == both
    assert await objects.names("_manifest", after=both[0]) == both[1:]
    assert await objects.names("_manifest/date=2026-08-02") == both[1:]
    assert await objects.names("absent") == []


async def test_a_deleted_file_is_gone_and_its_name_is_free(objects):
    await objects.create("price/a", b"first")
    await objects.delete("price/a")
    await objects.delete("price/a")
    assert await objects.names("price") == []
    assert await objects.create("price/a", b"second")
    assert await objects.read("price/a") == b"second"


async def test_a_missing_file_is_named(objects, tmp_path):
    with pytest.raises(StoreMalformed, match="price/a is missing"):
        await objects.read("price/a")
    with pytest.raises(StoreMalformed, match="price/a is missing"):
        await objects.local("price/a", tmp_path)


async def test_a_scan_reads_several_files_and_a_missing_column_as_null(objects):
    frames = pl.DataFrame({"tick": [1, 2], "usd": [0.1, 0.2], "more": ["a", "b"]}), pl.DataFrame({"tick": [3]})
    names = [f"price/date=2026-08-0{n}/part-0.parquet" for n in (1, 2)]
    with objects.workspace() as folder:
        for name, frame in zip(names, frames, strict=True):
            made = folder / name.replace("/", "-")
            frame.write_parquet(made)
            await objects.create(name, made)
    alone = [await asyncio.to_thread(_collected, objects, [name]) for name in names]
    assert [frame.rows() for frame in alone] == [[(1, 0.1), (2, 0.2)], [(3, None)]]
    rows = await asyncio.to_thread(objects.scan(names, COLUMNS).filter(pl.col("tick") > 1).collect)
    assert rows.sort("tick").rows() == [(2, 0.2), (3, None)]


def _collected(objects: Objects, names: list[str]) -> pl.DataFrame:
    return objects.scan(names, COLUMNS).collect()


async def test_the_probe_leaves_nothing(objects):
    await probe(objects)
    assert await objects.names(TEMPORARY) == []


async def test_a_workspace_is_deleted_at_its_end(objects):
    with objects.workspace() as folder:
        (folder / "made").write_bytes(b"")
        assert folder.is_dir()
    assert not folder.exists()
