"""A snapshot's members, packed into its marker."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import StoreMalformed
from lib.schema import LARGEST_ID
from lib.snapshot import pack_ids, unpack_ids
from tests.fakes import recorded


@given(st.sets(st.integers(1, 50_000)))
@settings(deadline=None)
def test_packed_ids_come_back_ascending(ids):
    assert unpack_ids(pack_ids(pl.Series(list(ids), dtype=pl.Int64))).to_list() == sorted(ids)


@given(st.lists(st.integers(1, 1000)))
@settings(deadline=None)
def test_a_set_packs_the_same_in_any_order_and_however_often_an_id_comes(ids):
    ascending = sorted(set(ids))
    assert pack_ids(pl.Series(ids, dtype=pl.Int64)) == pack_ids(pl.Series(ascending, dtype=pl.Int64))


@pytest.mark.parametrize("ids", [[], [1], [7], [8], [LARGEST_ID]])
def test_the_edges_come_back(ids):
    assert unpack_ids(pack_ids(pl.Series(ids, dtype=pl.Int64))).to_list() == ids


def test_the_ids_of_a_real_list_take_less_than_two_bytes_each():
    ids = [record["id"] for record in recorded("cmc-listings-latest-1000-20210629T0023Z")["data"]]
    assert len(pack_ids(pl.Series(ids))) < 2 * len(ids)


@pytest.mark.parametrize("text", ["", "!", "AAAA"])
def test_text_that_packs_no_ids_is_malformed(text):
    with pytest.raises(StoreMalformed, match="ids can't be read"):
        unpack_ids(text)
