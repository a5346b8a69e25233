"""The boards, loaded into the types of Grafana's own SDK: whatever a type does not know would be lost or ignored."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.stack_files.files import BOARDS, board

UNTYPED = {
    ".templating.list[].definition",
    ".annotations.list[].target.refId",
    ".annotations.list[].target.query",
    ".panels[].fieldConfig.defaults.custom.insertNulls",
    ".panels[].fieldConfig.defaults.custom.spanNulls",
    ".panels[].options.sort",
}
"""What Grafana reads and the SDK's types leave out: of a state timeline, a pie chart, a data source's own query."""


@pytest.fixture(scope="module", autouse=True)
def plugins() -> None:
    register_default_plugins()


def lost(before: Any, after: Any, at: str = "") -> Iterator[str]:
    """Where a value is no longer the same."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            yield from lost(value, after[name], f"{at}.{name}") if name in after else [f"{at}.{name}"]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for one, other in zip(before, after, strict=True):
            yield from lost(one, other, f"{at}[]")
    elif before != after:
        yield at


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_board_loads_into_the_types_of_grafana_and_loses_nothing(path):
    own = board(path)
    loaded = json.loads(JSONEncoder().encode(Dashboard.from_json(own)))
    assert set(lost(own, loaded)) <= UNTYPED
