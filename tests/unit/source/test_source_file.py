"""Source files: what they may contain, and the error for a broken one."""

import re
from pathlib import Path

import pytest

import ingest_price
import ingest_rank
from lib.errors import SettingsRejected
from lib.schema import PRICE, VOLUME_RANK
from lib.source import read_source
from lib.source.answer_reader import action_of
from lib.source.source_file import VENDORS

SOUND = """
name = "acme"
series = "price"
cost = "status.cost"

[request]
url = "https://api.acme.example"
url_setting = "acme_url"
path = "/list"

[key]
setting = "acme_api_key"
header = "X-Key"

[paging]
by = "page"
parameter = "page"
size_parameter = "size"
size = 100

[records]
at = "data"

[fields]
cmc_id = "id"
symbol = "symbol"
name = "name"
usd = "usd"
volume_usd = "volume"

[errors]
code = "error"
message = "message"

[errors.actions]
"http 5xx" = "retry"
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "acme.toml"


def refusal(path: Path) -> str:
    with pytest.raises(SettingsRejected) as refused:
        read_source(path)
    return str(refused.value)


def test_a_sound_file_loads_with_what_it_left_out(path):
    path.write_text(SOUND)
    source = read_source(path)
    assert source.values is PRICE
    assert source.paging is not None
    assert (source.paging.first, source.paging.most_pages, source.paging.exact_size) == (1, 100, False)
    assert (source.errors.fine, source.errors.otherwise) == (["0"], "next_tick")
    assert source.request.timeout.total_seconds() == 20
    assert source.key is not None
    assert source.key.value == "{key}"


@pytest.mark.parametrize(
    ("line", "instead", "key", "expected"),
    [
        ('name = "acme"', "", "name", "Field required"),
        ('name = "acme"', 'name = "Acme Corp"', "name", "write lower-case letters, digits and _"),
        ('series = "price"', "", "series", "Field required"),
        ('series = "price"', "series = 5", "series", "should be a valid string"),
        ('series = "price"', 'series = "snapshot"', "series", "'snapshot' is a name the stores use themselves"),
        ('series = "price"', 'series = "sqlite_caps"', "series", "'sqlite_caps' is a name the stores use themselves"),
        ('series = "price"', 'series = "1st"', "series", "'1st' is not a name"),
        ('cost = "status.cost"', 'cost = "status..cost"', "cost", "'status..cost' is not a JMESPath"),
        ('cost = "status.cost"', 'prize = "status.cost"', "prize", "Extra inputs are not permitted"),
        ("https://api.acme.example", "api.acme.example", "request.url", "must be an http or https address"),
        ("https://api.acme.example", "http://api.acme.example", "request.url", "must be https"),
        ("https://api.acme.example", "https://me:pass@acme.example", "request.url", "no user, password or @"),
        ('url_setting = "acme_url"', "", "request.url_setting", "Field required"),
        ('url_setting = "acme_url"', 'url_setting = "acme"', "request.url_setting", "_url"),
        ('path = "/list"', 'path = "list"', "request.path", "^/"),
        ('path = "/list"', 'path = "/list"\ntimeout = "soon"', "request.timeout", "'soon' is not a duration"),
        ('path = "/list"', 'path = "/list"\ntimeout = "0s"', "request.timeout", "must be above 0"),
        ('path = "/list"', 'path = "/list"\nlargest_answer = 0', "request.largest_answer", "greater than 0"),
        ('path = "/list"', 'path = "/list"\nparams = { a = [1] }', "request.params.a.str", "valid string"),
        ('path = "/list"', 'path = "/list"\nheaders = { a = 1 }', "request.headers.a", "valid string"),
        ('path = "/list"', 'path = "/list"\nkeyless_path = "free"', "request.keyless_path", "^/"),
        ('setting = "acme_api_key"', "", "key.setting", "Field required"),
        ('setting = "acme_api_key"', 'setting = "acme_token"', "key.setting", "_api_key"),
        ('header = "X-Key"', "", "key.header", "Field required"),
        ('header = "X-Key"', 'header = "X-Key"\nvalue = "Apikey KEY"', "key.value", "key"),
        (
            'header = "X-Key"',
            'header = "X-Key"\n[pace]\nkeyless = "often"',
            "pace.keyless",
            "'often' is not a duration",
        ),
        ('by = "page"', 'by = "cursor"', "paging.by", "'page' or 'offset'"),
        ('parameter = "page"', "", "paging.parameter", "Field required"),
        ('size_parameter = "size"', "", "paging.size_parameter", "Field required"),
        ("size = 100", "size = 0", "paging.size", "greater than or equal to 1"),
        ("size = 100", 'size = "all"', "paging.size", "valid integer"),
        ("size = 100", "size = 100\nmost_pages = 0", "paging.most_pages", "greater than or equal to 1"),
        ("size = 100", "size = 100\nmost_pages = 1001", "paging.most_pages", "less than or equal to 1000"),
        ("size = 100", 'size = 100\ntotal = "a["', "paging.total", "is not a JMESPath"),
        ('at = "data"', "", "records.at", "Field required"),
        ('at = "data"', 'at = ""', "records.at", "'' is not a JMESPath"),
        ('at = "data"', 'at = "data"\nwhere = ["a ="]', "records.where.0", "is not a JMESPath"),
        ('at = "data"', 'at = "data"\nlet = { a = "]" }', "records.let.a", "is not a JMESPath"),
        ('cmc_id = "id"', "", "fields", "a source of price must say where cmc_id is"),
        ('usd = "usd"', "", "fields", "must say where usd is"),
        ('symbol = "symbol"\nname = "name"', "", "fields", "must say where symbol, name is"),
        ('usd = "usd"', 'usd = "usd["', "fields.usd", "'usd[' is not a JMESPath"),
        ('usd = "usd"', 'usd = "lower(usd)"', "fields.usd", "it has no function lower()"),
        ('usd = "usd"', 'usd = "a[?max(lower(b)) > `1`]"', "fields.usd", "it has no function lower()"),
        ('usd = "usd"', "usd = 5", "fields.usd", "valid string"),
        ('usd = "usd"', 'usd = "usd"\nUSD = "usd"', "fields.USD.[key]", "'USD' is not a name"),
        (
            'usd = "usd"',
            'usd = "usd"\ntier = "tier"',
            "fields.tier.[key]",
            "'tier' is a name the stores use themselves",
        ),
        ('usd = "usd"', 'usd = "usd"\ntime = "at"', "fields.time.[key]", "'time' is a name the stores use themselves"),
        ('usd = "usd"', 'usd = "usd"\ntick = "at"', "fields.tick.[key]", "'tick' is a name the stores use themselves"),
        ('code = "error"', "", "errors.code", "Field required"),
        ('message = "message"', "", "errors.message", "Field required"),
        (
            '"http 5xx" = "retry"',
            '"http 5xx" = "again"',
            "errors.actions.http 5xx",
            "'retry', 'next_tick', 'away', 'next_minute'",
        ),
        ('message = "message"', 'message = "message"\nfine = "0"', "errors.fine", "valid list"),
        ('message = "message"', 'message = "message"\notherwise = 1', "errors.otherwise", "'retry', 'next_tick'"),
    ],
)
def test_a_broken_file_names_itself_the_key_and_what_was_expected(path, line, instead, key, expected):
    assert SOUND.count(line) == 1 or line in ('parameter = "page"', "size = 100", 'name = "acme"')
    path.write_text(SOUND.replace(line, instead, 1))
    message = refusal(path)
    assert message.startswith(f"source file {path}: ")
    assert f"{key}: " in message
    assert expected in message
    assert "\n" not in message


@pytest.mark.parametrize("table", ["request", "records", "fields", "errors"])
def test_a_missing_table_is_named(path, table):
    start = SOUND.index(f"[{table}]")
    end = next((SOUND.index(f"[{name}]", start) for name in ("key", "paging", "records", "fields", "errors")
                if f"[{name}]" in SOUND[start + 1 :]), len(SOUND))  # fmt: skip
    text = SOUND[:start] + (SOUND[end:] if table != "errors" else "")
    path.write_text(text)
    assert f"{table}: Field required" in refusal(path)


def test_several_faults_are_reported_together(path):
    path.write_text(SOUND.replace('by = "page"', 'by = "cursor"').replace('code = "error"', ""))
    message = refusal(path)
    assert "paging.by: " in message
    assert "errors.code: " in message


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b"[a]\n[a]\n"])
def test_a_file_that_is_not_toml_is_refused_with_its_path(path, content):
    path.write_bytes(content)
    assert refusal(Path("/no/acme.toml")) == "source file /no/acme.toml can't be read: No such file or directory"


def test_a_byte_order_mark_is_read_over(path):
    path.write_bytes(b"\xef\xbb\xbf" + SOUND.encode())
    assert read_source(path).name == "acme"


@pytest.mark.parametrize(
    "content", ["a = " + "[" * 50_000 + "]" * 50_000, "a = " + "{b=" * 50_000 + "1" + "}" * 50_000]
)
def test_a_file_nested_too_deep_is_refused_in_one_sentence(path, content):
    path.write_text(content)
    assert refusal(path) == f"source file {path} can't be read: it is nested too deep"


@pytest.mark.parametrize("depth", [900, 20_000])
def test_a_table_nested_too_deep_is_refused_in_one_sentence(path, depth):
    path.write_text(SOUND + f"[records.let{'.a' * depth}]\nb = 1\n[records.let{'.a' * depth}.c]\n")
    assert refusal(path).startswith(f"source file {path}")


SHARING = """
name = "coinmarketcap"
series = "volume_rank"
extends = "coinmarketcap_latest"

