"""`topcoins price`: the rows of one's own file, in parts, and their new columns."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from lib.cli.price import ADDED, Table, counted, lines, price, priced
from lib.errors import SettingsRejected
from lib.price_rows import MOST_BYTES, MOST_ROWS, MOST_TIMES

TRADES = 'trade,Time,Ticker,note\r\n1,2026-11-17T14:37Z,btc,"a, ""b"""\r\n2,2026-11-17T14:38Z,NOPE, =1+1\r\n'


class Api:
    """Answers each request; an asset NOPE is unknown. Records the requests."""

    def __init__(self) -> None:
        self.asked: list[list[dict[str, Any]]] = []

    def __call__(self, body: bytes) -> list[Mapping[str, Any]]:
        assert len(body) <= MOST_BYTES
        self.asked.append(json.loads(body))
        return [answer(row["asset"]) for row in self.asked[-1]]


def answer(asset: object) -> dict[str, Any]:
    basis = {"price_time": "2026-11-17T14:37:00Z", "price_age_s": 0.0, "price_source": "coinmarketcap"}
    if asset == "NOPE":
        why = {"error": "unknown_asset", "detail": "no asset has the ticker NOPE"}
        return basis | why | {"price_usd": None, "cmc_id": None}
    return basis | {"price_usd": 1.5e-7, "cmc_id": 1, "error": None, "detail": None}


def run(text: str, format: str = "csv", **columns: str) -> tuple[str, Api, Counter[str]]:
    api, counts = Api(), Counter[str]()
    table = Table(io.StringIO(text, newline=""), "trades.csv", **columns)
    return "".join(lines(table.header, counted(priced(table, api), counts), format)), api, counts


def test_every_row_has_its_own_cells_untouched_and_then_the_price_or_the_error():
    out, api, counts = run(TRADES)
    rows = list(csv.reader(io.StringIO(out, newline="")))
    assert rows == [
        ["trade", "Time", "Ticker", "note", *ADDED],
        ["1", "2026-11-17T14:37Z", "btc", 'a, "b"', "0.00000015", "2026-11-17T14:37:00Z", "0.0", "coinmarketcap", "1",
         "", ""],
        ["2", "2026-11-17T14:38Z", "NOPE", " =1+1", "", "2026-11-17T14:37:00Z", "0.0", "coinmarketcap", "",
         "unknown_asset", "no asset has the ticker NOPE"],
    ]  # fmt: skip
    assert out.endswith("\r\n")
    assert api.asked == [
        [{"time": "2026-11-17T14:37Z", "asset": "btc"}, {"time": "2026-11-17T14:38Z", "asset": "NOPE"}]
    ]
    assert counts == {"": 1, "unknown_asset": 1}


def test_json_is_one_list_and_ndjson_a_line_for_each_row():
    whole = json.loads(run(TRADES, "json")[0])
    each = [json.loads(line) for line in run(TRADES, "ndjson")[0].splitlines()]
    assert whole == each
    assert [row["price_usd"] for row in each] == [1.5e-7, None]
    assert list(each[0]) == ["trade", "Time", "Ticker", "note", *ADDED]


@pytest.mark.parametrize(
    ("format", "text"), [("csv", f"time,ticker,{','.join(ADDED)}\r\n"), ("json", "[]\n"), ("ndjson", "")]
)
def test_a_file_without_rows_has_an_answer_without_rows_and_asks_nothing(format, text):
    out, api, counts = run("time,ticker\n\n", format)
    assert (out, api.asked, counts) == (text, [], {})


@pytest.mark.parametrize(
    ("header", "cell", "sent", "by"),
    [
        ("time,ticker", "888", "888", "symbol"),
        ("time,SYMBOL", "888", "888", "symbol"),
        ("time,cmc_id", "888", 888, None),
        ("time,id", " 888 ", 888, None),
        ("time,cmc_id", "BTC", "BTC", None),
        ("time;ticker", "BTC", "BTC", "symbol"),
        ("time\tticker", "BTC", "BTC", "symbol"),
        ("\"time\",\"ticker\"", "BTC", "BTC", "symbol"),
    ],
)  # fmt: skip
def test_the_column_s_name_says_whether_it_has_ids_or_tickers(header, cell, sent, by):
    delimiter = next(each for each in ",;\t" if each in header)
    table = Table([f"{header}\n", f"now{delimiter}{cell}\n"], "trades.csv")
    assert table.by == by
    assert [question["asset"] for _, question in table.rows()] == [sent]


