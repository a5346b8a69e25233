"""The answer's bytes: the JSON shape, and a CSV that every reader reads the same and no spreadsheet runs."""

import csv
import io
import os
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lib.columns import names
from query_api.asof.pair import Pair
from query_api.asof.top_list import Extra, TopList
from query_api.http.formats import frame_to_csv, list_frame, rows_as_json, to_json
from query_api.http.headers import list_headers
from tests.unit.query_api.market import MARKET_CAP, NEWEST, SECOND, Prices, Ranks, market_caps, snapshot

UPDATED = "2026-11-17T14:36:55Z"
BTC = (1, 1, "BTC", "Bitcoin", 92311.5, 9.5e10, 1, UPDATED)
SCHEMA = {
    "rank": pl.Int64, "cmc_id": pl.Int64, "symbol": pl.String, "name": pl.String, "price_usd": pl.Float64,
    "volume_24h_usd": pl.Float64, "source_rank": pl.Int64, "price_updated_at": pl.String,
}  # fmt: skip
PAIR = Pair(
    snapshot(Prices(NEWEST, [(1, "BTC", "Bitcoin", 1.0, 1.0)] * 2)).marker,
    snapshot(Ranks(NEWEST - 20 * SECOND, [(1, 1.0), (2, 1.0), (3, 1.0)])).marker,
)

RUNS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
RUN = re.compile(f"(?:^|;)[{re.escape(''.join(RUNS))}]")
TEXTS = st.one_of(
    st.none(),
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.builds(
        str.__add__,
        st.sampled_from([*RUNS, *(f"x;{run}" for run in RUNS), '"', "'", ","]),
        st.text(st.characters(codec="utf-8"), max_size=6),
    ),
)
PRICES = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
ROWS = st.lists(
    st.tuples(
        *(st.integers(1, 5000), st.integers(1, 10**7), TEXTS, TEXTS, PRICES, PRICES, st.integers(1, 5000)),
        st.sampled_from([None, UPDATED]),
    )
)


def top(rows: Sequence[tuple[Any, ...]] = (BTC,), *, extras: tuple[Extra, ...] = (), **more: Any) -> TopList:
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row").with_columns(**more)
    return TopList(NEWEST + 30 * SECOND, PAIR, "1m", NEWEST + SECOND, 1, extras, frame)


def to_csv(top: TopList, columns: Sequence[str] | None) -> bytes:
    return frame_to_csv(list_frame(top, columns, "csv"))


def read(body: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(body.decode("utf-8"), newline=""), strict=True))


def test_the_headers_of_a_csv_show_a_frozen_source() -> None:
    older = (2, 2, "ETH", "Ethereum", 3000.0, 9.5e9, 2, "2026-11-17T14:30:00Z")
    unknown = (3, 3, "X", "X", 1.0, 1.0, 3, None)
    assert list_headers(top([older, BTC, unknown]))["x-newest-update"] == UPDATED
    assert not {"x-newest-update", "x-unchanged"} & list_headers(top([unknown])).keys()
    frozen = replace(top(), pair=Pair(replace(PAIR.price, unchanged=True), PAIR.rank))
    assert list_headers(frozen)["x-unchanged"] == "price"


def test_the_json_has_exactly_the_documented_shape() -> None:
    answer = orjson.loads(to_json(top(), 200))
    assert answer == {
        "requested_at": "2026-11-17T14:37:30Z",
        "price_time": "2026-11-17T14:37:00Z",
        "rank_time": "2026-11-17T14:36:40Z",
        "price_age_s": 30.0,
        "rank_age_s": 50.0,
        "resolution": "1m",
        "sources": {"price": "coinmarketcap", "rank": "coindesk"},
        "snapshots": {"price": PAIR.price.hash, "rank": PAIR.rank.hash},
        "backfilled": {"price": False, "rank": False},
        "known_at": "2026-11-17T14:37:01Z",
        "assets": {"price": 1, "rank": 3, "matched": 1},
        "unchanged": {"price": False, "rank": False},
        "limit": 200,
        "count": 1,
        "data": [
            {
                "rank": 1,
                "cmc_id": 1,
                "symbol": "BTC",
                "name": "Bitcoin",
                "price_usd": 92311.5,
                "volume_24h_usd": 9.5e10,
                "source_rank": 1,
                "price_updated_at": UPDATED,
            }
        ],
    }
    assert list(answer)[-3:] == ["limit", "count", "data"]
    assert list(answer["data"][0]) == names()


def test_an_extra_series_has_its_time_and_its_values_and_null_for_missing_ones() -> None:
    marker = market_caps(NEWEST - SECOND, [(1, 1e12, None)]).marker
    extra = Extra(MARKET_CAP, marker)
    answer = orjson.loads(to_json(top(extras=(extra,), market_cap_usd=pl.lit(1e12), supply=pl.lit(None)), 1))
    expected = {"time": "2026-11-17T14:36:59Z", "source": "coingecko", "assets": 1, "snapshot": marker.hash}
    assert answer["extras"] == {"market_cap": expected}
    assert answer["data"][0]["market_cap_usd"] == 1e12
    assert answer["data"][0]["supply"] is None
    nothing = orjson.loads(to_json(top(extras=(Extra(MARKET_CAP, None),)), 1))
    assert nothing["extras"] == {"market_cap": None}


