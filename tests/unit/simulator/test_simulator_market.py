from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from lib.simulator import Listing, Market
from lib.simulator.assets import DELISTED, INVENTED, LISTED, RENAMED

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
EVENTS = datetime(2026, 3, 1, tzinfo=UTC)


def ranked(listing: Listing, volume: str = "volume_24h") -> Any:
    return listing.ids[np.argsort(-getattr(listing, volume), kind="stable")].tolist()


def row(listing: Listing, cmc_id: int) -> Any:
    return listing.ids.tolist().index(cmc_id)


def test_an_instant_is_the_same_whatever_was_asked_before_it():
    asked = Market(seed=7)
    for hours in (5, -300, 90_000):
        asked.at(NOON + timedelta(hours=hours))
    one, other = asked.at(NOON), Market(seed=7).at(NOON)
    assert one.symbols == other.symbols
    for column in ("ids", "price", "volume_24h", "venue_volume", "market_cap", "percent_change_24h", "last_updated"):
        assert getattr(one, column).tolist() == getattr(other, column).tolist()


def test_another_seed_is_another_market():
    assert (Market(seed=1).at(NOON).price != Market(seed=2).at(NOON).price).all()


def test_values_change_every_minute_and_not_within_one():
    market = Market()
    first, same, later = (market.at(NOON + timedelta(seconds=s)) for s in (0, 59, 60))
    assert (first.price == same.price).all()
    known = first.ids < INVENTED
    assert (first.price != later.price)[known].all()
    assert (first.last_updated[known] == NOON.timestamp() - 60).all()


def test_a_value_older_than_a_minute_has_its_old_time_and_does_not_change():
    market = Market(assets=2000)
    one, next_ = market.at(NOON), market.at(NOON + timedelta(minutes=1))
    assert one.last_updated.min() < NOON.timestamp() - 600
    still = one.last_updated == next_.last_updated
    assert still.any()
    assert (one.price[still] == next_.price[still]).all()


@pytest.mark.parametrize("year", [2013, 2026, 2100])
def test_prices_are_finite_and_above_zero_in_any_year(year: int):
    listing = Market(assets=1000).at(datetime(year, 7, 1, tzinfo=UTC))
    for column in (listing.price, listing.market_cap):
        assert np.isfinite(column).all()
    assert (listing.price > 0).all()
    assert (listing.volume_24h >= 0).all()
    assert abs(listing.percent_change_24h).max() < 50


def test_stablecoins_stay_near_a_dollar_while_bitcoin_moves():
    market = Market()
    days = [market.at(NOON + timedelta(days=day)) for day in range(0, 700, 7)]
    tether, bitcoin = (np.array([day.price[row(day, cmc_id)] for day in days]) for cmc_id in (825, 1))
    assert abs(tether - 1).max() < 0.005
    assert bitcoin.max() / bitcoin.min() > 1.3


def test_bitcoin_or_tether_leads_and_places_swap_over_time():
    market = Market()
    hours = [ranked(market.at(NOON + timedelta(hours=hour))) for hour in range(0, 24 * 30, 6)]
    assert {hour[0] for hour in hours} <= {1, 825}
    assert len({tuple(hour[:20]) for hour in hours}) > 20


def test_the_two_vendors_do_not_agree_on_the_ranks():
    listing = Market().at(NOON)
    assert ranked(listing)[:100] != ranked(listing, "venue_volume")[:100]
    assert len(set(ranked(listing)[:100]) & set(ranked(listing, "venue_volume")[:100])) > 80


@pytest.mark.parametrize("assets", [1, 2, 5, 20, 81, 105, 500, 5000])
def test_as_many_assets_are_listed_as_were_asked_for_before_and_after_the_events(assets: int):
    market = Market(assets=assets, events_at=EVENTS)
    for at in (EVENTS - timedelta(days=1), EVENTS + timedelta(minutes=5), EVENTS + timedelta(days=1)):
        ids = market.at(at).ids.tolist()
        assert len(ids) == len(set(ids)) == assets


def test_an_asset_changes_its_ticker_and_keeps_its_id():
    market = Market(events_at=EVENTS)
    before, after = market.at(EVENTS - timedelta(minutes=1)), market.at(EVENTS)
    assert before.symbols[row(before, RENAMED)] == "SIMOLD"
    assert after.symbols[row(after, RENAMED)] == "SIMNEW"
    assert before.names[row(before, RENAMED)] != after.names[row(after, RENAMED)]


def test_one_asset_disappears_and_one_appears_ten_minutes_after_the_rename():
    market = Market(events_at=EVENTS)
    before, after = (set(market.at(EVENTS + timedelta(minutes=m)).ids.tolist()) for m in (9, 10))
    assert before - after == {DELISTED}
    assert after - before == {LISTED}


def test_the_events_happen_to_assets_of_the_top_hundred():
    listing = Market(events_at=EVENTS).at(NOON)
    assert {RENAMED, LISTED} <= set(ranked(listing)[:100])


def test_the_market_has_shared_tickers_zero_volumes_and_tiny_prices():
    listing = Market().at(NOON)
    assert max(Counter(listing.symbols).values()) > 1
    assert (listing.volume_24h == 0).any()
    assert ((listing.price > 5e-9) & (listing.price < 5e-8)).any()


def test_invented_assets_cannot_be_taken_for_real_ones():
    listing = Market(assets=1000).at(NOON)
    for cmc_id, name in zip(listing.ids.tolist(), listing.names, strict=True):
        assert (cmc_id > 900_000) == name.startswith("Simulated")


def test_a_market_without_assets_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        Market(assets=0)
