"""Asking an upstream: pages, retries, and what its errors mean. The only home of retrying."""

import asyncio
import math
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import orjson
import stamina
from pydantic import SecretStr

from lib.clock import Clock, from_epoch, isoformat
from lib.errors import SourceExhausted, SourceMalformed, SourceRejected, SourceUnavailable, TopcoinsError
from lib.schema import Series
from lib.source.expression import get
from lib.source.extract import Extractor, number
from lib.source.model import Action, Daily, SourceFile
from lib.source.reading import Reading

ATTEMPTS = 3
MINUTE = timedelta(minutes=1)
REFUSED_REST = timedelta(hours=1)
"""A refused key is tried again this rarely: a plan may be renewed without a new key."""


class _MonthUsedUp(SourceExhausted):
    """The month's quota is used up; when it is reset is yet to be asked."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a key's credits, of how many, until when; and the upstream's clock as it said so."""

    left: float
    limit: float
    resets_at: datetime | None
    told_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Page:
    records: list[Any]
    total: int | None
    credits: float


@dataclass(frozen=True, slots=True)
class _Rest:
    """A time in which the upstream is not to be asked, and what to say instead."""

    since: datetime
    until: datetime
    kind: type[SourceUnavailable | SourceRejected]
    said: str

    def holds(self, now: datetime) -> bool:
        """Whether it still lasts. A clock that was set back must not make it longer."""
        return self.since <= now < self.until


