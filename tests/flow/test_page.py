"""The page in a real Chromium: what it shows is what the API answers, for now and for a past minute."""

import asyncio
import re
import signal
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from lib.clock import isoformat, slot, utc_now
from lib.store.sqlite import SqliteStore
from tests.fakes import FakeClock
from tests.flow.browser import LOCAL, Browser, Keys, chromium
from tests.flow.processes import Api, Stage, eventually, eventually_holds
from tests.influxd import VERIFIES
from tests.ports import free_port
from tests.unit.query_api.market import Prices, Ranks, snapshot

pytestmark = [pytest.mark.stack, pytest.mark.browser, pytest.mark.xdist_group("browser")]

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOURS = 3
GAP = (80, 125)
"""From so many minutes ago to so many there is nothing in the written archive."""
TINY = 1.3e-8
DEAD = 900_002
"""Listed until the gap."""


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
def module_stage(environ, tmp_path_factory, forks) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("page"), environ, forks) as opened:
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
    clock = FakeClock(ticks[0])
    store = SqliteStore(path, clock=clock, durable=False)
    ended = ticks[0] - GAP[1] * MINUTE
    for tick in ticks:
        clock.now = min(tick + SECOND, utc_now())  # when it is stored: nothing was filled in later
        moved = tick.minute
        dead = [] if tick > ended else [(DEAD, 10.0)]
        prices = [
            (1, "BTC", "Bitcoin", 92000.0 + moved, 9e10),
            (2, "TINY", "Tiny <b>", TINY, 5e5),
            (3, None, None, 7.0, 1e3),
            *([] if tick > ended else [(DEAD, "DEAD", "Dead <i>Coin", 0.5, 10.0)]),
        ]
        await store.write(snapshot(Prices(tick, prices), interval=interval))
        await store.write(
            snapshot(Ranks(tick, [(1, 9e10 + moved), (2, 5.5e5), (3, 1e3 - moved), *dead]), interval=interval)
        )
    await store.close()


def page(api: Api, query: str = "") -> str:
    return f"http://localhost:{api.safe_port}/{query}"


def rows(browser: Browser) -> list[dict[str, Any]]:
    """The list as it is shown: the exact value and the text of each cell."""
    found: list[dict[str, Any]] = browser.script(
        """const volumeAge = document.getElementById("volume-age");
           return [...document.querySelectorAll("#rows tr")].map((tr) => {
             const of = (selector) => tr.querySelector(selector);
             return { id: Number(tr.dataset.id), rank: Number(of(".rank data").value), symbol: of("b").textContent,
               price: Number(of(".price data").value), shown: of(".price data").textContent,
               change: of("[data-column=change_24h_pct]").value, volume: Number(of(".volume data").value),
               source: Number(of("[data-column=source_rank]").value),
               priced: of("time").dateTime, ranked: volumeAge.dateTime,
               ages: [of("time").textContent, volumeAge.textContent], stale: of("time").dataset.stale,
               line: of("path").getAttribute("d") ?? "" };
           })"""
    )
    return found


def is_what_the_api_says(browser: Browser, api: Api) -> None:
    """A live page may be between two lists: what it shows a moment later counts."""
    eventually_holds(lambda: compare(browser, api))


def compare(browser: Browser, api: Api) -> None:
    shown = rows(browser)
    answer = api.get("/v1/top", datetime=browser.shown(), more="change_24h_pct").json()
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
    for row, line, asset in zip(shown, lines, answer["data"], strict=True):
        assert row["change"] == ("" if asset["change_24h_pct"] is None else str(asset["change_24h_pct"]))
        assert row["line"].count("M") in (runs(line["prices"]), 0)
    assert all(row["line"] for row in shown[:10])  # those in view


def runs(prices: list[float | None]) -> int:
    """How many unbroken pieces a line has."""
    return sum(known for known, _ in groupby(prices, lambda price: price is not None))


