"""The parameters that filter a list."""

import re
from typing import Annotated

from fastapi import Depends, Query
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from query_api.asof.filters import FLAGS, Filters
from query_api.http.problems import EXAMPLES, BadRequest

_NAMED = "[^,]*[^, ][^,]*"
_KIND = f" *(?:{'|'.join(FLAGS)}) *"
_ID = " *[0-9]{1,8} *"


async def parse_filters(  # async, as all that a route depends on: what is not waits for a thread
    exclude: Annotated[
        str | SkipJsonSchema[None],
        Query(
            description=f"Without these kinds of assets: {', '.join(FLAGS)}",
            examples=[EXAMPLES["exclude"]],
            max_length=64,
            json_schema_extra={"pattern": f"^{_KIND}(?:,{_KIND})*$"},
        ),
    ] = None,
    max_volume_to_cap: Annotated[
        Annotated[float, Field(gt=0, allow_inf_nan=False)] | SkipJsonSchema[None],
        Query(
            description="Without assets that trade more than this many times their market cap in 24 h",
            examples=[0.5],
        ),
    ] = None,
    symbols: Annotated[
        str | SkipJsonSchema[None],
        Query(
            description="Only assets with these tickers, in any case; a shared one gives all that have it",
            examples=[EXAMPLES["symbols"]],
            max_length=4096,
            json_schema_extra={"pattern": f"^{_NAMED}(?:,{_NAMED})*$"},
        ),
    ] = None,
    ids: Annotated[
        str | SkipJsonSchema[None],
        Query(
            description="Only assets with these CoinMarketCap ids; with symbols, those of either",
            examples=[EXAMPLES["ids"]],
            max_length=4096,
            json_schema_extra={"pattern": f"^{_ID}(?:,{_ID})*$"},
        ),
    ] = None,
) -> Filters:
    """The parameters that filter a list."""
    kinds, tickers, numbers = _items("exclude", exclude), _items("symbols", symbols), _items("ids", ids)
    for name in kinds:
        if name not in FLAGS:
            why = f"{name!r} cannot be excluded; these can: {', '.join(FLAGS)}"
            raise BadRequest("exclude", exclude, why, EXAMPLES["exclude"])
    for number in numbers:
        if not re.fullmatch(_ID, number):
            raise BadRequest("ids", ids, f"{number!r} is no CoinMarketCap id", EXAMPLES["ids"])
    return Filters(tuple(sorted(set(kinds))), max_volume_to_cap, tickers, tuple(int(number) for number in numbers))


def _items(parameter: str, text: str | None) -> tuple[str, ...]:
    items = () if text is None else tuple(item.strip(" ") for item in text.split(","))
    if not all(items):
        raise BadRequest(parameter, text, "has an empty item", EXAMPLES[parameter])
    return items


Filtering = Annotated[Filters, Depends(parse_filters)]
