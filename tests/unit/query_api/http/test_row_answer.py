"""Lists, histories and movers in each format: the same rows, and beside them what gives them again."""

import csv
import hashlib
import io
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import orjson
import polars as pl
import pytest
from fastapi import Request

from lib.archive.panel import METADATA
from lib.text_table import TextTable
from query_api.asof.top_list import TopListFinder
from query_api.http.row_answer import MOST_AT_ONCE, RowAnswer
from query_api.services import Services
from tests.fakes import FakeClock
from tests.unit.query_api.market import MINUTE, NOW, calling, stocked

NOTICE = "simulated, 100 % é\n"
ADDRESSES = {
    "/v1/top?limit=3&more=change_1h_pct": "datetime=2026-11-17T14%3A37%3A30Z",
    "/v1/movers?from=now-30m&top=3": "from=2026-11-17T14%3A07%3A30Z&top=3",
    "/v1/assets/1/history?from=now-20m&every=5m": "from=2026-11-17T14%3A15%3A00Z&every=5m",
}
ROWS = ("csv", "ndjson", "parquet")
FILE = "/v1/top?datetime=2026-11-17T14:05Z&format=parquet"


@pytest.fixture
def clock():
    return FakeClock(NOW)


@pytest.fixture
async def client(clock) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(stocked(clock), clock, notice=NOTICE) as caller:
        yield caller


def rows_of(file: httpx.Response) -> object:
    """What must be the same in a file that is asked for again: all of it; of Parquet, all but the metadata."""
    return pl.read_parquet(io.BytesIO(file.content)).to_dicts() if file.content[:4] == b"PAR1" else file.content


@pytest.mark.parametrize("address", ADDRESSES)
async def test_every_format_has_the_rows_of_the_json(client, address):
    rows = (await client.get(address)).json()["data"]
    ndjson = await client.get(f"{address}&format=ndjson")
    assert [orjson.loads(line) for line in ndjson.content.splitlines()] == rows
    parquet = await client.get(address, headers={"accept": "application/vnd.apache.parquet"})
    table = pl.read_parquet(io.BytesIO(parquet.content))
    times = [name for name, kind in table.schema.items() if kind == pl.Datetime("us", "UTC")]
    assert set(times) == {name for name in rows[0] if name == "at" or name.endswith(("_time", "_at"))}
    assert table.with_columns(pl.col(times).dt.strftime("%Y-%m-%dT%H:%M:%SZ")).to_dicts() == rows
    columns = "" if "top" not in address.partition("?")[0] else f"&columns={','.join(rows[0])}"
    lines = csv.DictReader(io.StringIO((await client.get(f"{address}&format=csv{columns}")).text))
    assert [list(line) for line in lines] == [list(row) for row in rows]


@pytest.mark.parametrize("format", [*ROWS, "text"])
@pytest.mark.parametrize("address", ADDRESSES)
async def test_the_permalink_of_a_file_gives_its_rows_again(client, clock, address, format):
    file = await client.get(f"{address}&format={format}&_=1")
    clock.move(minutes=3)
    link = file.headers["content-location"]
    assert ADDRESSES[address] in link
    assert "_=" not in link
    again = await client.get(str(file.url.join(link)))
    assert rows_of(again) == rows_of(file)
    assert file.headers["x-notice"] == "simulated, 100 %25 %C3%A9%0A"


@pytest.mark.parametrize("address", ["/v1/top", "/v1/assets/1", "/v1/gaps", "/v1/status", "/v1/assets?q=b", "/v1/none"])
async def test_every_answer_has_the_notice_in_a_header_each_time(client, address):
    for _ in range(2):  # the second one may be that of the answer cache
        assert (await client.get(address)).headers["x-notice"] == "simulated, 100 %25 %C3%A9%0A"


@pytest.mark.parametrize("address", ADDRESSES)
async def test_the_metadata_of_a_parquet_file_is_the_json_without_its_rows(client, address):
    answer = (await client.get(address)).json()
    file = await client.get(f"{address}&format=parquet")
    about = orjson.loads(pl.read_parquet_metadata(io.BytesIO(file.content))[METADATA])
    assert about.items() >= {name: value for name, value in answer.items() if name not in ("data", "next")}.items()
    assert about["hash"] == hashlib.blake2b(orjson.dumps(answer["data"]), digest_size=16).hexdigest()
    assert about["notice"] == NOTICE
    assert about["question"].startswith(address.partition("?")[0])
    assert rows_of(await client.get(about["question"])) == rows_of(file)


async def test_a_parquet_file_about_now_is_read_in_ranges_while_now_moves(client, clock):
    address = "/v1/top?format=parquet"
    head = await client.head(address)
    length = int(head.headers["content-length"])
    parts = []
    for span in (f"bytes=0-{length - 9}", f"bytes={length - 8}-"):
        clock.move(seconds=2)
        parts.append(await client.get(address, headers={"range": span}))
    assert [part.status_code for part in parts] == [206, 206]
    body = b"".join(part.content for part in parts)
    assert orjson.loads(pl.read_parquet_metadata(io.BytesIO(body))[METADATA])["requested_at"] == "2026-11-17T14:37:30Z"
    whole = await client.get(address)
    assert pl.read_parquet_metadata(io.BytesIO(whole.content))[METADATA].count("2026-11-17T14:37:34Z")


