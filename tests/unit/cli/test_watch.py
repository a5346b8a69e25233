"""`topcoins watch`: it continues after the last event across every kind of cut."""

from itertools import islice
from typing import Any

import httpx
import orjson
import pytest

from lib.cli.watch import AGAIN_S, line, watch
from lib.errors import TopcoinsError
from tests.fakes import Answer, fails, says

ADDRESS = "http://topcoins"
BEGIN = "id: price:60\nretry: 2000\n\n"


def event(tick: int) -> str:
    fields = {"series": "price", "tick": f"T{tick}", "source": "acme", "assets": 7, "backfilled": tick == 120}
    return f"event: snapshot\ndata: {orjson.dumps(fields).decode()}\nid: price:{tick}\n\n"


def streams(*parts: str) -> Answer:
    return says("".join(parts).encode(), content_type="text/event-stream", x_notice="simulated")


class Watching:
    """What `watch` yields for these answers, its messages, its requests and its waits."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[str | None] = []
        self.slept: list[float] = []
        self.reported: list[str] = []
        self.notices: list[str] = []

    def lines(self, count: int) -> list[str]:
        with httpx.Client(transport=httpx.MockTransport(self._answer)) as client:
            events = watch(
                client, ADDRESS, sleep=self.slept.append, report=self.reported.append, notify=self.notices.append
            )
            return [line(each) for each in islice(events, count)]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.headers.get("last-event-id"))
        return self.answers.pop(0)(request)


def test_a_snapshot_is_a_line_and_a_comment_is_none():
    watching = Watching(streams(BEGIN, ": ping\n\n", event(120), event(180)))
    assert watching.lines(2) == ["T120 price of acme: 7 assets, backfilled", "T180 price of acme: 7 assets"]
    assert (watching.asked, watching.slept, watching.reported) == ([None], [], [])


@pytest.mark.parametrize(
    "cut",
    [
        fails(httpx.ConnectError("refused")),
        fails(httpx.ReadTimeout("")),
        says({"title": "Too many listeners"}, 503),
        says({}, 429),
    ],
)
def test_after_a_cut_it_continues_after_the_last_event_and_reports_the_cut_once(cut):
    watching = Watching(
        streams(BEGIN, event(120), "event: snapshot\ndata: {half"), cut, cut, streams(BEGIN, event(180))
    )
    assert watching.lines(2) == ["T120 price of acme: 7 assets, backfilled", "T180 price of acme: 7 assets"]
    assert watching.asked == [None, *["price:120"] * 3]
    assert watching.slept == [AGAIN_S] * 3
    assert watching.reported[0].startswith("the API ended the stream")
    assert watching.reported[1:] == ["connected again"]
    assert watching.notices == ["simulated"]


def test_after_a_cut_before_the_first_snapshot_it_continues_from_where_it_began():
    watching = Watching(streams(BEGIN), streams(event(120)))
    assert len(watching.lines(1)) == 1
    assert watching.asked == [None, "price:60"]


def test_missed_snapshots_are_reported():
    data: Any = orjson.dumps({"why": "too old"}).decode()
    assert Watching(streams(f"event: missed\ndata: {data}\n\n")).lines(1) == ["missed: too old"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (fails(httpx.ConnectError("refused")), r"http://topcoins does not answer \(refused\); start it"),
        (
            says({"title": "Bad parameter", "detail": "limit=x: is no whole number"}, 422),
            "^limit=x: is no whole number",
        ),
        (says(b"<html>", content_type="text/html"), "another program answers at http://topcoins with the status 200"),
    ],
)
def test_what_is_no_stream_at_first_is_an_error(answer, message):
    with pytest.raises(TopcoinsError, match=message):
        Watching(answer).lines(1)
