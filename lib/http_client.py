"""The HTTP clients of ingestors and commands: no cookies, and the environment's proxies and certificates, checked.

Loopback and plain http are never asked through a proxy: it would read the key.
"""

import re
import ssl
from collections.abc import Callable, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

import httpx

from lib.endpoint import parse_ip
from lib.errors import SettingsRejected
from lib.redaction import shown

PROXY_EXAMPLE = "http://proxy.example:3128 or socks5://proxy.example:1080"
USER_AGENT = {"user-agent": "topcoins"}
_PORT = re.compile(r"^([^:]+|\[.*\]):[0-9]{1,5}$")


def open_client(
    environ: Mapping[str, str],
    *,
    headers: Mapping[str, str] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    timeout_s: float = 20,
) -> httpx.AsyncClient:
    """A client for upstreams; SettingsRejected names the variable of the environment that cannot be used."""
    return httpx.AsyncClient(
        transport=transport or _Routed(Route(environ)),
        cookies=_no_cookies(),
        headers={**USER_AGENT, **(headers or {})},
        timeout=timeout_s,
        trust_env=False,
        event_hooks={"response": [_forget_location_async]},
    )


def open_sync_client(
    environ: Mapping[str, str],
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    transport: httpx.BaseTransport | None = None,
    timeout_s: float = 20,
) -> httpx.Client:
    """A client for commands that ask the server at this address, by the same rules."""
    route = Route(environ)
    proxy = None if route.is_direct(httpx.URL(url)) else route.proxy
    return httpx.Client(
        transport=transport or httpx.HTTPTransport(verify=route.certificates, proxy=proxy),
        cookies=_no_cookies(),
        headers={**USER_AGENT, **(headers or {})},
        timeout=timeout_s,
        trust_env=False,
        event_hooks={"response": [_forget_location]},
    )


class Route:
    """What the environment says about reaching hosts: the certificates, the proxy, and the hosts it is not for."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        _proxy(environ, "http_proxy")  # not used, but a broken one is a mistake
        self.proxy = _proxy(environ, "https_proxy") or _proxy(environ, "all_proxy")
        self._bypass = _bypass(_variable(environ, "no_proxy")[1])
        self.certificates = _certificates(environ)

    def is_direct(self, url: httpx.URL) -> bool:
        """Whether an address is asked without the proxy."""
        return self.proxy is None or url.scheme == "http" or self._bypass(url.host)


class _Routed(httpx.AsyncBaseTransport):
    def __init__(self, route: Route) -> None:
        self._route = route
        self._direct = httpx.AsyncHTTPTransport(verify=route.certificates)
        self._proxied = httpx.AsyncHTTPTransport(verify=route.certificates, proxy=route.proxy)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        transport = self._direct if self._route.is_direct(request.url) else self._proxied
        return await transport.handle_async_request(request)

    async def aclose(self) -> None:
        await self._direct.aclose()
        await self._proxied.aclose()


def _forget_location(response: httpx.Response) -> None:
    """No redirect is followed, but httpx parses its address, and an odd one is not one of its own errors."""
    response.headers.pop("location", None)


async def _forget_location_async(response: httpx.Response) -> None:
    _forget_location(response)


def _no_cookies() -> CookieJar:
    """A jar that takes no cookie."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


def _variable(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """The name, in the case in which it is set, and the value of a variable; an empty value is one that is not set."""
    for spelling in (name, name.upper()):
        if value := environ.get(spelling, "").strip():
            return spelling, value
    return name.upper(), ""


def _proxy(environ: Mapping[str, str], name: str) -> httpx.Proxy | None:
    variable, value = _variable(environ, name)
    if not value:
        return None
    try:
        proxy = httpx.Proxy(value if "://" in value else f"http://{value}")
        if not proxy.url.host or (proxy.url.port or 1) > 65535:
            raise ValueError("no host, or no port")
        httpx.HTTPTransport(verify=False, proxy=proxy).close()  # a scheme may need a package that is not there
        return proxy
    except (ValueError, ImportError, httpx.InvalidURL):  # its text may hold the proxy's password
        raise SettingsRejected(
            f"{variable} is no proxy address that can be used; for example {PROXY_EXAMPLE}"
        ) from None


def _bypass(no_proxy: str) -> Callable[[str], bool]:
    """Whether a host is asked directly: loopback always, and what `NO_PROXY` names by host, domain or network."""
    entries = no_proxy.lower().replace(",", " ").split()
    names = [_PORT.sub(r"\1", entry.rstrip(".")).strip("[]") for entry in entries]
    networks = [network for network in map(_network, names) if network]

    def bypass(host: str) -> bool:
        host = host.strip("[]").lower()
        address = parse_ip(host)
        if host == "localhost" or host.endswith(".localhost") or (address and address.is_loopback):
            return True
        if address and any(address in network for network in networks):
            return True
        return any(name == "*" or host == name or host.endswith(f".{name.lstrip('*.')}") for name in names)

    return bypass


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _certificates(environ: Mapping[str, str]) -> ssl.SSLContext:
    """The certificates to trust: `SSL_CERT_FILE`, else `SSL_CERT_DIR`, else those of certifi."""
    file, folder = environ.get("SSL_CERT_FILE", "").strip(), environ.get("SSL_CERT_DIR", "").strip()
    try:
        plain = httpx.create_ssl_context(trust_env=False)
    except OSError as exc:
        raise SettingsRejected(f"SSLKEYLOGFILE names a file that can't be written: {exc.strerror}") from exc
    try:
        if file:
            return ssl.create_default_context(cafile=file)
    except OSError as exc:  # ssl.SSLError is one
        raise SettingsRejected(f"SSL_CERT_FILE={shown(file)} is no file of certificates that can be read") from exc
    if folder and not Path(folder).is_dir():
        raise SettingsRejected(f"SSL_CERT_DIR={shown(folder)} is not a folder")
    return ssl.create_default_context(capath=folder) if folder else plain