async def test_a_parquet_file_of_the_past_is_not_sent_to_a_caller_that_has_it(client):
    address = "/v1/top?datetime=2026-11-17T14:05Z&format=parquet"
    first = await client.get(address)
    again = await client.get(address, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == first.headers["cache-control"]
    assert "accept-encoding" not in first.headers.get("vary", "").lower()


@pytest.mark.parametrize("address", ADDRESSES)
async def test_text_fits_eighty_columns_and_ends_with_the_notice(client, address):
    answer = await client.get(f"{address}&format=text")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    lines = answer.text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "simulated, 100 % é"
    assert answer.text.endswith("\n")


async def test_text_has_the_change_of_a_day_or_the_columns_asked_for(client):
    assert "24h %" in (await client.get("/v1/top?format=text")).text
    chosen = (await client.get("/v1/top?format=text&columns=rank,market_cap_usd&limit=1")).text
    assert [line for line in chosen.splitlines() if "rank" in line and "market_cap_usd" in line]


CHOSEN = {
    "/v1/top?limit=3&datetime=2026-11-17T14:05Z": "symbol,change_1h_pct",
    "/v1/movers?from=now-30m&top=3": "symbol,price_change_pct",
    "/v1/assets/1/history?from=2026-11-17T14:00Z&every=5m&limit=2": "symbol,at",
}


@pytest.mark.parametrize("address", CHOSEN)
async def test_the_columns_asked_for_are_those_of_every_format_of_rows(client, address):
    names = CHOSEN[address].split(",")
    asked = f"{address}&columns={CHOSEN[address]}"
    more = "&more=change_1h_pct" if "top?" in address else ""
    rows = [{name: row[name] for name in names} for row in (await client.get(f"{address}{more}")).json()["data"]]
    assert rows
    assert [orjson.loads(line) for line in (await client.get(f"{asked}&format=ndjson")).content.splitlines()] == rows
    table = pl.read_parquet(io.BytesIO((await client.get(f"{asked}&format=parquet")).content))
    assert (table.columns, len(table)) == (names, len(rows))
    text = (await client.get(f"{asked}&format=text")).text
    assert [line for line in text.splitlines() if line.split() == names]
    file = await client.get(f"{asked}&format=csv")
    assert (file.text.partition("\r\n")[0], len(file.text.splitlines())) == (CHOSEN[address], len(rows) + 1)
    if "link" in file.headers:
        link = file.headers["link"].partition(">")[0].lstrip("<")
        assert (await client.get(str(file.url.join(link)))).text.startswith(f"{CHOSEN[address]}\r\n")


@pytest.mark.parametrize("address", CHOSEN)
@pytest.mark.parametrize("wrong", ["columns=symbol", "columns=nope&format=csv", "columns=symbol,symbol&format=csv"])
async def test_columns_that_are_none_or_come_with_json_are_refused_with_a_valid_example(client, address, wrong):
    answer = await client.get(f"{address}&{wrong}")
    assert (answer.status_code, answer.json()["parameter"]) == (422, "columns")
    example = answer.json()["example"]
    valid = example if "=" in example else f"format=csv&columns={example}"
    assert (await client.get(f"{address}&{valid}")).status_code == 200


@pytest.mark.parametrize("address", [*CHOSEN, "/v1/export?top=1"])
async def test_a_misspelt_columns_is_answered_with_one_that_every_address_has(client, address):
    example = (await client.get(f"{address}&column=1")).json()["example"]
    assert example.startswith("format=csv&columns=")
    assert (await client.get(f"{address}&{example}")).status_code == 200


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("text/*", "text/csv; charset=utf-8; header=present"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("application/json, text/plain, */*", "application/json"),
        ("application/x-ndjson, application/json;q=0.5", "application/x-ndjson"),
    ],
)
async def test_the_accept_header_chooses_among_all_formats(client, accept, kind):
    assert (await client.get("/v1/top", headers={"accept": accept})).headers["content-type"] == kind


@pytest.mark.parametrize("address", ADDRESSES)
async def test_the_error_for_an_unknown_format_names_all_formats(client, address):
    problem = (await client.get(f"{address}&format=xlsx")).json()
    assert problem["detail"] == "format=xlsx: is not a format; they are json, csv, ndjson, parquet, text"


@pytest.mark.parametrize("malformed", ["bytes=5-2", "bytes=abc", "items=0-1", "", "bytes=-", "0-1"])
async def test_a_header_that_is_no_list_of_ranges_is_ignored(client, malformed):
    whole = await client.get(FILE)
    answer = await client.get(FILE, headers={"range": malformed})
    assert (answer.status_code, answer.content) == (200, whole.content)


async def test_only_a_get_has_ranges(client):
    answer = await client.head(FILE, headers={"range": "bytes=0-3"})
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len((await client.get(FILE)).content)


@pytest.mark.parametrize("range", ["bytes=9999999-", "bytes=-0"])
async def test_a_range_behind_the_end_is_a_problem_that_says_the_length(client, range):
    size = len((await client.get(FILE)).content)
    answer = await client.get(FILE, headers={"range": range})
    assert (answer.status_code, answer.headers["content-type"]) == (416, "application/problem+json")
    assert answer.json()["detail"].startswith(f"the file has {size} bytes")
    assert answer.headers["content-range"] == f"bytes */{size}"


@pytest.mark.parametrize(("rows", "in_a_thread"), [(MOST_AT_ONCE, False), (MOST_AT_ONCE + 1, True)])
async def test_only_the_json_of_a_long_answer_is_written_in_a_thread(clock, rows, in_a_thread):
    threads = []

    def to_json() -> bytes:
        threads.append(threading.get_ident())
        return b"{}"

    request = Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []})
    lists = TopListFinder(stocked(clock), max_skew=MINUTE)
    services = Services(stocked(clock), clock, lists, None, Path("nowhere"))
    answer = RowAnswer(rows, to_json, lambda _: pl.DataFrame(), lambda _: TextTable("", [], []), (), {})
    assert (await answer.respond(request, services, "json", {})).body == b"{}"
    assert (threads != [threading.get_ident()]) == in_a_thread
