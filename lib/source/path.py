"""JMESPaths compiled to closures: what a source file asks of each of thousands of records every minute.

The jmespath library parses, and evaluates what is not compiled here; a property test holds both to the same
answers. Compiled, a tick of 500 assets costs 1 ms instead of 15.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jmespath

Take = Callable[[Any], Any]
Node = Mapping[str, Any]


def taker(expression: str) -> Take:
    """A function from a record to what the expression finds in it, None for nothing."""
    parsed = jmespath.compile(expression)
    search: Take = parsed.search
    return _compiled(parsed.parsed) or search


def _compiled(node: Node) -> Take | None:
    maker = _MAKERS.get(node["type"])
    children = [_compiled(child) for child in node["children"]] if maker else [None]
    ready = [child for child in children if child]
    return maker(node, ready) if maker and len(ready) == len(children) else None


def _field(node: Node, children: list[Take]) -> Take:
    name = node["value"]
    return lambda value: value.get(name) if type(value) is dict else None  # as JSON has it: no subclass


def _index(node: Node, children: list[Take]) -> Take:
    at = node["value"]

    def take(value: Any) -> Any:
        return value[at] if isinstance(value, list) and -len(value) <= at < len(value) else None

    return take


def _chain(node: Node, children: list[Take]) -> Take:
    if len(children) == 2:
        first, second = children
        return lambda value: second(first(value))

    def take(value: Any) -> Any:
        for child in children:
            value = child(value)
        return value

    return take


def _or(node: Node, children: list[Take]) -> Take:
    left, right = children

    def take(value: Any) -> Any:
        found = left(value)
        return right(value) if _false(found) else found

    return take


def _and(node: Node, children: list[Take]) -> Take:
    left, right = children

    def take(value: Any) -> Any:
        found = left(value)
        return found if _false(found) else right(value)

    return take


def _filter(node: Node, children: list[Take]) -> Take:
    base, then, test = children

    def take(value: Any) -> Any:
        values = base(value)
        if not isinstance(values, list):
            return None
        return [found for each in values if not _false(test(each)) and (found := then(each)) is not None]

    return take


def _equal(node: Node, children: list[Take]) -> Take | None:
    if node["value"] != "eq":
        return None
    left, right = children

    def take(value: Any) -> bool:
        a, b = left(value), right(value)
        # In JSON true is no number, in Python True == 1.
        return bool(a == b and isinstance(a, bool) == isinstance(b, bool))

    return take


def _false(value: Any) -> bool:
    return not value and (value is False or not isinstance(value, int | float))


_MAKERS: Mapping[str, Callable[[Node, list[Take]], Take | None]] = {
    "field": _field,
    "index": _index,
    "subexpression": _chain,
    "index_expression": _chain,
    "pipe": _chain,
    "or_expression": _or,
    "and_expression": _and,
    "filter_projection": _filter,
    "comparator": _equal,
    "literal": lambda node, children: lambda value: node["value"],
    "identity": lambda node, children: lambda value: value,
    "current": lambda node, children: lambda value: value,
}
