"""The tools of `topcoins mcp`. Each asks a running API.

A result has its times, sources, ages and a link to the same answer. Sizes are bounded, and what that leaves out is
counted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import httpx
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field, ValidationError

from lib.cli.client import (
    MATCHES,
    asset_path,
    no_answer,
    notice_of,
    other_program,
    refusal,
    searched_name,
    sent,
    with_matches,
)
from lib.errors import TopcoinsError
from lib.instants import EXAMPLE
from lib.invalid import why_invalid
from lib.version import VERSION

INSTRUCTIONS = (
    "Prices and 24h volume ranks of the top coins, as of any minute that this topcoins API has stored. Every result is"
    " as of an instant: name its price_time and the source when you quote a number, and give the permalink, which"
    " returns the same answer again. Tickers are shared: where a tool lists several ids for one, ask which is meant."
)
READ_ONLY = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
MOST_MOVERS = 25
MOST_GAPS = 50

Answer = dict[str, Any]
Parameters = Mapping[str, str | int | None]
FORMS = f"{EXAMPLE}, 2026-11-17, tue 14:37, yesterday 09:00, now-90m. UTC."
At = Annotated[str | None, Field(description=f"The instant, by default now: {FORMS}")]
From = Annotated[str, Field(description=f"The earlier instant: {FORMS}")]
To = Annotated[str, Field(description=f"The later instant: {FORMS}")]
KnownAt = Annotated[str | None, Field(description="The known_at of an earlier result, to get the same answer as then.")]
Asset = Annotated[str, Field(description="A CoinMarketCap id such as 1, or a ticker that only one asset has.")]
_NAMES = {"from": "start=", "to": "stop="}
"""The tools' names for parameters of the API."""
_EXAMPLES = {
    "limit": "20", "top": "100", "datetime": "now-90m", "start": "now-1d", "stop": "now", "known_at": EXAMPLE,
    "exclude": "stablecoins", "id": "BTC", "every": "1h",
}  # fmt: skip
"""A valid value of each argument."""
_BASIS = ("requested_at", "price_time", "rank_time", "price_age_s", "rank_age_s", "resolution", "sources", "known_at")
_MOVED = ("cmc_id", "symbol", "name", "rank_from", "rank_to", "price_from_usd", "price_to_usd", "price_change_pct")


def server(client: httpx.AsyncClient, at: str, link_at: str) -> MCPServer[Any]:
    """The tools over the API at an address. Links are of `link_at`, where a browser reaches the same API."""
    made = Server("topcoins", version=VERSION, instructions=INSTRUCTIONS, log_level="WARNING")
    tools = Tools(client, at, link_at)
    for tool in (tools.top_list, tools.asset, tools.history, tools.movers, tools.gaps, tools.status):
        made.tool(annotations=READ_ONLY)(tool)
    return made


class Server(MCPServer[Any]):
    """The SDK's server, but for its words about errors."""

    async def call_tool(self, name: str, arguments: Answer, context: Any = None) -> Any:
        """The result of a tool. ToolError names an argument, its value and a valid example, or has the API's words."""
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as exc:
            match exc.__cause__:
                case ValidationError() as cause:
                    raise ToolError(_wrong_argument(cause)) from exc
                case TopcoinsError() as cause:
                    raise ToolError(f"Error executing tool {name}: {cause}") from exc
            raise


def _wrong_argument(exc: ValidationError) -> str:
    error = exc.errors()[0]
    name = str(error["loc"][0])
    value = "" if error["type"] == "missing" else f"={error['input']}:"
    return f"{name}{value} {why_invalid(error)}; for example {name}={_EXAMPLES.get(name, '')}"


