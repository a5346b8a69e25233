"""Backfill on both stores: the day's last list into a gap, through source, gate and spool; never over a snapshot."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from inspect import isawaitable
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

import ingest_price
import ingest_rank
from lib.archive.backfill import FOLDER, Bought, Offer, TooOld, calls, fill, listed_at, offers, shared_answers
from lib.clock import Clock
from lib.errors import SnapshotRefused, SourceExhausted, SourceRejected, StoreUnavailable
from lib.gaps import Gap, find_gaps
from lib.ingest.spool_folder import waiting
from lib.schema import PRICE, VOLUME_RANK
from lib.simulator import Market, create_app
from lib.source import Source, read_source
from lib.store import Store
from query_api.asof.top_list import ListQuery, TopListFinder
from tests.contract.snapshots import MINUTE
from tests.fakes import NOON, Upstream, recorded, says
from tests.sample import sample_snapshot

DAY = timedelta(days=1)
ASSETS = 120
BEFORE, AFTER = NOON - 2 * DAY, NOON - 30 * MINUTE
LAST = [datetime(2026, 7, day, 23, 59, tzinfo=UTC) for day in (30, 31)]
FILES = [Path(package.__path__[0]) / "coinmarketcap_historical.toml" for package in (ingest_price, ingest_rank)]


def sources(client: httpx.AsyncClient, clock: Clock, folder: Path, key: str = "key") -> list[Source]:
    shared = shared_answers(folder, clock)
    return [
        Source(read_source(file), client=client, clock=clock, key=SecretStr(key), url="http://cmc", shared=shared)
        for file in FILES
    ]


@pytest.fixture
async def sold(clock, tmp_path):
    """The two sources over a simulated market."""
    market = create_app(Market(1, ASSETS), clock)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(market)) as client:
        yield sources(client, clock, tmp_path)


@pytest.fixture
async def gapped(store):
    """An archive without ticks for two days less half an hour."""
    for series in (PRICE, VOLUME_RANK):
        for tick in (BEFORE, AFTER):
            await store.write(sample_snapshot(series, tick, ASSETS))
    return store


async def offered(sold: list[Source], store: Store, folder: Path) -> list[Offer]:
    return await offers(sold, store, NOON - 3 * DAY, now=NOON, spools=folder, assets=ASSETS)


async def bought(sold: list[Source], store: Store, folder: Path) -> list[Bought]:
    return [
        cast("Bought", each)
        for offer in await offered(sold, store, folder)
        async for each in fill(offer, store, spools=folder, limit=2**24, assets=ASSETS)
    ]


async def test_an_offer_lists_the_price_of_each_day_before_anything_is_spent(sold, gapped, tmp_path):
    for offer, price in zip(await offered(sold, gapped, tmp_path), (2, 0), strict=True):
        assert [(call.day.day, call.credits) for call in offer.calls] == [(31, price), (30, price)]
        assert offer.credits == 2 * price
        first, *_ = offer.gaps
        assert (first.first, first.last) == (BEFORE + MINUTE, AFTER - MINUTE)
        assert offer.lost == sum(gap.ticks for gap in offer.gaps) - 2
    assert (await sold[0].allowance()).left == 15_000


async def test_a_bought_day_is_marked_has_its_own_time_and_costs_the_price_of_the_offer(sold, gapped, tmp_path, clock):
    done = await bought(sold, gapped, tmp_path)
    assert [each.credits for each in done] == [2, 2, 0, 0]
    assert (await sold[0].allowance()).left == 15_000 - 4
    for series in (PRICE, VOLUME_RANK):
        found = [m for m in await gapped.markers(BEFORE, AFTER, series=series.name) if m.backfilled]
        assert [m.tick for m in reversed(found)] == [each.tick for each in done if each.call.source.series == series]
        assert [marker.tick.date() for marker in found] == [each.date() for each in LAST]
        assert [(marker.source, marker.interval) for marker in found] == [("coinmarketcap_historical", DAY)] * 2
        assert {marker.visible_since for marker in found} == {clock()}
    at = done[1].tick + 5 * MINUTE
    top = await TopListFinder(gapped, max_skew=MINUTE).find(at, ListQuery(50, 10 * MINUTE))
    assert top.pair.price.tick == top.pair.rank.tick == done[1].tick
    assert len(top.rows) == 50


async def test_a_bought_day_makes_no_minute_less_missing(sold, gapped, tmp_path):
    before = await find_gaps(gapped, PRICE.name, BEFORE, NOON, now=NOON, folder=tmp_path)
    await bought(sold, gapped, tmp_path)
    after = await find_gaps(gapped, PRICE.name, BEFORE, NOON, now=NOON, folder=tmp_path)
    assert (after.missing, after.stored) == (before.missing - 2, before.stored + 2)


async def test_buying_again_buys_nothing(sold, gapped, tmp_path):
    await bought(sold, gapped, tmp_path)
    assert await bought(sold, gapped, tmp_path) == []


class AwayOncePaid:
    """A store that is away from the moment a list was paid for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.away = False

    def __getattr__(self, name: str) -> Any:
        if self.away:
            raise StoreUnavailable("away")
        return getattr(self._store, name)


class Answering(httpx.AsyncBaseTransport):
    """Answers as a function does, which may return an awaitable."""

    def __init__(self, answer: Callable[[httpx.Request], Any]) -> None:
        self._answer = answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._answer(request)
        return cast("httpx.Response", await answer if isawaitable(answer) else answer)


