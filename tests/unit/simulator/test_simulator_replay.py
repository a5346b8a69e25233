from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from lib.errors import SettingsRejected
from lib.simulator import Fault, Replay
from tests.unit.simulator.upstreams import NOON, Open

V3 = "/v3/cryptocurrency/listings/latest"
MARCH = "*-100-20240317T*"


@pytest.fixture
def names(recorded: Path) -> list[str]:
    """The names of all recorded answers."""
    return [file.stem for file in recorded.glob("*.json")]


def capture(folder: Path, name: str) -> Any:
    return orjson.loads((folder / f"cmc-listings-latest-{name}.json").read_bytes())


def without_times(records: Any) -> Any:
    """Records without the times that a replay moves."""
    for record in records:
        quotes = record["quote"]
        for part in (record, *(quotes if isinstance(quotes, list) else quotes.values())):
            part.pop("last_updated", None)
    return records


def bitcoin(answer: Any) -> int:
    """Bitcoin's price: 67,075 in the first capture of March, 66,936 in the second."""
    return round(float(answer.json()["data"][0]["quote"]["USD"]["price"]))


async def test_a_capture_is_served_as_recorded_but_for_the_total_and_the_times(simulate: Open, recorded: Path):
    original = capture(recorded, "100-20240317T1034Z")
    served = (await simulate(Replay(recorded, "*20240317T1034Z*")).cmc()).json()
    assert without_times(served["data"]) == without_times(original["data"])
    assert served["status"] | {"timestamp": 0} == {**original["status"], "total_count": 100, "timestamp": 0}


async def test_the_times_of_a_capture_move_to_the_present_and_keep_their_distances(simulate: Open, recorded: Path):
    original = capture(recorded, "100-20240317T1034Z")
    served = (await simulate(Replay(recorded, "*20240317T1034Z*")).cmc()).json()

    def ages(answer: Any) -> list[float]:
        at = datetime.fromisoformat(answer["status"]["timestamp"])
        times = [part["last_updated"] for record in answer["data"] for part in (record, record["quote"]["USD"])]
        return [round((at - datetime.fromisoformat(time)).total_seconds(), 2) for time in times]

    assert ages(served) == ages(original)
    assert abs(datetime.fromisoformat(served["status"]["timestamp"]) - NOON) < timedelta(minutes=1)


async def test_first_pages_step_through_the_captures_and_stay_at_the_last(simulate: Open, recorded: Path):
    caller = simulate(Replay(recorded, MARCH))
    assert [bitcoin(await caller.cmc()) for _ in range(3)] == [67075, 66936, 66936]


async def test_later_pages_come_from_the_capture_of_the_first(simulate: Open, recorded: Path):
    caller = simulate(Replay(recorded, MARCH))
    first, second = [(await caller.cmc(start=start, limit=60)).json()["data"] for start in (1, 61)]
    assert without_times(first + second) == without_times(capture(recorded, "100-20240317T1034Z")["data"])


async def test_v3_gets_the_same_records_with_quotes_in_a_list(simulate: Open, recorded: Path):
    body = (await simulate(Replay(recorded, MARCH)).cmc(V3)).json()
    original = capture(recorded, "100-20240317T1034Z")["data"][0]
    quote = {"id": 2781, "symbol": "USD", **original["quote"]["USD"]}
    assert without_times(body["data"])[0] == without_times([{**original, "quote": [quote]}])[0]
    assert "total_count" not in body["status"]


async def test_a_sort_by_volume_sorts_the_capture(simulate: Open, recorded: Path):
    data = (await simulate(Replay(recorded, MARCH)).cmc(sort="volume_24h", limit=50)).json()["data"]
    everything = capture(recorded, "100-20240317T1034Z")["data"]
    volumes = sorted((record["quote"]["USD"]["volume_24h"] for record in everything), reverse=True)
    assert [record["quote"]["USD"]["volume_24h"] for record in data] == volumes[:50]


async def test_the_coindesk_list_is_made_of_the_same_capture(simulate: Open, recorded: Path):
    body = (await simulate(Replay(recorded, MARCH)).desk(page_size=100)).json()["Data"]
    original = {str(record["id"]): record for record in capture(recorded, "100-20240317T1034Z")["data"]}
    assert body["STATS"]["TOTAL_ASSETS"] == len(body["LIST"]) == 100
    for record in body["LIST"]:
        twin = original[record["ASSET_ALTERNATIVE_IDS"][0]["ID"]]
        assert record["SPOT_MOVING_24_HOUR_QUOTE_VOLUME_USD"] == twin["quote"]["USD"]["volume_24h"]
        assert record["SYMBOL"] == twin["symbol"]


