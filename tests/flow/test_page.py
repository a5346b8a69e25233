"""The page in a real Chromium: what it shows is what the API answers, for now and for a past minute."""

import asyncio
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from lib.clock import isoformat, slot, utc_now
from lib.store.sqlite import SqliteStore
from tests.flow.browser import LOCAL, Browser, chromium
from tests.flow.processes import Api, Stage, eventually, free_port
from tests.unit.query_api.market import Prices, Ranks, snapshot

pytestmark = [pytest.mark.stack, pytest.mark.browser, pytest.mark.xdist_group("browser")]

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOURS = 3
GAP = (80, 125)
"""From so many minutes ago to so many there is nothing in the written archive."""
TINY = 1.3e-8


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def nothing_is_complained_of_and_nobody_else_is_asked(browser) -> Iterator[None]:
    yield
    # A minute without a list is answered with 404, which Chromium puts into the console by itself.
    complaints = [text for text in browser.complaints() if "/v1/top?" not in text or "404 (Not Found)" not in text]
    assert complaints == []
    assert browser.hosts() <= {*LOCAL, None}


@pytest.fixture(scope="module")
def module_stage(environ, tmp_path_factory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("page"), environ) as opened:
        yield opened


@pytest.fixture(scope="module")
def demo(module_stage) -> Api:
    """The embedded demo, its first list there."""
    ports = free_port(), free_port()
    listening = ["--port", str(ports[0]), "--safe-port", str(ports[1])]
    api: Api = Api(module_stage.topcoins("demo", "--assets", "60", "--history", "20m", *listening), *ports)
    api.process.until(lambda: f"http://localhost:{api.safe_port} in a browser" in api.process.err)
    return api


@pytest.fixture(scope="module")
def now() -> datetime:
    """The newest minute of the written archive."""
    return slot(utc_now(), MINUTE)


@pytest.fixture(scope="module")
def archive(module_stage, now) -> Api:
    """Three hours of three assets with a hole in them."""
    ticks = [now - n * MINUTE for n in range(60 * HOURS) if not GAP[0] <= n <= GAP[1]]
    asyncio.run(_write(module_stage.store, ticks))
    api: Api = module_stage.api()
    api.answers("/readyz")
    return api


async def _write(path: Path, ticks: list[datetime], interval: timedelta = MINUTE) -> None:
    store = SqliteStore(path, clock=utc_now, durable=False)
    for tick in ticks:
        moved = tick.minute
        prices = [
            (1, "BTC", "Bitcoin", 92000.0 + moved, 9e10),
            (2, "TINY", "Tiny <b>", TINY, 5e5),
            (3, None, None, 7.0, 1e3),
        ]
        await store.write(snapshot(Prices(tick, prices), interval=interval))
        await store.write(snapshot(Ranks(tick, [(1, 9e10 + moved), (2, 5.5e5), (3, 1e3 - moved)]), interval=interval))
    await store.close()


def page(api: Api, query: str = "") -> str:
    return f"http://localhost:{api.safe_port}/{query}"


def rows(browser: Browser) -> list[dict[str, Any]]:
    """The list as it is shown: the exact value and the text of each cell."""
    found: list[dict[str, Any]] = browser.script(
        """return [...document.querySelectorAll("#rows tr")].map((tr) => {
             const [rank, price, change, volume] = tr.querySelectorAll("data");
             const [priceAge, volumeAge] = tr.querySelectorAll("time");
             return { id: Number(tr.dataset.id), rank: Number(rank.value), symbol: tr.querySelector("b").textContent,
               price: Number(price.value), shown: price.textContent, change: change.value,
               volume: Number(volume.value),
               source: Number(tr.querySelector("[data-column=source_rank]").value),
               priced: priceAge.dateTime, ranked: volumeAge.dateTime,
               ages: [priceAge.textContent, volumeAge.textContent], stale: priceAge.dataset.stale,
               line: tr.querySelector("path").getAttribute("d") ?? "" };
           })"""
    )
    return found


def is_what_the_api_says(browser: Browser, api: Api) -> None:
    shown = rows(browser)
    answer = api.get("/v1/top", datetime=browser.shown()).json()
    assert [
        (row["rank"], row["id"], row["price"], row["volume"], row["source"], row["priced"], row["ranked"])
        for row in shown
    ] == [
        (a["rank"], a["cmc_id"], a["price_usd"], a["volume_24h_usd"], a["source_rank"],
         a["price_updated_at"] or answer["price_time"], answer["rank_time"])
        for a in answer["data"]
    ]  # fmt: skip
    assert [row["symbol"] for row in shown] == [a["symbol"] or f"id {a['cmc_id']}" for a in answer["data"]]
    for row in shown:
        digits = float(row["shown"].replace(",", ""))
        assert digits == pytest.approx(row["price"], rel=1e-3)
        assert "e" not in row["shown"]
    ids = ",".join(str(row["id"]) for row in shown)
    lines = api.get("/v1/sparklines", ids=ids, to=answer["price_time"]).json()["data"]
    for row, line in zip(shown, lines, strict=True):
        first, last = line["prices"][0], line["prices"][-1]
        change = "" if first is None or last is None else last / first - 1
        assert (float(row["change"]) if row["change"] else "") == pytest.approx(change)
        assert row["line"].count("M") == runs(line["prices"])


