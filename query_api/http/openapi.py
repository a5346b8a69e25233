"""The OpenAPI document: what FastAPI derives from the routes, with errors by reference, tags and the keys' schemes."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import orjson
from fastapi import FastAPI

from query_api.http.problems import Problem
from query_api.middleware.access import PUBLIC_PATHS

TAGS = {
    "lists": ("/", "/v1/top", "/v1/movers", "/v1/export", "/v1/stream"),
    "assets": ("/v1/assets", "/v1/sparklines", "/v1/prices"),
    "operations": ("/v1/gaps", "/v1/status", "/healthz", "/readyz", "/metrics"),
}
EXAMPLES = "examples.json"
"""The example answers of `docs/api.md`, by path and by the language of their block. `.ci/oas.py` writes it."""
_LANGUAGES = (("application/json", "json"), ("text/csv", "csv"), ("text/plain", "table"), ("text/", "text"))
SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A client's key"},
    "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "A client's key"},
}


class Api(FastAPI):
    """A FastAPI app with this document."""

    def openapi(self) -> dict[str, Any]:
        """The document. Keys are needed only where the deployment has `CLIENT_KEYS`."""
        if not self.openapi_schema:
            document = super().openapi()
            document["servers"] = [{"url": ".", "description": "Where this document is"}]
            document["tags"] = [{"name": name} for name in TAGS]
            document["security"] = [{}, *({scheme: []} for scheme in SCHEMES)]
            document["components"]["securitySchemes"] = SCHEMES
            document["components"]["schemas"]["Problem"] = Problem.model_json_schema()
            _complete(document["paths"])
        return self.openapi_schema or {}


def _complete(paths: dict[str, Any]) -> None:
    """Add to each operation its tag, its example answers, and whether it needs no key."""
    examples = orjson.loads((files(__package__) / EXAMPLES).read_bytes())
    for path, methods in paths.items():
        for method, operation in methods.items():
            methods[method] = {"tags": [tag_of(path)], **operation}
            if path in PUBLIC_PATHS:
                methods[method]["security"] = []
            for kind, content in operation["responses"]["200"].get("content", {}).items():
                if example := _example(examples.get(path, {}), kind):
                    content["example"] = example


def _example(examples: Mapping[str, Any], kind: str) -> Any:
    """The example of a media type. That of `text` is for any kind of text that has none of its own."""
    for prefix, language in _LANGUAGES:
        if kind.startswith(prefix) and language in examples:
            return examples[language]
    return None


def tag_of(path: str) -> str:
    """The tag of an address. KeyError for an address that has none."""
    for tag, paths in TAGS.items():
        if path in paths or (path.startswith("/v1/assets") and tag == "assets"):
            return tag
    raise KeyError(path)
