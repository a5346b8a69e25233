"""Which queries the rows of many ticks cost in InfluxDB."""

import re
from collections.abc import Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from lib.clock import HOUR, MINUTE, from_epoch, isoformat
from lib.schema import PRICE
from lib.store.influx import row_reads
from tests.fakes import NOON

SPAN = re.compile(r'bucket: "(\w+)"\).*?start: (\d+), stop: (\d+)\)', re.DOTALL)
HOURS = [NOON + n * HOUR for n in range(5)]


async def queries(ticks: Sequence[datetime], copied: Sequence[datetime] = ()) -> list[str]:
    """The bucket and the first tick of each query for rows."""
    asked: list[str] = []

    async def ask(query, parse):
        if not query:
            return parse("")
        bucket, start, _ = SPAN.search(query).groups()  # type: ignore[union-attr]
        if '"snapshot"' in query:
            assert bucket == "market_hourly"
            lines = [f",_result,0,{isoformat(tick)}" for tick in copied]
            return parse("\r\n".join([",result,table,_time", *lines]))
        asked.append(f"{bucket} {from_epoch(int(start)):%H:%M}")
        return parse("")

    server: Any = SimpleNamespace(query=ask)
    rows = await row_reads.read(server, "market", PRICE, ticks, fields=("usd",))
    assert rows.keys() == {*ticks}
    return asked


@pytest.mark.parametrize(
    ("ticks", "copied", "expected"),
    [
        (HOURS[:1], [], ["market 12:00"]),
        ([NOON + n * MINUTE for n in range(65)], HOURS, ["market 12:00"]),
        ([NOON, NOON + 40 * MINUTE], [], ["market 12:00", "market 12:40"]),
        (HOURS, HOURS, ["market_hourly 12:00"]),
        (HOURS, HOURS[:4], ["market_hourly 12:00", "market 16:00"]),
        ([*HOURS, NOON + 90 * MINUTE], HOURS, ["market_hourly 12:00", "market 13:30"]),
    ],
)
async def test_neighbouring_ticks_are_one_query_and_hours_far_apart_one_of_the_hourly_bucket(ticks, copied, expected):
    assert await queries(ticks, copied) == expected