class Selling(httpx.AsyncBaseTransport):
    """A market that notes in a store when a list was paid for."""

    def __init__(self, market: httpx.AsyncBaseTransport, store: AwayOncePaid) -> None:
        self._market = market
        self._store = store

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._store.away = self._store.away or "historical" in request.url.path
        return await self._market.handle_async_request(request)


async def test_a_list_that_was_paid_for_is_on_disk_before_the_store_is_asked_for_anything(gapped, tmp_path, clock):
    store = AwayOncePaid(gapped)
    market = httpx.ASGITransport(create_app(Market(1, ASSETS), clock))
    async with httpx.AsyncClient(transport=Selling(market, store)) as client:
        offer, _ = await offered(sources(client, clock, tmp_path), gapped, tmp_path)
        async for each in fill(offer, cast("Store", store), spools=tmp_path, limit=2**24, assets=ASSETS):
            assert isinstance(each, Bought)
            assert each.snapshot
            break
    assert [entry.tick.date() for entry in waiting(tmp_path / FOLDER / "price")] == [date(2026, 7, 31)]


async def test_a_list_whose_values_are_of_another_day_has_the_requested_day_and_a_warning(tmp_path, gapped, clock):
    upstream = Upstream(says(recorded("cmc-listings-historical-3-20240115T2340Z")))
    price, _ = sources(upstream.client, clock, tmp_path)
    (offer, _) = await offered([price, price], gapped, tmp_path)
    with capture_logs() as logs:
        days = [listed_at(await price.read(3, MINUTE, day=call.day), call.day) for call in offer.calls]
    assert days == LAST[::-1]
    assert {(entry["log_level"], entry["newest"]) for entry in logs} == {("warning", "2024-01-15T23:40:26.118000Z")}
    recorded_day = date(2024, 1, 15)
    assert listed_at(await price.read(3, MINUTE, day=recorded_day), recorded_day).date() == recorded_day


async def test_a_day_beyond_the_plans_depth_ends_only_the_older_ones(gapped, tmp_path, clock):
    def answer(request: httpx.Request) -> Any:
        asked.append(request.url.params["date"])
        if asked[-1] <= "2026-07-30":
            return says({"status": {"error_code": 400, "error_message": "out of range"}}, 400)(request)
        return market.handle_async_request(request)

    asked: list[str] = []
    market = httpx.ASGITransport(create_app(Market(1, ASSETS), clock))
    upstream = httpx.AsyncClient(transport=Answering(answer))
    for series in (PRICE, VOLUME_RANK):
        await gapped.write(sample_snapshot(series, BEFORE - 2 * DAY, ASSETS))
    found = await offers(
        sources(upstream, clock, tmp_path), gapped, NOON - 5 * DAY, now=NOON, spools=tmp_path, assets=ASSETS
    )
    done = [each for offer in found async for each in fill(offer, gapped, spools=tmp_path, limit=2**24, assets=ASSETS)]
    assert [len(offer.calls) for offer in found] == [4, 4]
    assert asked == ["2026-07-31", "2026-07-30", "2026-07-30"]
    assert [(type(each), each.call.day.day) for each in done] == [(Bought, 31), (TooOld, 30)] * 2


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (429, {"status": {"error_code": 1010, "error_message": "spent"}}, SourceExhausted),
        (200, {"status": {"error_code": 1010, "error_message": "spent"}}, SourceExhausted),
        (200, {"status": {"error_code": 0, "credit_count": 1}, "data": []}, SnapshotRefused),
    ],
)
async def test_after_an_error_or_a_refused_list_the_next_run_asks_again(gapped, tmp_path, clock, status, body, error):
    async with Upstream(says(body, status)).client as client:
        with pytest.raises(error):
            await bought(sources(client, clock, tmp_path), gapped, tmp_path)
    market = create_app(Market(1, ASSETS), clock)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(market)) as client:
        done = await bought(sources(client, clock, tmp_path), gapped, tmp_path)
    assert [each.credits for each in done] == [2, 2, 0, 0]


async def test_yesterday_is_for_sale_from_half_past_midnight_on(sold, gapped, tmp_path):
    midnight = datetime(2026, 8, 1, tzinfo=UTC)
    for minutes, newest in ((0, 30), (29, 30), (30, 31)):
        now = midnight + minutes * MINUTE
        for offer in await offers(sold, gapped, NOON - 3 * DAY, now=now, spools=tmp_path, assets=ASSETS):
            assert offer.calls[0].day == date(2026, 7, newest)


async def test_without_a_valid_key_nothing_is_bought(gapped, tmp_path, clock):
    market = create_app(Market(1, ASSETS), clock)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(market)) as client:
        with pytest.raises(SourceRejected):
            await bought(sources(client, clock, tmp_path, key="bad"), gapped, tmp_path)


def test_a_day_counts_only_where_its_end_is_missing(clock, tmp_path):
    price, _ = sources(Upstream(says({})).client, clock, tmp_path)
    end = LAST[0]
    for first, last, ticks, days in (
        (end, end, 1, 1),
        (end - MINUTE, end - MINUTE, 1, 0),
        (end + MINUTE, end + 20 * MINUTE, 20, 0),
        (end - 9 * MINUTE, end - 4 * MINUTE, 2, 1),
        (end - 14 * MINUTE, end - 9 * MINUTE, 2, 0),
        (end - DAY + MINUTE, end + DAY - MINUTE, 2879, 1),
        (end - DAY, end + DAY, 2881, 3),
    ):
        gaps = [Gap(first, last, ticks, "not running", None, {})]
        assert len(calls(price, gaps, [], 100, now=NOON)) == days
