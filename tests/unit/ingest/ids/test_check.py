"""A provider that is only compared: nothing of it is stored; how far it differs is reported and logged."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from lib.errors import SettingsRejected
from lib.ingest.ids.report import read_reports
from tests.unit.ingest.ids.providers import LIST, Providers, World, coin, map_record

IDS = range(1, 121)


def coins(*, usd: float = 1.0) -> list[Any]:
    return [coin(f"c{id_}", f"S{id_}", f"C{id_}", usd * id_, 1e6 - id_) for id_ in IDS]


@pytest.fixture
def acme(tmp_path):
    return World(
        Providers(coins(), [map_record(id_, f"S{id_}", f"C{id_}") for id_ in IDS]),
        tmp_path,
        RANK_SOURCE="coinmarketcap",
        CHECK_SOURCE=str(tmp_path / "acme.toml"),
        ASSETS="120",
    )


async def check(world: World, *, usd: float = 1.0, last: int = 120):
    """Run the check beside prices of so many dollars, and a rank list that ends with this id. Its comparison."""
    await world.quote(*((id_, usd * id_) for id_ in IDS))
    await world.rank(*((id_, 1e6 - id_) for id_ in range(last - 119, last + 1)))
    await world.checks[0].tick(world.clock())
    return read_reports(world.folder)[0].comparison


async def test_a_list_that_agrees_differs_by_nothing_and_nothing_of_it_is_stored(acme):
    with capture_logs() as events:
        comparison = await check(acme)
    assert (comparison.price_source, comparison.rank_source, comparison.assets) == ("coinmarketcap",) * 2 + (120,)
    assert (comparison.price_median, comparison.price_off, comparison.unshared) == (0.0, 0.0, {"100": 0.0})
    assert {marker.source for marker in await acme.store.markers(acme.clock(), acme.clock())} == {"coinmarketcap"}
    assert not [event for event in events if event["log_level"] == "warning"]


async def test_the_comparison_has_the_median_the_part_beyond_five_percent_and_the_first_places_not_shared(acme):
    await check(acme)
    acme.clock.move(minutes=10)
    acme.upstream.bodies[LIST]["coins"] = [*coins(usd=1.1)[:60], *coins()[60:]]
    comparison = await check(acme, last=130)
    assert comparison.price_off == 0.5
    assert comparison.unshared == {"100": 0.1}


async def test_disagreement_is_logged_when_it_starts_and_when_it_ends(acme):
    await check(acme)
    with capture_logs() as events:
        for usd in (1.0, 1.03, 1.03, 1.0, 1.0):
            acme.clock.move(minutes=10)
            await check(acme, usd=usd)
    warnings = [event["event"] for event in events if event["log_level"] == "warning"]
    assert warnings == ["a provider disagrees with what is stored", "a provider agrees again"]


async def test_an_old_snapshot_is_not_compared_with(acme):
    await check(acme)
    acme.clock.move(minutes=16)
    await acme.checks[0].tick(acme.clock())
    assert read_reports(acme.folder)[0].comparison is None


async def test_an_outage_is_logged_when_it_starts_and_when_it_ends(acme):
    body = acme.upstream.bodies.pop(LIST)
    with capture_logs() as events:
        await acme.checks[0].tick(acme.clock())
        acme.clock.move(minutes=30)
        await acme.checks[0].tick(acme.clock())
        acme.clock.move(minutes=30)
        acme.upstream.bodies[LIST] = body
        await check(acme)
    warnings = [event["event"] for event in events if event["log_level"] == "warning" and "compared" in event["event"]]
    assert warnings == ["a provider can't be compared", "a provider is compared again"]


def test_a_source_whose_records_have_ids_is_no_check_source(tmp_path):
    with pytest.raises(SettingsRejected, match=r"TOPCOINS_CHECK_SOURCE: coindesk has no \[id\]; for example coinpap"):
        World(Providers([], []), tmp_path, CHECK_SOURCE="coindesk", COINDESK_API_KEY="k")
