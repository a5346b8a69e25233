"""Applies a fault to an answer."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import orjson

from lib.simulator import refusals
from lib.simulator.answer import Answer
from lib.simulator.faults import Fault

REPLACING: Final = frozenset({"error", "garbage", "redirect", "huge"})
"""These faults replace the answer, so it is not made."""

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
