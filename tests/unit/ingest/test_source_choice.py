"""Which source a series uses: when it changes, when it changes back, and what it costs."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

import ingest_price.source
import ingest_rank
from lib.cli.doctor.stored import check_readings
from lib.errors import SettingsRejected
from lib.ingest.credit_plan import read_plans
from lib.ingest.delivery import WriteThrough
from lib.ingest.service import ingests
from lib.ingest.source_choice import UsedSource, read_used_source
from lib.ingest.sources import ServiceSources, with_stand_ins
from lib.ingest.tick import Ingest
from lib.settings import load
from lib.source import Source, SourceFile, read_source
from tests.fakes import NOON, Answer, FakeClock, MemoryStore, Upstream, says

MINUTE = timedelta(minutes=1)
PRICES = read_source(Path(ingest_price.__path__[0]) / "coinmarketcap.toml")
RANKS = [read_source(Path(ingest_rank.__path__[0]) / f"{name}.toml") for name in ("coindesk", "coinmarketcap")]
KEYLESS = "/public-api/"

SPENT = says({"status": {"error_code": 1010}}, 429)
REFUSED = says({"status": {"error_code": 1001}, "Err": {"type": 2}}, 401)
UNPAID = says({"Err": {"type": 402}}, 402)
AWAY = says({"status": {"error_code": 1008}, "Err": {"type": 99}}, 429)
LISTED = says(
    {
        "data": [
            {"id": id_, "symbol": "S", "name": "N", "quote": {"USD": {"price": 1.5, "volume_24h": 2.0}}}
            for id_ in range(1, 11)
        ],
        "status": {"error_code": 0, "credit_count": 4},
        "Data": {
            "LIST": [
                {
                    "ASSET_ALTERNATIVE_IDS": [{"NAME": "CMC", "ID": str(id_)}],
                    "SPOT_MOVING_24_HOUR_QUOTE_VOLUME_USD": 2.0,
                }
                for id_ in range(1, 11)
            ]
        },
    }
)


class Series:
    """A series over some source files, whose upstreams answer as the test says, by `keyed`, `keyless` or the name."""

    def __init__(self, files: Sequence[SourceFile], folder: Path) -> None:
        self.files = files
        self.folder = folder / "series"  # credit plans are those of all folders beside it
        self.folder.mkdir()
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock)
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[str] = []
        self.credits_left = 900_000
        self.upstream = Upstream(self._answer)
        self.slot = NOON - MINUTE
        self.ingest = self.start()

    def start(self, *, key: str = "a key") -> Ingest:
        """As a process that has just started makes it."""
        sources = [
            Source(file, client=self.upstream.client, clock=self.clock, key=SecretStr(key)) for file in self.files
        ]
        self.ingest = Ingest(
            with_stand_ins(sources), store=self.store, delivery=WriteThrough(self.store), clock=self.clock,
            assets=10, interval=MINUTE, folder=self.folder,
        )  # fmt: skip
        return self.ingest

    async def ticks(self, count: int) -> list[str | None]:
        """The sources of so many ticks; None for a tick that failed."""
        used: list[str | None] = []
        for _ in range(count):
            self.slot += MINUTE
            self.clock.now = self.slot
            snapshot = await self.ingest.tick(self.slot)
            used.append(snapshot.marker.source if snapshot else None)
        return used

    @property
    def state(self) -> UsedSource:
        state = read_used_source(self.folder)
        assert state
        return state

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/admin/v2/rate/limit":
            return httpx.Response(200, json={"Data": {"API_KEY": {"REMAINING": {"MONTH": 10**6}}}})
        if path == "/v1/key/info":
            usage = {"current_month": {"credits_left": self.credits_left}}
            return httpx.Response(200, json={"data": {"plan": {"credit_limit_monthly": 10**6}, "usage": usage}})
        name = "coindesk" if "coindesk" in request.url.host else "keyless" if KEYLESS in path else "keyed"
        self.asked.append(name)
        answers = self.answers.get(name, [LISTED])
        return (answers.pop(0) if len(answers) > 1 else answers[0])(request)


@pytest.fixture
def ranks(tmp_path: Path) -> Series:
    return Series(RANKS, tmp_path)


@pytest.fixture
def prices(tmp_path: Path) -> Series:
    return Series([PRICES], tmp_path)


async def test_a_source_that_comes_back_must_stay_good_for_ten_minutes(ranks):
    ranks.answers["coindesk"] = [AWAY, LISTED]
    with capture_logs() as logs:
        assert await ranks.ticks(13) == ["coinmarketcap"] * 11 + ["coindesk"] * 2
    changes = [(entry["before"], entry["now"]) for entry in logs if entry["event"] == "source changed"]
    assert changes == [("coindesk", "coinmarketcap"), ("coinmarketcap", "coindesk")]


async def test_a_source_that_fails_now_and_then_is_not_used_again(ranks):
    ranks.answers["coindesk"] = [AWAY, *[*[LISTED] * 8, AWAY] * 3, LISTED]
    assert await ranks.ticks(28) == ["coinmarketcap"] * 28
    assert ranks.state.failovers == 1


async def test_at_a_long_interval_three_good_answers_are_needed(ranks):
    ranks.answers["coindesk"] = [AWAY, LISTED]
    used = []
    for _ in range(6):
        ranks.slot += 14 * MINUTE
        used += await ranks.ticks(1)
    assert used == ["coinmarketcap"] * 4 + ["coindesk"] * 2


@pytest.mark.parametrize("refusal", [REFUSED, UNPAID], ids=["401", "402"])
async def test_a_refused_rank_source_is_left_for_the_next_and_asked_rarely(ranks, refusal):
    ranks.answers["coindesk"] = [refusal]
    assert await ranks.ticks(30) == ["coinmarketcap"] * 30
    assert ranks.asked.count("coindesk") <= 6


@pytest.mark.parametrize("refusal", [SPENT, REFUSED], ids=["spent", "refused"])
async def test_a_key_that_is_spent_or_refused_gives_way_to_the_keyless_base_at_its_pace(prices, refusal):
    assert await prices.ticks(1) == ["coinmarketcap"]
    assert prices.ingest.interval == MINUTE
    prices.answers["keyed"] = [refusal]
    assert await prices.ticks(2) == ["coinmarketcap"] * 2
    assert prices.asked == ["keyed", "keyed", "keyless", "keyless"]
    assert prices.ingest.interval == 5 * MINUTE
    assert (prices.state.source, prices.state.is_keyless, prices.state.is_fallback) == ("coinmarketcap", True, True)
    (newest,) = await prices.store.markers(prices.slot, prices.slot)
    assert newest.interval == 5 * MINUTE


async def test_a_key_that_works_again_is_used_after_it_stayed_good(prices):
    prices.answers["keyed"] = [REFUSED, LISTED]
    await prices.ticks(59)
    assert prices.asked.count("keyed") == 1
    await prices.ticks(20)
    assert not prices.state.is_fallback
    assert prices.state.failovers == 1
    assert prices.ingest.interval == MINUTE
    assert prices.asked[-2:] == ["keyed", "keyed"]


async def test_while_a_key_is_spent_its_plan_stays_fresh_and_new_credits_are_noticed(prices):
    prices.answers["keyed"] = [SPENT, LISTED]
    prices.credits_left = 0
    await prices.ticks(50)
    (plan,) = read_plans(prices.folder.parent)
    assert plan.left == 0
    assert prices.slot - plan.told_at <= 30 * MINUTE
    assert prices.asked.count("keyed") == 1
    prices.credits_left = 15_000
    await prices.ticks(50)
    assert not prices.state.is_fallback


async def test_an_upstream_that_is_away_is_not_asked_without_the_key_too(prices):
    prices.answers["keyed"] = [AWAY]
    assert await prices.ticks(2) == [None, None]
    assert "keyless" not in prices.asked


async def test_when_the_used_source_fails_a_better_one_is_used_at_once(ranks):
    ranks.answers["coindesk"] = [AWAY, LISTED]
    ranks.answers["keyed"] = [LISTED, LISTED, AWAY]
    assert await ranks.ticks(4) == ["coinmarketcap", "coinmarketcap", "coindesk", "coindesk"]
    assert ranks.state.failovers == 1


async def test_a_better_source_is_tried_after_the_snapshot_is_stored_and_only_then(ranks):
    ranks.answers["coindesk"] = [AWAY]
    await ranks.ticks(1)
    stored: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        stored.append(len(ranks.store.snapshots))
        return LISTED(request)

    ranks.answers["coindesk"] = [answer]
    await ranks.ticks(1)
    assert stored == [2]
    assert {snapshot.marker.source for snapshot in ranks.store.snapshots.values()} == {"coinmarketcap"}


async def test_prices_have_a_list_of_sources_and_the_marker_names_the_one_used(tmp_path):
    other = PRICES.model_copy(
        update={"name": "other", "request": PRICES.request.model_copy(update={"url": "https://coindesk.example"})}
    )
    prices = Series([PRICES, other], tmp_path)
    prices.answers["keyed"] = [AWAY]
    assert await prices.ticks(2) == ["other", "other"]
    assert prices.state.source == "other"
    assert "HTTP 429" in prices.state.why[0]


async def test_a_restart_goes_on_with_the_fallback_and_keeps_the_count(ranks):
    ranks.answers["coindesk"] = [AWAY, LISTED]
    await ranks.ticks(1)
    ranks.start()
    assert await ranks.ticks(1) == ["coinmarketcap"]
    assert ranks.state.failovers == 1


async def test_another_key_begins_with_the_first_source_and_keeps_the_count(prices):
    prices.answers["keyed"] = [REFUSED, LISTED]
    await prices.ticks(1)
    prices.start(key="a new key")
    await prices.ticks(1)
    assert prices.asked == ["keyed", "keyless", "keyed"]
    assert (prices.state.is_fallback, prices.state.failovers) == (False, 1)


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]"], ids=str)
async def test_a_damaged_file_begins_anew(ranks, damage: Any):
    ranks.answers["coindesk"] = [AWAY, LISTED]
    await ranks.ticks(1)
    (ranks.folder / "source.json").write_bytes(damage)
    ranks.start()
    assert await ranks.ticks(1) == ["coindesk"]
    assert ranks.state.failovers == 0


async def test_doctor_reports_a_source_that_stands_in_and_why(prices, tmp_path):
    prices.answers["keyed"] = [REFUSED]
    prices.folder = tmp_path / "price"
    prices.folder.mkdir()
    prices.start()
    await prices.ticks(1)
    (finding,) = [each for each in check_readings(prices.clock(), tmp_path) if each.what == "source of price"]
    assert not finding.well
    assert finding.seen.startswith(
        "coinmarketcap without its key since 2026-08-01T12:00:00Z, because of: coinmarketcap:"
    )


def test_two_sources_of_a_series_with_one_name_are_refused(tmp_path):
    file = tmp_path / "other.toml"
    file.write_text((Path(ingest_price.__path__[0]) / "coinmarketcap.toml").read_text("utf-8"))
    chosen = load({"TOPCOINS_PRICE_SOURCE": f"coinmarketcap,{file}"}, "ingest_price")
    clock = FakeClock()
    store = MemoryStore(clock)
    sources = ServiceSources(chosen, client=Upstream(LISTED).client, store=store, clock=clock)
    with pytest.raises(SettingsRejected, match="2 sources of price are named 'coinmarketcap'"):
        ingests(ingest_price.source.plan, sources, lambda series: WriteThrough(store))


async def test_no_key_is_in_the_file(prices):
    prices.start(key="canary-5f3a9c1e")
    prices.answers["keyed"] = [REFUSED]
    await prices.ticks(1)
    assert b"canary" not in (prices.folder / "source.json").read_bytes()
