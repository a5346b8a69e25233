"""No text of a caller's gets into the store's language: whatever is asked, Flux is made of the words it always is."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from lib.store.influx import InfluxStore
from lib.store.influx.flux import READY
from lib.text import is_plain, search_key
from query_api.app import create_app
from query_api.http.problems import EXAMPLES
from tests.examples import examples
from tests.fakes import FakeClock
from tests.unit.query_api.market import MAX_AGE, MINUTE, NO_SPOOLS, NOW, CountingStore, stocked

ROOT = Path(__file__).parents[4]
PATHS = ("/", "/v1/top", "/v1/gaps", "/v1/status", "/v1/sparklines", "/v1/export")
HARMLESS = (
    *PATHS, "/readyz", "/?limit=5000", "/?datetime=2026-11-17T14:20:00Z", "/?datetime=2026-01-01",
    "/?datetime=1971-01-02", "/?known_at=now-1m", "/?ids=1,1027", "/?symbols=BTC,ETH&exclude=stablecoins",
    "/?max_volume_to_cap=0.5",
    "/v1/sparklines?ids=1,1027&points=3", "/v1/export?from=now-5m&every=1m&top=3", "/v1/gaps?from=now-10m",
)  # fmt: skip
HOSTILE = (
    '") |> drop() //', "') or true", '" or r._measurement != "', "${r._value}", '\\"', "$/) or (r.cmc_id =~ /.*/", 
    "1)|(.*", 'BTC"], fn: (r) => true)', "now() - 1h", "import \"http\"", "1,1027/ or true", "\x00", "\n|> yield()",
)  # fmt: skip
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[A-Za-z_]\w*|\d+|\S')
TEXTS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(HOSTILE),
    st.builds("{}{}".format, st.sampled_from(sorted(EXAMPLES.values())), st.sampled_from(HOSTILE)),
    st.sampled_from(sorted(EXAMPLES.values())),
)


class Ear:
    """A server that records each query, is ready and has no data."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def query(self, flux: str, parse: Callable[[str], Any]) -> Any:
        if flux:
            self.heard.append(flux)
        return parse(f",result,table,{READY}\r\n,{READY},0,yes\r\n" if READY in flux else "")


class Overheard(CountingStore):
    """Answers from memory, and has the real InfluxDB store ask an ear each question first."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.snapshots = stocked(clock).snapshots
        self.ear = Ear()
        influx: Any = InfluxStore("http://none", org="o", bucket="market", token=SecretStr("t"), clock=clock)
        influx._read_server = influx._write_server = self.ear
        self._influx = influx

    async def markers(self, *args: Any, **named: Any) -> Any:
        await self._influx.markers(*args, **named)
        return await super().markers(*args, **named)

    async def nearest(self, *args: Any) -> Any:
        await self._influx.nearest(*args)
        return await super().nearest(*args)

    async def first(self, *args: Any) -> Any:
        await self._influx.first(*args)
        return await super().first(*args)

    async def rows(self, *args: Any, **named: Any) -> Any:
        await self._influx.rows(*args, **named)
        return await super().rows(*args, **named)

    async def rows_between(self, *args: Any, **named: Any) -> Any:
        await self._influx.rows_between(*args, **named)
        return await super().rows_between(*args, **named)

    async def ticks(self, *args: Any, **named: Any) -> Any:
        await self._influx.ticks(*args, **named)
        return await super().ticks(*args, **named)

    async def stored_ticks(self, *args: Any, **named: Any) -> Any:
        await self._influx.stored_ticks(*args, **named)
        return await super().stored_ticks(*args, **named)

    async def ready(self) -> None:
        await self._influx.ready()


async def heard(*paths: str) -> list[str]:
    """The Flux of these questions."""
    store, app = _api()
    store.ear.heard.clear()
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://topcoins") as client:
        for path in paths:
            assert (await client.get(path)).status_code in (200, 404, 422)
    return list(store.ear.heard)


@cache
def _takers() -> dict[str, list[str]]:
    """For each parameter the addresses of `PATHS` that take it, by the committed document."""
    documented = yaml.load((ROOT / "docs" / "oas.yaml").read_bytes(), Loader=yaml.CSafeLoader)["paths"]
    taken = {path: {each["name"] for each in documented[path]["get"].get("parameters", [])} for path in PATHS}
    return {name: [path for path in PATHS if name in taken[path]] for name in EXAMPLES}


@cache
def _api() -> tuple[Overheard, Any]:
    clock = FakeClock(NOW)
    store = Overheard(clock)
    return store, create_app(store, clock=clock, max_skew=MINUTE, max_age=MAX_AGE, spools=NO_SPOOLS)


def words(flux: str) -> set[str]:
    """Its words, names and signs; numbers are one word, also those in quotes."""
    return {"0" if token.strip('"').isdigit() else token for token in TOKEN.findall(flux)}


@cache
def _usual() -> set[str]:
    return set()


async def usual() -> set[str]:
    """The words of harmless questions."""
    known = _usual()
    if not known:
        usual_queries = await heard(*HARMLESS)
        assert len(usual_queries) > 20
        known.update(*map(words, usual_queries))
        assert {'"price"', '"market"', '"market_hourly"', "|", "0"} <= known
    return known


@given(path=st.sampled_from(PATHS), asked=st.dictionaries(st.sampled_from(sorted(EXAMPLES)), TEXTS, max_size=3))
@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_no_text_in_any_parameter_gets_into_flux(path, asked):
    known = await usual()
    query = "&".join(f"{name}={quote(text, safe='')}" for name, text in asked.items())
    tickers = map(search_key, asked.get("symbols", "").split(","))
    plain = set[str]().union(*(words(ticker) for ticker in tickers if is_plain(ticker)))  # letters and digits alone
    for flux in await heard(f"{path}?{query}"):
        assert words(flux) <= known | plain


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("name", sorted(EXAMPLES))
async def test_what_would_end_a_string_a_regex_or_a_call_is_refused_or_asked_in_the_usual_words(name, hostile):
    known = await usual()
    texts = (hostile, EXAMPLES[name] + hostile, hostile + EXAMPLES[name])
    asked = [f"{path}?{name}={quote(text, safe='')}" for text in texts for path in _takers()[name]]
    for flux in await heard(*asked):
        assert words(flux) <= known


@pytest.mark.parametrize("name", sorted(EXAMPLES))
async def test_a_parameter_that_an_address_does_not_take_is_refused_before_the_store_is_asked(name):
    others = [path for path in PATHS if path not in _takers()[name]]
    assert await heard(*(f"{path}?{name}={quote(EXAMPLES[name], safe='')}" for path in others)) == []
