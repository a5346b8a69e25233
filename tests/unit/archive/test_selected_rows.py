"""Rows of the archive, sorted out by tick."""

import polars as pl

from lib.archive.selected_rows import by_tick
from lib.archive.tables import TICK
from lib.schema import VOLUME_RANK
from lib.times import TIME
from tests.contract.snapshots import MINUTE
from tests.fakes import NOON


def test_rows_in_any_order_go_to_their_own_ticks():
    """A part that is not in the order of its ticks may begin and end with the same one."""
    series = VOLUME_RANK.only(("volume_usd",))
    ticks = pl.Series(TICK, [NOON, NOON + MINUTE, NOON], TIME)
    rows = pl.DataFrame({"cmc_id": [1, 2, 3], "tier": [0, 0, 0], "volume_usd": [3.0, 2.0, 1.0]}).with_columns(ticks)
    sorted_out = by_tick(series, rows)
    assert {tick: frame["cmc_id"].to_list() for tick, frame in sorted_out.items()} == {NOON: [1, 3], NOON + MINUTE: [2]}
