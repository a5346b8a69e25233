"""The parameters that filter a list."""

import re
from typing import Annotated

from fastapi import Depends, Query
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from lib.text import did_you_mean
from query_api.asof.filters import FLAGS, Filters
from query_api.http.parameters import OptionalText, list_of, some_of, text_query
from query_api.http.problems import BadRequest

_NAMED = "[^,]*[^, ][^,]*"
_ID = " *[0-9]{1,8} *"


async def parse_filters(  # async, as all that a route depends on: what is not waits for a thread
    exclude: Annotated[
        OptionalText, text_query("exclude", f"Without these kinds of assets: {', '.join(FLAGS)}", some_of(FLAGS), 64)
    ] = None,
    max_volume_to_cap: Annotated[
        Annotated[float, Field(gt=0, allow_inf_nan=False)] | SkipJsonSchema[None],
        Query(
            description="Without assets that trade more than this many times their market cap in 24 h", examples=[0.5]
        ),
    ] = None,
    symbols: Annotated[
        OptionalText,
        text_query(
            "symbols",
            "Only assets with these tickers, in any case; a shared one gives all that have it",
            list_of(_NAMED),
            4096,
        ),
    ] = None,
    ids: Annotated[
        OptionalText,
        text_query(
            "ids", "Only assets with these CoinMarketCap ids; with symbols, those of either", list_of(_ID), 4096
        ),
    ] = None,
) -> Filters:
    """The parameters that filter a list."""
    kinds, tickers, numbers = _items("exclude", exclude), _items("symbols", symbols), _items("ids", ids)
    for name in kinds:
        if name not in FLAGS:
            why = f"{name!r} cannot be excluded{did_you_mean(name, FLAGS)}; these can: {', '.join(FLAGS)}"
            raise BadRequest("exclude", exclude, why)
    for number in numbers:
        if not re.fullmatch(_ID, number):
            raise BadRequest("ids", ids, f"{number!r} is no CoinMarketCap id")
    return Filters(tuple(sorted(set(kinds))), max_volume_to_cap, tickers, tuple(int(number) for number in numbers))


def _items(parameter: str, text: str | None) -> tuple[str, ...]:
    items = () if text is None else tuple(item.strip(" ") for item in text.split(","))
    if not all(items):
        raise BadRequest(parameter, text, "has an empty item")
    return items


Filtering = Annotated[Filters, Depends(parse_filters)]
