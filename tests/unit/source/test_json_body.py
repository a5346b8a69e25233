"""Parsing an answer: one odd value costs no more than its row."""

import json
import math
from datetime import timedelta
from typing import Any

import pytest

from lib.ingest.gate import admit
from lib.source.body import MOST_VALUES, JsonRefused, parse_json
from tests.fakes import NOON, FakeClock, Upstream, says
from tests.unit.source.test_upstream import CMC, MINUTE, made

COUNT = 300
ODD_NAMES: dict[str, bytes] = {
    "half an emoji": rb'"Rocket \ud83d"', "the other half": rb'"\ude80 Rocket"',
    "halves in a wrong order": rb'"\ude80\ud83d"',
    "a Latin-1 byte": b'"Caf\xe9"', "an overlong byte": b'"\xc0\xaf"', "a raw line feed": b'"a\nb"',
    "a raw NUL": b'"a\x00b"',
    "a cut character": b'"\xf0\x9f\x9a"', "an encoded surrogate": b'"\xed\xa0\xbd"',
}  # fmt: skip
ODD_NUMBERS: dict[str, bytes] = {
    "400 digits": b"9" * 400, "5,000 digits": b"1" + b"0" * 5000, "1e400": b"1e400", "-1e999": b"-1e999", "NaN": b"NaN",
    "Infinity": b"Infinity", "-Infinity": b"-Infinity", "400 digits after the point": b"0." + b"3" * 400,
}  # fmt: skip


def record(n: int) -> dict[str, Any]:
    quote = {"USD": {"price": 1.5, "volume_24h": float(COUNT - n), "market_cap": 3.0}}
    return {"id": n, "symbol": f"S{n}", "name": f"Coin {n}", "tags": [], "max_supply": None, "quote": quote}


def body(field: str, value: bytes) -> bytes:
    """A list with this raw value in record 7."""
    text = json.dumps({"data": [record(n) for n in range(1, COUNT + 1)], "status": {"error_code": 0}})
    old = {"name": '"Coin 7"', "max_supply": "null", "price": "1.5", "volume_24h": "293.0", "id": "7"}[field]
    at = text.index(f'"{field}": ', text.index('"id": 7,')) + len(f'"{field}": ')
    assert text[at:].startswith(old)
    return text[:at].encode() + value + text[at + len(old) :].encode()


async def outcome(content: bytes) -> tuple[set[int], dict[str, int]]:
    """The ids that the gate admits of a whole tick, and its rejects."""
    reading = await made(CMC, Upstream(says(content)), clock=FakeClock()).read(COUNT, MINUTE)
    snapshot, rejected = admit(reading, NOON, timedelta(minutes=1))
    return set(snapshot.rows["cmc_id"]), dict(rejected)


ALL = set(range(1, COUNT + 1))


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_an_odd_name_costs_no_row(name):
    assert await outcome(body("name", ODD_NAMES[name])) == (ALL, {})


@pytest.mark.parametrize("number", ODD_NUMBERS)
async def test_an_odd_number_in_a_field_that_nobody_reads_costs_no_row(number):
    assert await outcome(body("max_supply", ODD_NUMBERS[number])) == (ALL, {})


async def test_an_odd_number_costs_its_row(subtests):
    for field in ["price", "volume_24h", "id"]:
        for number in [name for name in ODD_NUMBERS if "point" not in name]:
            with subtests.test(field=field, number=number):
                ids, rejected = await outcome(body(field, ODD_NUMBERS[number]))
                assert ids == ALL - {7}
                assert sum(rejected.values()) == 1


NOT_NUMBERS = [b'"1_000"', b'"\\uff11\\uff12"', b'"2026-11-17T14:36:55Z"', b'"abc"', b"true", b"false", b"[]",
               b'{"a": 1}',
               b'"1 000"', b'"1,000"', b'"0x10"', b'"\\u0661"', b'"NaN"']  # fmt: skip


async def test_what_is_not_a_number_costs_its_row(subtests):
    for field in ["price", "volume_24h", "id"]:
        for value in NOT_NUMBERS:
            with subtests.test(field=field, value=value):
                ids, rejected = await outcome(body(field, value))
                assert ids == ALL - {7}
                assert sum(rejected.values()) == 1


async def test_a_byte_order_mark_is_read_over():
    assert await outcome(b"\xef\xbb\xbf" + body("id", b"7")) == (ALL, {})


def test_what_no_parser_reads_is_refused_with_the_strict_parsers_words():
    with pytest.raises(JsonRefused, match="the body is not JSON: unexpected"):
        parse_json(bytearray(b'{"data": [1, undefined]}'))


@pytest.mark.parametrize("depth", [1100, 100_000])
def test_what_is_nested_too_deep_is_refused(depth):
    with pytest.raises(JsonRefused, match="nested too deep"):
        parse_json(bytearray(b"[" * depth + b"]" * depth))


def test_more_values_than_a_page_has_are_refused_before_they_are_parsed():
    assert len(parse_json(bytearray(b"[" + b"1," * (MOST_VALUES - 2) + b"1]"))) == MOST_VALUES - 1
    with pytest.raises(JsonRefused, match="more than 1,000,000 values"):
        parse_json(bytearray(b"[" + b"1," * MOST_VALUES + b"not JSON"))


def test_a_number_beyond_a_double_is_infinite():
    (value,) = parse_json(bytearray(b"[%b]" % (b"9" * 5000)))
    assert value == math.inf
