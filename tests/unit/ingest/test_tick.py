"""One tick: sources in order, the gate, the store, and the log."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from polars.testing import assert_frame_equal
from pydantic import SecretStr
from structlog.testing import capture_logs

import ingest_price
import ingest_rank
from lib.clock import EPOCH
from lib.errors import SettingsRejected, StoreUnavailable
from lib.gaps import find_gaps
from lib.ingest.delivery import ViaSpool, WriteThrough
from lib.ingest.missed import read_missed
from lib.ingest.service import SourcePlan, ingests
from lib.ingest.sources import ServiceSources
from lib.ingest.spool import Spool
from lib.ingest.spool_folder import Counts
from lib.ingest.tick import Ingest
from lib.schema import PRICE, VOLUME_RANK, Series
from lib.settings import Settings, load
from lib.source import Source, SourceFile, read_source
from tests.fakes import NOON, FakeClock, MemoryStore, Upstream, recorded, says

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
FOLDER = Path(ingest_rank.__path__[0])
PRICES = read_source(Path(ingest_price.__path__[0]) / "coinmarketcap.toml")
COINDESK, CMC = (read_source(FOLDER / f"{name}.toml") for name in ("coindesk", "coinmarketcap"))
assert COINDESK.key
# Its calls are planned in test_credits; here it ticks as asked.
COINDESK = COINDESK.model_copy(update={"key": COINDESK.key.model_copy(update={"quota": None}), "cost": None})
REFUSED = says(recorded("coindesk-data-error-401-keyrequired-1-20260623"), 401)
AWAY = says({"status": {"error_code": 1011}, "Err": {"type": 99}}, 429)


def top_list(count: int, *, volume: float = 1.0, **headers: str):
    records = [
        {"ASSET_ALTERNATIVE_IDS": [{"NAME": "CMC", "ID": str(id_)}], "SPOT_MOVING_24_HOUR_QUOTE_VOLUME_USD": volume}
        for id_ in range(1, count + 1)
    ]
    return says({"Data": {"LIST": records}, "Err": {}}, 200, **headers)


def listing(count: int, *, volume: float = 2.0):
    return says({"data": [{"id": id_, "quote": {"USD": {"volume_24h": volume}}} for id_ in range(1, count + 1)]})


class Market:
    """Both rank sources with what they answer, a clock, a store, and ingests over them."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock)
        self.coindesk, self.cmc = Upstream(top_list(10)), Upstream(listing(10))
        self.slot = NOON - MINUTE

    def ingest(self, *, assets: int = 10, folder: Path | None = None) -> Ingest:
        """As a process that has just started makes it."""
        sources = [
            Source(file, client=upstream.client, clock=self.clock, key=SecretStr("key"))
            for file, upstream in ((COINDESK, self.coindesk), (CMC, self.cmc))
        ]
        return Ingest(
            sources,
            store=self.store,
            delivery=WriteThrough(self.store),
            clock=self.clock,
            assets=assets,
            interval=MINUTE,
            folder=folder,
        )

    def direct(self, series: Series) -> WriteThrough:
        return WriteThrough(self.store)

    async def tick(self, ingest: Ingest):
        """The tick of the next minute."""
        self.slot += MINUTE
        self.clock.now = self.slot
        return await ingest.tick(self.slot)


@pytest.fixture
def market():
    return Market()


def logged(logs: Sequence[Mapping[str, Any]], *fields: str) -> list[tuple[Any, ...]]:
    return [tuple(entry[field] for field in ("event", "log_level", *fields)) for entry in logs]


async def test_a_tick_keeps_the_snapshot_of_its_slot(market):
    snapshot = await market.tick(market.ingest())
    assert snapshot is not None
    assert (snapshot.tick, snapshot.marker.source, snapshot.marker.assets) == (NOON, "coindesk", 10)
    assert snapshot.marker.interval == MINUTE
    assert await market.store.nearest("volume_rank", NOON) == snapshot.marker.with_stored_at(market.clock())
    assert_frame_equal(await market.store.rows(VOLUME_RANK, NOON), snapshot.rows)
    assert not market.cmc.asked