[request]
path = "/v1/cryptocurrency/listings/latest"

[fields]
cmc_id = "id"
volume_usd = "usd.volume_24h"
"""


def test_a_file_inherits_from_its_vendor_file_and_overrides_it_key_by_key(path):
    path.write_text(SHARING)
    source = read_source(path)
    assert source.request.path == "/v1/cryptocurrency/listings/latest"
    assert source.request.params["sort"] == "volume_24h"
    assert source.errors.actions["1001"] == "stop"
    assert source.key is not None
    assert source.key.quota is not None


@pytest.mark.parametrize(
    "extends", ['"cmc"', '"../coinmarketcap"', "5", '["coinmarketcap", "cmc"]', "[[1]]", "{ a = 1 }"]
)
def test_an_unknown_vendor_file_is_refused_with_those_there_are(path, extends):
    path.write_text(SHARING.replace('"coinmarketcap_latest"', extends))
    assert refusal(path).startswith(f"source file {path}: extends: ")
    assert "is no vendor file; there are coinmarketcap, coinmarketcap_historical, " in refusal(path)


def test_the_error_for_a_fault_names_the_file_with_its_key(path, tmp_path):
    path.write_text(SHARING.replace('"usd.volume_24h"', '"usd["'))
    assert refusal(path).startswith(f"source file {path}: fields.volume_usd: ")
    vendor = tmp_path / "vendors" / "broken.toml"
    vendor.parent.mkdir()
    vendor.write_text((VENDORS / "coinmarketcap.toml").read_text().replace("size = 5000", "size = 0"))
    path.write_text(SHARING.replace("coinmarketcap_latest", "broken"))
    with pytest.raises(SettingsRejected, match=re.escape(f"source file {vendor}: paging.size: ")):
        read_source(path, vendors=vendor.parent)


def test_a_file_that_is_not_there_is_refused_with_its_path():
    assert refusal(Path("/no/acme.toml")) == "source file /no/acme.toml can't be read: No such file or directory"


def test_a_third_series_must_measure_something(path):
    text = SOUND.replace('series = "price"', 'series = "market_cap"')
    for line in ('symbol = "symbol"', 'name = "name"', 'usd = "usd"'):
        text = text.replace(line, "")
    path.write_text(text)
    assert "nothing to measure; name a field beside cmc_id and volume_usd" in refusal(path)


def test_a_third_series_has_the_fields_and_units_of_its_file(path):
    text = SOUND.replace('series = "price"', 'series = "market_cap"')
    for line in ('symbol = "symbol"', 'name = "name"'):
        text = text.replace(line, "")
    path.write_text(text + '\n[units]\nusd = "US dollars"\n')
    series = read_source(path).values
    assert (series.name, series.tags, series.fields) == ("market_cap", (), ("usd",))
    assert series.units == {"usd": "US dollars"}


def test_a_source_of_another_series_is_refused_where_a_series_is_wanted(path):
    path.write_text(SOUND)
    with pytest.raises(SettingsRejected, match="source acme fills price; a source of volume_rank is wanted"):
        read_source(path).filling(VOLUME_RANK)


def test_number_codes_are_the_same_as_text_codes(path):
    path.write_text(SOUND.replace('message = "message"', 'message = "message"\nfine = [0, "ok"]'))
    assert read_source(path).errors.fine == ["0", "ok"]


ACTIONS = [
        ("7", 500, "stop"), ("8", 500, "reset"), ("8", 503, "retry"), ("8", 403, "next_tick"), ("404", 404, "gone"),
        *((None, status, "away") for status in (302, 303, 304, 307, 400, 401, 402, 403, 418, 429, 451)),
        ("9", 402, "reset_month"),
        *((None, status, "gone") for status in (301, 308, 404, 410)),
        *((None, status, "retry") for status in (408, 500, 502, 503, 504, 599)),
    ]  # fmt: skip


def test_the_code_decides_then_the_status_then_its_class_then_the_rest(path, subtests):
    for code, status, action in ACTIONS:
        with subtests.test(code=code, status=status):
            path.write_text(SOUND + '"7" = "stop"\n"http 500" = "reset"\n"http 402" = "reset_month"\n')
            assert action_of(read_source(path).errors, code, status) == action


def shipped() -> list[Path]:
    folders = [Path(package.__file__).parent for package in (ingest_price, ingest_rank) if package.__file__]
    return [file for folder in folders for file in sorted(folder.glob("*.toml"))]


def test_sources_are_shipped():
    assert [f"{file.parent.name}/{file.name}" for file in shipped()] == [
        "ingest_price/coinmarketcap.toml",
        "ingest_price/coinmarketcap_historical.toml",
        "ingest_rank/coindesk.toml",
        "ingest_rank/coingecko.toml",
        "ingest_rank/coinmarketcap.toml",
        "ingest_rank/coinmarketcap_historical.toml",
        "ingest_rank/coinpaprika.toml",
    ]


@pytest.mark.parametrize("file", shipped(), ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_a_shipped_source_loads_and_asks_over_https_with_its_key_in_a_header(file):
    source = read_source(file)
    assert source.name == file.stem
    assert source.values is (PRICE if file.parent.name == "ingest_price" else VOLUME_RANK)
    assert source.request.url.startswith("https://")
    assert (source.key is None) == (source.name == "coinpaprika")
    assert not any("key" in name.lower() for name in source.request.params)


def test_all_sources_of_coinmarketcap_treat_its_errors_alike():
    files = [file for file in shipped() if file.stem.startswith("coinmarketcap")]
    price, price_of_a_day, rank, rank_of_a_day = map(read_source, files)
    assert price.errors == rank.errors
    assert price_of_a_day.errors == rank_of_a_day.errors
    too_old = {"400": "too_old"}
    assert price_of_a_day.errors == price.errors.model_copy(update={"actions": price.errors.actions | too_old})
    for one, other in ((price, rank), (price_of_a_day, rank_of_a_day)):
        assert (one.request, one.paging, one.key, one.daily) == (other.request, other.paging, other.key, other.daily)


def test_a_source_of_past_days_is_not_polled():
    past = read_source(shipped()[1])
    with pytest.raises(SettingsRejected, match="coinmarketcap_historical lists past days, for topcoins backfill"):
        past.filling(PRICE)
