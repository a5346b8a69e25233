"""The status and the metrics of other providers' lists."""

from lib.ids.pins import Change
from lib.ingest.ids.report import FOLDER, Comparison, IdsReport, RefusedAsset, write_report
from tests.fakes import FakeClock
from tests.unit.query_api.market import NOW, CountingStore, calling

COMPARISON = Comparison(
    price_source="coinmarketcap", rank_source="coindesk", assets=800, price_median=0.0012, price_off=0.004,
    unshared={"100": 0.07, "250": 0.1},
)  # fmt: skip
REPORT = IdsReport(
    source="acme",
    at=NOW,
    map_day="2026-08-01",
    listed=1000,
    matched=870,
    rules={"contract": 400, "name": 470},
    untested=5,
    without=124,
    refused=[RefusedAsset(own="a-b", symbol="A", name="B", why="several ids have its symbol and name: 1, 2")],
    changed=[Change(own="c-d", pinned=3, now=4, why="")],
    comparison=COMPARISON,
)


async def test_status_and_metrics_report_what_came_of_a_providers_list(tmp_path):
    write_report(tmp_path / FOLDER, REPORT)
    clock = FakeClock(NOW)
    async with calling(CountingStore(clock), clock, spools=tmp_path) as client:
        (shown,) = (await client.get("/v1/status")).json()["providers"]
        metrics = (await client.get("/metrics")).text
    counts = {name: shown[name] for name in ("source", "listed", "matched", "refused", "without", "changed", "map_day")}
    assert counts == {
        "source": "acme", "listed": 1000, "matched": 870, "refused": 1, "without": 124, "changed": 1,
        "map_day": "2026-08-01",
    }  # fmt: skip
    assert shown["comparison"] == COMPARISON.model_dump()
    for line in (
        'topcoins_provider_list_timestamp_seconds{series="volume_rank",source="acme"} 1.',
        'topcoins_provider_ids{series="volume_rank",source="acme",state="refused"} 1.0',
        'topcoins_provider_price_difference_median{series="volume_rank",source="acme"} 0.0012',
        'topcoins_provider_prices_off{series="volume_rank",source="acme"} 0.004',
        'topcoins_provider_rank_disagreement{places="250",series="volume_rank",source="acme"} 0.1',
    ):
        assert line in metrics


async def test_a_provider_without_a_comparison_has_no_gauge_of_one_and_a_damaged_report_none_at_all(tmp_path):
    write_report(tmp_path / FOLDER, REPORT.model_copy(update={"comparison": None}))
    (tmp_path / FOLDER / "zeta.report.json").write_text("{")
    clock = FakeClock(NOW)
    async with calling(CountingStore(clock), clock, spools=tmp_path) as client:
        metrics = (await client.get("/metrics")).text
    assert 'topcoins_provider_ids{series="volume_rank",source="acme",state="matched"} 870.0' in metrics
    assert "topcoins_provider_prices_off{" not in metrics
    assert "zeta" not in metrics
