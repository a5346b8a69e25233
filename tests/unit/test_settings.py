"""Settings: their sources, their values, and the error for a wrong one."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from lib.access import Rate, digest
from lib.errors import SettingsRejected
from lib.settings import EXAMPLES, SERVICES, Settings, load

CANARY = "canary-5f3a9c1e"


@pytest.fixture
def file(tmp_path):
    """Writes a settings file and gives the environment that names it."""

    def write(text, **environ):
        path = tmp_path / "topcoins.toml"
        path.write_text(text, "utf-8")
        return {"TOPCOINS_CONFIG": str(path), **environ}

    return write


def refusal(environ: Mapping[str, str], service: str | None = None) -> str:
    with pytest.raises(SettingsRejected) as refused:
        load(environ, service)
    return str(refused.value)


def test_nothing_set_gives_the_defaults():
    found = load({})
    assert found == Settings()
    assert (found.store_url, found.assets, found.interval) == (
        "sqlite:///./data/topcoins.db",
        1000,
        timedelta(seconds=60),
    )
    assert (found.rank_source, found.price_source, found.extra_sources) == (
        ("coindesk", "coinmarketcap"),
        ("coinmarketcap",),
        (),
    )
    assert (found.http_host, found.http_port, found.http_safe_port) == ("127.0.0.1", 6667, 8667)
    assert (found.max_skew, found.max_age) == (timedelta(seconds=60), None)
    assert (found.spool_limit, found.spool_dir) == (2**30, Path("data/spool"))
    assert found.secrets == ()


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_max_age_which_compose_passes_is_none(text):
    assert load({"TOPCOINS_MAX_AGE": text}).max_age is None


def test_a_variable_of_another_program_is_not_ours():
    assert load({"ASSETS": "7", "PATH": "/bin", "XTOPCOINS_ASSETS": "7"}) == Settings()


def test_what_the_tests_read_is_no_setting():
    assert load({"TOPCOINS_TEST_INFLUX_URL": "http://localhost:8086"}) == Settings()


def test_a_setting_is_read_from_the_file(file):
    environ = file('assets = 250\ninterval = "2m"\nrank_source = ["coinmarketcap"]\nmax_age = 90\n')
    found = load(environ)
    assert (found.assets, found.interval, found.rank_source) == (250, timedelta(minutes=2), ("coinmarketcap",))
    assert found.max_age == timedelta(seconds=90)


def test_the_environment_wins_over_the_file_and_over_a_services_table(file):
    environ = file("assets = 250\n[ingest_rank]\nassets = 300\n", TOPCOINS_ASSETS="400")
    assert load(environ).assets == 400
    assert load(environ, "ingest_rank").assets == 400


def test_the_table_of_a_service_applies_to_that_service_alone(file):
    environ = file('log_level = "warning"\n[query_api]\nlog_level = "debug"\n')
    assert {name: load(environ, name).log_level for name in (*SERVICES, None)} == {
        "ingest_price": "warning",
        "ingest_rank": "warning",
        "query_api": "debug",
        None: "warning",
    }


def test_each_service_has_its_own_log_file(file):
    environ = file('[ingest_price]\nlog_file = "/var/log/price.log"\n[ingest_rank]\nlog_file = "/var/log/rank.log"\n')
    assert [load(environ, name).log_file for name in SERVICES] == [
        Path("/var/log/price.log"),
        Path("/var/log/rank.log"),
        None,
    ]


def test_a_wrong_name_in_the_table_of_another_service_is_reported_too(file):
    assert "asets is not a setting" in refusal(file("[query_api]\nasets = 5\n"), "ingest_price")


def test_a_service_that_is_no_table_is_refused(file):
    assert "ingest_price must be a table, such as [ingest_price]" in refusal(file("ingest_price = 5\n"))


@pytest.mark.parametrize("text", ["assets = ", "[query_api", "\x00"])
def test_a_file_that_is_no_toml_is_refused_with_its_path(file, text):
    environ = file(text)
    assert refusal(environ).startswith(f"TOPCOINS_CONFIG: {environ['TOPCOINS_CONFIG']} can't be read: ")


def test_a_file_that_is_not_there_is_refused_with_its_path(tmp_path):
    message = refusal({"TOPCOINS_CONFIG": str(tmp_path / "none.toml")})
    assert f"TOPCOINS_CONFIG: {tmp_path / 'none.toml'} can't be read" in message
    assert message.endswith("; for example /etc/topcoins/topcoins.toml")


def test_an_empty_config_variable_is_no_file():
    assert load({"TOPCOINS_CONFIG": ""}) == Settings()


BAD_VALUES = [
    ("ASSETS", "0", "1000"),
    ("ASSETS", "5001", "1000"),
    ("ASSETS", "-1", "1000"),
    ("ASSETS", "many", "1000"),
    ("ASSETS", "", "1000"),
    ("ASSETS", "10.5", "1000"),
    ("ASSETS", "1_0", "1000"),
    ("ASSETS", "1e3", "1000"),
    ("HTTP_PORT", "6_667", "6667"),
    ("HTTP_WORKERS", "1_0", "2 or auto"),
    ("HTTP_HOST", "", "127.0.0.1"),
    ("INFLUX_ORG", "", "topcoins"),
    ("INFLUX_BUCKET", "", "market"),
    ("PRICE_SOURCE", "", "coinmarketcap"),
    ("INTERVAL", "60", "60s"),
    ("INTERVAL", "0s", "60s"),
    ("INTERVAL", "90s", "60s"),
    ("INTERVAL", "45s", "60s"),
    ("INTERVAL", "0.5s", "60s"),
    ("INTERVAL", "7.5s", "60s"),
    ("INTERVAL", "999999999w", "24h"),
    ("MAX_SKEW", "soon", "60s"),
    ("MAX_AGE", "0m", "10m"),
    ("MAX_AGE", "-5m", "60s"),
    ("HTTP_PORT", "0", "6667"),
    ("HTTP_PORT", "65536", "6667"),
    ("HTTP_SAFE_PORT", "http", "8667"),
    ("HTTP_CONNECTIONS", "0", "800"),
    ("RATE_LIMIT", "600", "600/minute"),
    ("RATE_LIMIT", "0/minute", "600/minute"),
    ("RATE_LIMIT", "600/week", "600/minute"),
    ("CORS_ORIGINS", "dashboard.example.com", "https://dashboard.example.com"),
    ("CORS_ORIGINS", "https://dashboard.example.com/", "https://dashboard.example.com"),
    ("CORS_ORIGINS", "null", "https://dashboard.example.com"),
    ("TRUSTED_PROXIES", "proxy", "10.0.0.7,172.18.0.0/16"),
    ("TRUSTED_PROXIES", "*", "10.0.0.7,172.18.0.0/16"),
    ("TRUSTED_PROXIES", "0.0.0.0/0", "10.0.0.7,172.18.0.0/16"),
    ("TRUSTED_PROXIES", "::/0", "10.0.0.7,172.18.0.0/16"),
    ("TRUSTED_PROXIES", "10.0.0.7/8", "10.0.0.7,172.18.0.0/16"),
    ("LOG_LEVEL", "loud", "info"),
    ("LOG_FORMAT", "xml", "json"),
    ("SPOOL_LIMIT", "lots", "1GiB"),
    ("SPOOL_LIMIT", "-1", "1GiB"),
    ("RANK_SOURCE", "", "coindesk,coinmarketcap"),
    ("RANK_SOURCE", ",", "coindesk,coinmarketcap"),
    ("STORE_URL", "topcoins.db", "sqlite:///./data/topcoins.db"),
    ("STORE_URL", "sqlite://", "sqlite:///./data/topcoins.db"),
    ("STORE_URL", "ftp://localhost:8086", "http://localhost:8086"),
    ("STORE_URL", "http://", "http://localhost:8086"),
    ("STORE_URL", "http://localhost:port", "http://localhost:8086"),
    ("CMC_URL", "pro-api.coinmarketcap.com", "https://pro-api.coinmarketcap.com"),
    ("CMC_URL", "ftp://localhost", "https://pro-api.coinmarketcap.com"),
    ("CMC_URL", "https://", "https://pro-api.coinmarketcap.com"),
    ("CMC_URL", "https://[::1", "https://pro-api.coinmarketcap.com"),
    ("CMC_URL", "https://localhost:port", "https://pro-api.coinmarketcap.com"),
    ("CMC_URL", "https://localhost:99999", "https://pro-api.coinmarketcap.com"),
    ("COINDESK_URL", "http://data-api.coindesk.com", "https://pro-api.coinmarketcap.com"),
]


def test_a_bad_value_is_one_sentence_with_its_name_the_value_and_a_valid_example(subtests):
    for name, value, example in BAD_VALUES:
        with subtests.test(name=name, value=value):
            message = refusal({f"TOPCOINS_{name}": value})
            assert message.startswith(f"TOPCOINS_{name} (or {name.lower()} in the file): {value!r}: ")
            assert f"for example {example}" in message or f"or {example}" in message
            assert "\n" not in message


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('assets = "many"', "ASSETS"),
        ("assets = [1]", "ASSETS"),
        ("assets = true", "ASSETS"),
        ("max_age = true", "MAX_AGE"),
        ("client_keys = { grafana = 'x' }", "CLIENT_KEYS"),
        ("interval = inf", "INTERVAL"),
        ("interval = nan", "INTERVAL"),
        ("interval = -60", "INTERVAL"),
        ("interval = {}", "INTERVAL"),
        ("extra_sources = 5", "EXTRA_SOURCES"),
        ("extra_sources = [5]", "EXTRA_SOURCES"),
        ("log_level = true", "LOG_LEVEL"),
        ("cmc_url = 5", "CMC_URL"),
        ("http_port = 2026-01-01", "HTTP_PORT"),
    ],
)
def test_a_value_of_a_wrong_kind_in_the_file_is_one_sentence(file, line, name):
    message = refusal(file(line + "\n"))
    assert message.startswith(f"TOPCOINS_{name} ")
    assert "; for example " in message
    assert "\n" not in message


def test_every_example_is_a_valid_value():
    examples = {name: text.split(" or ")[0] for name, text in EXAMPLES.items() if name != "source_urls"}
    assert load({f"TOPCOINS_{name.upper()}": text for name, text in examples.items()})
    assert load({"TOPCOINS_CMC_URL": EXAMPLES["source_urls"]})


@pytest.mark.parametrize("assets", [1, 5000])
def test_assets_may_be_from_1_to_5000(assets):
    assert load({"TOPCOINS_ASSETS": str(assets)}).assets == assets


@pytest.mark.parametrize("interval", ["1s", "15s", "30s", "60s", "5m", "1h"])
def test_an_interval_is_whole_minutes_or_a_part_of_one(interval):
    assert load({"TOPCOINS_INTERVAL": interval})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ASSET", "assets"),
        ("LOGLEVEL", "log_level"),
        ("CMC_KEY", "cmc_api_key"),
        ("HTTP_PROT", "http_port"),
    ],
)
def test_an_unknown_name_is_refused_with_the_one_that_was_meant(name, meant):
    message = refusal({f"TOPCOINS_{name}": "5"})
    assert message.startswith(f"{name.lower()} is not a setting (TOPCOINS_{name})")
    assert message.endswith(f"did you mean TOPCOINS_{meant.upper()} ({meant} in the file)?")


def test_a_name_that_begins_like_the_config_variable_is_not_taken_for_it():
    assert "configs is not a setting" in refusal({"TOPCOINS_CONFIGS": "topcoins.toml"})


def test_an_unknown_name_like_no_other_is_refused_with_all_there_are():
    message = refusal({"TOPCOINS_XYZZY": "5"})
    assert "settings are store_url, " in message
    assert "assets" in message


@pytest.mark.parametrize("table", ["api_keys", "source_urls"])
def test_the_tables_of_source_settings_are_not_names_to_set(file, table):
    message = refusal(file(f"[{table}]\ncmc = 'x'\n"))
    assert message.startswith(f"{table} is not a setting")
    assert f"mean {table}" not in message


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "[::1]", "simulator", "my_simulator-2"])
def test_a_source_on_loopback_or_of_a_host_name_without_a_dot_may_be_http(host):
    assert load({"TOPCOINS_CMC_URL": f"http://{host}:9000/"}).source_urls == {"cmc_url": f"http://{host}:9000"}


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://10.0.0.1",
        "http://16843009",  # the number of an address, which has no dot
        "http://0x1010101",
        "http://[2606:4700::1111]",
        "http://example\u3002com",  # becomes a dot in DNS
        "http://simulator.",
    ],
)
def test_a_source_elsewhere_must_be_https(url):
    refused = refusal({"TOPCOINS_CMC_URL": url})
    assert "only loopback and a host name without a dot may be http" in refused
    assert load({"TOPCOINS_CMC_URL": url.replace("http:", "https:")})


@pytest.mark.parametrize("port", ["6667", "8667"])
def test_the_metrics_have_a_port_of_their_own(port):
    assert "must differ from HTTP_PORT and HTTP_SAFE_PORT" in refusal({"TOPCOINS_METRICS_PORT": port})
    assert load({"TOPCOINS_METRICS_PORT": "9668"}).metrics_port == 9668


def test_an_api_on_every_address_has_its_open_metrics_on_loopback_alone():
    chosen = load({"TOPCOINS_HTTP_HOST": "0.0.0.0", "TOPCOINS_METRICS_PORT": "9668"})
    assert chosen.listeners == {
        "http_port": ("0.0.0.0", 6667), "http_safe_port": ("0.0.0.0", 8667), "metrics_port": ("127.0.0.1", 9668),
    }  # fmt: skip


def test_what_compose_reads_for_grafana_is_no_setting_and_is_not_refused():
    assert load({"TOPCOINS_ALERT_WEBHOOK": "https://hooks.example.com/x"}) == Settings()


ACME = """
[request]
url = "https://api.acme.example"
url_setting = "acme_url"
[key]
setting = "acme_api_key"
"""


@pytest.mark.parametrize("name", ["PRICE_SOURCE", "RANK_SOURCE", "EXTRA_SOURCES"])
def test_a_source_file_of_ones_own_brings_its_own_key_and_url(file, tmp_path, name):
    (tmp_path / "acme.toml").write_text(ACME)
    environ = file('acme_url = "https://api.acme.example"\n', TOPCOINS_ACME_API_KEY=CANARY)
    environ[f"TOPCOINS_{name}"] = str(tmp_path / "acme.toml")
    found = load(environ)
    assert found.source_urls == {"acme_url": "https://api.acme.example"}
    assert found.api_keys["acme_api_key"].get_secret_value() == CANARY


def test_a_secret_may_be_in_a_file_of_its_own(tmp_path):
    (tmp_path / "key").write_text(f" {CANARY}\n")
    found = load(
        {"TOPCOINS_CMC_API_KEY_FILE": str(tmp_path / "key"), "TOPCOINS_INFLUX_TOKEN_FILE": str(tmp_path / "key")}
    )
    assert [secret.get_secret_value() for secret in found.secrets] == [CANARY, CANARY]


def test_a_secrets_file_wins_over_the_settings_file(file, tmp_path):
    (tmp_path / "key").write_text(CANARY)
    environ = file('cmc_api_key = "older"\n', TOPCOINS_CMC_API_KEY_FILE=str(tmp_path / "key"))
    assert load(environ).api_keys["cmc_api_key"].get_secret_value() == CANARY


@pytest.mark.parametrize(
    ("content", "why"), [(None, "can't be read"), (b" \n", "is empty"), (b"\xff", "can't be read")]
)
def test_a_secrets_file_that_gives_no_secret_is_refused_without_its_path(tmp_path, content, why):
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    message = refusal({"TOPCOINS_CMC_API_KEY_FILE": str(path)})
    assert message.startswith(f"TOPCOINS_CMC_API_KEY_FILE: the secret's file {why}")
    assert str(path) not in message


@pytest.mark.parametrize("empty", ["", " ", "\n"])
def test_an_empty_secret_is_one_that_is_not_set(file, empty):
    environ = file(f"coindesk_api_key = {empty!r}\n".replace("'", '"'), TOPCOINS_CMC_API_KEY=empty)
    environ |= {"TOPCOINS_INFLUX_TOKEN": empty, "TOPCOINS_ACME_API_KEY_FILE": ""}
    assert load(environ) == Settings()


def test_an_empty_secret_in_the_environment_leaves_the_files(file):
    environ = file(f'cmc_api_key = "{CANARY}"\n', TOPCOINS_CMC_API_KEY="")
    assert load(environ).api_keys["cmc_api_key"].get_secret_value() == CANARY


def test_a_secret_loses_the_space_around_it():
    assert load({"TOPCOINS_CMC_API_KEY": f" {CANARY}\r\n"}).api_keys["cmc_api_key"].get_secret_value() == CANARY


@pytest.mark.parametrize("odd", ["a\nb", "a b", "ключ", "a\x7fb"])
def test_a_secret_that_no_header_can_carry_is_refused_without_being_shown(odd):
    for name in ("CMC_API_KEY", "INFLUX_TOKEN"):
        message = refusal({f"TOPCOINS_{name}": f"{CANARY}{odd}"})
        assert message.startswith(f"TOPCOINS_{name} ")
        assert "must be visible ASCII" in message
        assert CANARY not in message


def test_a_secret_of_a_wrong_kind_is_not_shown(file):
    message = refusal(file("cmc_api_key = 730184\n"))
    assert message.startswith("TOPCOINS_CMC_API_KEY (or cmc_api_key in the file): its value: ")
    assert "730184" not in message


@pytest.mark.parametrize("name", ["CMC_URL", "STORE_URL"])
@pytest.mark.parametrize("who", ["user:{}", ":{}", "{}", "user:a@{}"])
def test_a_password_in_an_address_is_refused_without_being_shown(name, who):
    message = refusal({f"TOPCOINS_{name}": f"https://{who.format(CANARY)}@localhost:9000"})
    assert message.startswith(f"TOPCOINS_{name} ")
    assert CANARY not in message


HASHES = [digest(f"tc_{number}") for number in range(3)]


def test_keys_of_clients_are_hashes_separated_by_commas_or_lines(file, tmp_path):
    meant = dict(zip("abc", HASHES, strict=True))
    lines = [f"{name}:{hashed}" for name, hashed in meant.items()]
    (tmp_path / "keys").write_text("# keys of clients\n" + "\n".join(lines) + "  # the last\n")
    for environ in (
        {"TOPCOINS_CLIENT_KEYS": ", ".join(lines)},
        {"TOPCOINS_CLIENT_KEYS_FILE": str(tmp_path / "keys")},
        file(f"client_keys = {lines}\n"),
    ):
        assert load(environ).client_keys == meant
    assert load({"TOPCOINS_CLIENT_KEYS": "", "TOPCOINS_RATE_LIMIT": " ", "TOPCOINS_CORS_ORIGINS": ""}) == Settings()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (CANARY, "part 1 must be NAME:SHA256, as `topcoins key NAME` prints it"),
        (f"a:{HASHES[0]},b:{CANARY}", "part 2 must be NAME:SHA256"),
        (f"a b:{HASHES[0]}", "part 1 must be NAME:SHA256"),
        (f"a:{HASHES[0].upper()}", "part 1 must be NAME:SHA256"),
        (f"a:{HASHES[0]},a:{HASHES[1]}", "a is named twice"),
    ],
)
def test_a_clients_key_put_where_its_hash_belongs_is_refused_without_being_shown(value, why):
    message = refusal({"TOPCOINS_CLIENT_KEYS": value})
    assert message.startswith("TOPCOINS_CLIENT_KEYS (or client_keys in the file): its value: ")
    assert why in message
    assert CANARY not in message


@pytest.mark.parametrize(
    ("text", "meant"),
    [("600/minute", Rate(600, timedelta(minutes=1))), ("5/second", Rate(5, timedelta(seconds=1))), ("", None)],
)
def test_a_limit_is_a_number_of_requests_in_a_period(text, meant):
    assert load({"TOPCOINS_RATE_LIMIT": text}).rate_limit == meant


def test_no_secret_shows_in_the_settings_printed():
    found = load({f"TOPCOINS_{name}": CANARY for name in ("CMC_API_KEY", "INFLUX_TOKEN", "CLIENT_KEY")})
    assert CANARY not in f"{found!r} {found} {found.model_dump()} {found.model_dump_json()}"
    assert len(found.secrets) == 3


def test_settings_do_not_change_once_read():
    with pytest.raises(ValueError, match="frozen"):
        load({}).assets = 5


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("STROE_URL", "store_url"),
        ("CMS_API_KEY", "cmc_api_key"),
        ("CMC_API_KEYS", "cmc_api_key"),
        ("COINDESK_URLS", "coindesk_url"),
        ("STORE_READ_URLS", "store_read_url"),
        ("INFLUX_TOKENS", "influx_token"),
    ],
)
def test_a_misspelt_setting_is_refused_whatever_it_ends_in(name, meant):
    assert refusal({f"TOPCOINS_{name}": "http://localhost:8086"}).endswith(
        f"did you mean TOPCOINS_{meant.upper()} ({meant} in the file)?"
    )


@pytest.mark.parametrize("name", ["INFLUX_URL", "XYZZY_URL", "XYZZY_API_KEY", "XYZZY_API_KEY_FILE"])
def test_a_key_or_address_that_no_source_file_names_is_refused(tmp_path, name):
    (tmp_path / "key").write_text("key")
    setting = name.lower().removesuffix("_file")
    assert refusal({f"TOPCOINS_{name}": str(tmp_path / "key")}).startswith(f"{setting} is not a setting")


SERVICE_LINKS = {
    "TOPCOINS_SERVICE_HOST": "10.96.0.7",
    "TOPCOINS_SERVICE_PORT": "6667",
    "TOPCOINS_SERVICE_PORT_HTTP": "6667",
    "TOPCOINS_PORT": "tcp://10.96.0.7:6667",
    "TOPCOINS_PORT_6667_TCP": "tcp://10.96.0.7:6667",
    "TOPCOINS_PORT_6667_TCP_PROTO": "tcp",
    "TOPCOINS_PORT_6667_TCP_PORT": "6667",
    "TOPCOINS_PORT_6667_TCP_ADDR": "10.96.0.7",
}


@pytest.mark.parametrize("service", ["", "INFLUX_", "HTTP_", "STORE_URL_"])
def test_the_variables_of_a_kubernetes_service_are_ignored_and_named(service):
    links = {name.replace("TOPCOINS_", f"TOPCOINS_{service}"): value for name, value in SERVICE_LINKS.items()}
    found = load(links | {"TOPCOINS_ASSETS": "7"})
    assert found.ignored_variables == tuple(sorted(links))
    assert found == Settings(assets=7, ignored_variables=found.ignored_variables)


def test_a_port_of_ours_is_not_taken_for_one_of_kubernetes():
    assert load({"TOPCOINS_HTTP_PORT": "7000"}).http_port == 7000
    assert "service_hosts is not a setting" in refusal({"TOPCOINS_SERVICE_HOSTS": "a"})


def test_files_of_windows_editors_are_read(tmp_path):
    (tmp_path / "topcoins.toml").write_bytes(b"\xef\xbb\xbfassets = 300\r\n")
    (tmp_path / "key").write_bytes(b"\xef\xbb\xbf" + CANARY.encode() + b"\r\n")
    found = load({"TOPCOINS_CONFIG": f"{tmp_path}/topcoins.toml\r", "TOPCOINS_CMC_API_KEY_FILE": f"{tmp_path}/key\r"})
    assert (found.assets, found.api_keys["cmc_api_key"].get_secret_value()) == (300, CANARY)


def test_a_variable_loses_the_space_around_it():
    found = load({"TOPCOINS_STORE_URL": "sqlite:///a.db\r", "TOPCOINS_CMC_URL": " https://a.example\r\n"})
    assert (found.store_url, found.source_urls) == ("sqlite:///a.db", {"cmc_url": "https://a.example"})


def test_a_control_character_is_refused(subtests):
    for name in sorted({*EXAMPLES} - {"client_keys", "source_urls"} | {"spool_dir", "cmc_url"}):
        for character in ["\r", "\n", "\x00", "\x1b", "\x7f"]:
            with subtests.test(name=name, character=character):
                message = refusal({f"TOPCOINS_{name.upper()}": f"a{character}b"})
                assert message == f"TOPCOINS_{name.upper()} (or {name} in the file): its value has a control character"


@pytest.mark.parametrize("quoted", ['"{}"', "'{}'", '"{}', "{}'", "\u201c{}\u201d"])
@pytest.mark.parametrize(
    "name", ["CMC_API_KEY", "INFLUX_TOKEN", "CLIENT_KEY", "STORE_URL", "INFLUX_BUCKET", "RANK_SOURCE"]
)
def test_quotation_marks_around_a_value_are_refused_and_a_secret_in_them_is_not_shown(tmp_path, name, quoted):
    why = "its value begins or ends with a quotation mark, which would be a part of it; write it without"
    expected = f"TOPCOINS_{name} (or {name.lower()} in the file): {why}"
    assert refusal({f"TOPCOINS_{name}": quoted.format(CANARY)}) == expected
    if "URL" not in name and "SOURCE" not in name and "BUCKET" not in name:
        (tmp_path / "key").write_text(quoted.format(CANARY) + "\n", "utf-8")
        assert refusal({f"TOPCOINS_{name}_FILE": str(tmp_path / "key")}) == expected


def test_a_notice_may_be_a_quotation():
    assert load({"TOPCOINS_NOTICE": '"Simulated"'}).notice == '"Simulated"'


def test_a_path_may_begin_in_the_home_folder():
    home = Path.home()
    found = load(
        {f"TOPCOINS_{n}": "~/a" for n in ("SPOOL_DIR", "LOG_FILE")} | {"TOPCOINS_STORE_URL": "sqlite:///~/t.db"}
    )
    assert (found.spool_dir, found.log_file, found.store_url) == (home / "a", home / "a", f"sqlite:///{home}/t.db")


@pytest.mark.parametrize("name", ["CMC_API_KEY", "INFLUX_TOKEN", "CLIENT_KEY", "CLIENT_KEYS"])
def test_a_secret_by_value_and_by_file_is_refused_in_either_order(tmp_path, name):
    (tmp_path / "key").write_text(CANARY)
    both = {f"TOPCOINS_{name}": "value", f"TOPCOINS_{name}_FILE": str(tmp_path / "key")}
    for environ in (both, dict(reversed(both.items()))):
        message = refusal(environ)
        assert message == f"TOPCOINS_{name} and TOPCOINS_{name}_FILE are both set; set one of them"
    empty = {f"TOPCOINS_{name}": "", f"TOPCOINS_{name}_FILE": ""}
    assert load(empty) == Settings()


def test_a_file_that_is_nested_too_deep_is_one_sentence(file):
    assert "nested too deep" in refusal(file(f"a = {'[' * 50_000}{']' * 50_000}"))


KEYS = [
    "canary-5f3a9c1e",
    "b54bcf4d-1bca-4e8e-9a24-22ff2c3d462c",
    "CG-a8ZcW3vQhT5rJ7mKpN2xYs4L",
    digest("key"),
    "aGVsbG8gd29ybGQgdGhpcyBpcyBhIHRva2VuIQ/+Zm9yIGluZmx1eA==",
    "tc_Jx0vYt2nQ8rL5mW7kZ1bH4cD6fG9aS3pE0uI2oT",
    "abcdefghijklmnopqrstuvwx",
]
PLACES = ["{}", "https://a.example/?key={}", "https://a.example/#{}", "http://me:a/{}@host:8086", "a,{},b", "sqlite:{}"]
NAMES = sorted({*(name for name in Settings.model_fields if name not in ("api_keys", "source_urls"))} | {"cmc_url"})


def message(environ: Mapping[str, str]) -> str:
    """The error for a setting; empty where it takes any text."""
    with suppress(SettingsRejected):
        load(environ)
        return ""
    return refusal(environ)


@pytest.mark.parametrize("name", NAMES)
def test_a_key_in_the_wrong_setting_is_in_no_error(file, name):
    for key in KEYS:
        spoken = [message({f"TOPCOINS_{name.upper()}": place.format(key)}) for place in PLACES]
        spoken.append(message({f"TOPCOINS_{name.upper()}_FILE": key}))
        spoken += [message(file(f"{name} = {value}\n")) for value in (f'"{key}"', f'["{key}"]', f'{{"{key}" = 1}}')]
        assert not [text for text in spoken if key in text]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_as_a_name_or_a_file_is_in_no_error(file, key):
    for environ in (
        {f"TOPCOINS_{key}": "1"},
        {f"TOPCOINS_{key}_URL": "1"},
        {"TOPCOINS_CONFIG": key},
        file(f'"{key}" = 1\n'),
        file(f'["{key}"]\na = 1\n'),
        file(f'[query_api]\n"{key}" = 1\n'),
    ):
        message = refusal(environ)
        assert key not in message
        assert key.upper() not in message
        assert key.lower() not in message


def test_a_value_that_cannot_be_a_key_is_shown():
    assert "'dashboard.example.com'" in refusal({"TOPCOINS_CORS_ORIGINS": "https://a.example,dashboard.example.com"})


@pytest.mark.parametrize("variable", ["topcoins_assets", "Topcoins_Assets", "TOPCOINS_assets"])
def test_a_variable_in_lower_case_is_refused_with_its_right_spelling(variable):
    assert refusal({variable: "5"}) == f"{variable} is not a setting; write TOPCOINS_ASSETS"


def test_a_password_in_an_origin_is_refused_without_being_shown():
    assert CANARY not in refusal({"TOPCOINS_CORS_ORIGINS": f"https://me:{CANARY}@dashboard.example.com"})


@pytest.mark.parametrize(
    "url", ["ftp://bucket/x", "s3:/bucket/x", "s3://", "s3://key:secret@bucket/x", "s3://bucket/x?key=1"]
)
def test_an_archive_is_a_folder_or_an_object_store_without_a_key_in_its_address(url):
    with pytest.raises(SettingsRejected, match="TOPCOINS_ARCHIVE_URL") as refused:
        load({"TOPCOINS_ARCHIVE_URL": url})
    assert "secret" not in str(refused.value)


def test_an_object_stores_endpoint_is_https_unless_it_is_near():
    for near in ("http://seaweedfs:8333", "http://127.0.0.1:8333", "https://s3.example.com", ""):
        assert load({"TOPCOINS_ARCHIVE_ENDPOINT": near}).archive_endpoint == near
    with pytest.raises(SettingsRejected, match="must be https"):
        load({"TOPCOINS_ARCHIVE_ENDPOINT": "http://s3.example.com"})
