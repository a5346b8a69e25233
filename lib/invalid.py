"""The reasons for which Pydantic refuses a value, in our words."""

from collections.abc import Mapping
from typing import Any


def why_invalid(error: Mapping[str, Any]) -> str:
    """The reason of one of its errors. Pydantic's own are not those of a text that a person typed."""
    limits = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return "is required"
        case "too_long" | "string_too_long":
            return f"is longer than {limits['max_length']} characters, the most this parameter takes"
        case "less_than_equal":
            return f"is more than {limits['le']}, the most this parameter takes"
        case "greater_than_equal":
            return f"is less than {limits['ge']}, the least this parameter takes"
        case "int_parsing" | "int_type" | "int_from_float":
            return "is no whole number"
        case "float_parsing" | "float_type":
            return "is no number"
        case "string_type":
            return "is no text"
        case "literal_error":
            return f"must be {limits['expected']}"
        case _:
            return str(error["msg"])
