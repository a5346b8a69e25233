import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import orjson
import pytest
from pydantic import ValidationError

from lib.errors import SettingsRejected
from lib.simulator import Fault, Plan, load_faults
from lib.simulator.refusals import NAMES
from lib.simulator.sabotage import COOKIE, WRONG_PRICES
from tests.unit.simulator.upstreams import NOON, Hands, Open

V3 = "/v3/cryptocurrency/listings/latest"


async def test_a_fault_falls_on_the_requests_it_names_and_no_other(simulate: Open):
    caller = simulate(faults=[Fault(kind="error", preset="cmc-500", path="/v3/*", first=2, count=2)])
    assert [(await caller.cmc(V3)).status_code for _ in range(4)] == [200, 500, 500, 200]
    assert (await caller.desk()).status_code == 200


async def test_each_path_is_counted_by_itself(simulate: Open):
    caller = simulate(faults=[Fault(kind="error", status=503, first=2)])
    codes = [(await caller.cmc()).status_code, (await caller.desk()).status_code, (await caller.desk()).status_code]
    assert codes == [200, 200, 503]


@pytest.mark.parametrize("preset", NAMES)
async def test_every_documented_error_can_be_had_by_name(simulate: Open, preset: str):
    response = await simulate(faults=[Fault(kind="error", preset=preset)]).cmc()
    body, number = response.json(), preset.rpartition("-")[2]
    code = body.get("status", {}).get("error_code") or body.get("Err", {}).get("http_status_code")
    assert str(code or response.status_code) == number or preset.startswith("minapi")
    assert (response.status_code == 200) == preset.startswith("minapi")


@pytest.mark.parametrize(
    ("preset", "file"),
    [
        ("cmc-1002", "cmc-error-http401.json"),
        ("cmc-1006", "cmc-error-http403.json"),
        ("cmc-1008", "cmc-error-http429.json"),
        ("cmc-400", "cmc-error-http400.json"),
        ("cmc-500", "cmc-error-http500.json"),
    ],
)
async def test_errors_are_those_of_the_vendor(simulate: Open, recorded: Path, preset: str, file: str):
    theirs = orjson.loads((recorded / file).read_bytes())["status"]
    response = await simulate(faults=[Fault(kind="error", preset=preset)]).cmc()
    ours = response.json()["status"]
    assert f"http{response.status_code}" in file
    assert set(ours) == set(theirs)
    assert [ours[name] for name in ("error_code", "error_message")] == [
        theirs[name] for name in ("error_code", "error_message")
    ]


async def test_an_error_costs_nothing(simulate: Open):
    caller = simulate(plan=Plan(requests_per_minute=1), faults=[Fault(kind="error", preset="cmc-500", path="/v3/*")])
    assert (await caller.cmc(V3)).status_code == 500
    assert (await caller.cmc(V3)).status_code == 200


async def test_an_error_may_have_any_status_and_body_and_a_retry_after(simulate: Open):
    fault = Fault(kind="error", status=429, body="slow down", retry_after=7)
    response = await simulate(faults=[fault]).cmc()
    assert (response.status_code, response.text, response.headers["retry-after"]) == (429, "slow down", "7")


async def test_a_delay_waits_by_the_sleeper_it_was_given_and_answers(simulate: Open):
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    response = await simulate(faults=[Fault(kind="delay", seconds=40)], sleep=sleep).cmc()
    assert slept == [40]
    assert response.status_code == 200


async def test_a_cut_answer_promises_all_and_ends_as_a_closed_connection(simulate: Open):
    with pytest.raises(httpx.RemoteProtocolError, match="peer closed connection"):
        await simulate(faults=[Fault(kind="cut")]).cmc()


@pytest.mark.parametrize(("kind", "left"), [("half", 50), ("empty", 0)])
async def test_a_list_loses_half_or_all_of_its_records_and_keeps_its_total(simulate: Open, kind, left: int):
    caller = simulate(faults=[Fault(kind=kind)])
    cmc, desk = (await caller.cmc()).json(), (await caller.desk(page_size=100)).json()["Data"]
    assert len(cmc["data"]) == len(desk["LIST"]) == left
    assert cmc["status"]["total_count"] == 250
    assert desk["STATS"]["TOTAL_ASSETS"] > 200


async def test_frozen_values_are_those_of_an_earlier_instant_while_the_clock_goes_on(simulate: Open, clock: Hands):
    caller = simulate(faults=[Fault(kind="frozen", at=NOON - timedelta(hours=1), first=1, count=2)])
    one = (await caller.cmc()).json()
    clock.move(timedelta(minutes=1))
    other, well = (await caller.cmc()).json(), (await caller.cmc()).json()
    assert one["data"] == other["data"] != well["data"]
    assert one["data"][0]["last_updated"] == "2026-03-04T10:59:00.000Z"
    assert other["status"]["timestamp"] == "2026-03-04T12:01:07.000Z"


