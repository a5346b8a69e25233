"""The format of an answer: by the `format` parameter, else by the `Accept` header, else JSON."""

from typing import Literal

from query_api.http.problems import BadRequest, NotAcceptable

Format = Literal["json", "csv"]
RANGES = 32
RANGES_LENGTH = 1024
PARAMETERS = 8
"""So much of an Accept header is read, and of each range: its length does not decide what it costs."""
MEDIA_TYPES: dict[Format, str] = {"json": "application/json", "csv": "text/csv; charset=utf-8; header=present"}


def choose_format(name: str | None, accept: str | None) -> Format:
    """The format to answer in. NotAcceptable if the header allows neither, BadRequest for an unknown name."""
    if name is not None:
        for format in MEDIA_TYPES:
            if name.lower() == format:
                return format
        raise BadRequest("format", name, "is not a format; use json or csv")
    weights = {format: _weight(kind.split(";")[0], accept or "*/*") for format, kind in MEDIA_TYPES.items()}
    best = max(weights, key=lambda format: weights[format])  # JSON if both are equal
    if weights[best] <= 0:
        shown = (accept or "")[:200]
        raise NotAcceptable(f"Accept: {shown}: this address answers application/json and text/csv")
    return best


def prefers_html(name: str | None, accept: str | None) -> bool:
    """Whether a caller that names no format prefers HTML to JSON and CSV, as browsers do."""
    if name is not None or accept is None:
        return False
    return _weight("text/html", accept) > max(_weight(kind.split(";")[0], accept) for kind in MEDIA_TYPES.values())


def _weight(kind: str, accept: str) -> float:
    """The q-value of the most specific range of an Accept header that covers a media type (RFC 9110, 12.5.1)."""
    best = (-1, 0.0)
    for part in accept[:RANGES_LENGTH].split(",", RANGES)[:RANGES]:
        covers, *parameters = (piece.strip().lower() for piece in part.split(";", PARAMETERS)[:PARAMETERS])
        specific = {kind: 2, f"{kind.split('/')[0]}/*": 1, "*/*": 0}.get(covers, -1)
        if specific > best[0]:
            best = (specific, _quality(parameters))
    return best[1]


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
