"""How far the two sources disagree about the first places, from what is stored anyway."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

import pytest

from lib.snapshot import Snapshot
from query_api.asof.find_pair import PairFinder
from query_api.status.disagreement import Disagreements
from tests.fakes import FakeClock
from tests.unit.query_api.market import (
    MAX_AGE,
    MINUTE,
    NEWEST,
    NOW,
    CountingStore,
    Prices,
    Ranks,
    calling,
    fill,
    snapshot,
)


def prices(ids: Iterable[int], tick: datetime = NEWEST) -> Prices:
    """The price source's own order by volume."""
    return Prices(tick, [(id_, "S", "N", 1.0, 1e9 - place) for place, id_ in enumerate(ids)])


def ranks(ids: Iterable[int], tick: datetime = NEWEST) -> Ranks:
    return Ranks(tick, [(id_, 1e9 - place) for place, id_ in enumerate(ids)])


@pytest.fixture
def store() -> CountingStore:
    return CountingStore(FakeClock(NOW))


@pytest.mark.parametrize(
    ("ranked", "unshared"),
    [
        (range(1, 301), {"100": 0.0, "250": 0.0}),
        ([*range(11, 301), *range(1, 11)], {"100": 0.1, "250": 0.04}),
        (range(301, 601), {"100": 1.0, "250": 1.0}),
        (range(1, 121), {"100": 0.0}),
    ],
)
async def test_it_is_the_part_of_the_first_places_that_only_one_has(
    store: CountingStore, ranked: Sequence[int], unshared: dict[str, float]
) -> None:
    overlap = [*ranked, 300] if 300 not in ranked else ranked
    await fill(store, [prices(range(1, 301)), ranks(overlap)])
    found = await PairFinder(store, max_skew=MINUTE).find(NEWEST, max_age=MAX_AGE)
    disagreement = await Disagreements(store).of(found)
    assert disagreement is not None
    assert (disagreement.price_source, disagreement.rank_source) == ("coinmarketcap", "coindesk")
    assert disagreement.unshared == unshared


async def test_a_pair_is_computed_once(store: CountingStore) -> None:
    await fill(store, [prices(range(1, 301)), ranks(range(1, 301))])
    found = await PairFinder(store, max_skew=MINUTE).find(NEWEST, max_age=MAX_AGE)
    disagreements = Disagreements(store)
    first = await disagreements.of(found)
    asked = store.asked
    assert await disagreements.of(found) is first
    assert store.asked == asked


async def test_one_source_does_not_disagree_with_itself(store: CountingStore) -> None:
    await fill(store, [prices(range(1, 301))])
    written = snapshot(ranks(range(1, 301)))
    store.snapshots["volume_rank", NEWEST] = of_source(written, "coinmarketcap")
    async with calling(store, FakeClock(NOW)) as client:
        assert (await client.get("/v1/status")).json()["rank_disagreement"] is None
        assert "topcoins_rank_disagreement{" not in (await client.get("/metrics")).text


def of_source(snapshot: Snapshot, source: str) -> Snapshot:
    return replace(snapshot, marker=replace(snapshot.marker, source=source))


async def test_status_and_metrics_report_it(store: CountingStore) -> None:
    await fill(store, [prices(range(1, 301)), ranks([*range(11, 301), *range(1, 11)])])
    async with calling(store, FakeClock(NOW)) as client:
        shown = (await client.get("/v1/status")).json()["rank_disagreement"]
        assert shown["unshared"] == {"100": 0.1, "250": 0.04}
        assert 'topcoins_rank_disagreement{places="100"} 0.1' in (await client.get("/metrics")).text


async def test_without_a_pair_there_is_none(store: CountingStore) -> None:
    await fill(store, [prices(range(1, 301))])
    async with calling(store, FakeClock(NOW)) as client:
        assert (await client.get("/v1/status")).json()["rank_disagreement"] is None
