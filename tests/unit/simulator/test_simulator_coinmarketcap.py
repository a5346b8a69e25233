from datetime import UTC, timedelta
from typing import Any

import pytest

from lib.simulator import Market, Plan, Replay
from tests.unit.simulator.upstreams import NOON, Hands, Open

V1 = "/v1/cryptocurrency/listings/latest"
V3 = "/v3/cryptocurrency/listings/latest"
MAP = "/v1/cryptocurrency/map"


async def test_v1_has_quotes_in_a_map_and_a_total(simulate: Open):
    body = (await simulate().cmc(V1)).json()
    assert len(body["data"]) == 100
    assert body["data"][0]["quote"]["USD"]["price"] > 0
    assert body["status"]["total_count"] == 250
    assert body["status"]["error_code"] == 0
    assert body["status"]["timestamp"] == "2026-03-04T12:00:07.000Z"
    assert body["data"][0]["last_updated"] == "2026-03-04T11:59:00.000Z"


async def test_v3_has_the_same_quotes_in_a_list_and_no_total(simulate: Open):
    caller = simulate()
    old, new = (await caller.cmc(V1, limit=5)).json(), (await caller.cmc(V3, limit=5)).json()
    assert "total_count" not in new["status"]
    for one, other in zip(old["data"], new["data"], strict=True):
        assert other["quote"] == [{"id": 2781, "symbol": "USD", **one["quote"]["USD"]}]
        assert other["id"] == one["id"]


async def test_pages_hold_every_asset_once_in_the_asked_order(simulate: Open):
    caller = simulate()
    pages = [(await caller.cmc(V1, start=s, limit=100, sort="volume_24h")).json()["data"] for s in (1, 101, 201, 301)]
    assert [len(page) for page in pages] == [100, 100, 50, 0]
    records = [record for page in pages for record in page]
    assert len({record["id"] for record in records}) == 250
    volumes = [record["quote"]["USD"]["volume_24h"] for record in records]
    assert volumes == sorted(volumes, reverse=True)


async def test_market_cap_is_the_order_when_none_is_asked_for(simulate: Open):
    caller = simulate()
    down = (await caller.cmc(V1, limit=5000)).json()["data"]
    up = (await caller.cmc(V1, limit=5000, sort_dir="asc")).json()["data"]
    assert [record["cmc_rank"] for record in down] == list(range(1, 251))
    assert [record["id"] for record in up] == [record["id"] for record in down][::-1]


async def test_stablecoins_and_wrapped_coins_have_the_vendor_s_tags(simulate: Open):
    tags = {record["id"]: record["tags"] for record in (await simulate().cmc(V3, limit=5000)).json()["data"]}
    assert {id_ for id_, own in tags.items() if "stablecoin" in own} == {825, 3408, 26081, 2563, 4943}
    assert {id_ for id_, own in tags.items() if "wrapped-tokens" in own} == {3717}
    assert tags[1] == []


async def test_another_currency_has_its_own_key(simulate: Open):
    caller = simulate()
    dollars, euros = [(await caller.cmc(V1, limit=1, convert=c)).json()["data"][0] for c in ("USD", "EUR")]
    assert set(euros["quote"]) == {"EUR"}
    assert euros["quote"]["EUR"]["price"] == pytest.approx(dollars["quote"]["USD"]["price"] * 0.92)


@pytest.mark.parametrize(
    "params",
    [{"limit": 5001}, {"limit": 0}, {"start": 0}, {"start": "x"}, {"sort": "hope"}, {"convert": "XXX"}, {"foo": 1}],
    ids=str,
)
async def test_a_bad_parameter_is_named_in_a_400(simulate: Open, params: dict[str, Any]):
    response = await simulate().cmc(V3, **params)
    assert response.status_code == 400
    status = response.json()["status"]
    assert status["error_code"] == 400
    assert next(iter(params)) in status["error_message"]


@pytest.mark.parametrize("path", [V1, V3, "/v1/key/info"])
@pytest.mark.parametrize(("key", "code"), [("", 1002), ("bad key", 1001)])
async def test_a_missing_key_and_a_wrong_key_give_different_errors(simulate: Open, path: str, key: str, code: int):
    response = await simulate().cmc(path, key=key)
    assert response.status_code == 401
    assert response.json()["status"]["error_code"] == code


@pytest.mark.parametrize("path", [V1, V3])
async def test_the_keyless_base_serves_the_same_list_without_credits(simulate: Open, path: str):
    caller = simulate()
    keyed, keyless = await caller.cmc(path), await caller.cmc("/public-api" + path, key="")
    assert keyless.json()["data"] == keyed.json()["data"]
    assert keyless.json()["status"]["credit_count"] == 0


@pytest.mark.parametrize(("limit", "credits"), [(1, 1), (250, 1), (251, 2), (5000, 2)])
async def test_a_credit_buys_250_assets(simulate: Open, limit: int, credits: int):
    assert (await simulate(Market(assets=500)).cmc(V3, limit=limit)).json()["status"]["credit_count"] == credits


async def test_how_many_assets_a_credit_buys_can_be_set(simulate: Open):
    answer = await simulate(plan=Plan(assets_per_credit=200)).cmc(V3, limit=201)
    assert answer.json()["status"]["credit_count"] == 2


async def test_the_map_has_every_id_in_order_with_its_contract_and_costs_nothing(simulate: Open):
    caller = simulate()
    answer = (await caller.cmc(MAP)).json()
    listed = {record["id"]: record for record in (await caller.cmc(V3, limit=5000)).json()["data"]}
    assert [row["id"] for row in answer["data"]] == sorted(listed)
    assert {row["id"]: row["platform"] for row in answer["data"]} == {
        id_: record["platform"] for id_, record in listed.items()
    }
    assert answer["data"][0]["platform"] is None
    assert any(row["platform"] and row["platform"]["id"] == 1027 for row in answer["data"])
    assert answer["status"]["credit_count"] == 0


