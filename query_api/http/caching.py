"""How long a copy of an answer may be kept, its ETag, and 304."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.responses import Response

from lib.clock import SECOND
from lib.snapshot import Marker, StoredTick, next_tick
from lib.store import Resolution
from query_api.asof.absence import HOURLY_AGE
from query_api.asof.pair import AsOf, Pair
from query_api.asof.tick_pairs import TickPair, age_by_interval
from query_api.http.parameters import AsOfParameters
from query_api.middleware.compression import CODINGS, SMALLEST, coding_of

DAY_S = 86400
SOON_S = 30
TAGS_LENGTH = 4096
"""So many characters of an If-None-Match header are read; a cache sends a few tags."""
WRITE_TIMEOUT = timedelta(seconds=30)
"""A snapshot stamped `stored_at = t` may become readable this much later."""
READABLE_AFTER = timedelta(minutes=5)
"""After this delay we assume that it is readable."""


def cache_control(final: bool) -> str:
    """A day for an answer that nothing can change any more, else half a minute."""
    return f"public, max-age={DAY_S if final else SOON_S}"


def cache_control_of(answers: Sequence[AsOf | None], as_of: AsOfParameters, *, sent: datetime) -> str:
    """How long a copy of a response may be kept that was sent at `sent` and has these answers; None: there is none."""
    now, known_at = as_of.now, as_of.known_at
    if as_of.depends_on_now:
        return until_next_tick((answer for answer in answers if answer), sent - now.replace(microsecond=0))
    if known_at and known_at < now - READABLE_AFTER:
        return f"{cache_control(True)}, immutable"
    return cache_control(all(answer and answer_is_final(answer, max_age=as_of.max_age, now=now) for answer in answers))


def until_next_tick(answers: Iterable[AsOf], age: timedelta) -> str:
    """For answers about now: until the next tick of any of their series is due, in whole seconds.

    `age` is the time since "now", a whole second. The same bytes are sent until that second ends, so it counts whole.
    """
    left = min(next_tick(marker) - answer.at for answer in answers for marker in answer.markers if marker)
    return f"public, max-age={max(0, (left - max(age, SECOND)) // SECOND)}"


def is_final(
    at: datetime, pair: Pair | TickPair, resolution: Resolution, *, max_age: timedelta | None, now: datetime
) -> bool:
    """Whether nothing can change the pair of an instant any more: its ticks were the last ones due.

    Behind a gap, or from a backfilled snapshot, a late delivery or a backfill may still bring nearer ticks.
    """
    price = pair.price
    return (
        at - price.tick < _interval(price, resolution)
        and all(_is_nearest(side, price, resolution) for side in (price, pair.rank))
        and at < now - (max_age or age_by_interval([price, pair.rank])) - price.interval
    )


def all_final(
    instants: Iterable[datetime],
    pairs: Iterable[tuple[TickPair, Resolution] | None],
    *,
    max_age: timedelta | None,
    now: datetime,
) -> bool:
    """Whether no late snapshot can change the values at any instant: none lies in a gap or right behind one.

    The instants ascend. Of those with equal distances to equal ticks, the last decides.
    """
    last: dict[object, tuple[datetime, TickPair, Resolution]] = {}
    for at, each in zip(instants, pairs, strict=True):
        if each is None:
            return False
        (price, rank), resolution = each
        distances = at - price.tick, price.tick - rank.tick, price.interval, rank.interval
        last[distances, price.backfilled, rank.backfilled, resolution] = at, *each
    return all(is_final(*each, max_age=max_age, now=now) for each in last.values())


def answer_is_final(answer: AsOf, *, max_age: timedelta | None, now: datetime) -> bool:
    """Whether nothing can change an answer any more: its pair and its extra columns are final and readable."""
    return is_final(answer.at, answer.pair, answer.resolution, max_age=max_age, now=now) and all(
        marker
        and _is_nearest(marker, answer.pair.price, answer.resolution)
        and now - marker.visible_since > WRITE_TIMEOUT
        for marker in answer.markers
    )


def _is_nearest(side: Marker | StoredTick, price: Marker | StoredTick, resolution: Resolution) -> bool:
    """Whether no tick of the side's series can lie nearer to the price tick."""
    return not side.backfilled and 2 * abs(price.tick - side.tick) <= _interval(side, resolution)


def _interval(side: Marker | StoredTick, resolution: Resolution) -> timedelta:
    return HOURLY_AGE if resolution == "1h" else side.interval


def conditional_response(request: Request, body: bytes, headers: Mapping[str, str], media_type: str) -> Response:
    """A response with an ETag, by default a strong one. No body where the caller's copy is right.

    The strong ETag of a body that is sent compressed ends with the coding, such as `-gzip`: it identifies other bytes.
    A body with a `content-encoding` is sent as it is, and brings its own `vary`.
    """
    is_encoded = "content-encoding" in headers
    coding = None if is_encoded else coding_of(request.scope, len(body), media_type)
    shown = MutableHeaders(headers)
    ending = f"-{coding}" if coding else ""
    shown.setdefault("etag", f'"{digest(body)}{ending}"')
    if not is_known(request, shown["etag"]):
        return Response(body, headers=shown, media_type=media_type)
    if len(body) >= SMALLEST and not is_encoded:
        shown.add_vary_header("Accept-Encoding")  # as the middleware does where there is a body
    return Response(status_code=304, headers=shown)


def weak_etag(*parts: object) -> str:
    """An ETag of what an answer says. Answers about now differ each second, in the time asked for alone."""
    return f'W/"{digest(repr(parts).encode())}"'


def header_list(request: Request, header: str) -> str | None:
    """A header whose value is a list, which may come in several lines."""
    return ", ".join(request.headers.getlist(header)) or None


def digest(data: bytes) -> str:
    """The content hash of an answer or of its rows."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def is_known(request: Request, etag: str) -> bool:
    """Whether the caller's copy is right. RFC 9110, 13.1.2: If-None-Match compares weakly."""
    if_none_match = header_list(request, "if-none-match")
    if if_none_match is None:
        return False
    own = _content(etag)
    tags = if_none_match[:TAGS_LENGTH].split(",")
    return any(_content(tag.strip()) in (own, "*") for tag in tags)


def _content(etag: str) -> str:
    """An ETag as it is compared: weakly, and for a copy in any encoding."""
    tag = etag.removeprefix("W/")
    for coding in CODINGS:
        tag = tag.replace(f'-{coding}"', '"')
    return tag