def runs(prices: list[float | None]) -> int:
    """How many unbroken pieces a line has."""
    return sum(known for known, _ in groupby(prices, lambda price: price is not None))


def test_the_page_of_the_demo_shows_the_answers_of_the_api_and_that_its_market_is_simulated(browser, demo):
    browser.open(page(demo))
    assert len(rows(browser)) > 40
    is_what_the_api_says(browser, demo)
    assert browser.one("#notice").text == "The market is simulated: no price, volume or rank is real."
    assert browser.one("#live").get_attribute("aria-pressed") == "true"
    eventually(lambda: browser.script("return document.body.dataset.live") == "yes")


def test_a_past_minute_is_shown_as_the_api_has_it_and_live_is_one_press_away(browser, archive, now):
    minute = now - 40 * MINUTE
    browser.open(page(archive))
    browser.script(
        """const at = document.getElementById("at");
           at.value = arguments[0]; at.dispatchEvent(new Event("change"));""",
        minute.strftime("%Y-%m-%dT%H:%M"),
    )
    browser.shows(isoformat(minute))
    is_what_the_api_says(browser, archive)
    assert f"datetime={minute:%Y-%m-%dT%H}%3A{minute:%M}%3A00Z" in browser.driver.current_url
    first = rows(browser)[0]
    assert (first["id"], first["price"], first["ages"]) == (1, 92000 + minute.minute, ["0s", "0s"])
    browser.one("#live").click()
    eventually(lambda: browser.shown() > isoformat(minute))
    assert "datetime" not in browser.driver.current_url
    browser.driver.back()
    browser.shows(isoformat(minute))


def test_the_address_means_what_it_means_to_the_api(browser, archive):
    browser.open(page(archive, "?datetime=now-20m&symbols=TINY"))
    shown = utc_now() - datetime.fromisoformat(browser.shown())
    assert timedelta(minutes=19) < shown < timedelta(minutes=22)
    assert [row["symbol"] for row in rows(browser)] == ["TINY"]
    assert "now-20m" not in browser.script("return location.search")


def test_prices_are_plain_and_names_are_text(browser, archive):
    browser.open(page(archive))
    shown = {row["symbol"]: row["shown"] for row in rows(browser)}
    assert re.fullmatch(r"92,0\d\d\.00", shown["BTC"])
    assert (shown["TINY"], shown["id 3"]) == ("0.00000001300", "7.0000")
    assert browser.all("#rows .name b") == []


def test_a_gap_is_a_gap_in_the_line_and_on_the_slider_and_has_no_list(browser, archive, now):
    browser.open(page(archive))
    assert {runs_of(row["line"]) for row in rows(browser)} == {2}
    (gap, *others) = eventually(lambda: browser.all("#gaps rect"))
    assert len(others) == 1  # one of each series
    assert "not running" in gap.get_attribute("textContent")
    inside = now - 100 * MINUTE
    browser.open(page(archive, f"?datetime={isoformat(inside)}"))
    assert browser.shown() == "problem"
    assert rows(browser) == []
    assert "the nearest pair before is" in browser.one("#problem").text
    browser.one("#problem button").click()
    before = now - (GAP[1] + 1) * MINUTE
    browser.shows(isoformat(before))
    is_what_the_api_says(browser, archive)


def runs_of(line: str) -> int:
    return line.count("M")


def test_a_value_grows_old_before_the_reader_s_eyes(browser, archive, now):
    old = now - (GAP[1] + 1) * MINUTE
    for minutes, stale, age in ((2, "no", "2m"), (5, "yes", "5m"), (9, "yes", "9m")):
        browser.open(page(archive, f"?datetime={isoformat(old + minutes * MINUTE)}"))
        assert {(row["stale"], row["ages"][0]) for row in rows(browser)} == {(stale, age)}


def test_a_new_snapshot_is_shown_by_itself(browser, stage):
    newest = utc_now().replace(microsecond=0)
    asyncio.run(_write(stage.store, [newest], SECOND))  # so that the next is looked for a second later
    api = stage.api()
    api.answers("/readyz")
    browser.open(page(api))
    assert {row["ranked"] for row in rows(browser)} == {isoformat(newest)}
    tick = utc_now().replace(microsecond=0) + SECOND
    eventually(lambda: utc_now() >= tick)
    asyncio.run(_write(stage.store, [tick]))
    eventually(lambda: {row["ranked"] for row in rows(browser)} == {isoformat(tick)})
    browser.leave()  # before this API ends


