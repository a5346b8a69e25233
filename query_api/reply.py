"""The response to a question: headers that tell its times, how long a copy may be kept, and 304."""

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response

from lib.clock import isoformat
from query_api.formats import to_csv, to_json
from query_api.negotiation import MEDIA_TYPES
from query_api.question import Question
from query_api.status import next_tick
from query_api.top import Top

DAY_S = 86400
SOON_S = 30


async def reply(request: Request, question: Question, answer: Top, now: datetime) -> Response:
    """The answer's bytes and headers; no body for HEAD, nor where the caller's copy is still right."""
    if question.format == "json":
        body = await asyncio.to_thread(to_json, answer, question.limit)
    else:
        body = await asyncio.to_thread(to_csv, answer, question.columns)
    headers = {
        "etag": _etag(question, answer, body),
        "cache-control": f"public, max-age={_keep(question, answer, now)}",
        "vary": "Accept",
        **time_headers(answer),
        "x-price-source": answer.pair.price.source,
        "x-rank-source": answer.pair.rank.source,
        "x-price-snapshot": answer.pair.price.hash,
        "x-rank-snapshot": answer.pair.rank.hash,
        "x-known-at": isoformat(answer.known_at),
        "x-resolution": answer.resolution,
    }
    return sent(request, body, headers | filter_headers(answer), MEDIA_TYPES[question.format])


def time_headers(answer: Top, prefix: str = "x") -> dict[str, str]:
    """The instant asked for and the ticks that answer it."""
    return {
        f"{prefix}-requested-at": isoformat(answer.at),
        f"{prefix}-price-time": isoformat(answer.pair.price.tick),
        f"{prefix}-rank-time": isoformat(answer.pair.rank.tick),
    }


def filter_headers(answer: Top) -> dict[str, str]:
    """What filters left out, and what was asked for by name and is not there; nothing without filters."""
    if not answer.filtered:
        return {}
    return {
        "x-filtered": ", ".join(f"{name}={count}" for name, count in answer.filtered.counts.items()),
        "x-missing": ", ".join(quote(name) for name in answer.filtered.missing),
    }


def kept_for(settled: bool) -> str:
    """How long a copy may be kept: a day once nothing can change it but a backfill, else not long."""
    return f"public, max-age={DAY_S if settled else SOON_S}"


def sent(request: Request, body: bytes, headers: Mapping[str, str], media_type: str) -> Response:
    """A body with headers that hold its ETag; none for HEAD, nor where the caller's copy is still right."""
    if _unchanged(listed(request, "if-none-match"), headers["etag"]):
        return Response(status_code=304, headers=headers)
    shown = b"" if request.method == "HEAD" else body
    return Response(shown, headers={**headers, "content-length": str(len(body))}, media_type=media_type)


def strong_tag(body: bytes) -> str:
    """An ETag of exactly these bytes."""
    return f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'


def listed(request: Request, header: str) -> str | None:
    """A header that is a list may come in several lines."""
    return ", ".join(request.headers.getlist(header)) or None


def _etag(question: Question, answer: Top, body: bytes) -> str:
    """Strong for a fixed instant. A moving one differs by its own time each second: weak, over what it stands on."""
    if not question.moving:
        return strong_tag(body)
    price, rank = answer.pair.price, answer.pair.rank
    stands_on = (price.tick, price.hash, rank.tick, rank.hash, answer.known_at, answer.resolution, answer.extras)
    asked = (question.limit, question.format, question.columns, question.filters)
    return f'W/"{hashlib.blake2b(repr((stands_on, asked)).encode(), digest_size=16).hexdigest()}"'


def _keep(question: Question, answer: Top, now: datetime) -> int:
    """Seconds a copy may be kept: a day once the past is settled, else until the next tick."""
    if not question.moving and question.at < now - question.max_age - answer.pair.price.interval:
        return DAY_S
    following = min(next_tick(answer.pair.price), next_tick(answer.pair.rank))
    return max(1, round((following - now).total_seconds()))


def _unchanged(if_none_match: str | None, etag: str) -> bool:
    """RFC 9110, 13.1.2: If-None-Match compares weakly."""
    if if_none_match is None:
        return False
    own = etag.removeprefix("W/")
    return any(tag.strip().removeprefix("W/") in (own, "*") for tag in if_none_match.split(","))
