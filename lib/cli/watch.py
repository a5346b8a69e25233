"""`topcoins watch`: each new snapshot of a running API, across cuts of the connection."""

from collections.abc import Callable, Iterator
from http import HTTPStatus

import httpx
import orjson
from httpx_sse import ServerSentEvent, connect_sse

from lib.errors import TopcoinsError

AGAIN_S = 2.0
SILENT_S = 45.0
"""The API says something every 15 s: after this long the connection is cut, whatever TCP believes."""


class _Cut(Exception):
    """The connection ended; it is taken up again."""


def watch(
    client: httpx.Client, address: str, *, sleep: Callable[[float], None], tell: Callable[[str], None]
) -> Iterator[ServerSentEvent]:
    """The events of `address`, for ever: after a cut, which is told, they go on after the last one.

    TopcoinsError when nothing answers at first, or something that is no API.
    """
    last, cut = "", False
    while True:
        try:
            for event in _events(client, address, last):
                last = event.id
                if cut:
                    tell("connected again")
                    cut = False
                if event.data:  # without: an id, or the comment that says the API is there
                    yield event
        except _Cut as exc:
            if not last:
                raise TopcoinsError(
                    f"{address} does not answer ({exc}); start it with topcoins demo or topcoins up"
                ) from exc
            if not cut:
                tell(f"{exc}; nothing is missed if it is back within hours")
            cut = True
        sleep(AGAIN_S)


def line(event: ServerSentEvent) -> str:
    """An event as people read it."""
    told = orjson.loads(event.data)
    if event.event != "snapshot":
        return f"{event.event}: {told['why']}"
    late = ", backfilled" if told["backfilled"] else ""
    return f"{told['tick']} {told['series']} of {told['source']}: {told['assets']} assets{late}"


def _events(client: httpx.Client, address: str, last: str) -> Iterator[ServerSentEvent]:
    headers = {"last-event-id": last} if last else {}
    try:
        with connect_sse(client, "GET", f"{address}/v1/stream", headers=headers, timeout=SILENT_S) as source:
            _refuse(source.response)
            yield from source.iter_sse()
    except httpx.TransportError as exc:
        raise _Cut(str(exc) or type(exc).__name__) from exc
    raise _Cut("the API ended the stream")


def _refuse(response: httpx.Response) -> None:
    if response.is_success and response.headers["content-type"].startswith("text/event-stream"):
        return
    said = response.read().decode("utf-8", "replace")[:500]
    if response.status_code in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        raise _Cut(said)
    raise TopcoinsError(f"{response.url}: {response.status_code} {said}")
