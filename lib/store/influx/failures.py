"""What each failure of an InfluxDB server means to the caller."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import aiohttp
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.rest import ApiException

from lib.clock import utc_now
from lib.errors import StoreMalformed, StoreRejected, StoreUnavailable, TopcoinsError
from lib.retry_after import parse_retry_after
from lib.units import format_duration

TOKEN = "TOPCOINS_INFLUX_TOKEN"
MESSAGE_LENGTH = 300
_BUSY = ("queue", "too many", "concurrency", "runtime error")
"""Words of a 400 that the server's load causes. A query that fails before its first byte says so here, too."""
_ERROR_TABLE = re.compile(r"^,?error,reference\r?$", re.MULTILINE)


class StoreMissing(StoreRejected):
    """There is no such bucket, or the token may not see it: InfluxDB answers the same to both."""


@contextmanager
def translated(asked: str, timeout: timedelta, *, writing: bool = False) -> Iterator[None]:
    """Raise the client's errors as errors of `lib.errors`; `asked` begins their text."""
    try:
        yield
    except ApiException as exc:
        raise _by_status(asked, exc, writing=writing) from exc
    except InfluxDBError as exc:
        raise StoreUnavailable(f"{asked}: {_message(exc)}") from exc
    except TimeoutError as exc:
        raise StoreUnavailable(f"{asked}: no whole answer within {format_duration(timeout)}") from exc
    except (aiohttp.ClientError, OSError) as exc:
        raise StoreUnavailable(f"{asked}: {exc or type(exc).__name__}") from exc
    except UnicodeDecodeError as exc:
        raise StoreMalformed(f"{asked}: the answer is not UTF-8") from exc


def check_whole(csv: str, asked: str) -> None:
    """StoreUnavailable when the answer ends in an error table: a query that fails after its first byte is HTTP 200."""
    if table := _ERROR_TABLE.search(csv):
        message = " ".join(csv[table.end() :].split()).strip('," ')[:MESSAGE_LENGTH]
        raise StoreUnavailable(f"{asked}: the query broke off: {message}")


def _by_status(asked: str, exc: ApiException, *, writing: bool) -> TopcoinsError:
    """The error for a status that is not 2xx."""
    status, message = exc.status, _message(exc)
    text = f"{asked}: {message} (HTTP {status})"
    busy = status == 400 and any(word in message.lower() for word in _BUSY)
    if busy or status in (408, 429) or status >= 500:
        return StoreUnavailable(text, retry_after=parse_retry_after(exc.retry_after, utc_now()))
    if status in (401, 403):
        return StoreRejected(f"{text}: the token in {TOKEN} does not have this right")
    if status == 404 or "organization name" in message:
        return StoreMissing(f"{text}: check the organisation and the bucket, or run topcoins init")
    if status == 422:
        return StoreMalformed(f"{asked}: only a part was stored: {message} (HTTP 422)")
    if writing and status in (400, 413):
        return StoreMalformed(text)
    return StoreRejected(text)


def _message(exc: InfluxDBError) -> str:
    message = exc.message
    text = message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)
    return " ".join(text.split())[:MESSAGE_LENGTH]
