"""One InfluxDB server: query, write, delete. Every failure is one of `lib.errors`."""

import asyncio
import csv
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import cache
from typing import Any, TypeVar

import aiohttp
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from polars.exceptions import PolarsError
from pydantic import SecretStr

from lib.errors import StoreMalformed, StoreRejected, StoreUnavailable
from lib.store.influx.failures import TOKEN, check_whole, translated
from lib.store.influx.limit import QueryLimit

T = TypeVar("T")

TIMEOUT = timedelta(seconds=10)
MOST_BYTES = 64 * 2**20
"""Of one answer. A day of one series' markers, of 5,000 assets each, takes some 10 MiB."""
THREADS = 2
_UNREADABLE = (ValueError, TypeError, LookupError, OverflowError, OSError, csv.Error, PolarsError)
"""What parsing raises for numbers, times and tables that are none."""
_PLAIN_CSV = {"header": True, "annotations": [], "delimiter": ",", "commentPrefix": "#"}
"""Annotations are rows of another width, which a CSV reader would stumble over."""


class Server:
    """The server at one address. Connects at first use; works in threads of its own, never in asyncio's pool."""

    def __init__(
        self,
        url: str,
        *,
        org: str,
        token: SecretStr | None,
        timeout: timedelta = TIMEOUT,
        limit: QueryLimit | None = None,
    ) -> None:
        self._url = url
        self._org = org
        self._token = token
        self._timeout = timeout
        self._limit = limit or QueryLimit()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="influx")
        self._client: Any = None

    async def query(self, flux: str, parse: Callable[[str], T]) -> T:
        """The answer to a Flux query: `parse` gets it as CSV without annotations, empty when nothing matched.

        An empty query matches nothing, without asking.
        """
        if not flux:
            return parse("")
        asked = self._asked("query")
        # The place includes the parsing: answers that wait for it are in memory.
        async with self._limit.place():
            with translated(asked, self._timeout):
                answer: str = await self._connected().query_api().query_raw(flux, dialect=_PLAIN_CSV)
            check_whole(answer, asked)
            return await self.in_thread(lambda: _parsed(answer, parse, asked))

    async def write(self, bucket: str, lines: bytes) -> None:
        """Write line protocol in one request; returns once the server has confirmed it."""
        asked = self._asked(f"write to {bucket}")
        with translated(asked, self._timeout, writing=True):
            confirmed = await self._connected().write_api().write(bucket, record=lines, write_precision="s")
        _check_confirmed(confirmed, asked)

    async def delete(self, bucket: str, tick: datetime, predicate: str) -> None:
        """Delete the points of one second that fit the predicate."""
        # The delete API includes both ends; no point of the next second may go.
        stop = tick + timedelta(milliseconds=500)
        asked = self._asked(f"delete from {bucket}")
        with translated(asked, self._timeout):
            confirmed = await self._connected().delete_api().delete(tick, stop, predicate, bucket)
        _check_confirmed(confirmed, asked)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run work that takes CPU in one of the server's few threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def close(self) -> None:
        """Close the connections."""
        self._threads.shutdown(wait=False)
        client, self._client = self._client, None
        if client:
            await client.close()

    def _asked(self, what: str) -> str:
        return f"InfluxDB at {self._url}: {what}"

    def _connected(self) -> Any:
        if self._token is None:
            raise StoreRejected(f"InfluxDB at {self._url} needs a token: set {TOKEN} (or {TOKEN}_FILE)")
        if self._client is None:
            self._client = InfluxDBClientAsync(
                self._url,
                token=self._token.get_secret_value(),
                org=self._org,
                timeout=self._timeout / timedelta(milliseconds=1),
                # A redirect would carry the token to wherever it points.
                allow_redirects=False,
                ssl_context=_trusted(),
                client_session_kwargs={"response_class": _BoundedResponse},
            )
        return self._client


class _BoundedResponse(aiohttp.ClientResponse):
    """Reads no more than `MOST_BYTES`, unpacked."""

    async def read(self) -> bytes:
        body = bytearray()
        try:
            async for chunk in self.content.iter_any():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise aiohttp.ClientPayloadError(f"the answer is larger than {MOST_BYTES >> 20} MiB")
        except BaseException:
            self.close()
            raise
        self.release()
        return bytes(body)


@cache
def _trusted() -> ssl.SSLContext:
    """The machine's certificates. The client would read them anew for each server, which takes longer than a query."""
    return ssl.create_default_context()


def _check_confirmed(confirmed: bool, asked: str) -> None:
    """InfluxDB confirms with 204. Whatever answers 200 is something else: a portal, a proxy's page."""
    if not confirmed:
        raise StoreUnavailable(f"{asked}: the answer does not confirm it")


def _parsed(answer: str, parse: Callable[[str], T], asked: str) -> T:
    try:
        return parse(answer)
    except _UNREADABLE as exc:
        raise StoreMalformed(f"{asked}: the answer cannot be read: {exc}") from exc
