"""Reading one upstream list: pages, retries and pauses. The only home of retrying."""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import stamina
import structlog
from pydantic import SecretStr

from lib.clock import Clock
from lib.errors import SourceUnavailable
from lib.schema import COIN_MAP
from lib.settings import PREFIX
from lib.snapshot import VOLUME
from lib.source.answer_reader import AnswerReader, MonthUsedUp
from lib.source.extract import Extractor
from lib.source.key_credits import Allowance, KeyCredits
from lib.source.model import DEFAULT_KEYLESS_PACE, SourceFile
from lib.source.page import MOST_RECORDS, Page, first_rows, read_page
from lib.source.paging import read_pages
from lib.source.pauses import Pauses
from lib.source.reading import PrepareIdentify, Reading, spanning
from lib.source.shared_answers import SharedAnswers, Turn
from lib.source.transport import Answer, ByteBound, Params, Transport

log = structlog.get_logger()

ATTEMPTS = 3
stamina.instrumentation.set_on_retry_hooks(())  # lib/ingest/outage.py logs an outage, at its start and at its end


class Source:
    """One upstream list that can be read. It knows when it must not be asked: see `Pauses`."""

    def __init__(
        self,
        file: SourceFile,
        *,
        client: httpx.AsyncClient,
        clock: Clock,
        key: SecretStr | None = None,
        url: str | None = None,
        shared: SharedAnswers | None = None,
        is_stand_in: bool = False,
        identify: PrepareIdentify | None = None,
    ) -> None:
        self._file = file
        self.name = file.name
        """The name that markers and answers give this source."""
        self.series = file.values
        """What this source fills."""
        self.daily = file.daily
        """How a past day is asked for, where that can be."""
        self._clock = clock
        self._key = key if file.key else None
        self.is_stand_in = is_stand_in
        self._keyless = partial(Source, file, client=client, clock=clock, url=url, shared=shared, identify=identify)
        self._identify = identify
        self._path = file.request.path if self._key else file.request.keyless_path or file.request.path
        self.base = url or file.request.url
        self._extractor = Extractor(file)
        self._transport = Transport(file, client=client, key=self._key, base=self.base, clock=clock)
        self._pauses = Pauses(clock)
        self._reader = AnswerReader(file.errors, self._pauses, self._transport, clock)
        self._shared = shared if file.request.shared else None
        quota = file.key.quota if file.key and self._key else None
        self._credits = KeyCredits(quota, path=self._path, reader=self._reader, pauses=self._pauses, clock=clock)
        self._missing = 0

    @property
    def label(self) -> str:
        """The name, with what distinguishes a stand-in: the same list without its key."""
        return f"{self.name} without its key" if self.is_stand_in else self.name

    @property
    def identity(self) -> str:
        """A digest of the address and the key."""
        return self._transport.shared_request(self._path, {}, {}).address

    @property
    def key_setting(self) -> str:
        """The setting its key comes from; nothing where it is asked without one."""
        return self._file.key.setting if self._file.key and self._key else ""

    @property
    def key_variable(self) -> str:
        """The variable that can hold its key; nothing where it needs none."""
        return f"{PREFIX}{self._file.key.setting.upper()}" if self._file.key else ""

    @property
    def url_variable(self) -> str:
        """The variable that can move its address, `base`."""
        return f"{PREFIX}{self._file.request.url_setting.upper()}"

    @property
    def usable(self) -> bool:
        """Whether it can be asked at all: it has its key, or a keyless base."""
        return bool(self._key or self._file.key is None or self._file.request.keyless_path)

    def stand_in(self) -> "Source | None":
        """The same list asked without the key, for when the key is spent or refused; None where that can't be."""
        if not self._key or not self._file.request.keyless_path:
            return None
        return self._keyless(is_stand_in=True)

    def interval(self, asked: timedelta) -> timedelta:
        """The asked interval, stretched to the pace of this source with or without its key."""
        if self.base.startswith("http:"):  # settings allow plain http for our own network only
            return asked
        pace = self._file.pace
        keyless = pace.keyless or (DEFAULT_KEYLESS_PACE if self._file.key else None)
        return max(asked, (pace.keyed if self._key else keyless) or asked)

    @property
    def allowance_name(self) -> str:
        """The sources with this name share one allowance: those of a key; without a key, the source alone."""
        return self.key_setting or self.name

    @property
    def list_address(self) -> str:
        """The address of the list and its parameters: sources that share it ask for the same list."""
        return str(httpx.URL(f"{self.base}{self._path}", params=sorted(self._file.request.params.items())))

    def requests(self, assets: int) -> int:
        """How many requests a list of so many assets takes."""
        return self._file.paging.pages(assets) if self._file.paging else 1

    @property
    def has_quota(self) -> bool:
        """Whether the upstream reports what is left of our key's credits."""
        return self._credits.quota is not None

    @property
    def budget(self) -> float | None:
        """The requests or credits of a calendar month by the source file; a keyless address charges none."""
        keyless = self._file.key is not None and self._key is None
        return self._file.budget.month if self._file.budget and not keyless else None

    async def read(
        self, assets: int, within: timedelta, *, day: date | None = None, tick: datetime | None = None
    ) -> Reading:
        """The first `assets` records by volume, all pages of them; raises what `lib.errors` has for a source.

        With `day`, of a `daily` source, as of the end of that UTC day. With `tick`, an answer that another ingestor
        got for it is used instead of asking. A source that finds ids by a table gives every record that it read.
        Retries, for errors that may pass, end at half of `within`; the whole ends at `within`.
        """
        assert day is None or self.daily, f"{self.name} lists no past days"
        await self._credits.look_again()
        self._pauses.check(self._path)
        identify = await self._identify() if self._identify else None
        try:
            async with asyncio.timeout(within.total_seconds()):
                wanted = MOST_RECORDS if self._file.records.sort_by else assets
                of_day = {self.daily.parameter: day.isoformat()} if self.daily and day else {}
                pages = await self._pages(wanted, within / 2, of_day, tick)
        except TimeoutError as exc:
            message = f"{self.name}: no full answer within {within.total_seconds():g} s"
            raise SourceUnavailable(message) from exc
        self._pauses.answered(self._path)
        sort_by = self._file.records.sort_by or VOLUME
        rows, rejected = first_rows(pages, None if self._file.id else assets, sort_by)
        reading = Reading(
            source=self.name,
            series=self.series,
            rows=rows,
            records=len(rows) + rejected.total(),
            rejected=rejected,
            credits=sum(page.credits for page in pages),
            observed_at=pages[0].asked_at,
            duration=max(pages[-1].answered_at - pages[0].asked_at, timedelta()),
            upstream_time=spanning(page.time for page in pages),
            asked=0 if self.series == COIN_MAP else assets,  # the whole map is read
            announced=pages[-1].total,
        )
        self._log_length(reading)
        return await identify(reading, assets) if identify else reading

    async def fetch(self, path: str, params: Params) -> Any:
        """The body of another address of this upstream; raises what `lib.errors` has for a source."""
        return (await self._reader.fetch(path, params))[1]

    async def allowance(self) -> Allowance | None:
        """What is left of our key's credits, asked free of charge; None where the upstream does not report it."""
        return await self._credits.allowance()

    def _log_length(self, reading: Reading) -> None:
        """Log when records begin to be missing and when the list is complete again, not with each tick."""
        before, self._missing = self._missing, reading.missing
        events = log.bind(source=self.name, series=self.series.name, asked=reading.asked, came=reading.records)
        if self._missing and not before:
            events.warning("the list is shorter than asked for", announced=reading.announced)
        if before and not self._missing:
            events.warning("the list is complete again")

    async def _pages(self, assets: int, budget: timedelta, of: Params, tick: datetime | None) -> list[Page]:
        bound = ByteBound(self._file.request.largest_reading)

        async def ask(place: Params, skip: int) -> Page:
            shown, params = {**of, **place}, {**self._file.request.params, **of, **place}
            async with self._turn(params, shown, tick, budget) as turn:
                if turn.stored:
                    return await self._page(turn.stored, skip)
                asked_at = self._clock()
                async for attempt in stamina.retry_context(
                    on=lambda exc: isinstance(exc, SourceUnavailable) and exc.again, attempts=ATTEMPTS, timeout=budget
                ):
                    with attempt:
                        await turn.before_asking()
                        answer = await self._transport.get(self._path, params, shown, bound)
                        answer = replace(answer, asked_at=asked_at)
                        turn.received = answer if self._transport.may_be_shared(answer) else None
                        return await self._page(answer, skip)
            raise AssertionError("stamina ends by a return or a raise")

        return await read_pages(self.name, self._file.paging, assets, ask)

    def _turn(
        self, params: Params, shown: Params, tick: datetime | None, budget: timedelta
    ) -> AbstractAsyncContextManager[Turn]:
        if self._shared is None:
            return nullcontext(Turn())
        request = self._transport.shared_request(self._path, params, shown)
        if tick is None:
            return nullcontext(Turn(before_asking=partial(self._shared.before_asking, request)))
        return self._shared.turn(request, tick, patience=budget)

    async def _page(self, answer: Answer, skip: int) -> Page:
        def read() -> Page:
            return read_page(self._file, self._extractor, self._reader.parse(answer), answer, skip)

        try:
            return await asyncio.to_thread(read)
        except MonthUsedUp as exc:
            raise await self._credits.used_up(exc) from exc
