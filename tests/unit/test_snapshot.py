"""A snapshot's members, packed into its marker, and the hash of its content."""

from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import StoreMalformed
from lib.schema import LARGEST_ID
from lib.snapshot import content_hash, pack_ids, unpack_ids
from tests.fakes import NOON, recorded


@given(st.sets(st.integers(1, 50_000)))
@settings(deadline=None)
def test_packed_ids_come_back_ascending(ids):
    assert unpack_ids(pack_ids(pl.Series(list(ids), dtype=pl.Int64))).tolist() == sorted(ids)


@given(st.lists(st.integers(1, 1000)))
@settings(deadline=None)
def test_a_set_packs_the_same_in_any_order_and_with_repeated_ids(ids):
    ascending = sorted(set(ids))
    assert pack_ids(pl.Series(ids, dtype=pl.Int64)) == pack_ids(pl.Series(ascending, dtype=pl.Int64))


@pytest.mark.parametrize("ids", [[], [1], [7], [8], [LARGEST_ID]])
def test_the_edges_come_back(ids):
    assert unpack_ids(pack_ids(pl.Series(ids, dtype=pl.Int64))).tolist() == ids


def test_the_ids_of_a_real_list_take_less_than_two_bytes_each():
    ids = [record["id"] for record in recorded("cmc-listings-latest-1000-20210629T0023Z")["data"]]
    assert len(pack_ids(pl.Series(ids))) < 2 * len(ids)


@pytest.mark.parametrize("text", ["", "!", "AAAA"])
def test_text_that_packs_no_ids_is_malformed(text):
    with pytest.raises(StoreMalformed, match="ids can't be read"):
        unpack_ids(text)


ROWS = pl.DataFrame({"cmc_id": [1, 2], "symbol": ["BTC", None], "usd": [92311.5, 0.1 + 0.2]})


@pytest.mark.parametrize(
    "values",
    [
        ("volume_rank", "acme", NOON, ROWS),
        ("price", "other", NOON, ROWS),
        ("price", "acme", NOON + timedelta(seconds=1), ROWS),
        ("price", "acme", NOON, ROWS.head(1)),
        ("price", "acme", NOON, ROWS.with_columns(usd=pl.lit(0.3))),
        ("price", "acme", NOON, ROWS.with_columns(symbol=pl.lit("BTC"))),
        ("price", "acme", NOON, ROWS.rename({"usd": "eur"})),
    ],
)
def test_every_value_of_a_snapshot_is_in_its_hash(values):
    assert content_hash(*values) != content_hash("price", "acme", NOON, ROWS)


def test_a_hash_stays_when_a_series_gains_a_field():
    wider = ROWS.with_columns(market_cap=pl.lit(None, pl.Float64)).select("market_cap", *ROWS.columns)
    assert content_hash("price", "acme", NOON, wider) == content_hash("price", "acme", NOON, ROWS)


def test_a_hash_is_the_same_in_every_version():
    assert content_hash("price", "acme", NOON, ROWS) == "e134588972a676a7a22f99fa8048358c"
