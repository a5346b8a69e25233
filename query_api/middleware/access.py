"""Who gets in: keys, limits and origins, and what every answer tells a browser not to do. ASGI middlewares."""

import base64
import binascii
import hmac
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lib.access import Keys, Rate, digest
from lib.settings import Settings
from query_api.http.client import KEY_NAME, address_of
from query_api.http.problems import problem
from query_api.middleware.rates import Rates, Timer

PUBLIC_PATHS = frozenset({"/healthz", "/readyz", "/docs", "/redoc", "/openapi.json"})
"""What anybody may ask: probes, and what the API is like. Metrics and status tell of the inside."""
PUBLIC_FOLDER = "/static-offline-docs/"
CHALLENGE = 'Bearer realm="topcoins", Basic realm="topcoins"'
EXPOSED_HEADERS = [
    "etag", "retry-after", "x-requested-at", "x-price-time", "x-rank-time", "x-price-source", "x-rank-source",
    "x-price-snapshot", "x-rank-snapshot", "x-known-at", "x-resolution", "x-from", "x-to", "x-steps",
    "content-disposition",
]  # fmt: skip
"""The headers that a page of a named origin may read."""

Header = tuple[bytes, bytes]

NOTHING = b"default-src 'none'; frame-ancestors 'none'"
PAGE = (
    b"default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    b" font-src 'self'; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none';"
    b" frame-ancestors 'none'"
)
"""For the documentation, whose pages start themselves by a script in them. A page of ours sets its own."""
POLICY = b"content-security-policy"
ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


@dataclass(frozen=True, slots=True)
class Access:
    """What the settings say of who may ask. By default anybody, as often as they like, but no other site's page."""

    keys: Keys = field(default_factory=dict)
    rate: Rate | None = None
    origins: Sequence[str] = ()

    @classmethod
    def of(cls, chosen: Settings) -> "Access":
        """As the settings have it."""
        return cls(chosen.client_keys, chosen.rate_limit, chosen.cors_origins)


EVERYBODY = Access()


def with_access(app: ASGIApp, access: Access, *, timer: Timer) -> ASGIApp:
    """The app behind what the settings ask for; what they do not ask for costs nothing."""
    if access.keys or access.rate:
        app = AccessControl(app, access, timer=timer)
    if access.origins:
        app = CORSMiddleware(
            app, allow_origins=access.origins, allow_methods=["GET", "HEAD"], expose_headers=EXPOSED_HEADERS,
            allow_headers=["authorization", "x-api-key", "if-none-match"],
        )  # fmt: skip
    return app


class AccessControl:
    """Refuses a caller without a key (401) and one that asks too often (429)."""

    def __init__(self, app: ASGIApp, access: Access, *, timer: Timer) -> None:
        self._app = app
        self._keys = {name: hashed.encode() for name, hashed in access.keys.items()}
        self._rates = Rates(access.rate, timer=timer) if access.rate else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse."""
        if scope["type"] != "http" or scope["path"] in PUBLIC_PATHS or scope["path"].startswith(PUBLIC_FOLDER):
            await self._app(scope, receive, send)
            return
        client = self._client_of(scope) if self._keys else address_of(scope)
        if client is None:
            why = "a key is needed: Authorization: Bearer KEY, or X-Api-Key: KEY; ask who runs this API for one"
            refused = problem(401, why, headers={"www-authenticate": CHALLENGE})
            await SecurityHeaders(refused)(scope, receive, send)
            return
        if self._rates and (wait := self._rates.wait(client)):
            seconds = math.ceil(wait)
            why = f"{client} asks more often than its limit allows; ask again in {seconds} s"
            refused = problem(429, why, headers={"retry-after": str(seconds)})
            await SecurityHeaders(refused)(scope, receive, send)
            return
        scope[KEY_NAME] = client
        await self._app(scope, receive, send)

    def _client_of(self, scope: Scope) -> str | None:
        """The client whose key the request carries. Each hash is compared, in the same time whatever they are."""
        name = None
        for key in _keys_of(scope["headers"]):
            hashed = digest(key).encode()
            for client, known in self._keys.items():
                if hmac.compare_digest(hashed, known):
                    name = client
        return name


def _keys_of(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    found = []
    for name, value in headers:
        text = value.decode("latin-1").strip()
        kind, _, rest = text.partition(" ")
        if name == b"x-api-key":
            found.append(text)
        elif name == b"authorization" and kind.lower() == "bearer":
            found.append(rest.strip())
        elif name == b"authorization" and kind.lower() == "basic":
            found.append(_password(rest))
    return found[:2]


def _password(encoded: str) -> str:
    """Basic's password: a browser asks its user for one, and takes it along in all that its page loads."""
    try:
        return base64.b64decode(encoded, validate=True).decode("utf-8", "replace").partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


class SecurityHeaders:
    """Adds to every answer what a browser needs to be told; what the answer says itself stays.

    `private` keeps answers out of shared caches, which would hand them to callers without a key.
    """

    def __init__(self, app: ASGIApp, *, private: bool = False) -> None:
        self._app = app
        self._private = private

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with more headers."""

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {
                    **message,
                    "headers": with_security_headers(message.get("headers", ()), private=self._private),
                }
            await send(message)

        await self._app(scope, receive, add if scope["type"] == "http" else send)


def with_security_headers(headers: Sequence[Header], *, private: bool = False) -> list[Header]:
    """The headers of an answer, and those it lacks."""
    own = dict(headers)
    page = own.get(b"content-type", b"").startswith(b"text/html")
    more = [pair for pair in (*ALWAYS, (POLICY, PAGE if page else NOTHING)) if pair[0] not in own]
    return [*(_private(*pair) if private else pair for pair in headers), *more]


def _private(name: bytes, value: bytes) -> Header:
    return name, value.replace(b"public", b"private") if name == b"cache-control" else value
