"""Applies a fault to an answer."""

import gzip
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import orjson

from lib.simulator import refusals
from lib.simulator.answer import Answer
from lib.simulator.faults import Fault, Poison

REPLACING: Final = frozenset({"error", "garbage", "redirect", "huge", "bomb"})
"""These faults replace the answer, so it is not made."""

COOKIE: Final = "visitor=4711; Path=/; Max-Age=86400"
WRONG_PRICES: Final = 16_500_000
_PRICES: Final = frozenset({"price", "PRICE_USD"})
_VOLUMES: Final = frozenset({"volume_24h", "SPOT_MOVING_24_HOUR_QUOTE_VOLUME_USD"})
_PLACES: Final = "TOPLIST_BASE_RANK"  # CoinDesk names the places in it after the values
_MEMBER: Final = 2**24

_HTML = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking your browser.</body></html>"


def spoiled(answer: Answer, fault: Fault, path: str, now: datetime) -> Answer:
    """The answer with the fault in it. Faults of the wire (delay, cut, huge) are applied elsewhere."""
    match fault.kind:
        case "error":
            return _error(fault, now)
        case "garbage":
            return Answer(_HTML, media="text/html; charset=utf-8")
        case "redirect":
            return Answer(b"", 302, headers={"location": fault.to + path})
        case "half":
            return _with_records(answer, lambda records: records[: len(records) // 2])
        case "empty":
            return _with_records(answer, lambda _: [])
        case "wrong_types":
            return _with_records(answer, lambda records: [_other_types(record) for record in records])
        case "poisoned":
            return _poisoned(answer, fault.poison)
        case "bomb":
            return _bomb(fault.bytes, fault.codings)
        case "cookie":
            return replace(answer, headers={**answer.headers, "set-cookie": COOKIE})
        case _:
            return answer


def _error(fault: Fault, now: datetime) -> Answer:
    headers = {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
    if fault.preset is None:
        return Answer(fault.body.encode(), fault.status or 500, headers=headers)
    answer = refusals.named(fault.preset, now)
    return Answer(answer.body, answer.status, headers=headers)


def _with_records(answer: Answer, change: Callable[[list[Any]], list[Any]]) -> Answer:
    """The answer with other records in its list; an answer without a list stays as it is."""
    if answer.status != 200 or not answer.body or not answer.media.startswith("application/json"):
        return answer
    body = orjson.loads(answer.body)
    if isinstance(body.get("data"), list):
        body["data"] = change(body["data"])
    elif "LIST" in body.get("Data", {}):
        body["Data"]["LIST"] = change(body["Data"]["LIST"])
    return Answer(orjson.dumps(body), answer.status, answer.media, answer.headers)


def _other_types(value: Any) -> Any:
    """Numbers as words, texts as numbers, lists as maps: the same keys, and no value as documented."""
    match value:
        case dict():
            return {key: _other_types(inner) for key, inner in value.items()}
        case list():
            return {str(place): _other_types(inner) for place, inner in enumerate(value)}
        case str():
            return len(value)
        case bool() | None:
            return value
        case _:
            return f"about {value}"


def _poisoned(answer: Answer, poison: Poison | None) -> Answer:
    match poison:
        case "prices":
            return _with_records(answer, lambda records: _times(records, _PRICES, WRONG_PRICES))
        case "no_volumes":
            return _with_records(answer, lambda records: _times(records, _VOLUMES, 0))
        case _:
            return _with_records(answer, lambda records: [r for r in records if r.get("id") != 1 and _is_other(r)])


def _is_other(record: dict[str, Any]) -> bool:
    """Whether a record of CoinDesk's is of another asset than Bitcoin."""
    return {"NAME": "CMC", "ID": "1"} not in (record.get("ASSET_ALTERNATIVE_IDS") or ())


def _times(value: Any, names: frozenset[str], factor: int) -> Any:
    """The same records; the numbers of these names are multiplied."""
    match value:
        case dict():
            return {key: _multiplied(key, inner, names, factor) for key, inner in value.items()}
        case list():
            return [_times(inner, names, factor) for inner in value]
        case _:
            return value


def _multiplied(key: str, value: Any, names: frozenset[str], factor: int) -> Any:
    if key in names and isinstance(value, int | float):
        return value * factor
    return value if key == _PLACES else _times(value, names, factor)


def _bomb(size: int, codings: int) -> Answer:
    """Blanks of this size, compressed once or several times over."""
    body = gzip.compress(b" " * _MEMBER) * (size // _MEMBER) + gzip.compress(b" " * (size % _MEMBER))
    for _ in range(codings - 1):
        body = gzip.compress(body)
    return Answer(body, headers={"content-encoding": ", ".join(["gzip"] * codings)})