async def test_both_vendors_step_alike(simulate: Open, recorded: Path):
    caller = simulate(Replay(recorded, MARCH))
    for name in ("100-20240317T1034Z", "100-20240317T1203Z"):
        volume = (await caller.desk(page_size=100)).json()["Data"]["LIST"][0]["SPOT_MOVING_24_HOUR_QUOTE_VOLUME_USD"]
        prices = (await caller.cmc()).json()["data"]
        assert without_times(prices) == without_times(capture(recorded, name)["data"])
        assert volume == max(record["quote"]["USD"]["volume_24h"] for record in prices)


async def test_a_capture_without_dollars_is_served_and_has_no_coindesk_list(simulate: Open, recorded: Path):
    caller = simulate(Replay(recorded, "*-eur-*"))
    quote = (await caller.cmc(V3)).json()["data"][0]["quote"]
    assert [(entry["id"], entry["symbol"]) for entry in quote] == [(2790, "EUR")]
    assert (await caller.desk()).json()["Data"]["LIST"] == []


async def test_a_capture_of_the_data_alone_gets_the_time_of_its_newest_value(
    simulate: Open, recorded: Path, tmp_path: Path
):
    records = capture(recorded, "100-20240317T1034Z")["data"]
    (tmp_path / "cmc-listings-latest-dataonly-100-20240317.json").write_bytes(orjson.dumps(records))
    body = (await simulate(Replay(tmp_path)).cmc()).json()
    assert body["status"]["timestamp"] == max(record["last_updated"] for record in body["data"])
    assert body["status"]["error_code"] == 0


async def test_a_null_volume_stays_null_and_is_last(simulate: Open, recorded: Path, tmp_path: Path):
    records = capture(recorded, "100-20240317T1034Z")["data"][:3]
    records[0]["quote"]["USD"]["volume_24h"] = None
    (tmp_path / "cmc-listings-latest-3-20240317.json").write_bytes(orjson.dumps(records))
    last = (await simulate(Replay(tmp_path)).desk()).json()["Data"]["LIST"][-1]
    assert last["SYMBOL"] == records[0]["symbol"]
    assert last["SPOT_MOVING_24_HOUR_QUOTE_VOLUME_USD"] is None


async def test_replayed_answers_cost_what_their_records_cost(simulate: Open, recorded: Path):
    caller = simulate(Replay(recorded, MARCH))
    keyed, keyless = await caller.cmc(), await caller.cmc("/public-api" + V3, key="")
    assert [answer.json()["status"]["credit_count"] for answer in (keyed, keyless)] == [1, 0]


async def test_frozen_values_hold_the_replay_where_it_is(simulate: Open, recorded: Path):
    caller = simulate(Replay(recorded, MARCH), faults=[Fault(kind="frozen", first=2, count=2, at=NOON)])
    assert [bitcoin(await caller.cmc()) for _ in range(4)] == [67075, 67075, 67075, 66936]


async def test_every_recorded_answer_can_be_had_by_its_file_with_its_status(
    simulate: Open, recorded: Path, names: list[str]
):
    caller = simulate(Replay(recorded))
    expected = {"cmc-error-1002-keymissing-1-20200323": 401, "coindesk-data-error-401-keyrequired-1-20260623": 401}
    expected |= {f"cmc-error-http{status}": status for status in (400, 401, 403, 429, 500)}
    for name in names:
        assert (await caller.client.get(f"/recorded/{name}.json")).status_code == expected.get(name, 200)


async def test_an_answer_is_served_at_the_path_of_its_vendor(simulate: Open, recorded: Path):
    answer = await simulate(Replay(recorded)).client.get("/data/all/coinlist")
    assert answer.json()["Type"] == 99


async def test_errors_are_served_for_the_list_when_only_they_are_chosen(simulate: Open, recorded: Path):
    cmc = simulate(Replay(recorded, "cmc-error-http4*"))
    assert [(await cmc.cmc(V3)).status_code for _ in range(5)] == [400, 401, 403, 429, 429]
    desk = simulate(Replay(recorded, "coindesk-data-error-*"))
    assert (await desk.desk()).status_code == 401
    listed = simulate(Replay(recorded, "coindesk-asset-*"))
    assert len((await listed.desk()).json()["Data"]["LIST"]) == 1


