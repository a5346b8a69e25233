"""The OpenAPI document: what FastAPI derives from the routes, with errors by reference, tags and the keys' schemes."""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from query_api.http.problems import Problem
from query_api.middleware.access import PUBLIC_PATHS

TAGS = {
    "lists": ("/", "/v1/top", "/v1/movers", "/v1/export", "/v1/stream"),
    "assets": ("/v1/assets", "/v1/sparklines", "/v1/prices"),
    "operations": ("/v1/gaps", "/v1/status", "/healthz", "/readyz", "/metrics"),
}
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
            for path in PUBLIC_PATHS & document["paths"].keys():
                document["paths"][path]["get"]["security"] = []
        return self.openapi_schema or {}


def name_of(route: APIRoute) -> str:
    """The operation's id: the endpoint's name."""
    return route.name


def tag_of(path: str) -> str:
    """The tag of an address. KeyError for an address that has none."""
    for tag, paths in TAGS.items():
        if path in paths or (path.startswith("/v1/assets") and tag == "assets"):
            return tag
    raise KeyError(path)
