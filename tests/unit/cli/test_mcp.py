"""`topcoins mcp`, asked by the SDK's own client; the API is in process."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from lib.cli.app import app
from lib.cli.mcp import INSTALL
from lib.clock import isoformat
from tests.fakes import FakeClock, MemoryStore
from tests.unit.query_api.market import (
    AFTER_GAP,
    BEFORE_GAP,
    FIRST,
    MINUTE,
    NEWEST,
    NOW,
    Prices,
    Ranks,
    calling,
    fill,
    stocked,
)

if TYPE_CHECKING:  # to load the SDK takes a second and more: one worker does
    from mcp import Client

pytestmark = pytest.mark.xdist_group("mcp")

SITE = "http://topcoins.example:8667"
SAME = {"history": ("cmc_id", "from", "to", "data"), "movers": (), "gaps": ("from", "to"), "status": ("series",)}
"""Of the answers that a result has in another form: what is the same."""
TOOLS = ("top_list", "asset", "history", "movers", "gaps", "status")


def assisted(api: httpx.AsyncClient) -> "Client":
    from mcp import Client

    from lib.cli.assistant import server

    return Client(server(api, "http://topcoins", SITE))


@asynccontextmanager
async def assistant(
    store: MemoryStore | None = None, notice: str = ""
) -> "AsyncIterator[tuple[Client, httpx.AsyncClient]]":
    """An assistant's client of the tools, and one of the API below them."""
    clock = FakeClock(NOW)
    async with (
        calling(store or stocked(clock), clock, notice=notice) as api,
        assisted(api) as client,
    ):
        yield client, api


async def call(client: "Client", tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    answer: dict[str, Any] = result.structured_content
    assert json.loads(result.content[0].text) == answer  # type: ignore[union-attr]
    return answer


async def refused(client: "Client", tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return str(result.content[0].text)  # type: ignore[union-attr]


async def test_there_are_six_tools_that_only_read_and_explain_themselves() -> None:
    async with assistant() as (client, _):
        tools = (await client.list_tools()).tools
    assert tuple(tool.name for tool in tools) == TOOLS
    for tool in tools:
        assert tool.description
        assert tool.annotations
        assert tool.annotations.read_only_hint
        assert all(described.get("description") for described in tool.input_schema["properties"].values()), tool.name


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("top_list", {"limit": 3, "datetime": isoformat(FIRST)}),
        ("top_list", {"exclude": "stablecoins"}),
        ("asset", {"id": "btc", "datetime": "now-1m"}),
        ("history", {"id": "1", "start": isoformat(FIRST), "every": "1m", "limit": 200}),
        ("movers", {"start": isoformat(FIRST), "stop": isoformat(NEWEST), "top": 3}),
        ("gaps", {"start": isoformat(FIRST)}),
        ("status", {}),
    ],
)
async def test_a_result_is_the_api_s_answer_with_a_link_that_gives_it_again(tool, arguments) -> None:
    async with assistant() as (client, api):
        result = await call(client, tool, **arguments)
        link = result.pop("permalink")
        assert link.startswith(f"{SITE}/v1/")
        again = (await api.get(link.removeprefix(SITE))).json()
    assert {name: result[name] for name in SAME.get(tool, again)} == {
        name: again[name] for name in SAME.get(tool, again)
    }
    assert ("known_at=" in link) == (tool not in ("gaps", "status"))


async def test_a_history_shows_its_gaps_the_sources_of_its_end_and_where_to_go_on() -> None:
    async with assistant() as (client, _):
        span = {"start": isoformat(BEFORE_GAP - MINUTE), "stop": isoformat(AFTER_GAP + MINUTE), "every": "1m"}
        first = await call(client, "history", id="BTC", limit=3, **span)
        rest = await call(client, "history", id="BTC", **{**span, "start": first["next_from"]})
    assert [point["price_usd"] is None for point in first["data"]] == [False, False, True]
    assert first["last"]["price_time"] == isoformat(BEFORE_GAP)
    assert first["last"]["sources"] == {"price": "coinmarketcap", "rank": "coindesk"}
    assert (rest["next_from"], len(rest["data"]), rest["last"]["price_time"]) == (None, 19, isoformat(AFTER_GAP))


async def test_movers_are_counted_and_the_most_of_each_kind_are_shown() -> None:
    from lib.cli.assistant import MOST_MOVERS

    store = MemoryStore(FakeClock(NOW))
    many = range(1, 101)
    await fill(store, [Prices(FIRST, [(n, f"S{n}", "N", 1.0, 1.0) for n in many])])
    await fill(store, [Ranks(FIRST, [(n, 1e3 - n) for n in many])])
    later = [n + 30 for n in many]
    prices = [(n, f"S{n}", "N", 1 + (n - 80) / 100, 1.0) for n in later]
    await fill(store, [Prices(NEWEST, prices), Ranks(NEWEST, [(n, 1e3 - n) for n in later])])
    async with assistant(store) as (client, _):
        result = await call(client, "movers", start=isoformat(FIRST), top=100)
    assert result["counts"] == {"entered": 30, "left": 30, "rose": 20, "fell": 49, "stayed": 70}
    assert [len(result[kind]) for kind in ("entered", "left", "rose", "fell")] == [
        MOST_MOVERS,
        MOST_MOVERS,
        20,
        MOST_MOVERS,
    ]
    assert result["rose"][0]["price_change_pct"] == pytest.approx(20)
    assert result["fell"][0]["price_change_pct"] == pytest.approx(-49)
    assert result["from"]["sources"]["price"] == "coinmarketcap"