async def test_an_outage_that_becomes_one_of_another_kind_is_logged_again_once(market):
    """A clock that is found wrong while the source was away, for example."""
    market.cmc.answers[:] = [says({}, 503)]
    ingest = market.ingest()
    with capture_logs() as logs:
        for answer in [says({}, 503), top_list(10, date="Sat, 01 Aug 2026 11:00:00 GMT")] * 2:
            market.coindesk.answers[:] = [answer]
            assert await market.tick(ingest) is None
    assert logged([entry for entry in logs if entry["log_level"] == "error"], "kind") == [
        ("tick failed", "error", "SourceUnavailable"),
        ("tick failed", "error", "ClockDisagrees"),
    ]


async def test_a_tick_is_one_line_of_the_log_with_its_counts(market):
    records = [
        {"ASSET_ALTERNATIVE_IDS": [{"NAME": "CMC", "ID": id_}], "SPOT_MOVING_24_HOUR_QUOTE_VOLUME_USD": 1}
        for id_ in ("1", "2", "2", None)
    ]
    market.coindesk.answers[:] = [says({"Data": {"LIST": [None, *records]}})]
    with capture_logs() as logs:
        await market.tick(market.ingest())
    assert [entry for entry in logs if entry["event"] == "tick"] == [
        {
            "event": "tick",
            "log_level": "info",
            "series": "volume_rank",
            "tick": NOON,
            "source": "coindesk",
            "assets": 2,
            "rejected": {"record is not an object": 1, "cmc_id is missing or not a whole number": 1},
            "duplicates": 1,
            "duration_s": 0.0,
            "credits": 0.0,
            "unchanged": False,
        }
    ]


async def test_a_backfilled_tick_is_marked_as_backfilled(market):
    snapshot = await market.ingest().tick(NOON, backfilled=True)
    assert snapshot is not None
    assert snapshot.marker.backfilled


async def test_the_next_source_answers_when_the_first_does_not(market):
    market.coindesk.answers[:] = [AWAY]
    ingest = market.ingest()
    with capture_logs() as logs:
        used = [(await market.tick(ingest)).marker.source for _ in range(3)]
    assert used == ["coinmarketcap"] * 3
    changes = [entry for entry in logs if entry["event"] == "source changed"]
    assert logged(changes, "before", "now") == [("source changed", "warning", "coindesk", "coinmarketcap")]
    assert "HTTP 429" in changes[0]["why"][0]


async def test_after_a_source_with_refused_rows_the_next_source_is_used(market):
    market.coindesk.answers[:] = [says({"Data": {"LIST": [{}, {}]}})]
    snapshot = await market.tick(market.ingest())
    assert snapshot is not None
    assert snapshot.marker.source == "coinmarketcap"


async def test_a_refused_key_is_not_asked_again_each_minute(market):
    market.coindesk.answers[:] = [REFUSED, top_list(10)]
    ingest = market.ingest()
    used = [(await market.tick(ingest)).marker.source for _ in range(60)]
    assert used == ["coinmarketcap"] * 60
    assert len(market.coindesk.asked) == 1


async def test_an_outage_is_logged_when_it_starts_and_when_it_ends_with_its_count(market):
    market.coindesk.answers[:] = [AWAY] * 3 + [top_list(10)]
    market.cmc.answers[:] = [AWAY]
    ingest = market.ingest()
    with capture_logs() as logs:
        for _ in range(5):
            await market.tick(ingest)
    assert [event for event in logged(logs) if event != ("tick failed", "debug")] == [
        ("tick failed", "error"),
        ("tick", "info"),
        ("ticks succeed again", "warning"),
        ("tick", "info"),
    ]
    first, end = logs[0], logs[-2]
    assert (first["series"], first["tick"], first["kind"]) == ("volume_rank", NOON, "SourceUnavailable")
    assert first["why"].startswith("every source failed: coindesk: GET ")
    assert "; then coinmarketcap: GET " in first["why"]
    assert (end["failed"], end["tick"]) == (3, NOON + 3 * MINUTE)


