"""Lines of markers as InfluxDB sends them."""

from datetime import UTC, datetime, timedelta

import pytest

from lib.store.influx.markers import read_stored_ticks

HEADER = ",result,table,_time,source,_field,_value"
NOON = datetime(2026, 11, 17, 12, tzinfo=UTC)
STORED = {"acme": NOON.timestamp() + 90, "zeta": NOON.timestamp() + 30}


@pytest.mark.parametrize("sources", [("acme", "zeta"), ("zeta", "acme")])
def test_of_two_markers_for_a_tick_the_one_stored_first_names_the_source_and_the_rest(sources):
    lines = [
        f",,0,2026-11-17T12:00:00Z,{source},{field},{value}"
        for field, values in (("interval_s", {"acme": 300, "zeta": 60}), ("stored_at", STORED), ("observed_at", STORED))
        for source in sources
        for value in [values[source]]
    ]
    (tick,), some_late = read_stored_ticks("\r\n".join([HEADER, *lines, ""]))
    assert not some_late
    assert (tick.tick, tick.source, tick.interval) == (NOON, "zeta", timedelta(minutes=1))
    assert tick.visible_since == NOON + timedelta(seconds=30)
