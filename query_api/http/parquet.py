"""A Parquet file written as it is sent: Polars writes in threads of its own, both ends of it are on the event loop."""

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator, Mapping
from typing import IO, Any, TypeVar, cast

import polars as pl
from polars.io.plugins import register_io_source

T = TypeVar("T")

ROW_GROUP = 10_000
CHUNKS_AHEAD = 4
"""Pieces of the file that wait for the reader: the writing waits with them."""


async def to_parquet(
    frames: AsyncIterator[pl.DataFrame], schema: Mapping[str, pl.DataType], *, row_group: int = ROW_GROUP
) -> AsyncGenerator[bytes, None]:
    """The file's bytes as the frames come. What goes wrong with a frame is raised, and the file has no footer."""
    pipe = _Pipe(frames)
    writing = asyncio.create_task(pipe.write_all(schema, row_group))
    try:
        while (chunk := await pipe.chunks.get()) is not None:
            yield chunk
        await writing
    finally:
        pipe.abandon()
        writing.add_done_callback(lambda task: task.cancelled() or task.exception())


class _Pipe(io.RawIOBase):
    """Between the event loop and Polars' threads: frames go in, bytes come out."""

    def __init__(self, frames: AsyncIterator[pl.DataFrame]) -> None:
        self.chunks: asyncio.Queue[bytes | None] = asyncio.Queue(CHUNKS_AHEAD)
        self._frames = frames
        self._loop = asyncio.get_running_loop()
        self._failure: BaseException | None = None
        self._abandoned = False

    async def write_all(self, schema: Mapping[str, pl.DataType], row_group: int) -> None:
        """Write the file; what failed within Polars' threads is raised as it was."""
        source = register_io_source(self._batches, schema=dict(schema))
        try:
            await asyncio.to_thread(lambda: source.sink_parquet(cast(IO[bytes], self), row_group_size=row_group))
        except Exception as exc:
            raise self._failure or exc from None
        finally:
            await self.chunks.put(None)

    def abandon(self) -> None:
        """Nobody reads on: the writing ends at its next step."""
        self._abandoned = True
        while not self.chunks.empty():
            self.chunks.get_nowait()

    def writable(self) -> bool:
        """It is written to."""
        return True

    def write(self, chunk: Any) -> int:
        """Called by Polars, in its thread; waits for the reader."""
        if self._failure:  # Polars may yet end the file with what it has
            raise BrokenPipeError("the export broke off")
        self._await(self.chunks.put(bytes(chunk)))
        return len(chunk)

    def _batches(self, *hints: object) -> Iterator[pl.DataFrame]:
        """Called by Polars, in its thread; what it would like to leave out is for it to leave out."""
        while (frame := self._await(self._next())) is not None:
            yield frame

    async def _next(self) -> pl.DataFrame | None:
        try:
            return await anext(self._frames, None)
        except BaseException as exc:
            self._failure = exc
            raise

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        if self._abandoned:
            work.close()
            raise BrokenPipeError("nobody reads the export any more")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
