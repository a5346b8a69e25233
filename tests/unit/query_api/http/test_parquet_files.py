"""Parquet files that answer several requests: how long they are found, and when they are deleted."""

import gc
from collections.abc import Mapping
from pathlib import Path

import pytest
from fastapi import Request

from lib.errors import Busy, StoreUnavailable
from query_api.http.parquet_files import KEEP_S, ParquetFile, ParquetFiles


class Seconds:
    """A timer that changes only when it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def asked(query: str) -> Request:
    scope = {"type": "http", "server": ("topcoins", 80), "path": "/v1/top", "query_string": query, "headers": []}
    return Request({**scope, "query_string": query.encode()})


async def write(path: Path) -> Mapping[str, str]:
    with path.open("wb") as file:
        file.write(b"PAR1")
    return {}


async def test_a_file_is_found_by_its_request_for_a_while_and_then_deleted(tmp_path):
    timer = Seconds()
    files = ParquetFiles(timer=timer, folder=tmp_path)
    path = (await files.make(asked("a"), write)).path
    assert files.find(asked("b"), KEEP_S) is None
    assert files.find(asked("a"), 60)
    timer.now += 60
    assert files.find(asked("a"), 60) is None
    assert files.find(asked("a"), KEEP_S)
    timer.now += KEEP_S - 60
    assert files.find(asked("a"), KEEP_S) is None
    gc.collect()
    assert not path.parent.exists()


async def test_a_file_that_is_being_sent_is_not_deleted(tmp_path):
    files = ParquetFiles(keep_bytes=1, folder=tmp_path)
    sent = await files.make(asked("a"), write)
    await files.make(asked("b"), write)
    assert files.find(asked("a"), KEEP_S) is None
    assert sent.path.exists()
    assert files.find(asked("b"), KEEP_S)


async def test_many_small_files_count_as_larger_ones(tmp_path):
    files = ParquetFiles(keep_bytes=3 * 2**16, folder=tmp_path)
    for number in range(5):
        await files.make(asked(str(number)), write)
    assert [bool(files.find(asked(str(number)), KEEP_S)) for number in range(5)] == [False, False, True, True, True]


async def test_one_that_fails_leaves_nothing_and_one_without_room_is_busy(tmp_path):
    async def fail(path: Path) -> Mapping[str, str]:
        await write(path)
        raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable):
        await ParquetFiles(folder=tmp_path).make(asked("a"), fail)
    assert not list(tmp_path.iterdir())
    with pytest.raises(Busy, match="no room"):
        await ParquetFiles(folder=tmp_path / "none").make(asked("a"), write)


def test_a_caller_that_has_the_file_gets_304(tmp_path):
    path = tmp_path / "folder" / "answer.parquet"
    path.parent.mkdir()
    path.write_bytes(b"PAR1")
    file = ParquetFile(path, 0, '"abc"', {"vary": "Accept"})
    known = asked("a")
    known.scope["headers"] = [(b"if-none-match", b'"abc"')]
    assert file.response(known).status_code == 304
    assert file.response(asked("a")).headers["vary"] == "Accept"
