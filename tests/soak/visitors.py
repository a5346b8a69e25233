"""Clients with valid, invalid, slow and simultaneous requests, and some that disconnect before the answer."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import httpx

from lib.clock import isoformat, utc_now
from tests.soak.figures import Seen

Visit = Callable[[], Awaitable[None]]
CROWD = 100
SLOW = 150
PATIENCE_S = 30.0

BAD = (
    "?limit=0", "?limit=x", "?nonsense=1", "?datetime=tomorrow", "?datetime=now%FF", "?datetime=2999-01-01",
    "?format=xml", "?columns=rank", "?limit=1&limit=2", "?max_age=-1s", "?datetime=" + "9" * 4000, "?" + "a=1&" * 3000,
    "?datetime=now%22)%20%7C%3E%20drop()", "?format=csv&columns=%3DSUM(A1)",
)  # fmt: skip
GARBAGE = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET /\xff\xfe HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nx: " + b"a" * 200_000,
    b"POST / HTTP/1.1\r\ncontent-length: 1000000000\r\n\r\n", b"GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n" * 300,
)  # fmt: skip


class Visitors:
    """Visits to one API. Past instants lie between `since` and now, so most were never asked for before."""

    def __init__(self, port: int, seen: Seen, chance: random.Random, client: httpx.AsyncClient) -> None:
        self._port = port
        self._seen = seen
        self._chance = chance
        self._client = client
        self._since = utc_now()

    async def keep_coming(self, until: float) -> None:
        """Every kind of visit at its own pace, until this moment of the monotonic clock."""
        paces: list[tuple[Visit, float]] = [
            (self.now, 0.3), (self.past, 0.5), (self.csv, 1.5), (self.about, 1.0), (self.bad, 1.0), (self.garbage, 3.0),
            (self.hang_up, 2.0), (self.crowd, 45.0), (self.slow, 60.0), (self.listen, 20.0),
            (self.lines, 4.0), (self.export, 15.0),
        ]  # fmt: skip
        async with asyncio.TaskGroup() as group:
            for visit, every in paces:
                group.create_task(self._repeat(visit, every, until))

    async def _repeat(self, visit: Visit, every: float, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, self._chance.uniform(0.5, 1.5) * every))
            await visit()

    async def now(self) -> None:
        """The newest list."""
        await self._top("now", limit=self._chance.choice([1, 50, 200]))

    async def past(self) -> None:
        """The list of some instant since the start."""
        await self._top("past", datetime=self._instant(), limit=self._chance.choice([10, 200, 300]))

    async def csv(self) -> None:
        """As a spreadsheet would."""
        await self._ask("csv", "/", format="csv", datetime=self._instant(), limit=100)

    async def lines(self) -> None:
        """As the page for people draws them."""
        await self._ask("sparklines", "/v1/sparklines", ids="1,1027,825", span="1h", points=24)

    async def export(self) -> None:
        """The assets in the list at each step of a span."""
        form = self._chance.choice(["ndjson", "csv"])
        await self._ask("export", "/v1/export", **{"from": "now-20m", "every": "1m", "top": 50, "format": form})

    async def about(self) -> None:
        """How things stand."""
        path = self._chance.choice(["/v1/status", "/v1/gaps", "/metrics", "/readyz", "/healthz", "/openapi.json"])
        await self._ask(path[1:].removeprefix("v1/"), path)

    async def bad(self) -> None:
        """What is no question is 422, or 414 where it is too long."""
        response = await self._ask("bad", f"/{self._chance.choice(BAD)}")
        if response and response.status_code not in (414, 422):
            self._seen.fault("bad", f"HTTP {response.status_code} for {str(response.url)[:100]}")

    async def crowd(self) -> None:
        """A hundred at once, half of them with one and the same cold question."""
        same = self._instant()
        asked = [same if number % 2 else self._instant() for number in range(CROWD)]
        await asyncio.gather(*(self._ask("crowd", "/", datetime=at, limit=150) for at in asked))

    async def garbage(self) -> None:
        """What is no request, or too much of one: an answer below 500, or the connection ends."""
        began = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(self._chance.choice(GARBAGE))
            head = await asyncio.wait_for(reader.readline(), PATIENCE_S)
            status: int | str = int(head.split()[1]) if head else "closed"
        except ConnectionError:
            status = "closed"
        finally:
            writer.close()
        self._seen.answer("garbage", status, time.monotonic() - began)

    async def hang_up(self) -> None:
        """Ask, and leave before the answer."""
        began = time.monotonic()
        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(f"GET /?datetime={self._instant()} HTTP/1.1\r\nhost: t\r\n\r\n".encode())
        await writer.drain()
        await asyncio.sleep(self._chance.uniform(0, 0.02))
        writer.transport.abort()
        self._seen.answer("hang up", "left", time.monotonic() - began)

    async def slow(self) -> None:
        """Many clients that never finish a request: each must be disconnected, and others answered during that time."""
        began = time.monotonic()
        opened = await asyncio.gather(
            *(asyncio.open_connection("127.0.0.1", self._port) for _ in range(SLOW)), return_exceptions=True
        )
        ends = [pair for pair in opened if isinstance(pair, tuple)]
        for _, writer in ends:
            writer.write(b"GET /?datetime=")
        await self._ask("beside slow", "/")
        for reader, writer in ends:
            try:
                head = await asyncio.wait_for(reader.readline(), PATIENCE_S)
                self._seen.answer("slow", int(head.split()[1]) if head else "closed", time.monotonic() - began)
            except ConnectionError:
                self._seen.answer("slow", "closed", time.monotonic() - began)
            except TimeoutError:
                self._seen.fault("slow", "was let stay")
            writer.close()

    async def listen(self) -> None:
        """A stream of new snapshots, for a while."""
        began = time.monotonic()
        try:
            async with self._client.stream("GET", self._url("/v1/stream")) as response:
                async with asyncio.timeout(self._chance.uniform(1, 12)):
                    async for _ in response.aiter_raw():
                        pass
                self._seen.fault("stream", "ended by itself")
        except TimeoutError:
            self._seen.answer("stream", 200, time.monotonic() - began)
        except httpx.TransportError as exc:
            self._seen.fault("stream", type(exc).__name__)

    async def _top(self, kind: str, **params: Any) -> None:
        response = await self._ask(kind, "/", **params)
        if response is not None and response.status_code == 200:
            self._judge(kind, response.json())

    def _judge(self, kind: str, answer: dict[str, Any]) -> None:
        """What no answer may be, whatever the faults."""
        asked = datetime.fromisoformat(answer["requested_at"])
        if any(datetime.fromisoformat(answer[name]) > asked for name in ("price_time", "rank_time")):
            self._seen.fault(kind, "an answer looked ahead")
        if [row["rank"] for row in answer["data"]] != list(range(1, answer["count"] + 1)):
            self._seen.fault(kind, "an answer's ranks are not 1..N")

    async def _ask(self, kind: str, path: str, **params: Any) -> httpx.Response | None:
        began = time.monotonic()
        try:
            response = await self._client.get(self._url(path), params=params or None)
        except httpx.TransportError as exc:
            self._seen.fault(kind, type(exc).__name__)
            return None
        self._seen.answer(kind, response.status_code, time.monotonic() - began)
        return response

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._port}{path}"

    def _instant(self) -> str:
        passed = (utc_now() - self._since).total_seconds()
        return isoformat((self._since + timedelta(seconds=self._chance.uniform(0, passed))).replace(microsecond=0))
