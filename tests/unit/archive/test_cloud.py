"""What an object store is asked for, beyond the contract of all places."""

import asyncio
from contextlib import suppress

import polars as pl
import pytest
from obstore.store import LocalStore
from obstore.store import MemoryStore as InMemory

from lib.archive.objects.address import open_objects
from lib.archive.objects.cloud import Cloud
from lib.archive.objects.folder import Folder
from lib.archive.objects.open_parts import FOOTERS_FOR, OpenParts
from lib.errors import StoreMalformed, StoreRejected, StoreUnavailable
from lib.settings import load

COLUMNS = {"tick": pl.Int64()}


async def test_a_parts_footer_is_read_once_a_minute(tmp_path):
    opened: list[str] = []
    now = 0.0

    def open_part(path: str, **options: object) -> pl.LazyFrame:
        opened.append(path)
        return pl.scan_parquet(path)

    parts = OpenParts(open_part, timer=lambda: now)
    objects = Cloud(LocalStore(tmp_path), shown="local", making=tmp_path, address=str(tmp_path), parts=parts)
    pl.DataFrame({"tick": [1, 2, 3]}).write_parquet(tmp_path / "a")
    pl.DataFrame({"tick": [4]}).write_parquet(tmp_path / "b")

    def read(name: str) -> list[int]:
        return objects.scan([name], COLUMNS).slice(0, 2).collect()["tick"].to_list()

    assert [read(name) for name in "abab"] == [[1, 2], [4], [1, 2], [4]]
    assert opened == [f"{tmp_path}/a", f"{tmp_path}/b"]
    now += FOOTERS_FOR.total_seconds()
    assert read("a") == [1, 2]
    assert opened[2:] == [f"{tmp_path}/a"]


async def test_a_part_that_was_mended_in_a_folder_is_read_anew(tmp_path):
    def read() -> list[int]:
        return folder.scan(["a"], COLUMNS).collect()["tick"].to_list()

    folder = Folder(tmp_path)
    for ticks in ([1, 2, 3], [4, 5, 6]):
        pl.DataFrame({"tick": ticks}).write_parquet(tmp_path / "made")
        (tmp_path / "made").replace(tmp_path / "a")
        assert read() == ticks


@pytest.mark.enable_socket
async def test_an_object_store_of_plain_http_is_not_asked_through_a_proxy(monkeypatch):
    asked: list[str] = []

    def answering(name: str):
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                asked.append(name)
                writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                await writer.drain()
            writer.close()

        return asyncio.start_server(answer, "127.0.0.1", 0)

    async with await answering("store") as store, await answering("proxy") as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
        settings = {"URL": "s3://bucket/x", "ENDPOINT": f"http://127.0.0.1:{store.sockets[0].getsockname()[1]}"}
        settings |= {"ACCESS_KEY": "A" * 20, "SECRET_KEY": "S" * 40}
        objects = open_objects(load({f"TOPCOINS_ARCHIVE_{name}": value for name, value in settings.items()}))
        assert objects
        with suppress(StoreMalformed):
            await objects.read("a")
        with suppress(OSError):
            await asyncio.to_thread(lambda: objects.scan(["a"], COLUMNS).collect())
    assert set(asked) == {"store"}


async def test_a_disk_that_cannot_take_files_on_their_way_is_named_with_its_setting(tmp_path):
    (tmp_path / "spool").write_bytes(b"")
    objects = Cloud(InMemory(), shown="s3://b", making=tmp_path / "spool/archive")
    with pytest.raises(StoreRejected, match="look at TOPCOINS_SPOOL_DIR"), objects.workspace():
        pass


async def test_a_disk_that_is_full_while_a_part_is_read_back_is_an_outage(tmp_path):
    objects = Cloud(InMemory(), shown="s3://b", making=tmp_path)
    await objects.create("price/a", bytes(100_000))
    (tmp_path / "price-a").symlink_to("/dev/full")
    with pytest.raises(StoreUnavailable, match=r"s3://b: price/a: .*No space left"):
        await objects.local("price/a", tmp_path)
