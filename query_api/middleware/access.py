"""Who may ask, how often, and which sites' pages may read the answers."""

import base64
import binascii
import hmac
import math
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field

from cachetools import LRUCache
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from lib.access import Keys, Rate, digest
from lib.settings import Settings
from query_api.http.client import KEY_NAME, client_of
from query_api.http.headers import EXPOSED_HEADERS
from query_api.http.problems import problem
from query_api.middleware.security_headers import security_headers

PUBLIC_PATHS = frozenset({"/healthz", "/readyz", "/docs", "/redoc", "/openapi.json", "/favicon.ico", "/robots.txt"})
"""Answered without a key: probes, and the description of the API. Metrics and status describe the inside."""
PUBLIC_FOLDER = "/static-offline-docs/"
METRICS = "/metrics"
CHALLENGE = 'Bearer realm="topcoins", Basic realm="topcoins"'
MOST_KEYS = 2
"""A request is tried with its first two keys: a proxy may add its own."""
CLIENTS = 10_000
"""Clients in memory. One that asked longer ago than all of these starts anew."""

Timer = Callable[[], float]
"""Seconds that are never set forward or back."""


@dataclass(frozen=True, slots=True)
class Access:
    """What the settings allow. By default anybody, as often as they like, but no other site's page."""

    keys: Keys = field(default_factory=dict)
    rate: Rate | None = None
    origins: Sequence[str] = ()

    @classmethod
    def of(cls, settings: Settings, workers: int = 1) -> "Access":
        """As the settings have it; each of several processes counts its own part of the rate."""
        rate = settings.rate_limit
        part = Rate(math.ceil(rate.requests / workers), rate.period) if rate else None
        return cls(settings.client_keys, part, settings.cors_origins)


EVERYBODY = Access()


def with_access(app: ASGIApp, access: Access, *, timer: Timer) -> ASGIApp:
    """The app behind the access control that is set; what is not set costs nothing."""
    if access.keys or access.rate:
        app = AccessControl(app, access, timer=timer)
    if access.origins:
        cors = CORSMiddleware(
            app, allow_origins=access.origins, allow_methods=["GET", "HEAD", "POST"], expose_headers=EXPOSED_HEADERS,
            allow_headers=["authorization", "x-api-key", "if-none-match", "content-type"],
        )  # fmt: skip
        app = security_headers(cors)  # it answers preflight requests itself
    return app


def with_metrics_port(app: ASGIApp, metrics: ASGIApp, port: int) -> ASGIApp:
    """Requests that arrive on `port` reach `metrics`, and nothing but `/metrics`; all others reach `app`.

    It needs no key: for scrapers that send no headers, on a network of the inside.
    """
    nothing = security_headers(problem(404, f"this port has {METRICS} and nothing else"))

    async def pass_on(scope: Scope, receive: Receive, send: Send) -> None:
        inside = metrics if scope["path"] == METRICS else nothing
        is_inside = scope["server"][1] == port  # of the socket, which no header can change
        await (inside if is_inside else app)(scope, receive, send)

    return pass_on


class AccessControl:
    """Refuses a caller without a key (401) and one that asks too often (429)."""

    def __init__(self, app: ASGIApp, access: Access, *, timer: Timer) -> None:
        self._app = app
        self._keys = {name: hashed.encode() for name, hashed in access.keys.items()}
        self._rates = Rates(access.rate, timer=timer) if access.rate else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse."""
        if scope["path"] in PUBLIC_PATHS or scope["path"].startswith(PUBLIC_FOLDER):
            await self._app(scope, receive, send)
            return
        await (self._refusal(scope) or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        if self._keys:
            name = self._key_owner(scope)
            if name is None:
                why = "a key is needed: Authorization: Bearer KEY, or X-Api-Key: KEY; ask who runs this API for one"
                return security_headers(problem(401, why, headers={"www-authenticate": CHALLENGE}))
            scope[KEY_NAME] = name
        if self._rates and (wait := self._rates.wait(client := client_of(scope))):
            seconds = math.ceil(wait)
            why = f"{client} asks more often than its limit allows; ask again in {seconds} s"
            return security_headers(problem(429, why, headers={"retry-after": str(seconds)}))
        return None

    def _key_owner(self, scope: Scope) -> str | None:
        """The client whose key the request carries. Every hash is compared, always in the same time."""
        owner = None
        for key in _keys_in(scope["headers"]):
            hashed = digest(key).encode()
            for client, known in self._keys.items():
                if hmac.compare_digest(hashed, known):
                    owner = client
        return owner


def _keys_in(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    keys: list[str] = []
    for name, value in headers:
        if name not in (b"x-api-key", b"authorization") or len(keys) == MOST_KEYS:
            continue
        text = value.decode("latin-1").strip()
        scheme, _, credentials = text.partition(" ")
        if name == b"x-api-key":
            keys.append(text)
        elif scheme.lower() == "bearer":
            keys.append(credentials.strip())
        elif scheme.lower() == "basic":
            keys.append(_password(credentials))
    return keys


def _password(encoded: str) -> str:
    """Basic's password: a browser asks its user for it, and sends it with everything that its page loads."""
    try:
        return base64.b64decode(encoded, validate=True).decode("utf-8", "replace").partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


class Rates:
    """A client may use all requests of a period at once; they come back evenly over the period (GCRA)."""

    def __init__(self, rate: Rate, *, timer: Timer) -> None:
        self._period = rate.period.total_seconds()
        self._step = self._period / rate.requests
        self._timer = timer
        self._due: MutableMapping[str, float] = LRUCache(CLIENTS)

    def wait(self, client: str) -> float:
        """Return the seconds until this client may ask. 0 means now, and uses up one request."""
        now = self._timer()
        due = max(self._due.get(client, now), now) + self._step
        over = due - now - self._period
        if over > self._step * 1e-6:  # more than the rounding error of the additions
            return over
        self._due[client] = due
        return 0.0
