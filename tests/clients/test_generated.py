"""A client that openapi-python-client generates from docs/oas.yaml gets every answer and every error as a type.

The generator needs an environment of its own, because it pins an older typer. `TOPCOINS_TEST_CLIENT_GENERATOR` is the
command that runs it, such as `uvx openapi-python-client`; without it these tests are skipped.
"""

import importlib
import os
import pkgutil
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import yaml

from lib.access import Rate
from lib.errors import StoreUnavailable
from query_api.middleware.access import Access
from tests.fakes import FakeClock, MemoryStore
from tests.unit.query_api.market import MINUTE, NEWEST, NOW, Prices, Ranks, calling, fill

DOCUMENT = Path(__file__).parents[2] / "docs" / "oas.yaml"
GENERATOR = os.environ.get("TOPCOINS_TEST_CLIENT_GENERATOR", "")
PACKAGE = "generated_topcoins_client"
KEY = "a" * 64
UNREACHED = {"408"}
"""No caller waits in these tests until its body is too late."""

pytestmark = pytest.mark.skipif(not GENERATOR, reason="TOPCOINS_TEST_CLIENT_GENERATOR names no generator")


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Iterator[ModuleType]:
    """The generated package."""
    folder = tmp_path_factory.mktemp("client")
    options = ["generate", "--path", str(DOCUMENT), "--meta", "none", "--output-path", str(folder / PACKAGE)]
    done = subprocess.run([*shlex.split(GENERATOR), *options], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    warnings = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("WARNING")]
    assert warnings == ["WARNING parsing POST /v1/prices within assets."]  # of its body as CSV
    sys.path.insert(0, str(folder))
    yield importlib.import_module(PACKAGE)
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def operations(package) -> dict[str, Any]:
    """The module of each operation, by its id."""
    api = importlib.import_module(f"{PACKAGE}.api")
    names = [each.name for each in pkgutil.walk_packages(api.__path__, f"{api.__name__}.") if not each.ispkg]
    return {name.rpartition(".")[2]: importlib.import_module(name) for name in names}


@pytest.fixture(scope="module")
def documented() -> dict[str, Mapping[str, Any]]:
    """The documented responses of each operation, by its id."""
    paths = yaml.load(DOCUMENT.read_bytes(), yaml.CSafeLoader)["paths"]
    return {op["operationId"]: op["responses"] for methods in paths.values() for op in methods.values()}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
async def store(clock) -> MemoryStore:
    """Two assets share a ticker."""
    store = MemoryStore(clock)
    rows = [(1, "BTC", "Bitcoin", 92311.5, 9e10), (2, "DUP", "One", 1.0, 1.0), (3, "DUP", "Other", 1.0, 1.0)]
    await fill(store, [Prices(NEWEST, rows), Ranks(NEWEST, [(1, 9e10), (2, 2.0), (3, 1.0)])])
    return store


def required(package: ModuleType, name: str) -> dict[str, Any]:
    """The arguments that an operation needs."""
    item = importlib.import_module(f"{PACKAGE}.models").PricesJsonBodyItem
    arguments: dict[str, dict[str, Any]] = {
        "asset": {"id": "1"},
        "history": {"id": "1"},
        "assets": {"q": "btc"},
        "sparklines": {"ids": "1"},
        "prices": {"body": [item.from_dict({"time": "now", "asset": "BTC"})]},
        "movers": {"from_": "now-10s"},
    }
    return arguments.get(name, {})


async def called(package: ModuleType, operation: Any, caller: httpx.AsyncClient, arguments: dict[str, Any]) -> Any:
    client = package.Client(base_url="http://topcoins", raise_on_unexpected_status=True)
    return await operation.asyncio_detailed(client=client.set_async_httpx_client(caller), **arguments)


def is_documented(parsed: Any, responses: Mapping[str, Any]) -> bool:
    """Whether a 200 has the type of its JSON, of which a few have no name of their own, or else is a text."""
    content = responses["200"]["content"]
    if "application/json" not in content:
        return isinstance(parsed, str)
    name = content["application/json"]["schema"].get("$ref", "").rpartition("/")[2]
    return type(parsed).__module__.startswith(f"{PACKAGE}.models") and name in ("", type(parsed).__name__)


