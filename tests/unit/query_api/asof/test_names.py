"""What an asset was called, from when to when."""

from datetime import datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.clock import isoformat
from query_api.asof.names import SAMPLES, names_until
from tests.examples import examples
from tests.fakes import HOUR, FakeClock, MemoryStore
from tests.unit.query_api.market import NEWEST, NOW, Prices, Ranks, calling, fill

T = NEWEST.replace(minute=0)
HOURS = 40 * 24


def hour(number: int) -> datetime:
    return T - (HOURS - number) * HOUR


class Hours(MemoryStore):
    """Has the asset 1 in each hour, under the ticker of the last change. Counts the ticks of each history."""

    def __init__(self, symbols: dict[int, str]) -> None:
        super().__init__(FakeClock(NOW))
        changes = {hour(number): symbol for number, symbol in sorted(symbols.items())}
        self._symbols = {hour(number): changes[max(c for c in changes if c <= hour(number))] for number in range(HOURS)}
        self.read: list[int] = []

    async def ticks(self, series, start, stop, **view):
        """See `Store.ticks`. Each was stored at once."""
        return [tick for tick in self._symbols if start <= tick <= min(stop, view.get("known_at") or stop)]

    async def history(self, series, cmc_id, ticks, *, resolution="1m"):
        """See `Store.history`."""
        self.read.append(len(ticks))
        rows = [(tick, self._symbols[tick], "Terra") for tick in sorted({*ticks}) if self._symbols[tick]]
        return pl.DataFrame(rows, schema=["tick", "symbol", "name"], orient="row")


@settings(max_examples=examples(15), deadline=None)
@given(st.lists(st.integers(1, HOURS - 1), unique=True, max_size=3).map(sorted))
async def test_each_name_is_given_with_its_first_and_last_hour(changes) -> None:
    changes = [at for at in changes if not {at + 1, at + 2} & {*changes}]  # longer than two samples
    starts = {0: "S0", **{at: f"S{n}" for n, at in enumerate(changes, 1)}}
    shown = await names_until(Hours(starts), 1, hour(HOURS - 1), (f"S{len(changes)}", "Terra"), NOW)
    ends = [*(at - 1 for at in changes), HOURS - 1]
    assert shown == [
        {"symbol": symbol, "name": "Terra", "first": isoformat(hour(start)), "last": isoformat(hour(end))}
        for (start, symbol), end in zip(starts.items(), ends, strict=True)
    ]


async def test_an_asset_that_came_later_has_its_name_from_its_first_hour_on() -> None:
    (shown,) = await names_until(Hours({0: "", 501: "LUNA"}), 1, hour(700), ("LUNA", "Terra"), NOW)
    assert (shown["first"], shown["last"]) == (isoformat(hour(501)), isoformat(hour(700)))


async def test_few_ticks_are_read_however_long_the_archive_is() -> None:
    store = Hours({0: "LUNA", 500: "LUNC"})
    await names_until(store, 1, hour(HOURS - 1), ("LUNC", "Terra"), NOW)
    assert sum(store.read) < SAMPLES + 20


async def test_names_are_those_known_at_the_instant() -> None:
    store = Hours({0: "LUNA", 500: "LUNC"})
    shown = await names_until(store, 1, hour(600), ("LUNC", "Terra"), hour(400))
    assert [each["last"] for each in shown] == [isoformat(hour(400)), isoformat(hour(600))]


@pytest.mark.parametrize("query", ["", "?names=false"])
async def test_names_are_in_the_answer_of_an_asset_that_asks_for_them(query) -> None:
    clock = FakeClock(NOW)
    store = MemoryStore(clock)
    for tick, symbol in ((NEWEST - 2 * HOUR, "LUNA"), (NEWEST - HOUR, "LUNC"), (NEWEST, "LUNC")):
        await fill(store, [Prices(tick, [(1, symbol, "Terra", 1.0, 1.0)]), Ranks(tick, [(1, 1.0)])])
    async with calling(store, clock) as client:
        plain = (await client.get(f"/v1/assets/1{query}")).json()
        named = (await client.get("/v1/assets/lunc?names=true")).json()
    assert "names" not in plain
    first, last = NEWEST - 2 * HOUR, NEWEST - HOUR
    assert named.pop("names") == [
        {"symbol": "LUNA", "name": "Terra", "first": isoformat(first), "last": isoformat(first)},
        {"symbol": "LUNC", "name": "Terra", "first": isoformat(last), "last": isoformat(NEWEST)},
    ]
    assert named == plain
