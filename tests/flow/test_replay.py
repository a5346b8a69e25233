"""Recorded answers through the real processes: what was captured is what is answered."""

from itertools import count

import pytest

from tests.fakes import RECORDED, recorded

pytestmark = pytest.mark.stack

CAPTURE = "cmc-listings-latest-1000-20210629T0023Z"
ASSETS = 1000
RANK_SOURCES = ("coindesk", "coinmarketcap")


def test_the_list_is_the_capture_by_whichever_rank_source(stage):
    """Its prices, its volumes and their order; and each record is accounted for."""
    replayed = stage.simulator("--replay", str(RECORDED), "--match", f"{CAPTURE}*")
    apis = {}
    for source in RANK_SOURCES:
        store = stage.folder / source / "topcoins.db"
        for service in ("ingest_price", "ingest_rank"):
            stage.service(service, store, RANK_SOURCE=source, ASSETS=ASSETS, **replayed)
        apis[source] = stage.api(store)
    captured = {record["id"]: record["quote"]["USD"] for record in recorded(CAPTURE)["data"]}
    priced = [id_ for id_, quote in captured.items() if quote["price"] and quote["price"] > 0]
    by_volume = sorted(priced, key=lambda id_: (-captured[id_]["volume_24h"], id_))
    for source, api in apis.items():
        answer = api.answers("/v1/top", limit=5000).json()
        assert answer["sources"] == {"price": "coinmarketcap", "rank": source}
        assert answer["count"] == answer["assets"]["matched"] == len(priced) > 900
        assert [(row["cmc_id"], row["rank"]) for row in answer["data"]] == list(zip(by_volume, count(1), strict=False))
        for row in answer["data"]:
            quote = captured[row["cmc_id"]]
            assert (row["price_usd"], row["volume_24h_usd"]) == (quote["price"], quote["volume_24h"])
        status = api.get("/v1/status").json()["series"]
        for series in ("price", "volume_rank"):
            found = status[series]
            assert found["assets"] + found["rejected"] + found["duplicates"] == ASSETS


def test_a_list_in_euro_is_refused_loudly_and_never_answered(stage):
    replayed = stage.simulator("--replay", str(RECORDED), "--match", "cmc-listings-latest-eur-*")
    price, rank = (stage.service(name, ASSETS=100, **replayed) for name in ("ingest_price", "ingest_rank"))
    api = stage.api()
    refused = price.event("tick failed")
    assert (refused["level"], refused["kind"]) == ("error", "SnapshotRefused")
    assert "100 x usd is missing or not a number" in refused["why"]
    refused = rank.event("tick failed")
    assert refused["level"] == "error"
    assert "coindesk: 0 of 0 volume_rank rows are sound" in refused["why"]
    assert "coinmarketcap: 0 of 100 volume_rank rows are sound" in refused["why"]
    problem = api.answers("/", 404).json()
    assert problem["detail"] == "nothing is stored yet of price and volume_rank"
