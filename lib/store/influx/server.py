"""One InfluxDB server: asking, writing, deleting, and what each of its failures means to the caller."""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

import aiohttp
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.rest import ApiException
from pydantic import SecretStr

from lib.errors import StoreMalformed, StoreRejected, StoreUnavailable, TopcoinsError
from lib.units import format_duration

TIMEOUT = timedelta(seconds=10)
TOKEN = "TOPCOINS_INFLUX_TOKEN"
MOST_SAID = 300
_BUSY = ("queue", "too many", "concurrency", "runtime error")
"""In a 400 that is not our doing. A query that fails at work says so here if it fails before its first byte."""
_ERROR_TABLE = re.compile(r"^,?error,reference\r?$", re.MULTILINE)
_PLAIN_CSV = {"header": True, "annotations": [], "delimiter": ",", "commentPrefix": "#"}
"""Annotations would be rows of another width, which a CSV reader has to be kept from."""


class StoreMissing(StoreRejected):
    """There is no such bucket, or the token may not know of it: InfluxDB says the same of both."""


class Server:
    """The bucket's server at one address. Connects at first use; every failure is one of `lib.errors`."""

    def __init__(self, url: str, *, org: str, token: SecretStr | None, timeout: timedelta = TIMEOUT) -> None:
        self._url = url
        self._org = org
        self._token = token
        self._timeout = timeout
        self._client: Any = None

    async def query(self, flux: str) -> str:
        """The whole answer to a Flux query, as CSV without annotations; empty when nothing matched."""
        with self._translated("query"):
            answer: str = await self._connected().query_api().query_raw(flux, dialect=_PLAIN_CSV)
            return _whole(answer, self._url)

    async def write(self, bucket: str, lines: bytes) -> None:
        """Write line protocol in one request; returns once the server has confirmed it."""
        with self._translated(f"write to {bucket}", writing=True):
            taken = await self._connected().write_api().write(bucket, record=lines, write_precision="s")
        if not taken:
            raise self._unconfirmed(f"write to {bucket}")

    async def delete(self, bucket: str, tick: datetime, predicate: str) -> None:
        """Delete the points of one second that fit the predicate."""
        # The delete API takes both ends; nothing of the next second may go.
        stop = tick + timedelta(milliseconds=500)
        with self._translated(f"delete from {bucket}"):
            gone = await self._connected().delete_api().delete(tick, stop, predicate, bucket)
        if not gone:
            raise self._unconfirmed(f"delete from {bucket}")

    async def close(self) -> None:
        """Let go of the connections."""
        client, self._client = self._client, None
        if client:
            await client.close()

    def _unconfirmed(self, asked: str) -> StoreUnavailable:
        """What answers 200, and not InfluxDB's own 204, is something else: a portal, a proxy's page."""
        return StoreUnavailable(f"InfluxDB at {self._url}: {asked}: answered, but did not confirm it")

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
            )
        return self._client

    @contextmanager
    def _translated(self, asked: str, *, writing: bool = False) -> Iterator[None]:
        asked = f"InfluxDB at {self._url}: {asked}"
        try:
            yield
        except ApiException as exc:
            raise _meaning(asked, exc, writing=writing) from exc
        except InfluxDBError as exc:
            raise StoreUnavailable(f"{asked}: {_said(exc)}") from exc
        except TimeoutError as exc:
            raise StoreUnavailable(f"{asked}: no whole answer within {format_duration(self._timeout)}") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise StoreUnavailable(f"{asked}: {exc or type(exc).__name__}") from exc
        except UnicodeDecodeError as exc:
            raise StoreMalformed(f"{asked}: the answer is not UTF-8") from exc


@cache
def _trusted() -> ssl.SSLContext:
    """The machine's certificates: to read them costs more than to ask a server, and the client does so each time."""
    return ssl.create_default_context()


def _meaning(asked: str, exc: ApiException, *, writing: bool) -> TopcoinsError:
    """What the caller should do about a status that is not 2xx."""
    status, said = exc.status, _said(exc)
    told = f"{asked}: {said} (HTTP {status})"
    busy = status == 400 and any(word in said.lower() for word in _BUSY)
    if busy or status in (408, 429) or status >= 500:
        return StoreUnavailable(told, retry_after=_retry_after(exc.retry_after))
    if status in (401, 403):
        return StoreRejected(f"{told}: the token in {TOKEN} is not one that may do this")
    if status == 404 or "organization name" in said:
        return StoreMissing(f"{told}: look at the organisation and the bucket, or run topcoins init")
    if status == 422:
        return StoreMalformed(f"{asked}: only a part was taken: {said} (HTTP 422)")
    if writing and status in (400, 413):
        return StoreMalformed(told)
    return StoreRejected(told)


def _said(exc: InfluxDBError) -> str:
    message = exc.message
    text = message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)
    return " ".join(text.split())[:MOST_SAID]


def _retry_after(value: str | None) -> timedelta | None:
    """Retry-After: seconds, or a date."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return timedelta(seconds=min(int(value), 86400))
    try:
        return max(parsedate_to_datetime(value).astimezone(UTC) - datetime.now(UTC), timedelta())
    except ValueError:
        return None


def _whole(answer: str, url: str) -> str:
    """The answer, unless it ends in the error table: a query that fails after its first byte is still HTTP 200."""
    table = _ERROR_TABLE.search(answer)
    if table is None:
        return answer
    said = " ".join(answer[table.end() :].split()).strip('," ')[:MOST_SAID]
    raise StoreUnavailable(f"InfluxDB at {url}: the query broke off: {said}")