class Source:
    """One upstream list that can be read. Knows when it must not be asked: see `resting`."""

    def __init__(
        self,
        file: SourceFile,
        *,
        client: httpx.AsyncClient,
        clock: Clock,
        key: SecretStr | None = None,
        url: str | None = None,
    ) -> None:
        self._file = file
        self._client = client
        self._clock = clock
        self._key = key if file.key else None
        path = file.request.path if self._key else file.request.keyless_path or file.request.path
        self._base = url or file.request.url
        self._url = httpx.URL(self._base + path)
        self._extract = Extractor(file)
        self._rest: _Rest | None = None
        self._resets_at: datetime | None = None

    @property
    def name(self) -> str:
        """The name that markers and answers give this source."""
        return self._file.name

    @property
    def key_setting(self) -> str:
        """The setting its key comes from; nothing where it is asked without one."""
        return self._file.key.setting if self._file.key and self._key else ""

    @property
    def series(self) -> Series:
        """What this source fills."""
        return self._file.values

    @property
    def usable(self) -> bool:
        """Whether it can be asked at all: it has its key, or a keyless base."""
        return self._file.key is None or self._key is not None or self._file.request.keyless_path is not None

    def interval(self, asked: timedelta) -> timedelta:
        """The asked interval, stretched to what this source bears without a key."""
        keyless = self._file.key is not None and self._key is None
        return max(asked, self._file.pace.keyless) if keyless and not self._loopback else asked

    @property
    def _loopback(self) -> bool:
        return self._url.scheme == "http"  # settings take plain http for loopback alone

    @property
    def daily(self) -> Daily | None:
        """How a past day is asked for, where that can be."""
        return self._file.daily

    async def read(self, assets: int, within: timedelta, *, day: date | None = None) -> Reading:
        """The first `assets` records, all pages of them; raises what `lib.errors` has for a source.

        With `day`, of a `daily` source, as they stood at the end of that UTC day.
        Retries, for errors that name themselves worth it, end at half of `within`; the whole ends at `within`.
        """
        began = self._clock()
        if self._rest and self._rest.holds(began):
            raise self._rest.kind(self._rest.said)
        try:
            async with asyncio.timeout(within.total_seconds()):
                pages = await self._pages(assets, within / 2, self._of(day))
        except TimeoutError as exc:
            message = f"{self.name}: no full answer within {within.total_seconds():g} s"
            raise SourceUnavailable(message) from exc
        records = [record for page in pages for record in page.records][:assets]
        rows, rejected = await asyncio.to_thread(self._extract.rows, records)
        return Reading(
            source=self.name,
            series=self.series,
            rows=rows,
            records=len(records),
            rejected=rejected,
            credits=sum(page.credits for page in pages),
            observed_at=began,
            duration=max(self._clock() - began, timedelta()),
        )

    async def allowance(self) -> Allowance | None:
        """What is left of our key's credits, asked free of charge; None where the upstream does not tell."""
        quota = self._file.key.quota if self._file.key and self._key else None
        if quota is None:
            return None
        asked = f"{self.name}: GET {quota.path}"
        response, body = await self._get(httpx.URL(self._base + quota.path), {}, asked)
        answer = self._judge(response, body, asked)
        left, limit = self._count(quota.left, answer), self._count(quota.limit, answer)
        if left is None or limit is None:
            raise SourceMalformed(f"{asked}: no credits at {quota.left} and {quota.limit}")
        self._resets_at = _time(get(quota.resets_at, answer))
        return Allowance(left, limit, self._resets_at, _date(response))

    def _of(self, day: date | None) -> dict[str, str]:
        if day is None:
            return {}
        assert self._file.daily, f"{self.name} tells no past days"
        return {self._file.daily.parameter: day.isoformat()}

    async def _pages(self, assets: int, budget: timedelta, of: Mapping[str, str]) -> list[_Page]:
        paging = self._file.paging
        pages: list[_Page] = []
        got = 0
        for turn in range(paging.most_pages):
            size = paging.size
            if not paging.exact_size:  # pages that are numbered must all be of one size
                size = min(size, assets if paging.by == "page" else assets - got)
            place = turn if paging.by == "page" else got
            where = {paging.parameter: paging.first + place, paging.size_parameter: size}
            page = await self._page({**of, **where}, budget)
            pages.append(page)
            got += len(page.records)
            if got >= assets or (page.total is not None and got >= page.total):
                return pages
            if len(page.records) < size:
                self._refuse_missing(page, got)
                return pages
        raise SourceMalformed(
            f"{self.name}: {got} of {assets} records after {paging.most_pages} pages, the most its file allows"
        )

    def _refuse_missing(self, page: _Page, got: int) -> None:
        if page.total is not None:
            raise SourceMalformed(f"{self.name}: a page is missing: {got} records came, {page.total} are announced")

    async def _page(self, place: Mapping[str, int | str], budget: timedelta) -> _Page:
        def worth_it(exc: Exception) -> bool:
            return isinstance(exc, SourceUnavailable) and exc.again

        async for attempt in stamina.retry_context(on=worth_it, attempts=ATTEMPTS, timeout=budget):
            with attempt:
                return await self._ask(place)
        raise AssertionError("stamina ends by a return or a raise")  # pragma: no cover

    async def _ask(self, place: Mapping[str, int | str]) -> _Page:
        asked = f"{self.name}: GET {self._url.path} {_query(place)}"
        response, body = await self._get(self._url, {**self._file.request.params, **place}, asked)
        try:
            return self._page_of(self._judge(response, body, asked), asked)
        except RecursionError as exc:
            raise SourceMalformed(f"{asked}: the answer is nested too deep") from exc
        except _MonthUsedUp as exc:
            raise await self._until_the_reset(str(exc)) from exc

    async def _until_the_reset(self, said: str) -> SourceUnavailable | SourceRejected:
        """Rest until the month's quota is reset. Where nobody tells when, a day at a time: asking costs nothing."""
        now = self._clock()
        with suppress(TopcoinsError):  # what it told last still holds
            await self.allowance()
        told = self._resets_at
        return self._resting(SourceExhausted, said, now, told if told and told > now else _midnight(now))

    async def _get(
        self, url: httpx.URL, params: Mapping[str, str | int | float], asked: str
    ) -> tuple[httpx.Response, bytes]:
        request = self._file.request
        try:
            async with self._client.stream(
                "GET",
                url,
                params=params,
                headers={**request.headers, **self._key_header()},
                timeout=request.timeout.total_seconds(),
                follow_redirects=False,  # a key must not follow to another host
            ) as response:
                return response, await self._body(response, asked)
        except httpx.TimeoutException as exc:
            raise SourceUnavailable(f"{asked}: no answer in time ({type(exc).__name__})", again=True) from exc
        except (httpx.HTTPError, zlib.error) as exc:
            raise SourceUnavailable(f"{asked}: {type(exc).__name__}: {self._safe(str(exc))}", again=True) from exc

    def _key_header(self) -> dict[str, str]:
        key = self._file.key
        return {key.header: key.value.replace("{key}", self._key.get_secret_value())} if key and self._key else {}

    async def _body(self, response: httpx.Response, asked: str) -> bytes:
        most = self._file.request.largest_answer
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > most:
                raise SourceMalformed(f"{asked}: the answer is larger than {most} bytes")
        return bytes(body)

    def _judge(self, response: httpx.Response, body: bytes, asked: str) -> Any:
        """The answer, when it is one: judged from its body and its status, an error in either is an error."""
        status = response.status_code
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError as exc:
            if response.is_success:
                raise SourceMalformed(f"{asked}: HTTP {status}, but the body is not JSON: {exc}") from exc
            answer = None
        code, message = self._error(answer)
        if code is not None or not response.is_success:
            wait = _retry_after(response)
            raise self._translated(self._file.errors.action(code, status), status, code, message, asked, wait)
        return answer

    def _page_of(self, answer: Any, asked: str) -> _Page:
        records = get(self._file.records.at, answer)
        if not isinstance(records, list):
            raise SourceMalformed(f"{asked}: no list of records at {self._file.records.at}")
        total = self._count(self._file.paging.total, answer)
        return _Page(records, None if total is None else int(total), self._count(self._file.cost, answer) or 0.0)

    def _error(self, answer: Any) -> tuple[str | None, str]:
        errors = self._file.errors
        code = get(errors.code, answer)
        if code is None or str(code) in errors.fine:
            return None, ""
        # Our key goes before the text is cut: a part of it would not be known again.
        return self._safe(str(code))[:64], self._safe(str(get(errors.message, answer) or ""))[:300]

    def _translated(
        self, action: Action, status: int, code: str | None, message: str, asked: str, wait: timedelta | None
    ) -> SourceUnavailable | SourceRejected:
        said = f"{asked}: HTTP {status}" + (f", code {code}" if code else "") + (f": {message}" if message else "")
        said = self._safe(said)
        now = self._clock()
        if action == "retry" and not wait:
            return SourceUnavailable(said, again=True)
        if action == "reset_month" and not wait:
            return _MonthUsedUp(said)
        if action == "next_minute" and not wait:
            wait = now.replace(second=0, microsecond=0) + MINUTE - now
        if action in ("retry", "next_tick", "next_minute"):
            if wait:
                self._rest = _Rest(now, now + wait, SourceUnavailable, f"{said}; asked to wait {wait}")
            return SourceUnavailable(said, retry_after=wait)
        until = now + REFUSED_REST
        if action in ("reset", "reset_month"):
            until = now + wait if wait else _midnight(now)
        return self._resting(SourceRejected if action == "stop" else SourceExhausted, said, now, until)

    def _resting(
        self, kind: type[SourceUnavailable | SourceRejected], said: str, now: datetime, until: datetime
    ) -> SourceUnavailable | SourceRejected:
        said = f"{said}; not asked again before {isoformat(until.replace(microsecond=0))}"
        self._rest = _Rest(now, until, kind, said)
        return kind(said)

    def _safe(self, said: str) -> str:
        """The text without our key, should the upstream echo it."""
        return said.replace(self._key.get_secret_value(), "***") if self._key else said

    def _count(self, path: str | None, answer: Any) -> float | None:
        value = get(path, answer)
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            return None
        return float(value)


def _midnight(at: datetime) -> datetime:
    """The next one, in UTC."""
    return at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _query(place: Mapping[str, int | str]) -> str:
    return "&".join(f"{name}={value}" for name, value in place.items())


def _retry_after(response: httpx.Response) -> timedelta | None:
    value = response.headers.get("retry-after", "")
    return timedelta(seconds=min(int(value), 86400)) if value.isascii() and value.isdigit() else None


def _time(value: Any) -> datetime | None:
    seconds = number(value)
    try:
        return None if seconds is None else from_epoch(seconds)
    except (OverflowError, ValueError, OSError):  # past what a datetime can hold
        return None


def _date(response: httpx.Response) -> datetime | None:
    try:
        return parsedate_to_datetime(response.headers.get("date", ""))
    except ValueError:
        return None