@dataclass(frozen=True, slots=True)
class Tools:
    """One method for each tool. Its docstring and annotations are what the assistant reads."""

    client: httpx.AsyncClient
    at: str
    link_at: str

    async def top_list(
        self,
        limit: Annotated[int, Field(ge=1, le=100, description="How many assets.")] = 20,
        datetime: At = None,
        exclude: Annotated[
            Literal["stablecoins", "wrapped", "stablecoins,wrapped"] | None, Field(description="Kinds to leave out.")
        ] = None,
        known_at: KnownAt = None,
    ) -> Answer:
        """The top coins by 24h volume, with USD prices, as of an instant. `assets` counts what each source had then."""
        parameters: Parameters = {"limit": limit, "exclude": exclude}
        answer = await self._ask("/v1/top", {**parameters, "datetime": datetime, "known_at": known_at})
        return {"permalink": self._link("/v1/top", {**parameters, **_pinned(answer)}), **answer}

    async def asset(self, id: Asset, datetime: At = None, known_at: KnownAt = None) -> Answer:
        """One asset as of an instant: price, volume, place by volume, market cap, kind."""
        answer = await self._ask(asset_path(id), {"datetime": datetime, "known_at": known_at})
        return {"permalink": self._link(asset_path(answer["cmc_id"]), _pinned(answer)), **answer}

    async def history(
        self,
        id: Asset,
        start: From = "now-1d",
        stop: To = "now",
        every: Annotated[str, Field(description="The distance between steps: 1m, 1h, 1d.")] = "1h",
        limit: Annotated[int, Field(ge=1, le=200, description="How many steps; `next_from` is where to go on.")] = 100,
        known_at: KnownAt = None,
    ) -> Answer:
        """One asset over time, with nulls in gaps. `last` says which snapshots and sources the last step is from."""
        asked: Parameters = {"every": every, "fill": "null", "limit": limit}
        ends = {"from": start, "to": stop, "known_at": known_at}
        answer = await self._ask(f"{asset_path(id)}/history", {**asked, **ends})
        path, known = f"{asset_path(answer['cmc_id'])}/history", {"known_at": answer["known_at"]}
        link = self._link(path, {**asked, "from": answer["from"], "to": answer["to"], **known})
        following = httpx.URL(answer.pop("next") or "").params.get("from")
        times = [point["price_time"] for point in answer["data"] if point["price_usd"] is not None]
        last = await self._ask(asset_path(answer["cmc_id"]), {"datetime": times[-1], **known}) if times else None
        return {"permalink": link, "next_from": following, "last": last and _only(last, _BASIS), **answer}

    async def movers(
        self,
        start: From = "now-1d",
        stop: To = "now",
        top: Annotated[int, Field(ge=1, le=500, description="The size of both lists.")] = 100,
        known_at: KnownAt = None,
    ) -> Answer:
        """What entered, left, rose and fell between the top lists of two instants. The most of each kind are shown."""
        answer = await self._ask("/v1/movers", {"from": start, "to": stop, "top": top, "known_at": known_at})
        before, after, rows = answer["from"], answer["to"], answer["data"]
        ends = {"from": before["requested_at"], "to": after["requested_at"]}
        by_change = sorted((row for row in rows if row["price_change_pct"]), key=lambda row: row["price_change_pct"])
        shown = {
            "entered": [row for row in rows if row["move"] == "entered"],
            "left": [row for row in rows if row["move"] == "left"],
            "rose": [row for row in reversed(by_change) if row["price_change_pct"] > 0],
            "fell": [row for row in by_change if row["price_change_pct"] < 0],
        }
        return {
            "permalink": self._link("/v1/movers", {"top": top, **ends, "known_at": after["known_at"]}),
            **_only(answer, answer.keys() & {"notice"}),
            "from": before,
            "to": after,
            "counts": {kind: len(some) for kind, some in shown.items()} | {"stayed": answer["stayed"]},
            **{kind: [_only(row, _MOVED) for row in some[:MOST_MOVERS]] for kind, some in shown.items()},
        }

    async def gaps(self, start: From = "now-1d", stop: To = "now") -> Answer:
        """The minutes without a snapshot, each gap with its cause, over at most a week. `newest` is stored now."""
        answer = await self._ask("/v1/gaps", {"from": start, "to": stop})
        link = self._link("/v1/gaps", {"from": answer["from"], "to": answer["to"]})
        for series in answer["series"].values():
            series["gaps_left_out"] = max(0, len(series["gaps"]) - MOST_GAPS)
            series["gaps"] = series["gaps"][-MOST_GAPS:]
        return {"permalink": link, "newest": _newest(await self._ask("/v1/status", {})), **answer}

    async def status(self) -> Answer:
        """How the service is now: for each series the newest snapshot, its age, source, and missing ticks."""
        answer = await self._ask("/v1/status", {})
        return {"permalink": self._link("/v1/status", {}), **answer}

    async def _ask(self, path: str, parameters: Parameters) -> Answer:
        """An answer of the API. Raises Refused."""
        try:
            response = await self.client.get(f"{self.at}{path}", params=sent(parameters))
        except httpx.HTTPError as exc:
            raise no_answer(self.at, exc) from exc
        if not response.is_success:
            error = refusal(response, _NAMES)
            if name := searched_name(error):
                error = with_matches(error, await self._ask("/v1/assets", {"q": name, "limit": MATCHES}))
            raise error
        if not response.headers.get("content-type", "").startswith("application/json"):
            raise other_program(self.at)
        notice = notice_of(response)
        return {**({"notice": notice} if notice else {}), **response.json()}

    def _link(self, path: str, parameters: Parameters) -> str:
        query = urlencode(sent(parameters), safe=":,")
        return f"{self.link_at}{path}{query and '?'}{query}"


def _pinned(answer: Answer) -> Parameters:
    """The parameters by which an answer comes again."""
    return {"datetime": answer["requested_at"], "known_at": answer["known_at"]}


def _newest(status: Answer) -> Answer:
    return {series: _only(one, ("tick", "age_s", "source")) for series, one in status["series"].items()}


def _only(answer: Answer, names: Iterable[str]) -> Answer:
    return {name: answer[name] for name in names}
