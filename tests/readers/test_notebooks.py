"""The cells of docs/notebooks.md that need pandas, against an API of their own; `tests/docs` runs the others."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from lib.clock import MINUTE, slot, utc_now
from lib.schema import ID, PRICE, VOLUME_RANK
from lib.store.sqlite import SqliteStore
from tests.contract.snapshots import snapshot
from tests.docs.pages import Block, all_blocks
from tests.flow.forks import Forks
from tests.flow.processes import Api, Stage

pytest.importorskip("pandas", reason="in the dependency group readers")
pytestmark = pytest.mark.stack

BLOCKS = all_blocks()
PANDAS = [block for block in BLOCKS if block.words == ("python", "pandas")]
(TRADES,) = (block for block in BLOCKS if block.words == ("csv", "trades.csv"))
ASSETS = {1: "BTC", 1027: "ETH", 825: "USDT"}


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("TOPCOINS_")}


async def fill(path: Path) -> None:
    """95 minutes up to now of three assets."""
    store = SqliteStore(path, clock=utc_now)
    newest = slot(utc_now(), MINUTE)
    for minute in range(95):
        tick = newest - minute * MINUTE
        prices = [{ID: id_, "symbol": symbol, "name": symbol, "usd": 100.0 + minute} for id_, symbol in ASSETS.items()]
        ranks = [{ID: id_, "rank": place, "volume_usd": 1e9 / place} for place, id_ in enumerate(ASSETS, 1)]
        for series, rows in ((PRICE, prices), (VOLUME_RANK, ranks)):
            await store.write(snapshot(series, tick, rows, observed_at=tick, stored_at=None, duration=timedelta()))
    await store.close()


@pytest.fixture
async def api(tmp_path: Path, environ: dict[str, str], forks: Forks) -> AsyncIterator[Api]:
    (tmp_path / "data").mkdir()
    await fill(tmp_path / "data" / "topcoins.db")
    with Stage(tmp_path, environ, forks) as stage:
        api = stage.api()
        api.answers("/readyz")
        yield api


async def test_every_cell_with_pandas_runs_and_prints(api: Api, environ: dict[str, str], tmp_path: Path) -> None:
    assert PANDAS
    (tmp_path / "trades.csv").write_text(TRADES.text, "utf-8")
    for block in PANDAS:
        done = run(block, api, environ, tmp_path)
        assert done.returncode == 0, f"{block}\n{done.stderr}"
        assert done.stdout.strip()
    assert "3 of 4 {'unknown_asset': 1}" in done.stdout


def run(block: Block, api: Api, environ: dict[str, str], folder: Path) -> "subprocess.CompletedProcess[str]":
    text = block.text.replace("localhost:6667", f"127.0.0.1:{api.port}")
    python = [sys.executable, "-W", "error", "-c", text]
    return subprocess.run(python, cwd=folder, env=environ, capture_output=True, text=True, timeout=60)