async def test_gaps_have_their_causes_and_the_newest_snapshots_and_a_bound() -> None:
    from lib.cli.assistant import MOST_GAPS

    store = MemoryStore(FakeClock(NOW))
    ticks = [FIRST - 2 * n * MINUTE for n in range(MOST_GAPS + 5)]
    await fill(
        store, [sent for tick in ticks for sent in (Prices(tick, [(1, "A", "A", 1.0, 1.0)]), Ranks(tick, [(1, 1.0)]))]
    )
    async with assistant(store) as (client, _):
        result = await call(client, "gaps")
    price = result["series"]["price"]
    assert len(price["gaps"]) == MOST_GAPS
    assert price["gaps_left_out"] + MOST_GAPS == MOST_GAPS + 5
    assert result["newest"]["price"] == {
        "tick": isoformat(FIRST),
        "age_s": pytest.approx(37 * 60 + 30.25),
        "source": "coinmarketcap",
    }


@pytest.mark.parametrize("tool", TOOLS)
async def test_every_result_has_the_notice(tool) -> None:
    async with assistant(notice="simulated") as (client, _):
        result = await call(
            client,
            tool,
            **({"id": "1"} if tool in ("asset", "history") else {"start": "now-5m"} if tool == "movers" else {}),
        )
        assert result["notice"] == "simulated"


@pytest.mark.parametrize(
    ("tool", "arguments", "why"),
    [
        ("asset", {"id": "NOPE"}, "no asset has the ticker NOPE"),
        ("asset", {"id": "bitco"}, "; by name there are (id, ticker, name): 1 BTC Bitcoin"),
        ("asset", {}, "id is required; for example id=BTC"),
        ("top_list", {"limit": "ten"}, "limit=ten: is no whole number; for example limit=20"),
        ("top_list", {"exclude": "coins"}, "exclude=coins: must be 'stablecoins', "),
        ("asset", {"id": "1", "datetime": "11/12/2026"}, "may be day and month"),
        ("top_list", {"datetime": isoformat(FIRST - MINUTE)}, "is before the first snapshot"),
        (
            "top_list",
            {"limit": 101},
            "limit=101: is more than 100, the most this parameter takes; for example limit=20",
        ),
        ("history", {"id": "1", "limit": 201}, "limit=201: is more than 200"),
        ("movers", {"top": 501}, "top=501: is more than 500"),
        ("gaps", {"start": "now-8d"}, "more than 7d before"),
    ],
)
async def test_what_has_no_answer_is_an_error_in_the_api_s_words(tool, arguments, why) -> None:
    async with assistant() as (client, _):
        text = await refused(client, tool, **arguments)
        assert why in text
        assert "pydantic" not in text


async def test_a_shared_ticker_is_an_error_with_its_ids() -> None:
    store = MemoryStore(FakeClock(NOW))
    await fill(
        store,
        [Prices(NEWEST, [(n, "TWIN", f"Name {n}", 1.0, 1.0) for n in (2, 3)]), Ranks(NEWEST, [(2, 1.0), (3, 2.0)])],
    )
    async with assistant(store) as (client, _):
        assert "ask for one by its cmc_id, of 3 (Name 3), 2 (Name 2)" in await refused(client, "asset", id="twin")


async def test_an_api_that_does_not_answer_or_is_another_program_is_named() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/status":
            return httpx.Response(200, text="<html>")
        raise httpx.ConnectError("refused")

    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(away)) as api,
        assisted(api) as client,
    ):
        assert "http://topcoins does not answer (refused); start it with topcoins demo" in await refused(
            client, "top_list"
        )
        assert "another program answers at http://topcoins, no topcoins API" in await refused(client, "status")


async def test_the_documented_configuration_starts_the_command_with_its_extra() -> None:
    page = (Path(__file__).parents[3] / "docs" / "assistants.md").read_text("utf-8")
    configured = json.loads(page.partition("```json\n")[2].partition("```")[0])["mcpServers"]["topcoins"]
    run, topcoins = configured["args"][:5], configured["args"][5:]
    assert [configured["command"], *run] == ["uv", "run", "--directory", "/path/to/topcoins", "--extra", "mcp"]
    arguments = topcoins[1:]
    with get_command(app).make_context("topcoins", list(arguments)) as context:
        name, command, rest = context.command.resolve_command(context, arguments)  # type: ignore[attr-defined]
        assert name == "mcp"
        assert command.make_context(name, rest).params == {"url": "http://127.0.0.1:6667"}
    assert set(configured["env"]) == {"TOPCOINS_CLIENT_KEY_FILE"}


@pytest.mark.stack
def test_the_help_names_the_extra_and_an_example_that_has_it() -> None:
    text = " ".join(CliRunner().invoke(app, ["mcp", "--help"]).output.split())
    assert "the extra `mcp`" in text
    assert all(part in text for part in INSTALL.split())
    assert "The assistant starts this command itself" in text


async def test_the_command_speaks_on_stdio_and_never_shows_its_key() -> None:
    from mcp import Client, StdioServerParameters
    from mcp.client.stdio import stdio_client

    command = str(Path(sys.executable).parent / "topcoins")
    environ = {"TOPCOINS_CLIENT_KEY": "canary-key-0123456789", "TOPCOINS_HTTP_PORT": "9"}
    async with Client(stdio_client(StdioServerParameters(command=command, args=["mcp"], env=environ))) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == [*TOOLS]
        why = await refused(client, "status")
    assert "http://127.0.0.1:9 does not answer" in why
    assert "canary" not in why


@pytest.mark.parametrize("tool", ["asset", "history"])
async def test_what_is_no_segment_of_an_address_is_no_asset(tool) -> None:
    async with assistant() as (client, _):
        assert "is no CoinMarketCap id and no ticker; for example 1 or BTC" in await refused(client, tool, id="..")
