"""The page with 5,000 rows in Chromium: its first rows, its longest task, and the bytes of 200 rows."""

import asyncio
from pathlib import Path
from typing import Any

from tests.bench.servers import fill_history, query_api
from tests.flow.browser import Browser, chromium

ASSETS = 5000
_WATCH = """
window.tasks = [];
new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((one) => one.duration)))
  .observe({ type: "longtask", buffered: true });
new MutationObserver((_, observer) => {
  if (document.querySelector("#rows tr[data-id]")) {
    window.firstRows = performance.now();
    observer.disconnect();
  }
}).observe(document, { childList: true, subtree: true });
"""
_SIZES = """
const [page] = performance.getEntriesByType("navigation");
const all = performance.getEntriesByType("resource").filter((one) => !one.name.includes("/vendor/"));
const sum = (some) => some.reduce((total, one) => total + one.transferSize, 0);
return [sum(all) + page.transferSize, sum(all.filter((one) => one.name.includes("/v1/")))];
"""


async def of_5000_rows(folder: Path) -> None:
    """The aims are rows within 0.3 s, no task above 50 ms, and 60 KB."""
    await fill_history(folder / "store.db", assets=ASSETS, ticks=30)
    async with query_api(f"sqlite:///{folder / 'store.db'}") as api:
        await asyncio.to_thread(_measure, f"http://localhost:{api.port}/", folder / "chromium")


def _measure(url: str, profile: Path) -> None:
    with chromium(profile) as browser:
        browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _WATCH})
        browser.open(f"{url}?limit=50")  # the scripts are in the browser's cache from here on
        first, tasks = _shown(browser, f"{url}?limit={ASSETS}")
        print(f"5,000 rows: first after {first:.0f} ms (wanted: 300 ms), longest task {tasks:.0f} ms (wanted: 50 ms)")
        browser.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
        browser.open(f"{url}?limit=200")
        whole, answers = browser.script(_SIZES)
        print(f"200 rows, lines in view: {whole / 1000:.0f} KB, {answers / 1000:.0f} KB of it answers (wanted: 60 KB)")


def _shown(browser: Browser, url: str) -> tuple[float, float]:
    browser.open(url)
    for place in (0.2, 0.6, 1.0):
        browser.script("scrollTo(0, arguments[0] * document.documentElement.scrollHeight)", place)
        browser.pause(500)
    first, tasks = _figures(browser)
    return first, max(tasks, default=0)


def _figures(browser: Browser) -> Any:
    return browser.script("return [window.firstRows, window.tasks]")
