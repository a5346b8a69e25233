"""How the command line asks a running API, and what a refusal means."""

import json

import httpx
import pytest

from lib.cli import in_words
from lib.cli.client import address, asset_path, no_answer, refusal, searched_name, with_matches
from lib.cli.exit_code import ExitCode, Refused, exit_code
from lib.errors import SettingsRejected, StoreUnavailable, TopcoinsError

OTHER = "name another address: --url http://localhost:PORT, or its port as TOPCOINS_HTTP_PORT"
URL = "http://127.0.0.1:6667/v1/top?limit=3"


def answer(status: int, body: bytes = b'{"title": "T", "detail": "D", "example": "E"}') -> httpx.Response:
    return httpx.Response(status, content=body, request=httpx.Request("GET", URL))


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (422, ExitCode.WRONG_USE), (406, ExitCode.WRONG_USE), (409, ExitCode.WRONG_USE), (404, ExitCode.NO_DATA),
        (503, ExitCode.NO_ANSWER), (500, ExitCode.NO_ANSWER), (401, ExitCode.NOT_ALLOWED),
        (403, ExitCode.NOT_ALLOWED), (429, ExitCode.NOT_ALLOWED),
    ],
)  # fmt: skip
def test_each_cause_has_an_exit_code_of_its_own(status, code):
    error = refusal(answer(status))
    assert str(error) == "D; for example E"
    assert exit_code(error) == code


@pytest.mark.parametrize("body", [b"<html>502</html>", b"", b"[]", b"null", b"3", b'{"error": "x"}', b"\xff"])
@pytest.mark.parametrize("status", [404, 502])
def test_an_answer_of_another_program_is_one_sentence(status, body):
    error = refusal(answer(status, body))
    assert str(error) == (
        f"another program answers at http://127.0.0.1:6667 with the status {status}, no topcoins API; {OTHER}"
    )
    assert exit_code(error) == ExitCode.NO_ANSWER


def test_an_address_that_does_not_answer_is_reported_with_the_way_to_name_another_and_without_a_number():
    error = no_answer("http://127.0.0.1:6667", httpx.ConnectError("[Errno 111] Connection refused"))
    start = "start it with topcoins demo or topcoins up"
    assert str(error) == f"http://127.0.0.1:6667 does not answer (Connection refused); {start}, or {OTHER}"


def test_an_answer_that_is_no_http_is_that_of_another_program():
    error = no_answer("http://127.0.0.1:6667", httpx.RemoteProtocolError("illegal status line"))
    assert str(error) == f"another program answers at http://127.0.0.1:6667, no topcoins API; {OTHER}"


@pytest.mark.parametrize(
    ("parameter", "names", "sentence"),
    [
        ("known_at", None, "--known-at x=y: is wrong"),
        ("more", None, "--columns x=y: is wrong"),
        ("from", {"from": "start="}, "start=x=y: is wrong"),
        ("every", {"from": "start="}, "every=x=y: is wrong"),
    ],
)
def test_a_wrong_parameter_has_the_caller_s_own_name_for_it(parameter, names, sentence):
    body = {"title": "T", "detail": f"{parameter}=x=y: is wrong", "parameter": parameter, "value": "x=y"}
    assert str(refusal(answer(422, json.dumps(body).encode()), names)) == sentence


def test_an_example_that_the_detail_has_is_not_repeated():
    assert str(refusal(answer(422, b'{"title": "T", "detail": "write 5", "example": 5}'))) == "write 5"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsRejected("x"), 2), (ValueError("x"), 2), (StoreUnavailable("x"), 4), (TopcoinsError("x"), 1),
        (OSError("x"), 1), (Refused("x", ExitCode.NO_DATA), 3),
    ],
)  # fmt: skip
def test_an_error_of_a_command_has_the_exit_code_of_its_kind(error, code):
    assert exit_code(error) == code


@pytest.mark.parametrize(
    "url",
    [
        "http://me:hunter22secret9@127.0.0.1:6667",
        "http://127.0.0.1:6667/?key=hunter22secret9",
        "http://127.0.0.1:6667/#hunter22secret9",
        "http://[::1/hunter22secret9",
        "ftp://127.0.0.1/hunter22secret9",
        "sqlite:///hunter22secret9",
        "",
    ],
)
def test_an_address_that_is_none_is_refused_in_one_sentence_that_shows_no_secret(url):
    with pytest.raises(SettingsRejected, match=r"^--url .*; for example http://127\.0\.0\.1:6667$") as refused:
        address(url)
    assert "hunter22secret9" not in str(refused.value)


@pytest.mark.parametrize("url", ["localhost:21667", "127.0.0.1:6667", "[::1]:6667", "example.com"])
def test_an_address_without_its_scheme_is_refused_with_the_remedy(url):
    with pytest.raises(SettingsRejected, match="http:// is missing before the host; for example http://127"):
        address(url)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (FileNotFoundError(2, "No such file or directory", "/proc/nope"), "/proc/nope: No such file or directory"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("timed out"), "timed out"),
        (ValueError("x"), "x"),
    ],
)
def test_an_error_of_the_system_is_a_sentence_with_the_file(error, sentence):
    assert in_words(error) == sentence


def test_an_address_loses_the_slash_at_its_end():
    assert address("http://127.0.0.1:6667/") == "http://127.0.0.1:6667"


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "sqlite:///data/topcoins.db", "http://[::1"])
def test_an_address_that_is_none_is_refused_with_the_form_of_one_of_an_api(url):
    with pytest.raises(SettingsRejected, match=r": must be http\(s\)://HOST:PORT; ") as refused:
        address(url)
    assert "sqlite:///FILE" not in str(refused.value)


@pytest.mark.parametrize("id", ["", " ", ".", "..", "a/b", "/"])
def test_what_is_no_segment_of_an_address_is_no_asset(id):
    with pytest.raises(SettingsRejected, match=r"is no CoinMarketCap id and no ticker; for example 1 or BTC$"):
        asset_path(id)


def test_any_other_ticker_is_escaped():
    assert asset_path("A.?#%é") == "/v1/assets/A.%3F%23%25%C3%A9"


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([(1, "BTC", "Bitcoin"), (9, "B", "Bit")], "by name there are (id, ticker, name): 1 BTC Bitcoin; 9 B Bit"),
        ([], "no asset has such a name either"),
    ],
)
def test_a_name_that_is_no_ticker_is_refused_with_the_assets_that_have_it(rows, found):
    error = Refused("no asset has the ticker Bit coin; to search by name: /v1/assets?q=Bit%20coin", ExitCode.NO_DATA)
    assert searched_name(error) == "Bit coin"
    fields = ("cmc_id", "symbol", "name")
    named = with_matches(error, {"data": [dict(zip(fields, row, strict=True)) for row in rows]})
    assert (str(named), named.code) == (f"no asset has the ticker Bit coin; {found}", ExitCode.NO_DATA)
    assert searched_name(named) == ""
