"""The JMESPaths of source files, evaluated by one shared interpreter."""

from collections.abc import Callable, Mapping
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from jmespath.visitor import TreeInterpreter

Getter = Callable[[Any], Any]

FAILURES = (JMESPathError, TypeError, RecursionError)
"""What evaluating may raise. `max_by` and its like compare text with numbers in plain Python: a TypeError."""

_INTERPRETER = TreeInterpreter()  # `jmespath.search` makes one for each call, which costs half of the time


def compile_getter(expression: str) -> Getter:
    """A function from a value to what the expression selects in it, None for nothing."""
    parsed = jmespath.compile(expression).parsed
    return lambda value: _INTERPRETER.visit(parsed, value)


def get(expression: str | None, value: Any) -> Any:
    """What the expression selects in the value; None for nothing, and where it cannot be evaluated."""
    if expression is None:
        return None
    try:
        return compile_getter(expression)(value)
    except FAILURES:
        return None


def check_expression(text: str) -> str:
    """The text, when it is a JMESPath that can be evaluated; ValueError otherwise."""
    try:
        parsed = jmespath.compile(text).parsed
    except JMESPathError as exc:
        raise ValueError(f"{text!r} is not a JMESPath: {' '.join(str(exc).split())}") from exc
    if unknown := sorted(_functions(parsed) - Functions.FUNCTION_TABLE.keys()):
        raise ValueError(f"{text!r} is not a JMESPath: it has no function {unknown[0]}()")
    return text


def _functions(node: Mapping[str, Any]) -> set[str]:
    inner = [_functions(child) for child in node["children"] if isinstance(child, dict)]
    return set().union({node["value"]} if node["type"] == "function_expression" else (), *inner)