def test_another_column_is_chosen_by_name_and_its_digits_may_be_an_id():
    table = Table(["id,when,Coin\n", "7,now,1\n"], "trades.csv", time="when", asset="coin")
    assert table.by is None
    assert [question for _, question in table.rows()] == [{"time": "now", "asset": "1"}]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "needs one column time; it has no header"),
        ("date,ticker\n", "needs one column time; it has date, ticker. For another name: --time COLUMN"),
        ("time,coin\n", "needs one column ticker; it has time, coin. For another name: --asset COLUMN"),
        ("time,id,ticker\n", "has the columns id and ticker: choose one, for example --asset ticker"),
        ("time,time,ticker\n", "needs one column time"),
        ("time,ticker,price_usd\n", "has a column price_usd, which this command adds: rename it"),
        ('time,ticker\nnow,"BTC\n', "trades.csv, line 2: is no CSV"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(text, why):
    with pytest.raises(SettingsRejected, match=why.replace(".", r"\.")):
        run(text)


@pytest.mark.parametrize("format", ["csv", "json"])
@pytest.mark.parametrize(
    ("line", "own", "why"),
    [
        ("now", ["now", ""], "line 3 has 1 cells, the header has 2"),
        ("now,BTC,1,200", ["now", "BTC"], "line 3 has 4 cells, the header has 2; left out here: 1,200"),
    ],
)
def test_a_row_with_too_few_or_too_many_cells_fails_alone(format, line, own, why):
    out, api, counts = run(f"time,ticker\nnow,BTC\n{line}\nnow,NOPE\n", format)
    rows = [list(row.values()) for row in (csv.DictReader(io.StringIO(out)) if format == "csv" else json.loads(out))]
    assert [row[1] for row in rows] == ["BTC", own[1], "NOPE"]
    nothing = "" if format == "csv" else None
    assert rows[1] == [*own, *[nothing] * 5, "bad_row", why]
    assert [[each["asset"] for each in part] for part in api.asked] == [["BTC", "NOPE"]]
    assert counts == {"": 1, "bad_row": 1, "unknown_asset": 1}


def test_nothing_is_printed_before_the_first_answer():
    def away(body: bytes) -> list[Mapping[str, Any]]:
        raise SettingsRejected("away")

    table = Table(["time,ticker\n", "now,BTC\n"], "trades.csv")
    with pytest.raises(SettingsRejected, match="away"):
        next(lines(table.header, priced(table, away), "csv"))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SettingsRejected, match=r"nowhere.csv can't be read: No such file or directory; - is stdin"):
        price(tmp_path / "nowhere.csv")


def test_a_file_in_another_encoding_is_refused():
    text = io.TextIOWrapper(io.BytesIO("time,ticker,naïve\n".encode("latin-1")), "utf-8-sig", newline="")
    with pytest.raises(SettingsRejected, match="is not UTF-8; save it as CSV in UTF-8"):
        Table(text, "trades.csv")


def big(rows: Iterable[tuple[str, str]]) -> list[list[dict[str, Any]]]:
    out, api, counts = run("time,ticker\n" + "".join(f"{time},{asset}\n" for time, asset in rows))
    asked = [row for part in api.asked for row in part]
    assert counts.total() == len(asked) == len(out.splitlines()) - 1
    return api.asked


def test_a_long_file_is_sent_in_parts_of_as_many_rows_times_and_bytes_as_a_request_may_have():
    parts = big(("now", f"A{n}") for n in range(MOST_ROWS + 1))
    assert [len(part) for part in parts] == [MOST_ROWS, 1]
    parts = big((f"{1794926220 - n // 2}", "BTC") for n in range(2 * MOST_TIMES + 1))
    assert [len(part) for part in parts] == [2 * MOST_TIMES, 1]
    parts = big(("x" * 400, "é" * 400) for _ in range(MOST_ROWS))
    assert len(parts) == 5
    assert max(len(row["time"]) for row in parts[0]) == 300
