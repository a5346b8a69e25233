"""A Parquet file written while it is sent: flat, whole or without an end, and let go of when nobody reads."""

import asyncio
import io
from collections.abc import AsyncIterator

import polars as pl
import pytest

from query_api.http.parquet import to_parquet

SCHEMA = {"n": pl.Int64(), "text": pl.String()}
ROWS = 500


class Frames:
    """So many frames; `told` is how many were asked for."""

    def __init__(self, count: int, *, failure: Exception | None = None) -> None:
        self.count = count
        self.failure = failure
        self.told = 0

    async def __aiter__(self) -> AsyncIterator[pl.DataFrame]:
        for number in range(self.count):
            await asyncio.sleep(0)
            self.told = number + 1
            yield pl.DataFrame({"n": [number] * ROWS, "text": [f"text {n * number}" for n in range(ROWS)]}, SCHEMA)
        if self.failure:
            raise self.failure


async def read(chunks: AsyncIterator[bytes], body: bytearray) -> None:
    async for chunk in chunks:
        body += chunk


async def test_the_file_holds_every_frame_in_order():
    body = b"".join([chunk async for chunk in to_parquet(aiter(Frames(50)), SCHEMA, row_group=2 * ROWS)])
    table = pl.read_parquet(io.BytesIO(body))
    assert table["n"].to_list() == [number for number in range(50) for _ in range(ROWS)]
    assert dict(table.schema) == SCHEMA


async def test_the_first_bytes_come_long_before_the_last_frame():
    frames = Frames(300)
    body = to_parquet(aiter(frames), SCHEMA, row_group=ROWS)
    for _ in range(3):
        assert await anext(body)
    assert frames.told < 100
    assert [chunk async for chunk in body]
    assert frames.told == 300


async def test_what_goes_wrong_with_a_frame_is_raised_as_it_was_and_the_file_has_no_footer():
    body = bytearray()
    with pytest.raises(LookupError, match="gone"):
        await read(to_parquet(aiter(Frames(20, failure=LookupError("gone"))), SCHEMA, row_group=ROWS), body)
    assert body
    assert not body.endswith(b"PAR1")


async def test_when_nobody_reads_on_no_more_frames_are_asked_for():
    frames = Frames(2000)
    body = to_parquet(aiter(frames), SCHEMA, row_group=ROWS)
    await anext(body)
    await body.aclose()
    before = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    await asyncio.wait(before, timeout=20)
    assert frames.told < 500