async def test_every_200_is_a_type(package, operations, documented, store, clock):
    async with calling(store, clock) as caller:
        for name, operation in operations.items():
            if name != "stream":  # which has no end
                answer = await called(package, operation, caller, required(package, name))
                assert answer.status_code == 200, (name, answer.content)
                assert is_documented(answer.parsed, documented[name]), name


Change = Callable[[httpx.Request], None]


def unknown_parameter(request: httpx.Request) -> None:
    request.url = request.url.copy_merge_params({"nope": "1"})


def unknown_format(request: httpx.Request) -> None:
    request.headers["accept"] = "image/png"


def compressed(request: httpx.Request) -> None:
    request.headers["content-encoding"] = "gzip"


NO_LIST = {"datetime_": "2020-01-01"}
NO_ASSET = {"id": "NOPE"}
ABSENT: dict[str, dict[str, Any]] = {
    "top": NO_LIST,
    "top_v1": NO_LIST,
    "asset": NO_ASSET,
    "history": NO_ASSET,
    "movers": {"from_": "now-9d"},
}


@pytest.mark.parametrize(
    ("status", "change", "arguments"),
    [
        ("404", None, ABSENT),
        ("406", unknown_format, {}),
        ("409", None, {"asset": {"id": "DUP"}, "history": {"id": "DUP"}}),
        ("415", compressed, {}),
        ("422", unknown_parameter, {}),
    ],
)
async def test_every_error_of_a_request_is_a_problem(
    package, operations, documented, store, clock, status, change: Change | None, arguments
):
    async with calling(store, clock) as caller:
        if change:
            caller.event_hooks["request"].append(as_hook(change))
        for name in with_status(documented, status):
            own = required(package, name) | arguments.get(name, {})
            is_problem(await called(package, operations[name], caller, own), status, name)


async def test_a_body_that_is_too_long_is_a_problem(package, operations, documented, store, clock):
    item = importlib.import_module(f"{PACKAGE}.models").PricesJsonBodyItem
    body = [item.from_dict({"time": "now", "asset": "B" * 2**20})]
    async with calling(store, clock) as caller:
        for name in with_status(documented, "413"):
            is_problem(await called(package, operations[name], caller, {"body": body}), "413", name)


@pytest.mark.parametrize(
    ("status", "access"), [("401", Access(keys={"alice": KEY})), ("429", Access(rate=Rate(1, MINUTE)))]
)
async def test_every_refusal_of_a_caller_is_a_problem(
    package, operations, documented, store, clock, status, access: Access
):
    async with calling(store, clock, access=access) as caller:
        await caller.get("/v1/top")
        for name in with_status(documented, status):
            is_problem(await called(package, operations[name], caller, required(package, name)), status, name)


async def test_a_store_that_is_away_is_a_problem(package, operations, documented, store, clock):
    store.failure = StoreUnavailable("away")
    async with calling(store, clock) as caller:
        for name in with_status(documented, "503"):
            if name not in ("stream", "assets"):  # one has its events later, one its names in memory
                is_problem(await called(package, operations[name], caller, required(package, name)), "503", name)


def test_every_documented_error_is_tried(documented):
    statuses = {status for responses in documented.values() for status in responses}
    tried = {"404", "406", "409", "415", "422", "413", "401", "429", "503"}
    assert statuses - tried == {"200", "304"} | UNREACHED


def as_hook(change: Change) -> Any:
    async def hook(request: httpx.Request) -> None:
        change(request)

    return hook


def with_status(documented: Mapping[str, Mapping[str, Any]], status: str) -> list[str]:
    names = [name for name, responses in documented.items() if status in responses]
    assert names
    return names


def is_problem(answer: Any, status: str, name: str) -> None:
    assert type(answer.parsed).__name__ == "Problem", (name, answer.status_code, answer.content[:300])
    assert (answer.status_code, answer.parsed.status) == (int(status), int(status)), name
    assert answer.parsed.detail