def test_the_page_of_the_demo_shows_the_answers_of_the_api_and_that_its_market_is_simulated(browser, demo):
    browser.open(page(demo))
    assert len(rows(browser)) > 40
    is_what_the_api_says(browser, demo)
    eventually(lambda: browser.one("#notice").text == "The market is simulated: no price, volume or rank is real.")
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
    eventually(lambda: {runs_of(row["line"]) for row in rows(browser)} == {2})
    hole = f"46 missing from {isoformat(now - GAP[1] * MINUTE)}: not running"
    gaps = """return [...document.querySelectorAll("#gaps rect")].map((rect) => rect.textContent)"""
    eventually(lambda: browser.script(gaps).count(hole) == 2)  # one of each series
    inside = now - 100 * MINUTE
    browser.open(page(archive, f"?datetime={isoformat(inside)}"))
    assert browser.shown() == "problem"
    assert rows(browser) == []
    before = now - (GAP[1] + 1) * MINUTE
    (text,) = browser.texts("#problem p")
    assert text.startswith(f"No snapshot from {before + MINUTE:%Y-%m-%d %H:%M} to ")
    assert text.endswith("UTC: not running.")
    after = now - (GAP[0] - 1) * MINUTE
    eventually(lambda: f"the list after, {after:%Y-%m-%d %H:%M} UTC" in browser.texts("#problem button"))
    browser.click("#problem button")
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
    eventually(lambda: [row["id"] for row in rows(browser)] == [2])


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
    text = browser.one("#chart-status").text
    assert text.startswith(
        f"{now:%Y-%m-%d %H:%M} UTC: {line['prices'][-1]:,.2f} USD, volume 90.00B USD, rank 1"
        " (coinmarketcap and coindesk)"
    )
    assert line["ranks"][-1] == 1
    inside = now - timedelta(minutes=sum(GAP) / 2)
    for moment, drawn in ((inside, 0), (now - 20 * MINUTE, 1), (now - 140 * MINUTE, 1)):
        share = 1 - (now - moment) / timedelta(hours=6)
        assert [min(count, 1) for count in browser.script(STROKES, share)] == [drawn, drawn]
    other = """history.replaceState(null, "", "#3,2/6h");
      module.open();
      return ["asset-name", "asset-note", "chart-status"].map((id) => document.getElementById(id).textContent);"""
    assert browser.module("asset.js", other) == ["CoinMarketCap id 3, TINY Tiny <b>", "loading …", "loading …"]
    eventually(lambda: browser.one("#asset").get_attribute("data-shown") == "3,2/21600")
    browser.press(Keys.ESCAPE)
    eventually(lambda: "#" not in browser.driver.current_url)
    assert not browser.one("#asset").is_displayed()
    eventually(lambda: browser.driver.title == f"{now:%Y-%m-%d %H:%M} UTC · topcoins")


