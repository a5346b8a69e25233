"""`topcoins watch`: each new snapshot of a running API, across lost connections."""

from collections.abc import Callable, Iterator
from http import HTTPStatus

import httpx
import orjson
from httpx_sse import ServerSentEvent, connect_sse

from lib.cli.client import no_answer, notice_of, refusal

AGAIN_S = 2.0
SILENT_S = 45.0
"""The API sends something every 15 s. After this long without, the connection counts as lost."""


class _Cut(Exception):
    """The connection was lost; it is opened again."""


def watch(
    client: httpx.Client,
    address: str,
    *,
    sleep: Callable[[float], None],
    report: Callable[[str], None],
    notify: Callable[[str], None],
) -> Iterator[ServerSentEvent]:
    """The events of `address`, for ever. A lost connection is reported, and events resume after the last one.

    `notify` gets the operator's notice before the first one.

    Raises Refused when nothing answers at first, or something other than the API.
    """
    last, cut = "", False
    while True:
        try:
            for event in _events(client, address, last, notify):
                last = event.id
                if cut:
                    report("connected again")
                    cut = False
                if event.data:  # an event without data is an id or a keep-alive
                    yield event
        except _Cut as exc:
            if not last:
                raise no_answer(address, exc) from exc
            if not cut:
                report(f"{exc}; no event is lost if it is back within 6 h")
            cut = True
        sleep(AGAIN_S)


def line(event: ServerSentEvent) -> str:
    """An event as a line of text."""
    news = orjson.loads(event.data)
    if event.event != "snapshot":
        return f"{event.event}: {news['why']}"
    late = ", backfilled" if news["backfilled"] else ""
    return f"{news['tick']} {news['series']} of {news['source']}: {news['assets']} assets{late}"


def _events(client: httpx.Client, address: str, last: str, notify: Callable[[str], None]) -> Iterator[ServerSentEvent]:
    headers = {"last-event-id": last} if last else {}
    try:
        with connect_sse(client, "GET", f"{address}/v1/stream", headers=headers, timeout=SILENT_S) as source:
            _refuse(source.response)
            if not last:
                notify(notice_of(source.response))
            yield from source.iter_sse()
    except httpx.TransportError as exc:
        raise _Cut(str(exc) or type(exc).__name__) from exc
    raise _Cut("the API ended the stream")


def _refuse(response: httpx.Response) -> None:
    if response.is_success and response.headers["content-type"].startswith("text/event-stream"):
        return
    response.read()
    problem = refusal(response)
    if response.status_code in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        raise _Cut(str(problem))
    raise problem
