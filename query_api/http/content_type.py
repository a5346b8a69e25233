"""The format of an answer: by the `format` parameter, else by the `Accept` header, else JSON."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal

from starlette.exceptions import HTTPException

from query_api.http.problems import BadRequest

Format = Literal["json", "csv", "ndjson", "parquet", "text"]
TableFormat = Literal["csv", "ndjson", "parquet"]
"""The formats that have rows and nothing else: what JSON says beside them is in headers, or in a file's metadata."""
RANGES = 32
RANGES_LENGTH = 1024
PARAMETERS = 8
"""So much of an Accept header is read, and of each range: its length does not decide what it costs."""
MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8; header=present",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "text": "text/plain; charset=utf-8",
}
"""In the order in which equal weights of an Accept header choose."""
FORMATS = tuple(MEDIA_TYPES)


def choose_format(name: str | None, accept: str | None, among: Sequence[Format] = FORMATS) -> Format:
    """The format to answer in. HTTPException if the header allows none, BadRequest for an unknown name."""
    if name is not None:
        for format in among:
            if name.lower() == format:
                return format
        raise BadRequest("format", name, f"is not a format; they are {', '.join(among)}")
    best = _preferred((accept or "*/*")[:RANGES_LENGTH], tuple(among))
    if best is None:
        shown, kinds = (accept or "")[:150], ", ".join(_kind(MEDIA_TYPES[format]) for format in among)
        raise HTTPException(406, f"Accept: {shown}: this address answers {kinds}")
    return best


def prefers_html(accept: str) -> bool:
    """Whether a header prefers HTML to all formats of data, as browsers do."""
    if not accept:
        return False
    ranges = _ranges(accept[:RANGES_LENGTH])
    return _weight("text/html", ranges) > max(_weight(_kind(full), ranges) for full in MEDIA_TYPES.values())


def _kind(media_type: str) -> str:
    return media_type.partition(";")[0]


@lru_cache(128)
def _preferred(accept: str, among: tuple[Format, ...]) -> Format | None:
    """The format of the largest weight above 0; JSON if all are equal."""
    ranges = _ranges(accept)
    weights = {format: _weight(_kind(MEDIA_TYPES[format]), ranges) for format in among}
    best = max(weights, key=lambda format: weights[format])
    return best if weights[best] > 0 else None


def _ranges(accept: str) -> Mapping[str, float]:
    """The ranges of an Accept header, each with its q-value; of two equal ones the first counts."""
    parts = [
        [piece.strip().lower() for piece in part.split(";", PARAMETERS)[:PARAMETERS]]
        for part in accept.split(",", RANGES)[:RANGES]
    ]
    return {covers: _quality(parameters) for covers, *parameters in reversed(parts)}


def _weight(kind: str, ranges: Mapping[str, float]) -> float:
    """The q-value of the most specific range that covers a media type (RFC 9110, 12.5.1)."""
    general = (kind, f"{kind.partition('/')[0]}/*", "*/*")
    return next((ranges[covers] for covers in general if covers in ranges), 0.0)


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            return quality if 0 <= quality <= 1 else 0.0
    return 1.0