STROKES = """return [...document.querySelectorAll("[data-label='Price USD'], [data-label=Rank]")].map((plot) => {
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
    used = {"button", "link", "slider", "searchbox", "textbox", "combobox", "image", "table", "DateTime"}
    names = [
        (node["role"]["value"], node["name"]["value"])
        for node in tree
        if not node["ignored"] and node["role"]["value"] in used
    ]
    assert {role for role, _ in names} >= {"button", "link", "slider", "searchbox", "combobox", "image", "table"}
    assert [role for role, name in names if not name.strip()] == []


COUNT_ENTRIES = """window.entries = 0;
const push = history.pushState.bind(history);
history.pushState = (...given) => { window.entries += 1; push(...given); };"""
"""Counts what the page adds to the history, whose length a browser bounds."""


def test_a_date_that_is_typed_key_by_key_is_one_list_and_one_entry_of_the_history(browser, archive, now):
    """PE-1."""
    minute = now - 37 * MINUTE
    browser.open(page(archive))
    browser.script(COUNT_ENTRIES)
    browser.tab_to(lambda element: element.get_attribute("id") == "at")
    for key in f"{minute:%m%d%Y%I%M%p}":
        browser.press(key)
        browser.pause(60)
    assert browser.shown() > isoformat(minute)  # nothing is asked before Enter
    browser.press(Keys.ENTER)
    browser.shows(isoformat(minute))
    assert browser.script("return window.entries") == 1
    assert browser.one("#at").get_attribute("value") == f"{minute:%Y-%m-%dT%H:%M}"


ASKED = """return performance.getEntriesByType("resource").filter((one) => one.name.includes("/v1/top?"))
  .map((one) => [one.startTime, one.responseEnd, new URL(one.name).searchParams.get("datetime")])"""
"""When each list was asked for, when it was there, and which it was."""


def test_a_page_that_opens_asks_for_its_list_once(browser, archive):
    browser.open(page(archive))
    eventually(lambda: browser.one("#connection").text == "Live")
    eventually(
        lambda: browser.script(
            "return performance.getEntriesByType('resource').filter((one) => one.name.includes('/v1/gaps')).length"
        )
    )
    assert len(browser.script(ASKED)) == 1


def test_words_are_read_by_the_api_and_stay_the_instant_they_meant(browser, archive):
    browser.open(page(archive))
    browser.one("#said").send_keys("20 minutes ago", Keys.ENTER)
    eventually(lambda: "datetime=2" in browser.driver.current_url)
    eventually(lambda: timedelta(minutes=19) < utc_now() - datetime.fromisoformat(browser.shown()))
    browser.one("#said").clear()
    browser.one("#said").send_keys("last week", Keys.ENTER)
    browser.shows("problem")
    assert "is a span, not an instant" in browser.one("#problem").text
    browser.complaints()  # Chromium notes the 422


def test_back_closes_an_asset_and_does_not_open_it_again(browser, archive, now):
    """PE-10."""
    browser.open(page(archive, f"?datetime={isoformat(now)}"))
    browser.one("#rows a").click()
    eventually(lambda: browser.one("#asset").get_attribute("data-shown") == "1/86400")
    eventually(lambda: browser.driver.title.startswith("BTC · "))
    browser.press(Keys.ESCAPE)
    eventually(lambda: "#" not in browser.driver.current_url)
    assert not browser.one("#asset").is_displayed()
    browser.script("history.forward()")
    eventually(lambda: browser.one("#asset").is_displayed())
    browser.driver.back()
    eventually(lambda: not browser.one("#asset").is_displayed())


def test_dragging_the_slider_is_one_entry_of_the_history(browser, archive, now):
    browser.open(page(archive))
    first = int((now - 30 * MINUTE).timestamp())
    eventually(lambda: int(browser.script("return document.getElementById('minute').min") or first + 1) <= first)
    browser.script(COUNT_ENTRIES)
    for back in (30, 20, 10):
        browser.script(
            """const slider = document.getElementById("minute");
               slider.value = arguments[0]; slider.dispatchEvent(new Event("input"));""",
            int((now - back * MINUTE).timestamp()),
        )
        browser.shows(isoformat(now - back * MINUTE))
    assert browser.script("return window.entries") == 1


def test_a_screen_reader_hears_a_new_list_and_not_its_ages(browser, archive):
    """PE-4."""
    browser.open(page(archive))
    eventually(lambda: browser.script("return document.body.dataset.live") == "yes")  # that is announced too
    grow_old(browser, 3)
    browser.script(
        """window.heard = 0;
           const all = { childList: true, characterData: true, subtree: true };
           for (const region of document.querySelectorAll("[role=status], [aria-live]"))
             new MutationObserver(() => (window.heard += 1)).observe(region, all);"""
    )
    grow_old(browser, 6)
    grow_old(browser, 9)
    assert browser.script("return window.heard") == 0


def grow_old(browser: Browser, hours: int) -> None:
    """Wait until the page shows this age; it takes the time from the API now and then, and from here."""
    later = f"module.setClock(new Date(Date.now() + {hours} * 3_600_000).toISOString());"

    def is_old() -> bool:
        browser.module("archive.js", later)
        return f"({hours}h old)" in browser.one("#status").text

    eventually(is_old)


def test_filters_of_the_address_are_chips_with_counts_that_can_be_removed(browser, archive):
    """PE-5."""
    browser.open(page(archive, "?symbols=TINY,NOPE&exclude=stablecoins"))
    chips = set(browser.texts("#chips .chip"))
    removable = {"Ticker TINY", "Ticker NOPE: not in this list"}
    assert chips == {*(f"{chip} \u00d7" for chip in removable), "1 of unknown kind left out"}
    without = "document.querySelector('[data-exclude=stablecoins]')"  # a list that comes meanwhile makes a new one
    assert browser.script(f"return {without}.textContent.trim()") == "Without stablecoins (0 left out)"
    browser.script(f"{without}.click()")
    eventually(lambda: [row["source"] for row in rows(browser)] == [2])
    for chip in ("NOPE", "TINY"):
        browser.script(f"document.querySelector('[data-item={chip}]').click()")
    eventually(lambda: len(rows(browser)) == 3)
    assert "symbols" not in browser.driver.current_url


def test_a_list_is_sorted_by_a_column_s_head_and_its_address_has_the_order(browser, archive):
    browser.open(page(archive))
    browser.one("[data-sort=price_usd]").click()
    eventually(lambda: [row["id"] for row in rows(browser)] == [1, 3, 2])
    assert [row["rank"] for row in rows(browser)] == [1, 3, 2]
    assert "sort=-price_usd" in browser.driver.current_url
    assert browser.one("[aria-sort]").get_attribute("aria-sort") == "descending"
    browser.one("[data-sort=price_usd]").click()
    eventually(lambda: [row["id"] for row in rows(browser)] == [2, 3, 1])


def test_the_search_finds_what_is_not_in_the_rows_and_dead_coins_by_name(browser, archive):
    """PE-6, PE-7."""
    browser.open(page(archive, "?limit=1"))
    browser.one("#find").send_keys("tiny")
    eventually(lambda: "No match for “tiny” among the first 1" in browser.one("#found").text)
    browser.click("#found button")
    eventually(lambda: [row["id"] for row in rows(browser)] == [2])
    browser.one("#find").clear()
    browser.one("#find").send_keys("dead")
    eventually(lambda: "DEAD Dead <i>Coin id 900002, left the list on " in browser.one("#found").text)
    browser.one("#find").send_keys(Keys.ENTER)
    eventually(lambda: browser.one("#asset").get_attribute("data-shown") == "900002/86400")
    assert browser.one("#asset-name").text == "DEAD Dead <i>Coin"
    assert "Not in the list that is shown; last listed" in browser.one("#asset-note").text
    assert "It left the list at" in browser.one("#chart-status").text


def test_an_id_nobody_ever_had_says_so_and_leads_to_the_search(browser, archive):
    """PE-13."""
    for number, said in (("4242", "This archive"), ("99999999", "99999999 is no id: an id is at most 10,000,000.")):
        browser.open(page(archive, f"#{number}"))
        eventually(lambda: "never had an asset with this id" in browser.one("#asset-note").text)
        assert browser.one("#asset-note").text.startswith(said)
        assert not browser.one("#chart").is_displayed()
        assert not browser.one("#compare").is_displayed()
    browser.click("#asset-note button")
    assert browser.focused.get_attribute("id") == "find"


def test_wrong_parameters_are_explained_on_the_page(browser, archive):
    """PE-14."""
    for query, why in (
        ("limit=7000", "limit=7000: is more than 5000"),
        ("foo=1", "foo=1: is no parameter"),
        ("view=moverz", "view=moverz: is no view; the views are list, movers, gaps and status"),
    ):
        browser.open(page(archive, f"?{query}"))
        browser.shows("problem")
        assert why in browser.one("#problem").text
        browser.complaints()
        browser.click("#problem a")
        eventually(lambda: len(rows(browser)) == 3)


def test_the_heads_stay_in_view_and_old_rows_do_not_pass_for_the_list_that_loads(browser, archive, now):
    """PE-9, PE-16."""
    browser.open(page(archive, f"?datetime={isoformat(now)}"))
    assert browser.script("return getComputedStyle(document.querySelector('thead th')).position") == "sticky"
    busy = browser.script(
        """document.querySelector("[data-step='-60']").click();
           return [document.getElementById("list").ariaBusy, document.getElementById("status").textContent];"""
    )
    assert busy == ["true", f"loading {now - MINUTE:%Y-%m-%d %H:%M} UTC …"]
    browser.shows(isoformat(now - MINUTE))
    assert browser.one("#list").get_attribute("aria-busy") == "false"


def test_keys_travel_in_time_and_help_is_there(browser, archive, now):
    browser.open(page(archive, f"?datetime={isoformat(now)}"))
    for key, shown in ((Keys.ARROW_LEFT, now - MINUTE), (Keys.SHIFT + Keys.ARROW_LEFT, now - 61 * MINUTE)):
        browser.one("body").send_keys(key)
        browser.shows(isoformat(shown))
    browser.one("body").send_keys("[")
    browser.shows("problem")  # in the gap
    browser.one("body").send_keys("?")
    assert browser.one("#help").is_displayed()
    browser.press(Keys.ESCAPE)
    browser.one("body").send_keys("/")
    assert browser.focused.get_attribute("id") == "find"
    browser.press("l")
    assert browser.one("#find").get_attribute("value") == "l"


def test_play_shows_one_list_after_the_other_skips_a_gap_and_ends_with_the_live_list(browser, archive, now):
    begin = now - 170 * MINUTE
    browser.open(page(archive, f"?datetime={isoformat(begin)}"))
    browser.script(COUNT_ENTRIES)
    browser.script("document.getElementById('stride').value = '3600'; performance.clearResourceTimings()")
    browser.one("body").send_keys("p")
    eventually(lambda: browser.one("#live").get_attribute("aria-pressed") == "true")
    eventually(lambda: browser.script("return document.body.dataset.playing") == "no")
    played = sorted(browser.script(ASKED))
    after = now - (GAP[0] - 1) * MINUTE
    shown = [begin + 60 * MINUTE, after, after + 60 * MINUTE]
    assert [isoformat(each) for each in shown] == [datetime for _, _, datetime in played if datetime]
    for (start, end, _), (following, _, _) in pairwise(played):
        assert end <= following  # never two at once
        assert following - start > 900  # milliseconds: one a second
    assert browser.script("return window.entries") == 1


def test_play_waits_while_the_page_is_hidden_and_ends_with_any_key(browser, archive, now):
    browser.open(page(archive, f"?datetime={isoformat(now - 60 * MINUTE)}"))
    hide = """Object.defineProperty(document, "hidden", { value: arguments[0], configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));"""
    browser.script(hide, True)
    browser.click("#play")
    browser.shows(isoformat(now - 59 * MINUTE))
    browser.pause(1300)
    assert browser.shown() == isoformat(now - 59 * MINUTE)
    browser.script(hide, False)
    browser.shows(isoformat(now - 58 * MINUTE))
    browser.one("body").send_keys(Keys.ESCAPE)
    assert browser.script("return document.body.dataset.playing") == "no"
    assert "Play" in browser.one("#play").text


def as_shown(percent: float) -> str:
    """A change as the page shows it."""
    digits = f"{abs(percent):.2f}%"
    return digits if digits == "0.00%" else ("\u2212" if percent < 0 else "+") + digits


def test_assets_are_compared_from_their_common_start_by_keyboard_and_by_address(browser, archive, now):
    browser.open(page(archive, f"?datetime={isoformat(now)}#1/6h"))
    eventually(lambda: browser.one("#asset").get_attribute("data-shown") == "1/21600")
    browser.tab_to(lambda element: element.get_attribute("list") == "choices")
    browser.press("nothing of this name", Keys.ENTER)
    eventually(lambda: "No other asset of the archive has" in browser.one("#compare-note").text)
    browser.script("document.activeElement.value = ''")
    browser.press("dead", Keys.ENTER)
    eventually(lambda: browser.one("#asset").get_attribute("data-shown") == f"1,{DEAD}/21600")
    assert browser.driver.current_url.endswith(f"#1,{DEAD}/6h")
    assert browser.texts("#legend b") == ["BTC", "DEAD"]
    span = {"from": isoformat(now - 6 * 60 * MINUTE), "to": isoformat(now + SECOND), "every": "1m", "limit": 1000}
    start, *_, last = archive.get("/v1/assets/1/history", **span).json()["data"]
    moved = (last["price_usd"] / start["price_usd"] - 1) * 100
    words = f"BTC {as_shown(moved)}"
    since = f"Change since {datetime.fromisoformat(start['at']):%Y-%m-%d %H:%M} UTC"
    assert browser.one("#chart-status").text.startswith(
        f"{since}, the first instant with a price of each: {words}, DEAD 0"
    )
    browser.tab_to(lambda element: element.get_attribute("id") == "chart")
    browser.press(Keys.END)
    assert browser.one("#chart-status").text == f"{now:%Y-%m-%d %H:%M} UTC: {words}, DEAD no price"
    browser.click("[data-take=asset]")
    eventually(lambda: browser.one("#take").is_displayed())
    curl = browser.one("#take textarea[aria-label=curl]").get_attribute("value")
    assert [f"/v1/assets/{each}/history?" in curl for each in (1, DEAD)] == [True, True]
    assert len(browser.all("#take .csv")) == 2
    browser.press(Keys.ESCAPE)
    browser.click("[data-remove='1']")
    eventually(lambda: browser.one("#asset").get_attribute("data-shown") == f"{DEAD}/21600")
    browser.open(page(archive, f"?datetime={isoformat(now)}#1,{DEAD}/1h"))
    eventually(lambda: "No instant of this span has a price of each" in browser.one("#chart-status").text)


def test_the_fragment_of_an_address_names_up_to_five_assets_and_any_span(browser, archive):
    browser.open(page(archive))
    for fragment, ids, span in (
        ("#1", [1], "24h"),
        ("#1,1027,1/36h", [1, 1027], "36h"),
        ("#7,6,5,4,3,2/all", [7, 6, 5, 4, 3], "all"),
        ("#1/2026-11-24T14%3A37:00Z..2026-11-25", [1], "2026-11-24T14:37:00Z..2026-11-25"),
        ("#list", [], "24h"),
        ("#0", [], "24h"),
    ):
        meant = browser.module("address.js", f'return module.assets("{fragment}");')
        assert meant == {"ids": ids, "span": span}


def test_while_the_history_is_filled_an_instant_without_a_list_says_so_and_is_asked_again(browser, archive):
    browser.open(page(archive))
    fill = """const error = { document: { title: "No snapshot", status: 404, detail: "before the first snapshot",
        requested_at: "2026-11-17T14:37:00Z", nearest_before: null, first: "2026-11-17T20:00:00Z",
        known_at: new Date(Date.now() - %d).toISOString() } };
      await module.show(error, { at: new Date("2026-11-17T14:37:00Z"), go() {}, again() {} });"""
    browser.module("problem.js", fill % 3_000)
    text = browser.one("#problem").text
    assert "There is no list of 2026-11-17 14:37 UTC yet: the history is being filled" in text
    assert "asked again in" in text
    browser.module("problem.js", fill % 3_600_000)
    text = browser.one("#problem").text
    assert "Before the first snapshot." in text
    assert "asked again" not in text


def test_what_is_shown_is_copied_with_its_known_at_and_gives_the_same_answer_again(browser, archive, now):
    browser.open(page(archive, f"?datetime={isoformat(now - MINUTE)}&symbols=BTC"))
    browser.one("[data-take=list]").click()
    eventually(lambda: browser.one("#take").is_displayed())
    curl = browser.one("#take textarea[aria-label=curl]").get_attribute("value")
    url = curl.removeprefix("curl '").removesuffix("'")
    assert "known_at=" in url
    again = httpx.get(url, trust_env=False, verify=VERIFIES).json()
    assert [(row["cmc_id"], row["price_usd"]) for row in again["data"]] == [(1, rows(browser)[0]["price"])]
    assert "httpx.get(" in browser.one("#take textarea[aria-label=Python]").get_attribute("value")
    permalink = browser.one("#take textarea[aria-label=Permalink]").get_attribute("value")
    known = {**again["data"][0]}
    assert httpx.get(permalink, trust_env=False, verify=VERIFIES).json()["data"][0].items() <= known.items()
    csv = browser.one("#take .csv").get_attribute("href")
    assert httpx.get(csv, trust_env=False, verify=VERIFIES).text.startswith("rank,cmc_id,symbol,name,price_usd")


def test_movers_gaps_and_status_are_views_whose_address_is_the_api_s(browser, archive, now):
    past = f"from={isoformat(now - 140 * MINUTE)}&to={isoformat(now)}"
    browser.open(page(archive, f"?view=movers&{past}"))
    browser.shows("movers")
    assert "3 stayed, 0 entered, 1 left" in browser.one("#movers-about").text
    assert "DEAD Dead <i>Coin" in browser.one("[data-part=Left]").text
    browser.one("nav [data-view=gaps]").click()
    browser.shows("gaps")
    hole = now - timedelta(minutes=sum(GAP) / 2)
    (square,) = [
        each for each in browser.all(".hour") if f"{hole:%Y-%m-%d %H}:00 UTC: " in (each.get_attribute("title") or "")
    ]
    assert "price: not running" in square.get_attribute("title")
    assert "46" in browser.one("#gap-list").text
    browser.one("nav [data-view=status]").click()
    browser.shows("status")
    assert browser.one("[data-part=price] dl").text.count("coinmarketcap") >= 1
    assert "topcoins reads a list at once" in browser.script(
        """return [...document.querySelectorAll("[data-part=price] dt")]
          .find((one) => one.textContent === "expected last hour").title"""
    )
    browser.driver.back()
    browser.shows("gaps")
    browser.open(page(archive, f"?datetime={isoformat(now - 140 * MINUTE)}"))
    browser.one("nav [data-view=movers]").click()
    browser.shows("movers")
    assert "3 stayed, 0 entered, 1 left" in browser.one("#movers-about").text
    begin = now - (GAP[1] + 1) * MINUTE
    browser.open(page(archive, f"?view=movers&from={isoformat(begin + 5 * MINUTE)}&to={isoformat(now)}"))
    eventually(lambda: f"From {begin + 5 * MINUTE:%Y-%m-%d %H:%M} (list of " in browser.one("#movers-about").text)
    assert f"{begin:%H:%M}) to {now:%Y-%m-%d %H:%M} UTC" in browser.one("#movers-about").text
    browser.open(page(archive, f"?view=movers&from=2020-01-01&to={isoformat(now)}"))
    browser.click("#movers-about button")
    first = now - (60 * HOURS - 1) * MINUTE
    eventually(lambda: browser.one("#movers-about").text.startswith(f"From {first:%Y-%m-%d %H:%M} to "))
    browser.complaints()  # Chromium notes the 404
    assert httpx.get(page(archive, f"?view=movers&{past}"), trust_env=False, verify=VERIFIES).json()["left"] == 1


def test_the_page_says_in_words_that_the_api_is_away_and_asks_again_by_itself(browser, stage):
    """PE-2, PE-3."""
    newest = slot(utc_now(), MINUTE)
    asyncio.run(_write(stage.store, [newest - MINUTE, newest]))
    api = stage.api()
    api.answers("/readyz")
    browser.open(page(api))
    eventually(lambda: browser.one("#connection").text == "Live")
    api.process.send(signal.SIGKILL)
    api.process.ends()
    eventually(lambda: browser.one("#connection").text == f"Reconnecting, last list {newest:%H:%M}")
    assert browser.one("#news").get_attribute("textContent").startswith("Reconnecting")
    browser.one("[data-step='-60']").click()
    browser.shows("problem")
    assert "asked again in" in browser.one("#problem").text
    again = stage.api(ports=(api.port, api.safe_port))
    again.answers("/readyz")
    eventually(lambda: browser.one("#problem").is_displayed() is False)
    assert len(rows(browser)) == 3
    browser.leave()
    browser.complaints()


def test_a_long_list_has_rows_only_around_what_is_in_view(browser, archive, now):
    """PE-17."""
    browser.open(page(archive, f"?datetime={isoformat(now)}"))
    many = """const one = module.asset(1);
      const data = [...Array(5000).keys()].map((n) => ({ ...one, cmc_id: 10 + n, rank: n + 1 }));
      await module.show({ price_time: "2026-11-17T14:37:00Z", data }, false).all;
      const rows = document.getElementById("rows");
      return [rows.querySelectorAll("tr[data-id]").length, rows.offsetHeight / 5000];"""
    made, height = browser.module("list.js", many)
    assert made < 300
    assert 30 <= height <= 33
    browser.script("scrollTo(0, document.documentElement.scrollHeight)")
    eventually(lambda: browser.all("#rows tr[data-id='5009']"))
    assert len(browser.all("#rows tr[data-id]")) < 300


def test_an_address_means_the_same_instant_in_every_time_zone_or_is_left_to_the_api(browser, archive):
    browser.open(page(archive))
    browser.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "America/New_York"})
    for text, meant in (
        ("2026-11-24 14:37", "2026-11-24T14:37:00.000Z"),
        ("2026-11-24", "2026-11-24T00:00:00.000Z"),
        ("2026-11-24T14:37:05+01:00", "2026-11-24T13:37:05.000Z"),
        ("1794926220", "2026-11-17T14:37:00.000Z"),
        ("tue 14:37", None),
        ("nov 24", None),
    ):
        assert browser.module("instant.js", f'return module.parsed("{text}")?.toISOString() ?? null;') == meant
    browser.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ""})


def test_200_rows_with_their_lines_take_less_than_60_kb_on_the_wire(browser, demo):
    """PE-18."""
    browser.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
    browser.open(page(demo))
    sizes = browser.script(
        """const [page] = performance.getEntriesByType("navigation");
           return performance.getEntriesByType("resource").filter((one) => !one.name.includes("/vendor/"))
             .reduce((sum, one) => sum + one.transferSize, page.transferSize)"""
    )
    assert sizes < 60_000


def test_a_list_is_not_shown_as_whole_before_its_lines_are_drawn_whoever_asked_for_them(browser, archive, now):
    """Rows that come into view have their lines asked for as well: the list waits for those."""
    browser.open(page(archive, f"?datetime={isoformat(now)}"))
    lines = """const paths = [...document.querySelectorAll("#rows path")];
      for (const path of paths) path.setAttribute("d", "");
      const [to, { signal }] = ["%s", new AbortController()];
      const first = module.upTo(to, signal);
      await module.upTo(to, signal);
      return paths.map((path) => path.getAttribute("d") !== "");"""
    assert browser.module("lines.js", lines % isoformat(now - 20 * MINUTE)) == [True, True, True]


def test_pages_that_were_left_hold_no_connection(browser, archive):
    for _ in range(7):  # one more than Chromium opens to a host
        browser.leave()
        browser.open(page(archive))
        assert len(rows(browser)) == 3


CUT = """const end = (node) => node.getBoundingClientRect().right;
return [...document.querySelectorAll("#rows b")].filter((one) => end(one) > end(one.closest("th")));"""
"""The tickers that do not fit into their cell."""


CUT_NAMES = """return [...document.querySelectorAll("#movers-lists td:first-child")]
  .filter((one) => one.scrollWidth > one.clientWidth).length"""


OUT_OF_VIEW = """const newest = [...document.querySelectorAll("#calendar a.hour")].at(-1);
return [newest, ...document.querySelectorAll("#gap-list button")].filter((one) => {
  const { right, left, height } = one.getBoundingClientRect();
  return left < 0 || right > 360 || one.scrollHeight > height + 1;
}).map((one) => one.outerHTML)"""
"""The newest hour and the buttons of the gaps that are not wholly seen on a small phone."""


def test_a_phone_needs_no_scrolling_sideways_and_shows_whole_tickers_and_the_list_s_begin(browser, archive, now):
    with browser.phone(320):
        for query in ("", "?datetime=2020-01-01", "?view=movers&from=now-1h", "?view=gaps", "?view=status"):
            browser.open(page(archive, query))
            assert browser.script("return document.documentElement.scrollWidth") <= 320, query
    with browser.phone():
        browser.open(page(archive))
        assert browser.script(CUT) == []
        assert browser.script("return document.querySelector('#rows tr').getBoundingClientRect().top") < 370
        assert not browser.one("#said").is_displayed()
        browser.click("#more")
        assert browser.one("#said").is_displayed()
        browser.open(page(archive, f"?view=movers&from={isoformat(now - 140 * MINUTE)}"))
        assert browser.script(CUT_NAMES) == 0
        browser.open(page(archive, "?view=gaps"))
        assert browser.script(OUT_OF_VIEW) == []
        assert "volume rank" in browser.texts("#gap-list td")
        browser.open(page(archive, "#1"))
        eventually(lambda: browser.one("#asset").get_attribute("data-shown") == "1/86400")
        assert browser.script("return document.getElementById('asset').getBoundingClientRect().right") <= 360
        assert browser.script("return document.querySelector('#chart canvas').getBoundingClientRect().right") <= 360