async def test_frozen_without_an_instant_keeps_the_values_of_its_start(simulate: Open, clock: Hands):
    caller = simulate(faults=[Fault(kind="frozen", path="/asset/*", first=2, count=2)])
    lists = []
    for _ in range(4):
        lists.append((await caller.desk()).json()["Data"]["LIST"])
        clock.move(timedelta(minutes=1))
    assert lists[0] != lists[1] == lists[2] != lists[3]


async def test_garbage_is_a_page_of_html_with_status_200(simulate: Open):
    response = await simulate(faults=[Fault(kind="garbage")]).cmc()
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("status", [403, 503])
async def test_a_page_of_a_cdn_has_its_status_and_its_wait(simulate: Open, status: int):
    response = await simulate(faults=[Fault(kind="garbage", status=status, retry_after=30)]).cmc()
    assert (response.status_code, response.headers["retry-after"]) == (status, "30")
    assert response.headers["content-type"].startswith("text/html")


async def test_codes_can_be_text_on_success_and_on_an_error(simulate: Open):
    faults = [Fault(kind="error", preset="cmc-500", first=2), Fault(kind="text_codes", count=2)]
    caller = simulate(faults=faults)
    assert [(await caller.cmc(V3)).json()["status"]["error_code"] for _ in range(3)] == ["0", "500", 0]
    failed = simulate(faults=[Fault(kind="error", preset="coindesk-429"), Fault(kind="text_codes")])
    assert (await failed.desk()).json()["Err"]["type"] == "99"


async def test_optional_fields_can_be_missing(simulate: Open):
    caller = simulate(faults=[Fault(kind="without", fields=["credits_left", "total_count"])])
    usage = (await caller.cmc("/v1/key/info")).json()["data"]["usage"]
    assert usage["current_month"] == {"credits_used": 0}
    assert "total_count" not in (await caller.cmc()).json()["status"]
    listed = simulate(faults=[Fault(kind="without", fields=["last_updated"])])
    first, second = [(await listed.client.get("/v1/tickers")).json()[0] for _ in range(2)]
    assert "last_updated" not in first
    assert "last_updated" in second


async def test_an_error_that_is_not_json_stays_as_it_is(simulate: Open):
    faults = [Fault(kind="error", status=500, body="slow down"), Fault(kind="text_codes")]
    assert (await simulate(faults=faults).cmc()).text == "slow down"


async def test_a_short_page_ends_early_and_its_rest_is_on_the_next(simulate: Open):
    caller = simulate(faults=[Fault(kind="short", rows=40, count=2)])
    short, rest, whole = [(await caller.cmc(start=start)).json()["data"] for start in (1, 41, 1)]
    assert short == whole[:40]
    assert rest[:10] == whole[40:50]


async def test_a_cap_ends_the_list_at_a_row_on_whatever_page(simulate: Open):
    caller = simulate(faults=[Fault(kind="capped", rows=120, count=9)])
    assert [len((await caller.cmc(start=start)).json()["data"]) for start in (1, 101, 201)] == [100, 20, 0]
    assert [len((await caller.desk(page=page)).json()["Data"]["LIST"]) for page in (1, 2, 3)] == [100, 20, 0]


async def test_a_total_can_be_announced_that_is_not_there(simulate: Open):
    caller = simulate(faults=[Fault(kind="announced", rows=9000)])
    assert (await caller.cmc(V3)).json()["status"]["total_count"] == 9000
    assert (await caller.desk()).json()["Data"]["STATS"]["TOTAL_ASSETS"] == 9000


async def test_a_huge_answer_has_as_many_bytes_as_configured(simulate: Open):
    assert len((await simulate(faults=[Fault(kind="huge", bytes=200_001)]).cmc()).content) == 200_001


async def test_a_redirect_points_to_another_host(simulate: Open):
    response = await simulate(faults=[Fault(kind="redirect", to="https://other.example")]).cmc(V3)
    assert (response.status_code, response.headers["location"]) == (302, "https://other.example" + V3)


async def test_wrong_types_keep_the_keys_and_no_type(simulate: Open):
    caller = simulate(faults=[Fault(kind="wrong_types")])
    wrong, right = [(await caller.cmc()).json()["data"][0] for _ in range(2)]
    assert wrong.keys() == right.keys()
    for name in ("id", "symbol", "last_updated", "tags"):
        assert type(wrong[name]) is not type(right[name])
    assert isinstance(wrong["quote"]["USD"]["price"], str)


async def test_poisoned_prices_are_too_high_by_one_factor_and_nothing_else_changes(simulate: Open):
    caller = simulate(faults=[Fault(kind="poisoned", poison="prices")])
    wrong, right = [(await caller.cmc()).json()["data"] for _ in range(2)]
    assert {row["quote"]["USD"].pop("price") for row in wrong} == {
        row["quote"]["USD"].pop("price") * WRONG_PRICES for row in right
    }
    assert wrong == right