async def test_the_map_has_pages_and_a_keyless_base(simulate: Open):
    caller = simulate()
    whole = (await caller.cmc("/public-api" + MAP, key="")).json()["data"]
    page = (await caller.cmc(MAP, start=3, limit=2, sort="id", listing_status="active")).json()["data"]
    assert page == whole[2:4]


async def test_requests_over_the_minute_are_refused_until_the_next_minute(simulate: Open, clock: Hands):
    caller = simulate(plan=Plan(requests_per_minute=2))
    codes = [(await caller.cmc()).json()["status"]["error_code"] for _ in range(3)]
    assert codes == [0, 0, 1008]
    assert (await caller.cmc(key="another")).status_code == 200
    clock.move(timedelta(minutes=1))
    assert (await caller.cmc()).status_code == 200


@pytest.mark.parametrize(
    ("plan", "code", "wait"),
    [
        (Plan(credits_per_day=1), 1009, timedelta(days=1)),
        (Plan(credits_per_month=1), 1010, timedelta(days=28)),
    ],
)
async def test_used_up_credits_come_back_with_the_day_or_month(
    simulate: Open, clock: Hands, plan: Plan, code: int, wait: timedelta
):
    caller = simulate(plan=plan)
    assert (await caller.cmc(limit=250)).status_code == 200
    refused = await caller.cmc()
    assert (refused.status_code, refused.json()["status"]["error_code"]) == (429, code)
    clock.move(wait)
    assert (await caller.cmc()).status_code == 200


async def test_an_address_without_a_key_has_a_limit_of_its_own(simulate: Open):
    caller = simulate(plan=Plan(keyless_per_minute=1))
    answers = [await caller.cmc("/public-api" + V3, key="") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].json()["status"]["error_code"] == 1011
    assert (await caller.cmc()).status_code == 200


async def test_key_info_has_the_credits_left_and_costs_nothing(simulate: Open):
    caller = simulate(plan=Plan(credits_per_month=100))
    await caller.cmc(limit=250)
    body = [(await caller.cmc("/v1/key/info")).json() for _ in range(2)][1]
    assert body["data"]["plan"] == {
        "credit_limit_monthly": 100,
        "credit_limit_monthly_reset": "In 27 days, 11 hours, 59 minutes",
        "credit_limit_monthly_reset_timestamp": "2026-04-01T00:00:00.000Z",
        "rate_limit_minute": 50,
    }
    assert body["data"]["usage"] == {
        "current_minute": {"requests_made": 1, "requests_left": 49},
        "current_day": {"credits_used": 1},
        "current_month": {"credits_used": 1, "credits_left": 99},
    }


async def test_the_month_after_december_is_january(simulate: Open, clock: Hands):
    clock.now = NOON.replace(month=12, tzinfo=UTC)
    plan = (await simulate().cmc("/v1/key/info")).json()["data"]["plan"]
    assert plan["credit_limit_monthly_reset_timestamp"] == "2027-01-01T00:00:00.000Z"


async def test_an_unknown_path_is_a_404_in_the_envelope_of_its_vendor(simulate: Open):
    client = simulate().client
    cmc, desk, gecko = [await client.get(base + "/v9/nothing") for base in ("", "/asset", "/api/v3")]
    assert cmc.status_code == desk.status_code == gecko.status_code == 404
    assert cmc.json()["status"]["error_code"] == gecko.json()["status"]["error_code"] == 404
    assert desk.json()["Err"]["http_status_code"] == 404


async def test_5000_assets_fit_one_page(simulate: Open):
    assert len((await simulate(Market(assets=5000)).cmc(V3, limit=5000)).json()["data"]) == 5000


@pytest.mark.parametrize("version", ["v1", "v3"])
async def test_a_past_day_is_the_list_of_its_last_minute_at_a_credit_per_100_assets(simulate: Open, clock, version):
    caller, path = simulate(), f"/{version}/cryptocurrency/listings/historical"
    body = (await caller.cmc(path, date="2026-03-01", limit=250)).json()
    assert body["status"]["credit_count"] == 3
    assert {record["last_updated"][:10] for record in body["data"]} == {"2026-03-01"}
    clock.now += timedelta(hours=5)
    assert (await caller.cmc(path, date="2026-03-01", limit=250)).json()["data"] == body["data"]


@pytest.mark.parametrize(
    ("asked", "says"), [({}, "is required"), ({"date": "2026-03-04"}, "older"), ({"date": "soon"}, "ISO 8601")]
)
async def test_a_day_that_has_no_list_is_refused(simulate: Open, asked, says):
    answer = await simulate().cmc("/v1/cryptocurrency/listings/historical", **asked)
    assert answer.status_code == 400
    assert says in answer.json()["status"]["error_message"]


async def test_past_days_are_not_for_the_keyless(simulate: Open):
    caller = simulate()
    assert (await caller.cmc("/v1/cryptocurrency/listings/historical", key="", date="2026-03-01")).status_code == 401
    past = "/public-api/v1/cryptocurrency/listings/historical"
    assert (await caller.cmc(past, key="", date="2026-03-01")).status_code == 404


async def test_a_recorded_day_is_served_for_its_date_and_no_other(simulate: Open, recorded):
    caller = simulate(Replay(recorded))
    path = "/v1/cryptocurrency/listings/historical"
    body = (await caller.cmc(path, date="2024-01-15")).json()
    assert {record["id"] for record in body["data"]} >= {1}
    assert (await caller.cmc(path, date="2024-01-16")).status_code == 400
