"""Refuses the parameters that an address does not have."""

from collections.abc import Sequence
from difflib import get_close_matches

from fastapi import Request

from query_api.http.parameters import CSV_COLUMNS
from query_api.http.problems import EXAMPLES, BadRequest

CACHE_BUSTER = "_"
"""Scripts and spreadsheets add this name with a random value, to get past caches. It changes no answer."""


async def known_parameters(request: Request) -> None:
    """Refuse a parameter that is unknown or given twice."""
    dependant = getattr(request.scope.get("route"), "dependant", None)
    declared = [dependant, *dependant.dependencies] if dependant else []
    known = [parameter.alias for each in declared for parameter in each.query_params]
    seen = set()
    for name, value in request.query_params.multi_items():
        if name == CACHE_BUSTER:
            continue
        if name not in known:
            takes = f"this address takes {', '.join(known)}" if known else "this address takes none"
            raise BadRequest(
                name, value, f"is no parameter here; {takes}", _suggestion(name, known) or request.url.path
            )
        if name in seen:
            raise BadRequest(name, value, "is given twice; once is enough")
        seen.add(name)


def _suggestion(name: str, known: Sequence[str]) -> str:
    """The known parameter most like an unknown one, with a valid value; empty if the address has none."""
    for like in get_close_matches(name.lower(), known, 1, cutoff=0):
        return CSV_COLUMNS if like == "columns" else f"{like}={EXAMPLES[like]}"
    return ""
