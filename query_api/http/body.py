"""The body of a request, for the few addresses that take one."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from fastapi import Request
from starlette.exceptions import HTTPException

from lib import price_rows

MOST_BYTES: Mapping[str, int] = {"/v1/prices": price_rows.MOST_BYTES}
"""The largest body of each address that takes one."""
WITHIN = timedelta(seconds=10)
"""The time a caller has to send the rest of a body."""


def too_long(path: str) -> str:
    """Why a body is refused for its length."""
    return f"the body is longer than {MOST_BYTES[path]} bytes, the most that {path} takes: send it in parts"


async def read_body(request: Request, within: timedelta = WITHIN) -> bytes:
    """The whole body, as it is. HTTPException for one that is compressed, too long or too slow."""
    path = request.scope["path"]
    if (encoding := request.headers.get("content-encoding", "identity").lower()) != "identity":
        raise HTTPException(415, f"Content-Encoding: {encoding[:40]}: send the body as it is, without compression")
    body = bytearray()
    try:
        async with asyncio.timeout(within.total_seconds()):
            async for part in request.stream():
                body += part
                if len(body) > MOST_BYTES[path]:
                    raise HTTPException(413, too_long(path))
    except TimeoutError as exc:
        raise HTTPException(408, f"the body did not come within {within.total_seconds():g} s") from exc
    return bytes(body)
