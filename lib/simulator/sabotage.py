"""Applies a fault to an answer."""

import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import orjson

from lib.simulator import refusals
from lib.simulator.answer import Answer
from lib.simulator.faults import Fault

REPLACING: Final = frozenset({"error", "garbage", "redirect", "huge", "bomb"})
"""These faults replace the answer, so it is not made."""

COOKIE: Final = "visitor=4711; Path=/; Max-Age=86400"
WRONG_PRICES: Final = 16_500_000
_PRICES: Final = frozenset({"price", "PRICE_USD", "current_price"})
_VOLUMES: Final = frozenset({"volume_24h", "SPOT_MOVING_24_HOUR_QUOTE_VOLUME_USD", "total_volume"})
_BITCOIN: Final = (1, "btc-bitcoin", "bitcoin")
_PLACES: Final = "TOPLIST_BASE_RANK"  # CoinDesk names the places in it after the values
_MEMBER: Final = 2**24

_HTML = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking your browser.</body></html>"


def spoiled(answer: Answer, fault: Fault, path: str, query: Mapping[str, str], now: datetime) -> Answer:
    """The answer with the fault in it. Faults of the wire (delay, cut, huge) are applied elsewhere."""
    match fault.kind:
        case "error":
            return _error(fault, now)
        case "garbage":
            return Answer(_HTML, fault.status or 200, "text/html; charset=utf-8", _retry_after(fault))
        case "redirect":
            return Answer(b"", 302, headers={"location": fault.to + path})
        case "bomb":
            return _bomb(fault.bytes, fault.codings)
        case "cookie":
            return replace(answer, headers={**answer.headers, "set-cookie": COOKIE})
        case "text_codes" | "without" | "announced":
            return _with_body(answer, lambda body: _changed(body, fault))
        case "half" | "empty" | "wrong_types" | "poisoned" | "short" | "capped":
            return _with_records(answer, lambda records: _spoiled_records(records, fault, query))
        case _:
            return answer


def _spoiled_records(records: list[Any], fault: Fault, query: Mapping[str, str]) -> Any:
    match fault.poison or fault.kind:
        case "half":
            return records[: len(records) // 2]
        case "empty":
            return []
        case "short":
            return records[: fault.rows]
        case "capped":
            return records[: max(0, fault.rows - _before(query))]
        case "prices":
            return _times(records, _PRICES, WRONG_PRICES)
        case "no_volumes":
            return _times(records, _VOLUMES, 0)
        case "no_bitcoin":
            return [record for record in records if _is_other(record)]
    return [_other_types(record) for record in records]


def _error(fault: Fault, now: datetime) -> Answer:
    headers = _retry_after(fault)
    if fault.preset is None:
        return Answer(fault.body.encode(), fault.status or 500, headers=headers)
    answer = refusals.named(fault.preset, now)
    return Answer(answer.body, answer.status, headers=headers)


def _retry_after(fault: Fault) -> dict[str, str]:
    return {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}


def _with_body(answer: Answer, change: Callable[[Any], Any]) -> Answer:
    """The answer with another JSON body; any other answer stays as it is."""
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return answer
    return replace(answer, body=orjson.dumps(change(body)))


def _with_records(answer: Answer, change: Callable[[list[Any]], Any]) -> Answer:
    """The answer with other records in its list; an answer without a list stays as it is."""

    def changed(body: Any) -> Any:
        if isinstance(body, list):
            return change(body)
        if isinstance(body.get("data"), list):
            body["data"] = change(body["data"])
        elif "LIST" in body.get("Data", {}):
            body["Data"]["LIST"] = change(body["Data"]["LIST"])
        return body

    return _with_body(answer, changed) if answer.status == 200 else answer


def _changed(body: Any, fault: Fault) -> Any:
    """The body with codes as text, without some fields, or with a total count."""
    if fault.kind == "without":
        return _without(body, frozenset(fault.fields))
    if not isinstance(body, dict):
        return body
    if fault.kind == "text_codes":
        return {name: _with_text(value, ("error_code", "type")) for name, value in body.items()}
    if "STATS" in body.get("Data", {}):
        body["Data"]["STATS"]["TOTAL_ASSETS"] = fault.rows
    elif isinstance(body.get("status"), dict):
        body["status"]["total_count"] = fault.rows
    return body


def _with_text(value: Any, names: Sequence[str]) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: str(inner) if name in names and inner is not None else inner for name, inner in value.items()}


def _without(value: Any, names: frozenset[str]) -> Any:
    match value:
        case dict():
            return {name: _without(inner, names) for name, inner in value.items() if name not in names}
        case list():
            return [_without(inner, names) for inner in value]
        case _:
            return value


def _before(query: Mapping[str, str]) -> int:
    """The number of records on the pages before."""
    if "start" in query:
        return int(query["start"]) - 1
    return (int(query.get("page", 1)) - 1) * int(query.get("per_page", query.get("page_size", 100)))


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


def _is_other(record: dict[str, Any]) -> bool:
    """Whether a record is of another asset than Bitcoin."""
    return record.get("id") not in _BITCOIN and {"NAME": "CMC", "ID": "1"} not in (
        record.get("ASSET_ALTERNATIVE_IDS") or ()
    )


def _times(value: Any, names: frozenset[str], factor: int, name: str = "") -> Any:
    """The value of this name; the numbers of these names in it are multiplied."""
    match value:
        case dict() if name != _PLACES:
            return {key: _times(inner, names, factor, key) for key, inner in value.items()}
        case list():
            return [_times(inner, names, factor) for inner in value]
        case int() | float() if name in names:
            return value * factor
    return value


def _bomb(size: int, codings: int) -> Answer:
    """Blanks of this size, compressed once or several times over."""
    body = gzip.compress(b" " * _MEMBER) * (size // _MEMBER) + gzip.compress(b" " * (size % _MEMBER))
    for _ in range(codings - 1):
        body = gzip.compress(body)
    return Answer(body, headers={"content-encoding": ", ".join(["gzip"] * codings)})
