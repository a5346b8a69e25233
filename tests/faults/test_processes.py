"""What only shows on real sockets: an ingestor as a process, before an upstream that is huge or hangs."""

from datetime import timedelta
from pathlib import Path

import pytest

import ingest_price
from lib.clock import utc_now
from lib.gaps import find_gaps
from lib.store.sqlite import SqliteStore
from tests.flow.conftest import environ, fresh_stage

__all__ = ["environ", "fresh_stage"]
pytestmark = pytest.mark.stack

MEGABYTE = 2**20
ANSWER = 200 * MEGABYTE
MOST = 100 * MEGABYTE
"""What such an answer may cost: the 64 MiB that are read of it, and some."""
SCRIPT = f"""
[[fault]]
path = "*/listings/latest"
first = 2
kind = "huge"
bytes = {ANSWER}

[[fault]]
path = "*/listings/latest"
first = 4
kind = "delay"
seconds = 6
"""
"""The second tick meets the one, the fourth the other."""
MANY_TICKS = timedelta(minutes=10)


def hasty(folder: Path) -> Path:
    """The source's file, with so little patience that it lasts longer than half of a tick, and asks once."""
    source = Path(ingest_price.__path__[0]) / "coinmarketcap.toml"
    file = folder / "hasty.toml"
    file.write_text(source.read_text("utf-8") + '\n[request]\ntimeout = "4s"\n')
    return file


async def test_an_answer_of_200_mb_and_an_upstream_that_hangs_cost_a_tick_each_and_little_memory(fresh_stage):
    (fresh_stage.folder / "faults.toml").write_text(SCRIPT)
    upstream = fresh_stage.simulator("--assets", "60", "--unlimited", "--faults", "faults.toml")
    chosen = {
        "ASSETS": 60,
        "INTERVAL": "5s",
        "PRICE_SOURCE": hasty(fresh_stage.folder),
        "LOG_FORMAT": "json",
        **upstream,
    }
    ingestor = fresh_stage.service("ingest_price", **chosen)
    ingestor.event("tick")
    before = ingestor.most_memory
    ingestor.event("tick failed", kind="SourceMalformed")
    hung = ingestor.event("tick failed", kind="SourceUnavailable")
    ingestor.until(lambda: times_logged(ingestor, "ticks succeed again") == 2)
    huge = ingestor.event("tick failed", kind="SourceMalformed")
    assert f"larger than {32 * MEGABYTE} bytes" in huge["why"]
    assert "no answer in time (ReadTimeout)" in hung["why"] or "no full answer within" in hung["why"]
    assert ingestor.most_memory - before < MOST
    assert times_logged(ingestor, "tick failed") == 2
    busy = {"busy"}  # a machine with much else to do misses a tick now and then
    found = await causes(fresh_stage)
    assert {cause: found[cause] for cause in found.keys() - busy} == {"source malformed": 1, "source away": 1}


def times_logged(process, event: str) -> int:
    return sum(each["event"] == event for each in process.events)


async def causes(stage) -> dict[str, int]:
    """The missing ticks by cause."""
    now, store = utc_now(), SqliteStore(stage.store, clock=utc_now)
    try:
        found = await find_gaps(
            store, "price", now - MANY_TICKS, now, now=now, folder=stage.store.parent / "spool" / "price"
        )
    finally:
        await store.close()
    return {cause: ticks for gap in found.gaps for cause, ticks in gap.causes.items()}