async def test_a_second_outage_is_logged_like_the_first(market):
    market.coindesk.answers[:] = [AWAY, top_list(10), AWAY, top_list(10)]
    market.cmc.answers[:] = [AWAY]
    ingest = market.ingest()
    with capture_logs() as logs:
        for _ in range(4):
            await market.tick(ingest)
    outages = [entry for entry in logs if entry["event"] != "tick"]
    assert logged(outages) == [("tick failed", "error"), ("ticks succeed again", "warning")] * 2
    assert [entry["failed"] for entry in outages if "failed" in entry] == [1, 1]


@pytest.mark.parametrize(
    ("second", "kind"), [(AWAY, "SourceUnavailable"), (says({"status": {"error_code": 1006}}, 403), "SourceRejected")]
)
async def test_only_when_every_source_refuses_us_is_the_tick_called_rejected(market, second, kind):
    market.coindesk.answers[:] = [REFUSED]
    market.cmc.answers[:] = [second]
    with capture_logs() as logs:
        await market.tick(market.ingest())
    assert logged(logs, "kind") == [("tick failed", "error", kind)]


async def test_a_refused_snapshot_writes_nothing(market):
    market.coindesk.answers[:] = [top_list(10), top_list(4), top_list(4), top_list(5)]
    market.cmc.answers[:] = [AWAY]
    ingest = market.ingest()
    with capture_logs() as logs:
        kept = [await market.tick(ingest) for _ in range(3)]
    assert [snapshot and snapshot.marker.assets for snapshot in kept] == [10, None, 5]
    assert [tick for _, tick in market.store.snapshots] == [NOON, NOON + 2 * MINUTE]
    assert "short: 4 assets are under half of the 10 expected" in next(entry["why"] for entry in logs if "why" in entry)


async def test_a_snapshot_the_store_did_not_take_is_reported_and_is_not_the_one_before(market):
    market.coindesk.answers[:] = [top_list(100, volume=1e9)]
    ingest = market.ingest(assets=100)
    assert await market.tick(ingest)
    market.store.failure = StoreUnavailable("store: disk full")
    market.coindesk.answers[:] = [top_list(100, volume=2e9)]
    with capture_logs() as logs:
        assert await market.tick(ingest) is None
    assert logged(logs[-1:], "why", "kind") == [("tick failed", "error", "store: disk full", "StoreUnavailable")]
    market.store.failure = None
    snapshot = await market.tick(ingest)
    assert snapshot is not None
    assert not snapshot.marker.unchanged


async def test_a_store_that_is_away_at_the_start_is_reported_and_taken_up_later(market):
    market.store.failure = StoreUnavailable("store: away")
    ingest = market.ingest()
    with capture_logs() as logs:
        assert await market.tick(ingest) is None
        market.store.failure = None
        assert await market.tick(ingest)
    before = "the snapshot before is unknown"
    assert [entry["event"] for entry in logs] == [before, "tick", "tick failed", "tick", "ticks succeed again"]
    assert [tick for _, tick in market.store.snapshots] == [NOON + MINUTE]


async def test_under_half_of_the_assets_of_an_earlier_run_is_no_snapshot(market):
    market.cmc.answers[:] = [AWAY]
    await market.tick(market.ingest())
    market.coindesk.answers[:] = [top_list(4)]
    assert await market.tick(market.ingest()) is None
    market.coindesk.answers[:] = [top_list(5)]
    assert await market.tick(market.ingest())


async def test_half_of_fewer_assets_asked_after_a_restart_is_enough(market):
    await market.tick(market.ingest())
    market.coindesk.answers[:] = [top_list(2)]
    assert await market.tick(market.ingest(assets=4))


async def test_values_that_are_those_of_an_earlier_run_are_unchanged(market):
    await market.tick(market.ingest())
    again = await market.tick(market.ingest())
    assert again is not None
    assert again.marker.unchanged
    market.coindesk.answers[:] = [top_list(10, volume=3.0)]
    other = await market.tick(market.ingest())
    assert other is not None
    assert not other.marker.unchanged


