"""What to do about a failure, by its deepest cause."""

import socket
import ssl
from collections.abc import Iterator

import httpx

from lib.errors import Malformed, Rejected, SourceExhausted, StoreRejected, TopcoinsError
from lib.source import Source

CERTIFICATE = (
    "the certificate of {host} is not trusted here: check this machine's clock; if a proxy of your network makes"
    " certificates, name its authority in SSL_CERT_FILE"
)
TLS = "{host} and this machine agree on no TLS: check {setting}, and HTTPS_PROXY"
NAME = "{host} cannot be found: check the network, DNS and the spelling in {setting}"
REFUSED = "nothing listens at {host}: start it, or check {setting}"
SILENT = "{host} does not answer: check the network, the firewall, HTTPS_PROXY and {setting}"
_CAUSES: tuple[tuple[type[BaseException], str], ...] = (
    (ssl.SSLCertVerificationError, CERTIFICATE),
    (ssl.SSLError, TLS),
    (socket.gaierror, NAME),
    (ConnectionRefusedError, REFUSED),
    (TimeoutError, SILENT),
    (httpx.TimeoutException, SILENT),
    (OSError, SILENT),
)


def advise_on_source(exc: TopcoinsError, source: Source) -> str:
    """What to do when a source fails."""
    host, url, key = source.base, source.url_variable, source.key_variable
    if isinstance(exc, SourceExhausted):
        return "wait for the reset, or raise TOPCOINS_INTERVAL, lower TOPCOINS_ASSETS, or take a larger plan"
    if isinstance(exc, Rejected):
        return f"check the value of {key}, its plan, and {url}" if key else f"check {url}"
    if isinstance(exc, Malformed):
        return f"{host} does not answer as its vendor did: check {url}, or look for a newer topcoins"
    return advise_on_connection(exc, host=host, setting=url)


def advise_on_connection(exc: BaseException, *, host: str, setting: str) -> str:
    """What to do when a server cannot be reached. `setting` is the variable of its address."""
    causes = list(_causes(exc))
    for kind, text in _CAUSES:
        if any(isinstance(cause, kind) for cause in causes):
            return text.format(host=host, setting=setting)
    return f"if it lasts, ask the operator of {host}, or check {setting}"


def advise_on_store(exc: TopcoinsError, *, host: str) -> str:
    """What to do when an InfluxDB fails."""
    if isinstance(exc, StoreRejected):
        return "topcoins init makes what is missing; TOPCOINS_INFLUX_TOKEN must be a token that it made"
    return advise_on_connection(exc, host=host, setting="TOPCOINS_STORE_URL")


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it, those of parallel attempts too."""
    seen: set[int] = set()
    while exc is not None and id(exc) not in seen:
        seen.add(id(exc))
        yield exc
        if isinstance(exc, BaseExceptionGroup):
            for each in exc.exceptions:
                yield from _causes(each)
        exc = exc.__cause__ or exc.__context__
