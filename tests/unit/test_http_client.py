"""The HTTP clients: which proxy and certificates they use, what they refuse, and that they take no cookie."""

from functools import partial

import httpx
import pytest

from ingest_price.source import plan
from lib.cli.doctor import examine
from lib.errors import SettingsRejected
from lib.http_client import Route, open_client, open_sync_client
from lib.ingest.service import main
from tests.fakes import FakeClock, Upstream, says

PROXY = "http://proxy.example:3128"
API = "https://api.example"
CMC = httpx.URL("https://pro-api.coinmarketcap.com/v1")
LOOPBACK = ["http://127.0.0.1:9000", "https://127.0.0.1", "https://localhost:1", "https://[::1]:1", "https://127.8.9.10",
            "https://a.localhost"]  # fmt: skip


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("value", [PROXY, "proxy.example:3128", "https://me:pass@proxy.example", "socks5://127.0.0.1:1",
                                   "socks5h://[::1]:1080"])  # fmt: skip
def test_an_upstream_is_asked_through_the_proxy_of_the_environment(name, value):
    route = Route({name: value})
    assert route.proxy
    assert not route.is_direct(CMC)


def test_the_proxy_of_https_has_priority_over_that_of_all_schemes():
    route = Route({"ALL_PROXY": "http://all.example", "HTTPS_PROXY": PROXY})
    assert route.proxy
    assert route.proxy.url.host == "proxy.example"


@pytest.mark.parametrize("environ", [{}, {"HTTPS_PROXY": ""}, {"HTTP_PROXY": PROXY}])
def test_without_a_proxy_for_https_an_upstream_is_asked_directly(environ):
    assert Route(environ).is_direct(CMC)


@pytest.mark.parametrize("url", [*LOOPBACK, "http://simulator:9667"])
def test_loopback_and_plain_http_are_never_asked_through_a_proxy(url):
    assert Route({"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY, "ALL_PROXY": PROXY}).is_direct(httpx.URL(url))


@pytest.mark.parametrize(
    ("no_proxy", "host", "direct"),
    [
        ("*", "pro-api.coinmarketcap.com", True),
        ("coinmarketcap.com", "pro-api.coinmarketcap.com", True),
        (".coinmarketcap.com", "pro-api.coinmarketcap.com", True),
        ("*.coinmarketcap.com", "pro-api.coinmarketcap.com", True),
        ("pro-api.coinmarketcap.com:443", "pro-api.coinmarketcap.com", True),
        ("COINMARKETCAP.com", "pro-api.coinmarketcap.com", True),
        ("localhost coinmarketcap.com", "pro-api.coinmarketcap.com", True),
        ("pro-api.coinmarketcap.com.", "pro-api.coinmarketcap.com", True),
        ("market.com", "pro-api.coinmarketcap.com", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("::1/128,fd00::/8,[::1]", "[fd00::5]", True),
        ("::1/128,[::1],localhost,10.0.0.0/99, ,[", "pro-api.coinmarketcap.com", False),
    ],
)
def test_hosts_that_no_proxy_names_are_asked_directly(no_proxy, host, direct):
    assert Route({"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}).is_direct(httpx.URL(f"https://{host}/v1")) is direct


BROKEN = [
    *((name, value) for name in ("HTTP_PROXY", "https_proxy", "ALL_PROXY") for value in
      ("ftp://proxy.example", "socks4://secret@proxy.example", "http://", "http://proxy.example:port", "http://proxy.example:99999",
       "://",
       "http://[::1")),
    ("SSL_CERT_FILE", "/no.pem"),
    ("SSL_CERT_FILE", "/"), ("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "/no/folder"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BROKEN)
@pytest.mark.parametrize("make", [open_client, partial(open_sync_client, url=API)])
def test_a_variable_that_cannot_be_used_is_refused_in_one_sentence_that_names_it(make, name, value):
    with pytest.raises(SettingsRejected) as refused:
        make({name: value})
    text = str(refused.value)
    assert text.startswith(name)
    assert "\n" not in text
    assert "secret" not in text


def test_an_ingestor_ends_with_that_sentence_and_doctor_shows_it(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "ftp://proxy.example")
    with pytest.raises(SystemExit, match="ingest_price: ALL_PROXY is no proxy address that can be used"):
        main("ingest_price", plan, arguments=[])
    (finding,) = examine({"ALL_PROXY": "ftp://proxy.example"}, FakeClock(), print)
    assert not finding.well
    assert finding.seen.startswith("ALL_PROXY is no proxy address")


async def test_a_cookie_is_neither_stored_nor_sent():
    upstream = Upstream(says({}, set_cookie="session=1; Path=/; Max-Age=9999"))
    async with upstream.client as client:
        for _ in range(2):
            await client.get("https://pro-api.coinmarketcap.com/v1")
        assert not list(client.cookies.jar)
    assert not any("cookie" in request.headers for request in upstream.asked)


ODD = ["mailto:me@a.example", "https:login", "data:text/html,hello", "javascript:void(0)", "http://[", "http://a:99999/",
       "//", "\u0439", ""]  # fmt: skip


@pytest.mark.parametrize("location", ODD)
async def test_an_odd_address_to_go_to_is_no_error_of_the_client(location):
    headers = [("location", location.encode())]
    upstream = Upstream(lambda request: httpx.Response(302, headers=headers))
    async with upstream.client as client:
        assert (await client.get("https://pro-api.coinmarketcap.com/v1")).status_code == 302


@pytest.mark.parametrize("location", ODD)
def test_an_odd_address_to_go_to_ends_no_command(location):
    answer = httpx.Response(302, headers=[("location", location.encode())])
    with open_sync_client({}, API, transport=httpx.MockTransport(lambda request: answer)) as client:
        assert client.get(API).status_code == 302


def test_a_command_takes_no_cookie():
    with open_sync_client({}, API) as client:
        request = httpx.Request("GET", API)
        client.cookies.extract_cookies(httpx.Response(200, headers={"set-cookie": "a=1"}, request=request))
        assert not list(client.cookies.jar)


@pytest.mark.parametrize(("url", "pool"), [(API, "HTTPProxy"), ("http://127.0.0.1:6667", "ConnectionPool")])
def test_a_command_asks_a_proxy_only_where_the_route_has_one(url, pool):
    with open_sync_client({"HTTPS_PROXY": PROXY}, url) as client:
        assert type(vars(client._transport)["_pool"]).__name__ == pool