async def test_a_tick_of_an_earlier_run_is_not_asked_for_again(market):
    await market.ingest().tick(NOON)
    restarted = market.ingest()
    with capture_logs() as logs:
        assert await restarted.tick(NOON) is None
    assert logged(logs) == [("tick is there already", "info")]
    assert len(market.coindesk.asked) == 1
    following = await restarted.tick(NOON + MINUTE)
    assert following is not None
    assert following.marker.unchanged


async def test_snapshots_of_another_series_are_not_the_one_before(market):
    market.store.snapshots.clear()
    snapshot = await market.tick(market.ingest())
    assert snapshot is not None
    assert await market.store.first(PRICE.name) is None


# Credits and clocks


class Keyed:
    """The price source with a key that runs out of credits, on a spool."""

    def __init__(
        self, folder: Path, *, left: int = 13_527, date: str | None = None, ahead=timedelta(), clock_check=True
    ) -> None:
        self.clock = FakeClock(NOON)
        self.store = MemoryStore(self.clock)
        self.folder = folder / "price"
        self.spool = Spool(self.folder, limit=2**20)
        self.spool.open()
        self.left = left
        self.ahead = ahead
        self.headers = {"date": date} if date else {}
        self.spooled_when_asked: list[int] = []
        self.lists = 0
        self.clock_check = clock_check
        self.start()

    def start(self) -> None:
        """As a process that has just started makes it."""
        client = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        self.ingest = Ingest(
            [Source(PRICES, client=client, clock=self.clock, key=SecretStr("key"))],
            store=self.store, delivery=ViaSpool(self.spool, self.store), clock=self.clock, assets=1000,
            interval=MINUTE, folder=self.folder, clock_check=self.clock_check,
        )  # fmt: skip

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/key/info":
            self.spooled_when_asked.append(self.spool.counts().spooled)
            resets = (NOON + timedelta(days=15)).isoformat()
            plan = {"credit_limit_monthly": 110_000, "credit_limit_monthly_reset_timestamp": resets}
            body = {"data": {"plan": plan, "usage": {"current_month": {"credits_left": self.left}}}}
            return httpx.Response(200, json=body, headers=self.headers)
        quote = {"USD": {"price": 2.0, "volume_24h": 3.0, "last_updated": (self.clock.now + self.ahead).isoformat()}}
        data = [{"id": id_, "symbol": "A", "name": "A", "quote": quote} for id_ in range(1, 11)]
        self.left -= 5
        self.lists += 1
        return httpx.Response(200, json={"data": data, "status": {"error_code": 0, "credit_count": 5}})


@pytest.fixture
def keyed(tmp_path):
    keyed = Keyed(tmp_path)
    yield keyed
    keyed.spool.close()


async def test_a_list_that_was_paid_for_is_on_disk_before_the_credits_left_are_asked_for(keyed):
    assert await keyed.ingest.tick(NOON)
    assert keyed.spooled_when_asked == [1]
    assert keyed.spool.counts() == Counts(fetched=1)


@pytest.mark.parametrize("date", ["Fri, 31 Dec 9999 23:59:59 -2359", "Fri, 99999999999999999999 99", "x" * 5000])
async def test_an_absurd_date_in_the_key_info_answer_costs_no_snapshot(tmp_path, date):
    keyed = Keyed(tmp_path, date=date)
    for minute in range(2):
        keyed.clock.now = NOON + minute * MINUTE
        assert await keyed.ingest.tick(keyed.clock.now)
    assert keyed.spool.counts() == Counts(fetched=2)
    keyed.spool.close()


async def test_a_list_that_shows_our_clock_to_be_wrong_makes_no_credit_plan(keyed):
    """The plan would be for the wrong month, and its interval would last after the clock is right again."""
    keyed.ahead = timedelta(days=40)
    assert await keyed.ingest.tick(NOON) is None
    assert keyed.lists
    assert not keyed.spooled_when_asked
    assert keyed.ingest.interval == MINUTE