async def test_poisoned_lists_have_no_volume_or_no_bitcoin(simulate: Open):
    faults = [Fault(kind="poisoned", poison="no_volumes"), Fault(kind="poisoned", poison="no_bitcoin", first=2)]
    caller = simulate(faults=faults)
    still, short, whole = [(await caller.cmc()).json()["data"] for _ in range(3)]
    assert {row["quote"]["USD"]["volume_24h"] for row in still} == {0}
    assert [row for row in whole if row["id"] != 1] == short != whole


async def test_poison_reaches_the_second_vendor_too(simulate: Open):
    caller = simulate(faults=[Fault(kind="poisoned", poison="no_volumes"), Fault(kind="poisoned", poison="no_bitcoin")])
    wrong, right = [(await caller.desk()).json()["Data"]["LIST"] for _ in range(2)]
    volume = "SPOT_MOVING_24_HOUR_QUOTE_VOLUME_USD"
    assert {row[volume] for row in wrong} == {0}
    assert [row["TOPLIST_BASE_RANK"][volume] for row in wrong] == [
        row["TOPLIST_BASE_RANK"][volume] for row in right if row["SYMBOL"] != "BTC"
    ]


@pytest.mark.parametrize("codings", [1, 2])
async def test_a_bomb_is_small_and_unpacks_to_its_bytes(simulate: Open, codings: int):
    size = 40_000_001
    caller = simulate(faults=[Fault(kind="bomb", bytes=size, codings=codings)])
    async with caller.client.stream("GET", V3) as response:
        body = b"".join([chunk async for chunk in response.aiter_raw()])
    assert response.headers["content-encoding"] == ", ".join(["gzip"] * codings)
    assert len(body) < size / 900
    for _ in range(codings):
        body = gzip.decompress(body)
    assert body == b" " * size


async def test_a_cookie_comes_with_the_ordinary_answer(simulate: Open):
    caller = simulate(faults=[Fault(kind="cookie")])
    first, second = [await caller.cmc() for _ in range(2)]
    assert (first.headers["set-cookie"], second.headers.get("set-cookie")) == (COOKIE, None)
    assert first.json()["data"] == second.json()["data"]


async def test_two_faults_can_meet_one_request(simulate: Open, clock: Hands):
    async def sleep(seconds: float) -> None:
        clock.move(timedelta(seconds=seconds))

    faults = [Fault(kind="delay", seconds=3), Fault(kind="half")]
    body = (await simulate(faults=faults, sleep=sleep).cmc()).json()
    assert len(body["data"]) == 50
    assert body["status"]["timestamp"] == "2026-03-04T12:00:10.000Z"


def test_a_script_reads_from_toml(tmp_path: Path):
    script = tmp_path / "faults.toml"
    script.write_text(
        """
        [[fault]]
        path = "/asset/*"
        first = 3
        count = 2
        kind = "error"
        preset = "coindesk-429"
        retry_after = 60

        [[fault]]
        kind = "frozen"
        at = 2026-03-04T11:00:00
        """
    )
    assert load_faults(script) == (
        Fault(path="/asset/*", first=3, count=2, kind="error", preset="coindesk-429", retry_after=60),
        Fault(kind="frozen", at=datetime(2026, 3, 4, 11, tzinfo=UTC)),
    )


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ('kind = "earthquake"', "kind: .*'error', 'delay'"),
        ('kind = "error"\npreset = "cmc-9999"', "preset: .*cmc-1001"),
        ('kind = "error"', "needs a preset"),
        ('kind = "error"\npreset = "cmc-500"\nstatus = 500', "not both"),
        ('kind = "delay"', "needs seconds"),
        ('kind = "half"\nseconds = 2', "takes no seconds"),
        ('kind = "capped"', "needs rows"),
        ('kind = "half"\nfirst = 0', "first: .*greater than or equal to 1"),
        ('kind = "half"\ncount = "2"', "count: .*integer"),
        ('kind = "half"\ncuont = 2', "cuont: Extra"),
    ],
)
def test_the_error_for_a_broken_entry_has_its_file_its_number_and_what_was_expected(
    tmp_path: Path, entry: str, expected: str
):
    script = tmp_path / "faults.toml"
    script.write_text(f'[[fault]]\nkind = "empty"\n\n[[fault]]\n{entry}\n')
    with pytest.raises(SettingsRejected, match=rf"faults\.toml: fault 2: .*{expected}"):
        load_faults(script)


@pytest.mark.parametrize("text", ["[[fault]", "[fault]\nkind = 'half'", "faults = []", "", "[[fault]]\n[other]"])
def test_the_error_for_a_file_that_is_no_script_has_its_name(tmp_path: Path, text: str):
    script = tmp_path / "faults.toml"
    script.write_text(text)
    with pytest.raises(SettingsRejected, match=r"faults\.toml"):
        load_faults(script)


def test_the_error_for_a_missing_script_has_its_name(tmp_path: Path):
    with pytest.raises(SettingsRejected, match=r"gone\.toml"):
        load_faults(tmp_path / "gone.toml")


def test_a_fault_in_code_is_checked_like_one_in_a_file():
    with pytest.raises(ValidationError, match="takes no"):
        Fault(kind="cut", seconds=1)
