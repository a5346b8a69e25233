"""The response to a question: headers that tell its times, how long a copy may be kept, and 304."""

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response

from lib.clock import isoformat
from lib.snapshot import next_tick
from lib.store import Resolution
from query_api.asof.find_pair import HOURLY_AGE
from query_api.asof.pair import Pair
from query_api.asof.tick_pairs import TickPair
from query_api.asof.top_list import TopList
from query_api.http.content_type import MEDIA_TYPES
from query_api.http.formats import to_csv, to_json
from query_api.http.parameters import TopParameters

DAY_S = 86400
SOON_S = 30
TAGS_LENGTH = 4096
"""So many characters of an If-None-Match header are read; a cache sends a few tags."""
VISIBLE = timedelta(minutes=5)
"""After so long no store still brings out a snapshot it says it has had by then."""


async def reply(request: Request, question: TopParameters, answer: TopList, now: datetime) -> Response:
    """The answer's bytes and headers; no body for HEAD, nor where the caller's copy is still right."""
    if question.format == "json":
        body = await asyncio.to_thread(to_json, answer, question.limit)
    else:
        body = await asyncio.to_thread(to_csv, answer, question.columns)
    headers = {
        "etag": _etag(question, answer, body),
        "cache-control": _kept(question, answer, now),
        "vary": "Accept",
    }
    if question.format != "json":
        headers |= list_headers(answer)
    return conditional_response(request, body, headers, MEDIA_TYPES[question.format])


def list_headers(answer: TopList) -> dict[str, str]:
    """What a CSV has no place for. JSON says the same in its body."""
    return {
        **time_headers(answer),
        "x-price-source": answer.pair.price.source,
        "x-rank-source": answer.pair.rank.source,
        "x-price-snapshot": answer.pair.price.hash,
        "x-rank-snapshot": answer.pair.rank.hash,
        "x-known-at": isoformat(answer.known_at),
        "x-resolution": answer.resolution,
        **filter_headers(answer),
    }


def time_headers(answer: TopList, prefix: str = "x") -> dict[str, str]:
    """The instant asked for, the ticks that answer it, and which of them were backfilled, if any."""
    bought = {f"{prefix}-backfilled": ", ".join(answer.pair.backfilled)} if answer.pair.backfilled else {}
    return {
        f"{prefix}-requested-at": isoformat(answer.at),
        f"{prefix}-price-time": isoformat(answer.pair.price.tick),
        f"{prefix}-rank-time": isoformat(answer.pair.rank.tick),
        **bought,
    }


def filter_headers(answer: TopList) -> dict[str, str]:
    """What filters left out, and what was asked for by name and is not there; nothing without filters."""
    if not answer.filtered:
        return {}
    return {
        "x-filtered": ", ".join(f"{name}={count}" for name, count in answer.filtered.counts.items()),
        "x-missing": ", ".join(quote(name) for name in answer.filtered.missing),
    }


def cache_control(final: bool) -> str:
    """How long a copy may be kept: a day where nothing that is late can change it, else not long."""
    return f"public, max-age={DAY_S if final else SOON_S}"


def is_final(at: datetime, pair: Pair | TickPair, resolution: Resolution, *, max_age: timedelta, now: datetime) -> bool:
    """Whether a pair is what an instant is answered with from now on: its ticks were the last ones due by then.

    Behind a gap, or what was backfilled into one, a late delivery or a backfill may still put a nearer one.
    """
    price, rank = pair.price, pair.rank
    paces = (HOURLY_AGE, HOURLY_AGE) if resolution == "1h" else (price.interval, rank.interval)
    due = at - price.tick < paces[0] and 2 * abs(price.tick - rank.tick) <= paces[1]
    return due and not pair.backfilled and at < now - max_age - price.interval


def conditional_response(request: Request, body: bytes, headers: Mapping[str, str], media_type: str) -> Response:
    """A body with headers that hold its ETag; none for HEAD, nor where the caller's copy is still right."""
    if _unchanged(header_list(request, "if-none-match"), headers["etag"]):
        return Response(status_code=304, headers=headers)
    shown = b"" if request.method == "HEAD" else body
    return Response(shown, headers={**headers, "content-length": str(len(body))}, media_type=media_type)


def strong_etag(body: bytes) -> str:
    """An ETag of exactly these bytes."""
    return f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'


def header_list(request: Request, header: str) -> str | None:
    """A header that is a list may come in several lines."""
    return ", ".join(request.headers.getlist(header)) or None


def _etag(question: TopParameters, answer: TopList, body: bytes) -> str:
    """Strong for a fixed instant. A moving one differs by its own time each second: weak, over what it stands on."""
    if not question.depends_on_now:
        return strong_etag(body)
    price, rank = answer.pair.price, answer.pair.rank
    stands_on = (price.tick, price.hash, rank.tick, rank.hash, answer.known_at, answer.resolution, answer.extras)
    asked = (question.limit, question.format, question.columns, question.filters)
    return f'W/"{hashlib.blake2b(repr((stands_on, asked)).encode(), digest_size=16).hexdigest()}"'


def _kept(question: TopParameters, answer: TopList, now: datetime) -> str:
    """How long a copy may be kept: of a moving instant until the next tick; what was known then does not change."""
    if question.depends_on_now:
        following = min(next_tick(answer.pair.price), next_tick(answer.pair.rank))
        return f"public, max-age={max(1, round((following - now).total_seconds()))}"
    if question.known_at and question.known_at < now - VISIBLE:
        return f"{cache_control(True)}, immutable"
    return cache_control(is_final(question.at, answer.pair, answer.resolution, max_age=question.max_age, now=now))


def _unchanged(if_none_match: str | None, etag: str) -> bool:
    """RFC 9110, 13.1.2: If-None-Match compares weakly."""
    if if_none_match is None:
        return False
    own = etag.removeprefix("W/")
    tags = if_none_match[:TAGS_LENGTH].split(",")
    return any(tag.strip().removeprefix("W/") in (own, "*") for tag in tags)