@pytest.mark.parametrize("off", [timedelta(hours=3), timedelta(days=40), timedelta(seconds=-90), timedelta(days=-40)])
async def test_while_our_clock_is_wrong_the_gap_at_the_true_time_has_the_cause_clock(market, tmp_path, off):
    ingest, store, true = market.ingest(folder=tmp_path), market.store, NOON
    assert await market.tick(ingest)
    for _ in range(3):
        true += MINUTE
        answer = top_list(10, date=format_datetime(true + timedelta(seconds=1), usegmt=True))
        market.coindesk.answers[:] = market.cmc.answers[:] = [answer]
        market.clock.now = true + off
        assert await ingest.tick(true + off) is None
    market.clock.now = true + MINUTE
    ingest.missed([true - MINUTE, true], "not running", "as after a jump forward")
    found = await find_gaps(store, "volume_rank", NOON, true, now=market.clock.now, folder=tmp_path)
    assert [(gap.ticks, dict(gap.causes)) for gap in found.gaps] == [(3, {"clock": 3})]


async def test_an_upstream_whose_clock_is_wrong_makes_no_gap_in_the_past(market, tmp_path):
    ingest = market.ingest(folder=tmp_path)
    assert await market.tick(ingest)
    market.coindesk.answers[:] = market.cmc.answers[:] = [top_list(10, date="Thu, 01 Jan 1970 00:05:00 GMT")]
    assert await market.tick(ingest) is None
    found = await find_gaps(market.store, "volume_rank", EPOCH, NOON, now=market.clock.now, folder=tmp_path)
    assert not found.gaps


async def test_where_credits_are_short_a_restart_costs_no_list_of_its_own(keyed):
    await keyed.ingest.tick(NOON)
    assert keyed.ingest.interval == 18 * MINUTE
    asked = keyed.lists
    for minute in (1, 5, 17):
        keyed.clock.now = NOON + minute * MINUTE
        keyed.start()
        assert await keyed.ingest.tick(keyed.clock.now) is None
    assert keyed.lists == asked
    keyed.clock.now = NOON + 18 * MINUTE
    assert await keyed.ingest.tick(keyed.clock.now)


async def test_a_marker_has_the_interval_after_planning_so_that_a_stretched_plan_makes_no_gap(keyed):
    at = NOON
    for _ in range(4):
        keyed.clock.now = at
        snapshot = await keyed.ingest.tick(at)
        assert snapshot is not None
        assert snapshot.marker.interval == keyed.ingest.interval > MINUTE
        at += keyed.ingest.interval
    markers = await keyed.store.markers(NOON, at)
    assert [marker.interval for marker in markers] == [keyed.ingest.interval] * 4
    gaps = await find_gaps(keyed.store, "price", NOON, at, now=at, folder=keyed.folder)
    assert (gaps.stored, gaps.missing) == (4, 0)


async def test_a_marker_has_the_interval_of_the_source_that_was_used(market):
    sources = [
        Source(COINDESK, client=market.coindesk.client, clock=market.clock, key=SecretStr("key")),
        Source(CMC, client=market.cmc.client, clock=market.clock),  # without a key: every 5 minutes
    ]
    market.coindesk.answers[:] = [top_list(10), AWAY]
    ingest = Ingest(
        sources, store=market.store, delivery=WriteThrough(market.store), clock=market.clock, assets=10, interval=MINUTE
    )
    for interval in (MINUTE, 5 * MINUTE):
        snapshot = await market.tick(ingest)
        assert snapshot is not None
        assert snapshot.marker.interval == ingest.interval == interval


async def test_a_clock_that_disagrees_with_the_upstream_is_a_gap_of_its_own_cause(tmp_path):
    keyed = Keyed(tmp_path, ahead=48 * SECOND)
    with capture_logs() as logs:
        assert await keyed.ingest.tick(NOON) is None
    (missed,) = read_missed(keyed.folder, NOON, NOON)
    assert (missed.cause, [entry["kind"] for entry in logs if "kind" in entry]) == ("clock", ["ClockDisagrees"])
    assert "10 of 10 rows were updated after our clock" in missed.why
    keyed.spool.close()
    unchecked = Keyed(tmp_path, ahead=48 * SECOND, clock_check=False)
    assert await unchecked.ingest.tick(NOON)
    unchecked.spool.close()