@given(ROWS)
def test_any_rows_read_back_from_json_as_they_were(rows) -> None:
    answer = orjson.loads(to_json(top(rows), 200))
    assert [tuple(row.values()) for row in answer["data"]] == rows
    assert answer["count"] == len(rows)


def test_the_csv_has_three_columns_and_crlf() -> None:
    rows = [BTC, (2, 1027, "ETH", "Ethereum", 1e-8, 4.5e10, 2, None)]
    assert to_csv(top(rows), None) == b"Rank,Symbol,Price USD\r\n1,BTC,92311.5\r\n2,ETH,0.00000001\r\n"


def test_a_csv_without_rows_is_its_header() -> None:
    assert to_csv(top([]), None) == b"Rank,Symbol,Price USD\r\n"


def test_chosen_columns_come_in_the_order_chosen_under_their_own_names() -> None:
    assert read(to_csv(top(), tuple(reversed(names())))) == [
        names()[::-1],
        [UPDATED, "1", "95000000000.0", "92311.5", "Bitcoin", "BTC", "1", "1"],
    ]


def test_an_extra_column_keeps_its_own_name_and_is_empty_without_a_value() -> None:
    body = to_csv(top(market_cap_usd=pl.lit(None, pl.Float64)), ("symbol", "market_cap_usd"))
    assert body == b"symbol,market_cap_usd\r\nBTC,\r\n"


def test_commas_quotes_and_line_ends_in_a_name_survive() -> None:
    odd = ["Tether, USDt", 'He said "buy"', "two\r\nlines", '"', ",", "", "naïve 币"]
    rows = [(n, n, name, name, 1.0, 1.0, n, None) for n, name in enumerate(odd, 1)]
    assert [row[1] for row in read(to_csv(top(rows), ("rank", "name")))[1:]] == odd


@given(PRICES)
def test_any_price_is_a_plain_decimal_that_reads_back_as_the_same_float(price: float) -> None:
    cells = read(to_csv(top([(1, 1, "A", "A", price, price, 1, None)]), ("price_usd", "volume_24h_usd")))[1]
    for cell in cells:
        assert re.fullmatch(r"[0-9]+(\.[0-9]+)?", cell)
        assert float(cell) == price


@given(ROWS)
def test_no_text_cell_of_any_csv_is_one_a_spreadsheet_runs(rows) -> None:
    header, *cells = read(to_csv(top(rows), tuple(names())))
    assert header == names()
    assert len(cells) == len(rows)
    for shown, row in zip(cells, rows, strict=True):
        for text, original in zip(shown[2:4], row[2:4], strict=True):
            assert not RUN.search(text)
            assert text.replace("'", "") == (original or "").replace("'", "")


@given(st.text(st.characters(codec="utf-8"), max_size=8).filter(lambda text: not RUN.search(text)))
def test_text_a_spreadsheet_leaves_alone_is_left_alone(text: str) -> None:
    assert read(to_csv(top([(1, 1, text, text, 1.0, 1.0, 1, None)]), ("symbol", "name")))[1] == [text, text]


def test_rows_become_json_that_reads_back_as_the_same_values() -> None:
    rng = random.Random(1)
    numbers = [0.0, -0.0, 1.0, 1e15, 1e16, 1e21, 1e-8, *(rng.uniform(0, 1) * 10.0**n for n in range(-30, 30))]
    texts = [None, "", '"\\/\b\f\n\r\t\x00\x7f<>&\u2028', *(chr(rng.randrange(0xE000, 0x110000)) for _ in range(64))]
    ids = [None, 1, -3, 2**53 + 1, *range(63)]
    rows = pl.DataFrame({"id": ids, "name": texts, "price": numbers}, schema_overrides={"id": pl.Int64})
    for some in (rows, rows.clear()):
        assert orjson.loads(orjson.dumps(rows_as_json(some))) == some.to_dicts()


def test_threads_that_share_a_list_can_all_write_it_as_json() -> None:
    # In a process of its own: threads that wait for each other inside Polars stop the whole interpreter.
    several = os.environ | {"POLARS_MAX_THREADS": "2"}
    subprocess.run([sys.executable, "-c", MANY_WRITERS], env=several, check=True, timeout=120)


MANY_WRITERS = """
import sys, threading
from datetime import datetime, timezone
import polars as pl
from query_api.http.formats import rows_as_json

at = [datetime.now(timezone.utc)] * 200
shared = pl.DataFrame({"a": range(200), "b": [str(n) for n in range(200)], "at": at})

def write():
    for _ in range(200):
        rows_as_json(shared)
        shared.height

threads = [threading.Thread(target=write, daemon=True) for _ in range(8)]
sys.setswitchinterval(1e-5)
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
