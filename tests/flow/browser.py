"""A real Chromium for the tests marked `browser`: without one they are skipped, with TOPCOINS_TEST_REQUIRE_BROWSER=1
they fail instead."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import pytest

from tests.flow.processes import eventually

if TYPE_CHECKING:  # to load selenium takes a second, in each worker
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

T = TypeVar("T")

QUIET = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--process-per-site",
    "--window-size=1280,900",
)
"""Nothing but our page is to be asked for."""
CLICK = """const one = document.querySelector(arguments[0]);
one?.click();
return one !== null;"""
LOCAL = ("127.0.0.1", "localhost")
CSS_SELECTOR = "css selector"


class Keys:
    """The code points that WebDriver has for these keys."""

    TAB = "\ue004"
    ENTER = "\ue007"
    SHIFT = "\ue008"
    ESCAPE = "\ue00c"
    END = "\ue010"
    ARROW_LEFT = "\ue012"


class Browser:
    """Chromium: what it shows, its console messages and its requests."""

    def __init__(self, driver: "Chrome") -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        """A new page, with its list."""
        if "#" in url + self.driver.current_url:  # for another fragment alone a browser keeps the page
            self.leave()
        self.driver.get(url)
        self.shown()

    def leave(self) -> None:
        """Show nothing."""
        self.driver.get("about:blank")

    def shown(self) -> str:
        """The instant of the list shown, as soon as it is whole."""
        shown: str = eventually(lambda: self.script("return document.body.dataset.shown ?? ''"))
        return shown

    def shows(self, instant: str) -> None:
        """Wait until the list of this instant is whole."""
        eventually(lambda: self.shown() == instant)

    def script(self, text: str, *arguments: object) -> Any:
        return self.driver.execute_script(text, *arguments)

    def module(self, name: str, text: str) -> Any:
        """The result of a script that uses a module of the page, as `module`; it may await."""
        return self.driver.execute_async_script(
            f"""const done = arguments[0];
            const source = document.querySelector("script[type=module]").src.replace("page.js", "{name}");
            import(source).then(async (module) => done(await (async () => {{ {text} }})()));"""
        )

    def pause(self, ms: int) -> None:
        """Let the page's own time pass, as between two keys of somebody who types."""
        self.driver.execute_async_script("setTimeout(arguments[1], arguments[0])", ms)

    def one(self, selector: str) -> "WebElement":
        return self.driver.find_element(CSS_SELECTOR, selector)

    def all(self, selector: str) -> "list[WebElement]":
        return self.driver.find_elements(CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """The texts of all such elements at one moment: a live page may replace them at any time."""
        texts: list[str] = self.script(
            "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText.trim())", selector
        )
        return texts

    def click(self, selector: str) -> None:
        """Click what is there by now, at once."""
        eventually(lambda: self.script(CLICK, selector))

    @property
    def focused(self) -> "WebElement":
        return self.driver.switch_to.active_element

    def press(self, *keys: str) -> None:
        """Type where the focus is."""
        for key in keys:
            self.focused.send_keys(key)

    def tab_to(self, found: "Callable[[WebElement], bool]", most: int = 60) -> "WebElement":
        """Press Tab until the focus is there."""
        for _ in range(most):
            self.press(Keys.TAB)
            if found(self.focused):
                return self.focused
        raise AssertionError(f"not reached by {most} tabs; at {self.focused.get_attribute('outerHTML')}")

    @contextmanager
    def phone(self, width: int = 360) -> Iterator[None]:
        """As on a small phone."""
        metrics = {"width": width, "height": 740, "deviceScaleFactor": 2, "mobile": True}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        yield
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def _log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call]
        return entries

    def complaints(self) -> list[str]:
        """Errors and violations in its console since it was asked last."""
        return [entry["message"] for entry in self._log("browser") if entry["level"] == "SEVERE"]

    def hosts(self) -> set[str | None]:
        """Whom it has asked for something since it was asked last."""
        messages = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        urls = [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]
        return {urlsplit(url).hostname for url in urls if urlsplit(url).scheme not in ("data", "about", "chrome")}


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A new browser."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = _program("chromium")
    for argument in (*QUIET, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(_program("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


def _program(name: str) -> str:
    if found := shutil.which(name):
        return found
    why = f"no {name} on the PATH: apt-get install chromium chromium-driver"
    if os.environ.get("TOPCOINS_TEST_REQUIRE_BROWSER") == "1":
        pytest.fail(why)
    pytest.skip(why)
