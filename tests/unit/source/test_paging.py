"""Pages: how a list is completed, what is missing in the end, and what is refused."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from lib.errors import SourceMalformed
from lib.source import SourceFile
from lib.source.paging import MOST_SHORT_PAGES
from tests.fakes import Upstream, says
from tests.unit.source.test_upstream import CMC, COINDESK, MINUTE, failure, ids, listing, made, paged, top_list

BOTH = pytest.mark.parametrize("file", [CMC, paged(COINDESK, exact_size=False), COINDESK], ids=["cmc", "page", "exact"])
BY_PAGE = paged(COINDESK, total=None)


class Capped:
    """An upstream of `count` assets that gives at most `cap` a call. Numbered pages are of the size it gives."""

    def __init__(self, count: int, cap: int, *, announces: bool = False, short: dict[int, int] | None = None) -> None:
        self.count, self.cap, self.announces, self.short = count, cap, announces, dict(short or {})
        self.calls = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        asked = {name: int(value) for name, value in request.url.params.items() if value.isdigit()}
        size = min(asked.get("limit") or asked["page_size"], self.cap)
        first = asked["start"] if "start" in asked else (asked["page"] - 1) * size + 1
        last = min(first + self.short.get(self.calls, size), self.count + 1)
        total = self.count if self.announces else None
        if "start" in asked:
            return httpx.Response(200, json=listing(*range(first, last), **({"total_count": total} if total else {})))
        return httpx.Response(200, json=top_list(*range(first, last), total=total))


@BOTH
@pytest.mark.parametrize("announces", [True, False])
async def test_a_vendor_that_caps_its_pages_is_asked_until_the_list_is_complete(file, announces):
    upstream = Upstream(Capped(5000, 40, announces=announces))
    assert sorted(await ids(made(file, upstream), 400)) == list(range(1, 401))
    assert len(upstream.asked) <= 2 * 10 + MOST_SHORT_PAGES


async def test_a_cap_of_200_records_costs_five_calls_for_a_thousand():
    upstream = Upstream(Capped(9000, 200))
    assert await ids(made(CMC, upstream), 1000) == list(range(1, 1001))
    assert upstream.queries("start", "limit") == [(1, 1000), (201, 800), (401, 600), (601, 400), (801, 200)]


@BOTH
async def test_a_short_page_is_continued_where_it_ended_while_more_is_announced(file):
    upstream = Upstream(Capped(250, 100, announces=True, short={2: 37}))
    source = made(paged(file, size=100), upstream)
    reading = await source.read(250, MINUTE)
    assert sorted(reading.rows["cmc_id"]) == list(range(1, 251))
    assert (reading.missing, reading.announced, reading.asked) == (0, 250, 250)


async def test_a_page_that_stays_short_is_reported_as_missing():
    answers = {1: range(1, 101), 2: range(101, 131), 3: range(201, 251), 4: range(0)}
    upstream = Upstream(
        lambda request: httpx.Response(200, json=top_list(*answers[int(request.url.params["page"])], total=250))
    )
    reading = await made(COINDESK, upstream).read(250, MINUTE)
    assert len(reading.rows) == 180
    assert reading.missing == 70
    assert upstream.queries("page") == [(1,), (2,), (2,), (3,), (3,), (4,)]


@pytest.mark.parametrize(("total", "missing"), [(130, 0), (None, 370), (9000, 370)])
async def test_what_is_missing_is_what_was_asked_for_or_announced_and_did_not_come(total, missing):
    def answer(request):
        start, limit = int(request.url.params["start"]), int(request.url.params["limit"])
        status = {} if total is None else {"total_count": total}
        return httpx.Response(200, json=listing(*range(start, min(start + limit, 131)), **status))

    reading = await made(CMC, Upstream(answer)).read(500, MINUTE)
    assert (len(reading.rows), reading.missing) == (130, missing)


async def test_a_shortage_is_logged_when_it_begins_and_when_it_ends():
    upstream = Capped(130, 100)
    source = made(CMC, Upstream(upstream))
    with capture_logs() as logs:
        for count in (130, 130, 600):
            upstream.count = count
            await source.read(500, MINUTE)
    assert [(entry["event"], entry["came"]) for entry in logs] == [
        ("the list is shorter than asked for", 130),
        ("the list is complete again", 500),
    ]


@BOTH
async def test_an_upstream_that_ignores_the_page_is_refused(file):
    upstream = Upstream(says(listing(*range(1, 101)) | top_list(*range(1, 101))))
    failed = await failure(made(paged(file, size=100), upstream), 250)
    assert isinstance(failed, SourceMalformed)
    assert "every page is the same: the upstream ignores 'start'" in str(failed) or "ignores 'page'" in str(failed)
    assert len(upstream.asked) == 2


async def test_an_upstream_that_ignores_the_page_is_refused_whatever_its_prices_do_meanwhile():
    def answer(request):
        body = top_list(*range(1, 101))
        for record in body["Data"]["LIST"]:
            record["SPOT_MOVING_24_HOUR_QUOTE_VOLUME_USD"] += int(request.url.params["page"])
        return httpx.Response(200, json=body)

    assert "ignores 'page'" in str(await failure(made(COINDESK, Upstream(answer)), 250))


@BOTH
async def test_a_fixed_list_that_is_shorter_than_asked_for_is_taken_once(file):
    upstream = Upstream(says(listing(*range(1, 31)) | top_list(*range(1, 31))))
    reading = await made(file, upstream).read(500, MINUTE)
    assert reading.rows["cmc_id"].to_list() == list(range(1, 31))
    assert (reading.records, reading.missing) == (30, 470)
    assert len(upstream.asked) == 2


async def test_an_asset_that_moves_to_the_next_page_meanwhile_is_no_fault():
    upstream = Upstream(says(top_list(*range(1, 101), total=201)), says(top_list(*range(101, 201), total=201)),
                        says(top_list(200, total=201)))  # fmt: skip
    assert len(await ids(made(COINDESK, upstream), 500)) == 201


@pytest.mark.parametrize("records", [0, 1])
async def test_requests_are_bounded_however_few_records_a_page_has(records):
    calls = iter(range(1, 10**6))
    upstream = Upstream(
        lambda request: httpx.Response(200, json=top_list(*[next(calls) for _ in range(records)], total=5000))
    )
    reading = await made(COINDESK, upstream).read(5000, MINUTE)
    assert reading.missing == 5000 - reading.records
    assert len(upstream.asked) <= MOST_SHORT_PAGES + 1


async def test_a_file_without_paging_asks_once_for_the_whole_list():
    upstream = Upstream(says(listing(*range(1, 31))))
    reading = await made(CMC.model_copy(update={"paging": None}), upstream).read(500, MINUTE)
    assert (len(reading.rows), len(upstream.asked), reading.missing) == (30, 1, 470)
    assert "start" not in upstream.asked[0].url.params


def unsorted(count: int) -> dict[str, Any]:
    """A list in ascending order of volume."""
    body = listing(*range(1, count + 1))
    for record in body["data"]:
        record["quote"]["USD"]["volume_24h"] = float(record["id"])
    body["data"][0]["quote"]["USD"]["volume_24h"] = None
    return body


async def test_the_first_assets_are_those_of_the_largest_volume_whatever_order_they_come_in():
    reading = await made(CMC, Upstream(says(unsorted(2000)))).read(1000, MINUTE)
    assert sorted(reading.rows["cmc_id"]) == list(range(1001, 2001))
    assert reading.records == 1000


@pytest.mark.parametrize("total", [-5, 0, 1, "250", True, None, 1.5, 1e308, [250]])
async def test_an_impossible_announced_total_is_ignored(total):
    pages = {1: range(1, 101), 2: range(101, 201), 3: range(201, 251), 4: range(0)}
    upstream = Upstream(
        lambda request: httpx.Response(200, json=top_list(*pages[int(request.url.params["page"])], total=total))
    )
    assert sorted(await ids(made(COINDESK, upstream), 250)) == list(range(1, 251))


@pytest.mark.parametrize("count", [-5, -1e300, 1e13, 10**300, float("inf"), float("nan"), True, "4", [4], None])
async def test_a_count_that_cannot_be_is_none(count):
    body = json.dumps(listing(1, credit_count=count, total_count=count)).encode()
    reading = await made(CMC, Upstream(says(body))).read(1, MINUTE)
    assert (reading.credits, reading.announced) == (0, None)


async def test_all_credits_of_a_reading_count_also_those_of_an_empty_page():
    upstream = Upstream(says(listing(*range(1, 31))), says(listing()))
    reading = await made(CMC, upstream).read(500, timedelta(minutes=1))
    assert reading.credits == 2.0


def exact(file: SourceFile) -> bool:
    return file.paging is not None and file.paging.exact_size


async def test_a_short_page_never_changes_an_exact_size():
    upstream = Upstream(Capped(250, 100, announces=True, short={2: 3}))
    assert exact(COINDESK)
    await ids(made(COINDESK, upstream), 250)
    assert {size for (size,) in upstream.queries("page_size")} == {100}


@pytest.mark.parametrize(("count", "refused"), [(20_000, False), (20_001, True)])
async def test_more_records_than_any_list_has_are_refused(count, refused):
    source = made(CMC, Upstream(says({"data": [None] * count})))
    if refused:
        assert "more than 20,000 records (20,001)" in str(await failure(source))
    else:
        assert (await source.read(count, MINUTE)).rejected == {"record is not an object": count}
