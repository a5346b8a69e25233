"""Columns of instants."""

from datetime import UTC, datetime

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lib.clock import isoformat
from lib.times import TIME, as_text, instants, microseconds, microseconds_of, times

INSTANTS = st.datetimes(datetime(1, 1, 1), timezones=st.just(UTC))


@given(st.lists(INSTANTS, max_size=5))
def test_a_column_of_times_has_the_instants_and_their_texts(given_instants) -> None:
    column = times(given_instants)
    assert column.dtype == TIME
    assert column.to_list() == instants(column) == given_instants
    assert microseconds_of(column).tolist() == microseconds(given_instants).tolist()
    assert pl.select(as_text(pl.lit(column))).to_series().to_list() == [isoformat(at) for at in given_instants]