@pytest.mark.parametrize(("second", "cause"), [(AWAY, "doubtful"), (says({"Data": {"LIST": [{}]}}), "doubtful")])
async def test_a_doubtful_list_is_the_cause_also_when_the_other_source_fails_otherwise(market, tmp_path, second, cause):
    ingest = market.ingest(folder=tmp_path)
    await market.tick(ingest)
    market.coindesk.answers[:] = [top_list(4)]
    market.cmc.answers[:] = [second]
    assert await market.tick(ingest) is None
    (missed,) = read_missed(tmp_path, market.slot, market.slot)
    assert missed.cause == cause


async def test_the_next_source_is_asked_when_a_list_is_doubtful(market, tmp_path):
    ingest = market.ingest()
    await market.tick(ingest)
    market.coindesk.answers[:] = [top_list(4)]
    market.cmc.answers[:] = [listing(10)]
    with capture_logs() as logs:
        snapshot = await market.tick(ingest)
    assert snapshot is not None
    assert snapshot.marker.source == "coinmarketcap"
    (change,) = [entry for entry in logs if entry["event"] == "source changed"]
    assert "the list is doubtful: short: 4 assets" in change["why"][0]


async def test_what_an_operator_admits_meanwhile_is_the_snapshot_before(market):
    market.cmc.answers[:] = [AWAY]
    ingest = market.ingest()
    await market.tick(ingest)
    market.coindesk.answers[:] = [top_list(4)]
    assert await market.tick(ingest) is None
    admitted = await market.ingest().tick(NOON)  # a process without the snapshot before
    assert admitted is None
    market.store.snapshots.clear()
    other = await market.ingest().tick(market.slot)
    assert other is not None
    assert other.marker.assets == 4
    assert await market.tick(ingest)


def plan_of(*files: list[SourceFile]) -> SourcePlan:
    return lambda settings: [list(series) for series in files]


def chosen(**environ: str) -> Settings:
    return load({f"TOPCOINS_{name}": value for name, value in environ.items()})


def sources_of(market: Any, **environ: str) -> ServiceSources:
    return ServiceSources(chosen(**environ), client=market.cmc.client, store=market.store, clock=market.clock)


def test_a_source_without_its_key_is_passed_over():
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda request: httpx.Response(500)))
    files, clock = [COINDESK, CMC], FakeClock()
    store = MemoryStore(clock)

    def names(settings: Settings) -> list[str]:
        return [each.name for each in ServiceSources(settings, client=client, store=store, clock=clock).usable(files)]

    assert names(chosen()) == ["coinmarketcap"]
    assert names(chosen(COINDESK_API_KEY="key")) == ["coindesk", "coinmarketcap"]


def test_no_source_with_its_key_is_refused_with_the_setting_to_set(market):
    with pytest.raises(SettingsRejected, match="no source of volume_rank has its key; set TOPCOINS_COINDESK_API_KEY"):
        ingests(plan_of([COINDESK]), sources_of(market), market.direct)


def test_without_a_key_a_series_is_polled_at_the_keyless_pace(market):
    def interval(**environ: str) -> timedelta:
        (ingest,) = ingests(plan_of([COINDESK, CMC]), sources_of(market, **environ), market.direct)
        return ingest.interval

    assert interval() == 5 * MINUTE
    assert interval(CMC_API_KEY="key") == MINUTE
    assert interval(CMC_URL="http://localhost:9000") == MINUTE
    assert interval(INTERVAL="10m") == 10 * MINUTE


def test_two_sources_of_one_series_that_are_no_alternatives_are_refused(market):
    with pytest.raises(SettingsRejected, match="2 sources fill volume_rank"):
        ingests(plan_of([CMC], [CMC]), sources_of(market), market.direct)


@pytest.mark.parametrize("wait", ["9" * 5000, "Fri, 31 Dec 9999 23:59:59 -2359", "-5", "soon"])
async def test_an_absurd_wait_of_the_first_source_costs_no_tick_of_the_second(market, wait):
    market.coindesk.answers[:] = [says(b"", 429, retry_after=wait)]
    ingest = market.ingest()
    used = [(await market.tick(ingest)).marker.source for _ in range(5)]
    assert used == ["coinmarketcap"] * 5
