"""How tests ask the simulated upstreams, and the clock they set."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

NOON = datetime(2026, 3, 4, 12, 0, 7, tzinfo=UTC)


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def move(self, span: timedelta) -> None:
        self.now += span


class Caller:
    """Asks the way both vendors want to be asked."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def cmc(self, path: str = "/v1/cryptocurrency/listings/latest", *, key: str = "a key", **params: Any):
        return await self.client.get(path, params=params, headers={"X-CMC_PRO_API_KEY": key} if key else {})

    async def desk(self, *, key: str = "a key", **params: Any):
        headers = {"authorization": f"Apikey {key}"} if key else {}
        return await self.client.get("/asset/v1/top/list", params=params, headers=headers)


Open = Callable[..., Caller]
