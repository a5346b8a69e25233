"""Addresses to listen on and to ask."""

import errno
import socket

import pytest
from uvicorn.middleware.proxy_headers import _TrustedHosts

from lib.endpoint import describe_refusal, http_url, open_listener, shown_url, to_ask
from lib.errors import SettingsRejected
from lib.settings import load
from query_api.http.client import with_mapped


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("::1", "http://[::1]:80"),
        ("2001:db8::7", "http://[2001:db8::7]:80"),
        ("fe80::1%eth0", "http://[fe80::1%25eth0]:80"),
        ("api.example", "http://api.example:80"),
    ],
)
def test_an_ipv6_address_has_brackets_in_a_url(host, url):
    assert http_url(host, 80) == url


@pytest.mark.parametrize(("host", "asked"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("127.0.0.2", "127.0.0.2")])
def test_a_server_on_every_address_is_asked_on_loopback(host, asked):
    assert to_ask(host) == asked


@pytest.mark.parametrize(
    ("host", "shown"),
    [("0.0.0.0", "localhost"), ("::", "localhost"), ("127.0.0.1", "localhost"), ("::1", "[::1]"), ("10.0.0.7",) * 2],
)
def test_the_printed_address_works_on_this_machine(host, shown):
    assert shown_url(host, 6667) == f"http://{shown}:6667"


@pytest.mark.enable_socket
@pytest.mark.parametrize(("host", "families"), [("127.0.0.1", "4"), ("::1", "6"), ("::", "46"), ("localhost", "4")])
def test_a_listener_has_the_family_of_its_address(host, families):
    with open_listener(host, 0) as listener:
        port = listener.getsockname()[1]
        for family, address in (("4", "127.0.0.1"), ("6", "::1")):
            with socket.socket(socket.AF_INET if family == "4" else socket.AF_INET6) as caller:
                assert (caller.connect_ex((address, port)) == 0) == (family in families)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (OSError(errno.EADDRINUSE, ""), "choose 16667 or another free one with --port"),
        (OSError(errno.EACCES, ""), "choose 16667 or another free one with --port"),
        (
            OSError(errno.EADDRNOTAVAIL, ""),
            "set TOPCOINS_HTTP_HOST to an address of this machine, for example 127.0.0.1",
        ),
        (
            OSError(errno.EAFNOSUPPORT, ""),
            "set TOPCOINS_HTTP_HOST to an address of this machine, for example 127.0.0.1",
        ),
        (
            socket.gaierror(-2, "not known"),
            "set TOPCOINS_HTTP_HOST to an address of this machine, for example 127.0.0.1",
        ),
    ],
)
def test_a_refusal_names_the_setting_that_helps(error, remedy):
    assert describe_refusal(error, "--port").endswith(f"; {remedy}")


@pytest.mark.parametrize("text", ["[::1]", "::1", "::", "0.0.0.0", "localhost", "api-1.example", "fe80::1%eth0"])
def test_a_host_is_an_address_or_a_name(text):
    assert load({"TOPCOINS_HTTP_HOST": text}).http_host == text.strip("[]")


@pytest.mark.parametrize("text", ["http://127.0.0.1", "127.0.0.1:6667", "[::1]:6667", "::1::2", "a b", "/tmp/socket"])
def test_a_host_with_a_scheme_or_a_port_is_refused(text):
    with pytest.raises(SettingsRejected, match=r"TOPCOINS_HTTP_HOST .* without http:// and without a port"):
        load({"TOPCOINS_HTTP_HOST": text})


@pytest.mark.parametrize("url", ["http://[::1]:9667", "http://127.0.0.2:9667", "http://[0:0:0:0:0:0:0:1]:9667"])
def test_any_loopback_address_may_be_plain_http(url):
    assert load({"TOPCOINS_CMC_URL": url}).source_urls == {"cmc_url": url}


def test_a_proxy_may_have_an_ipv6_address_in_brackets():
    assert load({"TOPCOINS_TRUSTED_PROXIES": "[::1],2001:db8::/32"}).trusted_proxies == ("::1", "2001:db8::/32")


@pytest.mark.parametrize("url", ["http://[2001:db8::7]", "http://3221225985", "http://0x7f000001", "http://a.example"])
def test_plain_http_goes_to_no_public_address(url):
    with pytest.raises(SettingsRejected, match="must be https"):
        load({"TOPCOINS_ARCHIVE_ENDPOINT": url})


def test_a_proxy_is_trusted_on_a_socket_that_takes_ipv4_and_ipv6():
    hosts = _TrustedHosts(with_mapped(("10.0.0.7", "172.18.0.0/16", "2001:db8::/32")))
    assert all(host in hosts for host in ("10.0.0.7", "::ffff:10.0.0.7", "::ffff:172.18.3.4", "2001:db8::1"))
    assert not any(host in hosts for host in ("10.0.0.8", "::ffff:10.0.0.8", "::ffff:172.19.0.1", "::1"))
