"""Headers with information of their own, and headers of requests that are longer than they need to be."""

import sys
from collections.abc import Callable

import pytest
from starlette.exceptions import HTTPException

from lib.access import Rate
from query_api.http.caching import TAGS_LENGTH
from query_api.http.client import Addresses, client_of
from query_api.http.content_type import RANGES, RANGES_LENGTH, choose_format, prefers_html
from query_api.http.headers import EXPOSED_HEADERS
from query_api.middleware.access import Access
from query_api.middleware.security_headers import DATA_POLICY, DOCUMENTATION_POLICY, with_security_headers
from tests.fakes import FakeClock
from tests.unit.query_api.market import MINUTE, NOW, calling, stocked

SAFE = {"cache-control", "content-language", "content-length", "content-type", "expires", "last-modified", "pragma"}
"""Any page may read these."""
FOR_BROWSERS = {
    "vary", "content-encoding", "allow", "www-authenticate", "referrer-policy", "x-frame-options",
    *(name.decode() for name, _ in with_security_headers([])),
}  # fmt: skip
SITE = "https://dashboard.example.com"


async def test_a_page_of_a_named_site_may_read_every_header_of_ours():
    clock = FakeClock(NOW)
    store = stocked(clock)
    markers = [marker for marker in store.snapshots if marker[0] == "price"]
    assert markers
    async with calling(store, clock, access=Access(origins=[SITE], rate=Rate(7, MINUTE)), notice="x") as client:
        answers = [
            await client.get(path, headers={"origin": SITE, "accept": accept})
            for path, accept in (
                ("/v1/top?exclude=stablecoins&symbols=BTC,ABSENT", "text/csv"),
                ("/v1/top", "application/json"),
                ("/v1/assets/1/history?limit=2&every=1m&from=now-10m", "text/csv"),
                ("/v1/movers?from=now-5m&exclude=wrapped", "text/csv"),
                ("/v1/export?from=now-3m&every=1m", "text/csv"),
                ("/v1/sparklines?ids=1", "application/json"),
                ("/page/none", "*/*"),
                ("/v1/status", "*/*"),  # over the limit
            )
        ]
    assert answers[-1].status_code == 429
    exposed = {name.strip().lower() for name in answers[0].headers["access-control-expose-headers"].split(",")}
    assert exposed == set(EXPOSED_HEADERS)
    sent = {name for answer in answers for name in answer.headers if not name.startswith("access-control-")}
    ours = sent - SAFE - FOR_BROWSERS
    assert ours <= exposed
    rare = {name for name in EXPOSED_HEADERS if name.endswith(("-backfilled", "-unchanged", "-newest-update"))}
    assert exposed - ours == rare


def test_answers_of_data_and_pages_have_the_policy_of_their_kind():
    policies = [
        dict(with_security_headers([(b"content-type", kind)]))[b"content-security-policy"]
        for kind in (b"application/json", b"text/html; charset=utf-8")
    ]
    assert policies == [DATA_POLICY, DOCUMENTATION_POLICY]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:7::1", "2001:db8:7:ffff:a:b:c:d", True),
        ("2001:db8:7::1", "2001:db8:8::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2", True),
    ],
)
def test_all_addresses_of_an_ipv6_site_are_one_client(one, other, same):
    assert (client_of({"client": (one, 1)}) == client_of({"client": (other, 2)})) is same


@pytest.mark.parametrize(
    ("host", "trusted"),
    [
        ("10.0.0.7", True), ("::ffff:10.0.0.7", True), ("10.0.0.8", False), ("172.18.255.1", True),
        ("2001:db8::9", True), ("unix", False),
    ],
)  # fmt: skip
def test_a_proxy_is_known_by_its_address_or_network(host, trusted):
    assert (host in Addresses(("10.0.0.7", "172.18.0.0/16", "2001:db8::/32"))) is trusted
    assert host not in Addresses()


def calls(work: Callable[[], object]) -> int:
    """Python and C functions called, which do not depend on the machine."""
    count = 0

    def note(*event: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("part", ["a,", "a/b;q=0.1,", ";", "a/b;" + "x=1;" * 100 + ","])
def test_the_length_of_an_accept_header_does_not_decide_what_it_costs(part):
    text = "application/json," + part * (30_000 // len(part))

    def choose() -> None:
        assert choose_format(None, text) == "json"
        assert not prefers_html(text)

    assert calls(choose) < 5_000


def test_the_ranges_of_a_usual_accept_header_are_all_read():
    ranges = ["application/x-none"] * (RANGES - 1)
    assert choose_format(None, ",".join([*ranges, "text/csv"])[-RANGES_LENGTH:]) == "csv"
    with pytest.raises(HTTPException) as refused:
        choose_format(None, ",".join([*ranges, "text/none", "text/csv"]))
    assert refused.value.status_code == 406
    assert len(str(refused.value)) < 300


async def test_the_length_of_an_if_none_match_header_does_not_decide_what_it_costs():
    clock = FakeClock(NOW)
    async with calling(stocked(clock), clock) as client:
        etag = (await client.get("/v1/top")).headers["etag"]
        near = await client.get("/v1/top", headers={"if-none-match": '"a", ' * 100 + etag})
        far = await client.get("/v1/top", headers={"if-none-match": "a," * TAGS_LENGTH + etag})
    assert (near.status_code, far.status_code) == (304, 200)
