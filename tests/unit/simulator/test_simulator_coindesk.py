from collections import Counter
from typing import Any

import orjson
import pytest

from lib.simulator import Market, Plan
from tests.unit.simulator.upstreams import Caller, Open

VOLUME = "SPOT_MOVING_24_HOUR_QUOTE_VOLUME_USD"


async def whole_list(caller: Caller) -> Any:
    first = (await caller.desk(page=1, page_size=100)).json()["Data"]
    pages = -(-first["STATS"]["TOTAL_ASSETS"] // 100)
    rest = [(await caller.desk(page=page, page_size=100)).json()["Data"]["LIST"] for page in range(2, pages + 1)]
    return first["LIST"] + [record for page in rest for record in page]


def cmc_ids(record: dict[str, Any]) -> list[str]:
    return [entry["ID"] for entry in record["ASSET_ALTERNATIVE_IDS"] or [] if entry["NAME"] == "CMC"]


async def test_the_list_is_in_the_order_of_volume_over_all_pages(simulate: Open):
    records = await whole_list(simulate(Market(assets=500)))
    volumes = [record[VOLUME] for record in records]
    assert volumes == sorted(volumes, reverse=True)
    assert [record["TOPLIST_BASE_RANK"][VOLUME] for record in records] == list(range(1, len(records) + 1))


async def test_the_announced_total_is_the_sum_of_the_pages_and_no_entry_appears_twice(simulate: Open):
    caller = simulate()
    records = await whole_list(caller)
    assert (await caller.desk()).json()["Data"]["STATS"] == {
        "PAGE": 1,
        "PAGE_SIZE": 100,
        "TOTAL_ASSETS": len(records),
    }
    assert len({record["ID"] for record in records}) == len(records)


async def test_a_page_past_the_last_is_empty(simulate: Open):
    body = (await simulate().desk(page=99, page_size=100)).json()
    assert body["Data"]["LIST"] == []
    assert body["Err"] == {}


async def test_ascending_is_the_list_from_its_end(simulate: Open):
    caller = simulate()
    records = await whole_list(caller)
    last = (await caller.desk(page_size=10, sort_direction="ASC")).json()["Data"]["LIST"]
    assert [record["ID"] for record in last] == [record["ID"] for record in records[::-1][:10]]


async def test_some_cmc_ids_come_twice_with_different_volumes(simulate: Open):
    records = await whole_list(simulate(Market(assets=500)))
    seen = Counter(cmc_id for record in records for cmc_id in cmc_ids(record))
    assert seen["3408"] == 2
    usdc = [record[VOLUME] for record in records if cmc_ids(record) == ["3408"]]
    assert usdc[0] > usdc[1]


async def test_some_entries_have_no_foreign_ids_and_some_none_of_cmc(simulate: Open):
    records = await whole_list(simulate(Market(assets=500)))
    assert any(record["ASSET_ALTERNATIVE_IDS"] is None for record in records)
    assert any(record["ASSET_ALTERNATIVE_IDS"] and not cmc_ids(record) for record in records)


@pytest.mark.parametrize("headers", [{}, {"authorization": "Apikey bad"}, {"authorization": "Bearer good"}], ids=str)
async def test_a_missing_or_bad_key_gets_the_recorded_answer(simulate: Open, headers: dict[str, str]):
    response = await simulate().client.get("/asset/v1/top/list", headers=headers)
    words = {
        "type": 2,
        "message": "API key required, please refer to the documentation at https://developers.coindesk.com/",
    }
    assert response.status_code == 401
    assert response.json() == {"Data": {}, "Err": {**words, "http_status_code": 401, "frontend": words}}


@pytest.mark.parametrize(
    "params",
    [
        {"page_size": 9},
        {"page_size": 101},
        {"page": 0},
        {"page": 1001},
        {"page": "x"},
        {"sort_by": "NAME"},
        {"sort_direction": "UP"},
    ],
    ids=str,
)
async def test_a_bad_parameter_is_named_in_err(simulate: Open, params: dict[str, Any]):
    response = await simulate().desk(**params)
    assert response.status_code == 400
    assert next(iter(params)) in response.json()["Err"]["message"]


async def test_records_have_the_names_of_the_vendors_own_example(simulate: Open, recorded):
    body = orjson.loads((recorded / "coindesk-asset-v1-top-list-1of3396-20250606.json").read_bytes())
    example = body["Data"]["LIST"][0]
    record = (await simulate().desk()).json()["Data"]["LIST"][0]
    assert set(record) <= set(example)
    assert {type(record[name]) for name in ("TYPE", "SYMBOL")} == {type(example[name]) for name in ("TYPE", "SYMBOL")}


async def test_the_rate_limit_call_counts_the_calls_of_a_key_and_itself(simulate: Open):
    caller = simulate(coindesk_plan=Plan(credits_per_month=50))
    await caller.desk()
    answer = await caller.client.get("/admin/v2/rate/limit", headers={"authorization": "Apikey a key"})
    counts = answer.json()["Data"]["API_KEY"]
    assert [counts[name]["MONTH"] for name in ("USED", "MAX", "REMAINING")] == [2, 50, 48]


async def test_a_key_without_calls_left_is_refused_with_402_and_another_is_served(simulate: Open):
    caller = simulate(coindesk_plan=Plan(credits_per_month=1))
    assert [(await caller.desk()).status_code for _ in range(2)] == [200, 402]
    assert (await caller.desk(key="another")).status_code == 200