def test_everything_is_reached_by_keyboard(browser, archive, now):
    minute = now - 10 * MINUTE
    browser.open(page(archive, f"?datetime={isoformat(minute)}"))
    browser.tab_to(lambda element: element.get_attribute("class") == "skip", 1)
    browser.tab_to(lambda element: element.get_attribute("data-step") == "-60")
    browser.press(Keys.ENTER)
    browser.shows(isoformat(minute - MINUTE))
    browser.tab_to(lambda element: element.get_attribute("id") == "minute")
    browser.press(Keys.ARROW_LEFT)
    browser.shows(isoformat(minute - 2 * MINUTE))
    browser.tab_to(lambda element: element.get_attribute("id") == "find")
    browser.press("tiny")
    assert [each.get_attribute("data-id") for each in browser.all("#rows tr") if each.is_displayed()] == ["2"]


def test_the_chart_of_an_asset_shows_the_values_of_the_api_and_draws_no_line_across_a_gap(browser, archive, now):
    browser.open(page(archive, f"?datetime={isoformat(now)}"))
    browser.tab_to(lambda element: element.tag_name == "a" and "BTC" in element.text)
    browser.press(Keys.ENTER)
    eventually(lambda: browser.one("#asset").get_attribute("data-shown") == "1/86400")
    assert browser.one("#asset-name").text == "BTC Bitcoin"
    browser.one("[data-span='21600']").click()
    eventually(lambda: browser.one("#asset").get_attribute("data-shown") == "1/21600")
    assert "1 gap is shaded" in browser.one("#chart-status").text
    line = archive.get("/v1/sparklines", ids=1, to=isoformat(now), span="6h", points=72, ranks=True).json()["data"][0]
    browser.tab_to(lambda element: element.get_attribute("id") == "chart")
    browser.press(Keys.END)
    assert browser.one("#chart-status").text == f"{now:%Y-%m-%d %H:%M} UTC: {line['prices'][-1]:,.2f} USD, rank 1"
    assert line["ranks"][-1] == 1
    inside = now - timedelta(minutes=sum(GAP) / 2)
    for moment, drawn in ((inside, 0), (now - 20 * MINUTE, 1), (now - 140 * MINUTE, 1)):
        share = 1 - (now - moment) / timedelta(hours=6)
        assert [min(count, 1) for count in browser.script(STROKES, share)] == [drawn, drawn]
    browser.press(Keys.ESCAPE)
    assert not browser.one("#asset").is_displayed()
    assert "#" not in browser.driver.current_url


STROKES = """return [...document.querySelectorAll(".uplot")].map((plot) => {
  const over = plot.querySelector(".u-over"), canvas = plot.querySelector("canvas");
  const scale = canvas.width / canvas.clientWidth;
  const x = Math.round((over.offsetLeft + arguments[0] * over.clientWidth) * scale);
  const { data } = canvas.getContext("2d").getImageData(x - 1, 0, 2, canvas.height);
  let strokes = 0;
  for (let n = 0; n < data.length; n += 4) {
    const [red, green, blue] = data.slice(n, n + 3);
    strokes += data[n + 3] > 128 && Math.max(red, green, blue) - Math.min(red, green, blue) > 90;
  }
  return strokes;
})"""
"""How many pixels of the lines' colours, which are strong, each chart has at a share of its width."""


def test_everything_that_can_be_used_has_a_name(browser, archive):
    browser.open(page(archive))
    browser.driver.execute_cdp_cmd("Accessibility.enable", {})
    tree = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    used = {"button", "link", "slider", "searchbox", "combobox", "image", "table", "DateTime"}
    names = [
        (node["role"]["value"], node["name"]["value"])
        for node in tree
        if not node["ignored"] and node["role"]["value"] in used
    ]
    assert {role for role, _ in names} >= {"button", "link", "slider", "searchbox", "combobox", "image", "table"}
    assert [role for role, name in names if not name.strip()] == []


def test_pages_that_were_left_hold_no_connection(browser, archive):
    for _ in range(7):  # one more than Chromium opens to a host
        browser.open(page(archive))
        assert len(rows(browser)) == 3


def test_a_phone_needs_no_scrolling_sideways(browser, archive):
    with browser.phone():
        for query in ("", "?datetime=2020-01-01"):
            browser.open(page(archive, query))
            assert browser.script("return document.documentElement.scrollWidth") <= 360
        browser.open(page(archive, "#1"))
        eventually(lambda: browser.one("#asset").get_attribute("data-shown") == "1/86400")
        assert browser.script("return document.getElementById('asset').getBoundingClientRect().right") <= 360
        assert browser.script("return document.querySelector('#chart canvas').getBoundingClientRect().right") <= 360
