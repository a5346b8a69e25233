"""The address that gives an answer again, and the other headers of a file."""

from collections.abc import Mapping
from urllib.parse import urlencode

from fastapi import Request

from query_api.http.known_parameters import CACHE_BUSTER

LONGEST = 4000
"""Some proxies refuse longer headers."""
IS_VIEW = "topcoins.is_view"
"""The scope entry of a request to `/?view=…`, which has the path of the API's own address by now."""


def permalink(request: Request, fixed: Mapping[str, str]) -> str:
    """The path and query of an answer: the parameters that were sent, and in their place those that are `fixed`."""
    sent = {name: value for name, value in request.query_params.items() if name != CACHE_BUSTER}
    return f"{request.scope['path']}?{urlencode({**sent, **fixed})}"


def file_headers(request: Request, link: str) -> dict[str, str]:
    """The header of every downloaded file: its permalink, relative to its address."""
    relative = link.removeprefix("/") if request.scope.get(IS_VIEW) else link[link.index("?") :]
    return {"content-location": relative} if len(relative) <= LONGEST else {}