MARKETS = [
    {"id": f"coin-{n}", "total_volume": float(n), "last_updated": f"2026-01-01T00:0{n}:00.000Z", "ath_date": "2020"}
    for n in range(5)
]


async def test_a_recorded_list_has_pages_the_asked_order_and_times_of_the_present(simulate: Open, tmp_path: Path):
    (tmp_path / "coingecko-markets-5-20260101T0004Z.json").write_bytes(orjson.dumps(MARKETS))
    caller = simulate(Replay(tmp_path))
    pages = [
        (await caller.client.get("/api/v3/coins/markets", params={"per_page": 2, "page": page, **order})).json()
        for page, order in ((1, {}), (2, {}), (1, {"order": "volume_desc"}))
    ]
    assert [[row["id"][-1] for row in page] for page in pages] == [["0", "1"], ["2", "3"], ["4", "3"]]
    newest = pages[2][0]
    assert datetime.fromisoformat(newest["last_updated"]) == NOON
    assert newest["ath_date"] == "2020"


async def test_answers_of_one_path_come_in_the_order_of_their_dates_and_the_last_repeats(
    simulate: Open, tmp_path: Path
):
    for day in (2, 1):
        file = tmp_path / f"coinpaprika-tickers-1-2026010{day}.json"
        file.write_bytes(orjson.dumps([{"id": f"day-{day}"}]))
    caller = simulate(Replay(tmp_path))
    assert [(await caller.client.get("/v1/tickers")).json()[0]["id"] for _ in range(3)] == ["day-1", "day-2", "day-2"]


async def test_a_table_of_rows_is_served_as_the_answer_it_was_made_from(simulate: Open, tmp_path: Path):
    (tmp_path / "coinpaprika-coins-1-20260101.csv").write_text("id,rank,is_active\nbtc-bitcoin,1,True\n")
    (tmp_path / "cmc-listings-latest-1-20260101T0000Z.csv").write_text(
        "id,name,symbol,cmc_rank,last_updated,price_usd,volume_24h,percent_change_24h,market_cap\n"
        "1,Bitcoin,BTC,1,2026-01-01T00:00:00.000Z,2.5,7.0,,9.0\n"
    )
    caller = simulate(Replay(tmp_path))
    assert (await caller.client.get("/v1/coins")).json() == [{"id": "btc-bitcoin", "rank": 1, "is_active": True}]
    quote = (await caller.cmc()).json()["data"][0]["quote"]["USD"]
    assert (quote["price"], quote["volume_24h"], quote["percent_change_24h"]) == (2.5, 7.0, None)


async def test_a_list_of_v3_is_served_in_both_shapes(simulate: Open, recorded: Path):
    caller = simulate(Replay(recorded, "cmc-v3-*"))
    old, new = (await caller.cmc()).json()["data"][0], (await caller.cmc(V3)).json()["data"][0]
    assert old["quote"]["USD"]["price"] == next(q for q in new["quote"] if q["symbol"] == "USD")["price"]


@pytest.mark.parametrize("match", ["*", "*nothing*"])
def test_a_folder_without_a_usable_capture_is_refused(tmp_path: Path, match: str):
    (tmp_path / "notes.json").write_text("[]")
    with pytest.raises(SettingsRejected, match="has no recorded answers"):
        Replay(tmp_path, match)


@pytest.mark.parametrize("content", ["{", "{}", "[]", "[1]", '{"status": {}, "data": [{"id": 1}]}', "7"])
def test_a_broken_capture_is_refused_by_its_name(tmp_path: Path, content: str):
    path = tmp_path / "cmc-listings-latest-1-20240317T1034Z.json"
    path.write_text(content)
    with pytest.raises(SettingsRejected, match=path.name):
        Replay(tmp_path)


@pytest.mark.parametrize("name", ["cmc-listings-latest-1.json", "cmc-listings-latest-1-20241399.json"])
def test_a_capture_without_a_date_is_refused(tmp_path: Path, name: str):
    (tmp_path / name).write_text("[]")
    with pytest.raises(SettingsRejected, match="has no capture time in its name"):
        Replay(tmp_path)
