"""The HTTP client that asks upstreams: no cookies, and the proxies and certificates of the environment, checked.

Loopback and plain http are never asked through a proxy: a key would be readable there.
"""

import re
import ssl
from collections.abc import Callable, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path

import httpx

from lib.errors import SettingsRejected

PROXIES = ("https_proxy", "all_proxy")
"""The first that is set holds for https."""
PROXY_EXAMPLE = "http://proxy.example:3128 or socks5://proxy.example:1080"
_PORT = re.compile(r"^([^:]+|\[.*\]):[0-9]{1,5}$")
HEADERS = {"user-agent": "topcoins"}


def open_client(
    environ: Mapping[str, str], *, transport: httpx.AsyncBaseTransport | None = None, timeout_s: float = 20
) -> httpx.AsyncClient:
    """A client for upstreams; SettingsRejected names the variable of the environment that cannot be used."""
    return httpx.AsyncClient(
        transport=transport or _Routed(environ),
        cookies=no_cookies(),
        headers=HEADERS,
        timeout=timeout_s,
        trust_env=False,
    )


def no_cookies() -> CookieJar:
    """A jar that takes no cookie."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


class _Routed(httpx.AsyncBaseTransport):
    """Sends each request directly or through the environment's proxy."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        context = _trusted(environ)
        self._direct = httpx.AsyncHTTPTransport(verify=context)
        proxies = {name: _proxied(environ, name, context) for name in ("http_proxy", *PROXIES)}
        self._proxied = next((proxies[name] for name in PROXIES if proxies[name]), None)
        self._bypass = _bypass(_variable(environ, "no_proxy")[1])

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.AsyncBaseTransport`."""
        direct = self._proxied is None or request.url.scheme == "http" or self._bypass(request.url.host)
        transport = self._direct if direct or self._proxied is None else self._proxied
        return await transport.handle_async_request(request)

    async def aclose(self) -> None:
        """See `httpx.AsyncBaseTransport`."""
        await self._direct.aclose()
        if self._proxied:
            await self._proxied.aclose()


def _variable(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """The name, in the case in which it is set, and the value of a variable; an empty value is one that is not set."""
    for spelling in (name, name.upper()):
        if value := environ.get(spelling, "").strip():
            return spelling, value
    return name.upper(), ""


def _proxied(environ: Mapping[str, str], name: str, context: ssl.SSLContext) -> httpx.AsyncHTTPTransport | None:
    variable, value = _variable(environ, name)
    if not value:
        return None
    try:
        proxy = httpx.Proxy(value if "://" in value else f"http://{value}")
        if not proxy.url.host:
            raise ValueError("no host")
        return httpx.AsyncHTTPTransport(verify=context, proxy=proxy)
    except (ValueError, ImportError, httpx.InvalidURL) as exc:  # its text may hold the proxy's password
        raise SettingsRejected(
            f"{variable} is not a proxy address that can be used; write for example {PROXY_EXAMPLE}"
        ) from exc


def _bypass(no_proxy: str) -> Callable[[str], bool]:
    """Whether a host is asked directly: loopback always, and what `NO_PROXY` names by host, domain, or network."""
    names = [_PORT.sub(r"\1", entry.strip().lower()).strip("[]") for entry in no_proxy.split(",") if entry.strip()]
    networks = [network for network in map(_network, names) if network]

    def bypass(host: str) -> bool:
        host = host.strip("[]").lower()
        address = _address(host)
        if host == "localhost" or host.endswith(".localhost") or (address and address.is_loopback):
            return True
        if address and any(address in network for network in networks):
            return True
        return any(name == "*" or host == name or host.endswith(f".{name.lstrip('*.')}") for name in names)

    return bypass


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _trusted(environ: Mapping[str, str]) -> ssl.SSLContext:
    """The certificates to trust: `SSL_CERT_FILE`, else `SSL_CERT_DIR`, else those of certifi."""
    file, folder = environ.get("SSL_CERT_FILE", ""), environ.get("SSL_CERT_DIR", "")
    try:
        plain = httpx.create_ssl_context(trust_env=False)
    except OSError as exc:
        raise SettingsRejected(f"SSLKEYLOGFILE names a file that can't be written: {exc.strerror}") from exc
    if not file and not folder:
        return plain
    if file:
        try:
            return ssl.create_default_context(cafile=file)
        except OSError as exc:  # ssl.SSLError is one
            raise SettingsRejected(f"SSL_CERT_FILE={file} is not a file of certificates that can be read") from exc
    if not Path(folder).is_dir():
        raise SettingsRejected(f"SSL_CERT_DIR={folder} is not a folder")
    return ssl.create_default_context(capath=folder)
