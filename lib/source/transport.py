"""Sending requests to one upstream, with its key, and receiving bounded answers."""

import asyncio
import zlib
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import cast

import httpx
from pydantic import SecretStr

from lib.clock import Clock
from lib.errors import SourceMalformed, SourceUnavailable
from lib.source.body import ACCEPT_ENCODING, BodyRefused, receive_body
from lib.source.model import SourceFile

Params = Mapping[str, str | int | float]


@dataclass(slots=True)
class ByteBound:
    """How many bytes the answers of one reading may still have, all pages together."""

    remaining: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `request` describes what was asked, for messages: it has no secret.

    `is_shared`: another ingestor asked, and paid.
    """

    path: str
    request: str
    status: int
    headers: httpx.Headers
    body: bytearray
    asked_at: datetime
    answered_at: datetime
    is_shared: bool = False

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class SharedRequest:
    """A request as ingestors share its answer. `shown` describes it, for messages.

    `host` stands for the server, `address` for the URL and the key, `key` also for the parameters: digests, no secret.
    """

    path: str
    shown: str
    host: str
    address: str
    key: str
    is_keyless: bool


def digest(*parts: str) -> str:
    """A short name for some texts, which can't be computed back."""
    return sha256("\0".join(parts).encode()).hexdigest()[:40]


class Transport:
    """Asks one upstream. Redirects are not followed: a key must not go to another host."""

    def __init__(
        self, file: SourceFile, *, client: httpx.AsyncClient, key: SecretStr | None, base: str, clock: Clock
    ) -> None:
        self._file = file
        self._client = client
        self._secret = key.get_secret_value() if key else ""
        self._base = base
        self._clock = clock

    async def get(self, path: str, params: Params, shown: Params, bound: ByteBound) -> Answer:
        """The answer to a GET; `shown` is the part of the parameters that messages name.

        SourceUnavailable where none comes, SourceMalformed where it is too large or of another content coding.
        """
        request, asked_at = self.describe(path, shown), self._clock()
        try:
            async with self._client.stream(
                "GET",
                self._base + path,
                params=params,
                headers=self._headers(),
                timeout=self._file.request.timeout.total_seconds(),
                follow_redirects=False,
            ) as response:
                body = await self._receive(response, bound)
                return Answer(path, request, response.status_code, response.headers, body, asked_at, self._clock())
        except BodyRefused as exc:
            raise SourceMalformed(f"{request}: {exc}") from exc
        except httpx.TimeoutException as exc:
            raise SourceUnavailable(f"{request}: no answer in time ({type(exc).__name__})", again=True) from exc
        except (httpx.HTTPError, zlib.error, EOFError) as exc:
            raise SourceUnavailable(f"{request}: {type(exc).__name__}: {self.redact(str(exc))}", again=True) from exc

    async def get_in_time(self, path: str, params: Params) -> Answer:
        """As `get`; SourceUnavailable too where the whole answer takes longer than one piece of it may."""
        try:
            async with asyncio.timeout(self._file.request.timeout.total_seconds()):
                return await self.get(path, params, params, ByteBound(self._file.request.largest_reading))
        except TimeoutError as exc:
            raise SourceUnavailable(f"{self.describe(path, params)}: no full answer in time") from exc

    def describe(self, path: str, shown: Params) -> str:
        """A request, for messages."""
        query = "&".join(f"{name}={value}" for name, value in shown.items())
        return f"{self._file.name}: GET {path} {query}".rstrip()

    def shared_request(self, path: str, params: Params, shown: Params) -> SharedRequest:
        """A request, as ingestors share its answer: equal ones have the same address, key, parameters and headers."""
        address = digest(self._base, path, self._secret)
        asked = (repr(sorted(part.items())) for part in (params, self._file.request.headers))
        shown_as, host = self.describe(path, shown), digest(self._base)
        return SharedRequest(path, shown_as, host, address, digest(address, *asked), is_keyless=not self._secret)

    def redact(self, text: str) -> str:
        """The text without our key, should the upstream echo it."""
        return text.replace(self._secret, "***") if self._secret else text

    def may_be_shared(self, answer: Answer) -> bool:
        """Whether the answer may become a file: not if the upstream echoes our key in it."""
        return not self._secret or self._secret.encode() not in answer.body

    async def _receive(self, response: httpx.Response, bound: ByteBound) -> bytearray:
        page, whole = self._file.request.largest_answer, bound.remaining
        what = (
            f"the answer is larger than {page} bytes"
            if page <= whole
            else f"all pages are larger than {self._file.request.largest_reading} bytes"
        )
        # The response's own iterators decompress without a bound.
        chunks = cast("AsyncIterable[bytes]", response.stream)
        body = await receive_body(chunks, response.headers, min(page, whole), what)
        bound.remaining -= len(body)
        return body

    def _headers(self) -> dict[str, str]:
        key = self._file.key
        own = {key.header: key.value.replace("{key}", self._secret)} if key and self._secret else {}
        return {**self._file.request.headers, "Accept-Encoding": ACCEPT_ENCODING, **own}
