"""JSON that ends with a newline: after curl, a terminal's prompt begins on a line of its own."""

from typing import Any

import orjson
from starlette.responses import JSONResponse


def json_line(value: Any) -> bytes:
    """A value as one line of JSON."""
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


class JsonLine(JSONResponse):
    """The response of a route that returns a model."""

    def render(self, content: Any) -> bytes:
        """Its bytes."""
        return super().render(content) + b"\n"
