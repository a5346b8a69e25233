"""`/v1/stream`: new snapshots as server-sent events."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Depends, FastAPI, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, BeforeValidator, Field

from lib.clock import Clock, isoformat
from lib.instants import CLOCK_DIFFERENCE
from lib.units import format_duration
from query_api.features.stream.listener import POSITION, Listener, Position, parse_position
from query_api.features.stream.work import REPLAY, SnapshotStream
from query_api.http.client import client_of
from query_api.http.parameters import OptionalText, text_query
from query_api.http.problems import BadRequest
from query_api.http.responses import STORE_RESPONSES, Responses
from query_api.services import Services

RETRY_MS = 2000
LAST_EVENT_ID = "last_event_id"

_EXAMPLE = """: price and rank snapshots as they are stored
id: price:1794926160,volume_rank:1794926160
retry: 2000

event: snapshot
data: {"series":"price","tick":"2026-11-17T14:37:00Z","source":"coinmarketcap","hash":"9d0c2f4e8a","assets":1000,\
"rejected":0,"duplicates":0,"interval_s":60.0,"backfilled":false,"observed_at":"2026-11-17T14:37:00.214Z"}
id: price:1794926220,volume_rank:1794926160

: ping

"""
_SHOWN: Responses = {
    200: {
        "description": "`snapshot` events, `missed` where an id is too old to go on from, and a comment every 15 s",
        "content": {"text/event-stream": {"example": _EXAMPLE}},
    },
    **STORE_RESPONSES,
    503: {
        **STORE_RESPONSES[503],
        "description": "Too many listen, or the store is away; Retry-After says when to try again",
    },
}


class NewSnapshot(BaseModel):
    """A new snapshot: the data of a `snapshot` event."""

    series: str
    tick: datetime
    source: str
    hash: str
    assets: int
    rejected: int
    duplicates: int
    interval_s: Annotated[float, BeforeValidator(timedelta.total_seconds), Field(validation_alias="interval")]
    backfilled: bool
    observed_at: datetime


class Missed(BaseModel):
    """The span that is not replayed because an id is too old: the data of a `missed` event."""

    after: datetime
    to: datetime
    why: str


def install(app: FastAPI, services: Services, snapshot_stream: SnapshotStream) -> None:
    """The stream."""

    async def listening(
        request: Request,
        last_event_id: Annotated[
            OptionalText,
            text_query(
                LAST_EVENT_ID,
                "Go on after this event; the header Last-Event-ID does the same and wins",
                f"^{POSITION}$",
                1024,
            ),
        ] = None,
        header: Annotated[str | None, Header(alias="last-event-id", include_in_schema=False)] = None,
    ) -> AsyncIterator[Listener]:
        position = parse_event_id(header or last_event_id, services.clock)
        async with snapshot_stream.listening(position, client_of(request.scope)) as listener:
            yield listener

    async def stream(listener: Annotated[Listener, Depends(listening)]) -> AsyncIterator[ServerSentEvent]:
        """An event for each new snapshot. The id of an event resumes after it without a gap, up to 6 h later.

        The snapshots of a series come in the order of their ticks. A late or backfilled snapshot, which is stored
        after a newer one of its series, is not sent.
        """
        yield ServerSentEvent(comment="price and rank snapshots as they are stored", id=listener.id, retry=RETRY_MS)
        if listener.missed:
            yield ServerSentEvent(event="missed", data=_missed(*listener.missed))
        async for marker in listener.snapshots():
            yield ServerSentEvent(
                event="snapshot", id=listener.id, data=NewSnapshot.model_validate(marker, from_attributes=True)
            )

    app.get(
        "/v1/stream",
        summary="New snapshots as they come",
        response_class=EventSourceResponse,
        responses=_SHOWN,
    )(stream)


def parse_event_id(text: str | None, clock: Clock) -> Position | None:
    """The position of an event's id; None without one."""
    if not text:
        return None
    try:
        position = parse_position(text)
    except ValueError as exc:
        raise BadRequest(LAST_EVENT_ID, text, str(exc)) from exc
    if max(position.values()) > clock() + CLOCK_DIFFERENCE:
        raise BadRequest(LAST_EVENT_ID, text, "lies in the future")
    return position


def _missed(after: datetime, to: datetime) -> Missed:
    why = (
        f"the id is of {isoformat(after)}: only the last {format_duration(REPLAY)} are sent again;"
        " /v1/top?datetime= answers for any instant"
    )
    return Missed(after=after, to=to, why=why)
