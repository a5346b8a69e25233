"""Access: keys, limits, origins, and the headers every answer has."""

import base64
import re
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from itertools import product

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.access import Rate, new_key
from query_api.http.client import client_of
from query_api.middleware.access import CLIENTS, Access, Rates
from tests.fakes import FakeClock
from tests.unit.query_api.http.test_http import ADDRESSES, problem
from tests.unit.query_api.market import NOW, calling, stocked

MINUTE = timedelta(minutes=1)
ALICE, BOB = new_key("alice"), new_key("bob")
KEYS = dict(made.line.split(":") for made in (ALICE, BOB))
PROBES = ("/healthz", "/readyz")
ABOUT = ("/docs", "/redoc", "/openapi.json")
Headers = Mapping[str, str | bytes]


class Seconds:
    """A timer that changes only when it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
async def client(clock: FakeClock) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(stocked(clock), clock, access=Access(keys=KEYS)) as caller:
        yield caller


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anyone:{password}".encode()).decode()


WITH_A_KEY: list[Headers] = [
    {"authorization": f"Bearer {ALICE.key}"},
    {"authorization": f"bearer  {BOB.key}"},
    {"x-api-key": BOB.key},
    {"authorization": basic(ALICE.key)},
    {"authorization": "Bearer wrong", "x-api-key": ALICE.key},
]
WITHOUT_A_KEY: list[Headers] = [
    {},
    {"authorization": f"Bearer {ALICE.key[:-1]}"},
    {"authorization": ALICE.key},
    {"authorization": f"Bearer {KEYS['alice']}"},
    {"authorization": "Basic !!"},
    {"authorization": basic("")},
    {"x-api-key": ""},
    {"x-api-key": b"\xff\xfe"},
    {"x-api-key": f"alice:{ALICE.key}"},
    {"cookie": f"key={ALICE.key}"},
]


async def test_a_key_opens_every_address(client):
    for headers, path in product(WITH_A_KEY, ADDRESSES):
        answer = await client.get(path, headers=headers)
        assert answer.status_code == (404 if path == "/nowhere" else 200), (path, headers)


async def test_without_a_key_the_answer_has_only_how_to_authenticate(client):
    for headers, path in product(WITHOUT_A_KEY, (*ADDRESSES, f"/?key={ALICE.key}")):
        answer = await client.get(path, headers=headers)
        if path in PROBES + ABOUT:
            assert answer.status_code == 200, (path, headers)
            continue
        body = problem(answer, 401)
        assert answer.headers["www-authenticate"] == 'Bearer realm="topcoins", Basic realm="topcoins"'
        assert "X-Api-Key" in body["detail"]
        assert ALICE.key not in answer.text


async def test_an_answer_that_needs_a_key_is_private_to_caches(client, clock):
    keyed = await client.get("/", headers={"x-api-key": ALICE.key})
    assert keyed.headers["cache-control"].startswith("private, ")
    async with calling(stocked(clock), clock) as anybody:
        assert (await anybody.get("/")).headers["cache-control"].startswith("public, ")


async def test_a_cached_answer_still_needs_a_key(client):
    assert (await client.get("/", headers={"x-api-key": ALICE.key})).status_code == 200
    assert (await client.get("/")).status_code == 401


@given(st.text(max_size=40), st.binary(max_size=40))
def test_no_text_is_a_key_but_the_key(name, key):
    made = new_key("carol")
    assert made.key != name
    assert re.fullmatch(r"carol:[0-9a-f]{64}", made.line)
    assert made.key not in made.line


# Limits.


async def test_a_client_over_its_rate_gets_429_and_retry_after(clock):
    timer = Seconds()
    access = Access(keys=KEYS, rate=Rate(3, MINUTE))
    async with calling(stocked(clock), clock, access=access, timer=timer) as client:
        alice, bob = {"x-api-key": ALICE.key}, {"x-api-key": BOB.key}
        assert [(await client.get("/", headers=alice)).status_code for _ in range(4)] == [200, 200, 200, 429]
        refused = await client.get("/v1/status", headers=alice)
        assert problem(refused, 429)["detail"].startswith("alice asks more often")
        assert refused.headers["retry-after"] == "20"
        assert (await client.get("/", headers=bob)).status_code == 200
        assert [(await client.get(path)).status_code for path in PROBES * 5] == [200] * 10
        timer.now += 20
        assert [(await client.get("/", headers=alice)).status_code for _ in range(2)] == [200, 429]


async def test_without_keys_a_client_is_its_address_whatever_its_headers_are(clock):
    async with calling(stocked(clock), clock, access=Access(rate=Rate(2, MINUTE)), timer=Seconds()) as client:
        codes = [
            (await client.get("/", headers={"x-forwarded-for": f"10.0.0.{n}", "forwarded": f"for=10.0.0.{n}"}))
            for n in range(3)
        ]
    assert [answer.status_code for answer in codes] == [200, 200, 429]


def test_all_addresses_of_one_ipv6_network_share_a_rate():
    """SV-6."""
    clients = {client_of({"client": (f"2001:db8:7:{number:x}::1", 1)}) for number in range(100)}
    assert len(clients) == 1
    assert client_of({"client": ("2001:db8:8::1", 1)}) not in clients


@given(st.integers(1, 50), st.integers(1, 3600), st.lists(st.floats(0, 100), max_size=200))
def test_no_period_has_more_than_twice_its_requests_and_retry_after_is_long_enough(requests, period, pauses):
    timer = Seconds()
    rates = Rates(Rate(requests, timedelta(seconds=period)), timer=timer)
    allowed = []
    for pause in pauses:
        timer.now += pause
        wait = rates.wait("one")
        if wait:
            timer.now += wait
            assert not rates.wait("one")
        allowed.append(timer.now)
    for at in allowed:
        assert sum(at <= other < at + period for other in allowed) <= 2 * requests


def test_a_limit_remembers_a_bounded_number_of_clients():
    rates = Rates(Rate(1, MINUTE), timer=Seconds())
    for number in range(CLIENTS + 100):
        assert not rates.wait(str(number))
    assert len(rates._due) == CLIENTS


# Browsers.


async def test_no_other_sites_page_may_read_an_answer_unless_it_is_named(clock):
    headers = {"origin": "https://other.example"}
    async with calling(stocked(clock), clock) as client:
        answer = await client.get("/", headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control")]
    async with calling(stocked(clock), clock, access=Access(KEYS, origins=["https://named.example"])) as client:
        assert "access-control-allow-origin" not in (await client.get("/", headers=headers)).headers
        named = {"origin": "https://named.example"}
        answer = await client.get("/", headers={**named, "x-api-key": ALICE.key})
        assert answer.headers["access-control-allow-origin"] == named["origin"]
        assert "access-control-allow-credentials" not in answer.headers
        asks = {"access-control-request-method": "GET", "access-control-request-headers": "x-api-key"}
        assert (await client.options("/", headers={**named, **asks})).status_code == 200
        assert (await client.options("/", headers={**headers, **asks})).status_code == 400


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_every_answer_has_the_security_headers(clock, method):
    async with calling(stocked(clock), clock, access=Access(KEYS)) as client:
        for path in (*ADDRESSES, "/?limit=0"):
            for key in ({}, {"x-api-key": ALICE.key}):
                answer = await client.request(method, path, headers=key)
                assert answer.headers["x-content-type-options"] == "nosniff"
                policy = answer.headers.get_list("content-security-policy")
                assert len(policy) == 1
                assert policy[0].startswith("default-src 'none'; ")
                assert "frame-ancestors 'none'" in policy[0]
                if answer.headers.get("content-type", "").startswith("text/html"):
                    assert answer.headers["referrer-policy"] == "no-referrer"
                else:
                    assert "script-src" not in policy[0]
