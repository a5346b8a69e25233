"""Response headers that limit what a browser does with an answer, and the operator's notice."""

from collections.abc import Iterable
from string import ascii_letters, digits, punctuation
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Header = tuple[bytes, bytes]

STATUS = "topcoins.status"
"""The scope entry with the status of the answer, for the metrics: one look at its first message serves both."""
POLICY = b"content-security-policy"
DATA_POLICY = b"default-src 'none'; frame-ancestors 'none'"
DOCUMENTATION_POLICY = (
    b"default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    b" font-src 'self'; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none';"
    b" frame-ancestors 'none'"
)
"""For the API's documentation, whose pages start themselves by an inline script. Our own page sets its own policy."""
EVERY_ANSWER = ((b"x-content-type-options", b"nosniff"), (b"cross-origin-resource-policy", b"same-origin"))
EVERY_PAGE = ((b"referrer-policy", b"no-referrer"), (b"x-frame-options", b"DENY"))
"""Only HTML has links to follow; other answers are kept out of frames by their policy."""
_VISIBLE = "".join({*ascii_letters, *digits, *punctuation, " "} - {"%"})
CACHING, UNSAID = b"cache-control", b"no-cache"
"""Without the header a cache may keep an answer for as long as it guesses (RFC 9111, 4.2.2)."""


def security_headers(app: ASGIApp, *, private: bool = False, notice: str = "") -> ASGIApp:
    """Adds the headers that an answer of the app does not set itself, and notes its status in the scope.

    An answer to HEAD is that to GET, without its body.
    `private` keeps answers out of shared caches, which would give them to callers without a key. A notice is added as
    `X-Notice`, with `%` before what is not ASCII.
    """
    more = [(b"x-notice", quote(notice, safe=_VISIBLE).encode())] if notice else []

    async def pass_on(scope: Scope, receive: Receive, send: Send) -> None:
        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope[STATUS] = message["status"]
                headers = with_security_headers(message.get("headers", ()), private)
                message = {**message, "headers": headers + more}
            elif scope["method"] == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        await app(scope, receive, add)

    return pass_on


def with_security_headers(headers: Iterable[Header], private: bool = False) -> list[Header]:
    """The headers of an answer, and those it lacks."""
    own = dict(headers)
    is_page = own.get(b"content-type", b"").startswith(b"text/html")
    policy = (POLICY, DOCUMENTATION_POLICY if is_page else DATA_POLICY)
    added = [*EVERY_ANSWER, *(EVERY_PAGE if is_page else ()), policy, (CACHING, UNSAID)]
    missing = [header for header in added if header[0] not in own]
    return [*(_as_private(*header) if private else header for header in headers), *missing]


def _as_private(name: bytes, value: bytes) -> Header:
    return name, value.replace(b"public", b"private") if name == CACHING else value
