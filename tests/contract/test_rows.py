"""Rows: those of one exact tick, as they were written."""

from typing import Any

import polars as pl
import pytest
from structlog.testing import capture_logs

from lib.schema import PRICE, VOLUME_RANK
from tests.contract.snapshots import CAP, MINUTE, many, snapshot
from tests.fakes import NOON

ODD = (
    "two words",
    "comma, comma",
    "a=b",
    '"quoted"',
    "it's",
    "back\\slash",
    "ends in a backslash\\",
    "two at its end\\\\",
    "\\, \\= \\ all",
    " around ",
    "🐶 doge",
    "日本",
    "#hash",
    "${name}",
    "null",
    "NaN",
    "007",
    "1e5",
    "true",
)


def assert_same(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    assert dict(found.schema) == dict(expected.schema)
    assert found.rows() == expected.rows()


async def test_rows_come_back_as_the_columns_of_the_series_sorted_by_id(store):
    written = [
        snapshot(PRICE, rows=[{"cmc_id": 1027, "symbol": "ETH", "name": "Ethereum"}, {"cmc_id": 1, "symbol": "BTC"}]),
        snapshot(VOLUME_RANK, rows=[{"cmc_id": 825, "rank": 2.0}, {"cmc_id": 74, "rank": 1.0, "tier": 5}]),
    ]
    for each in written:
        await store.write(each)
    for each in written:
        assert_same(await store.rows(each.series, NOON), each.rows)


async def test_a_tick_never_written_is_empty_with_the_right_columns(store):
    assert_same(await store.rows(PRICE, NOON), PRICE.empty())
    await store.write(many(PRICE, 3))
    assert_same(await store.rows(PRICE, NOON + MINUTE), PRICE.empty())
    assert_same(await store.rows(VOLUME_RANK, NOON), VOLUME_RANK.empty())


async def test_what_is_missing_is_null_never_0(store):
    written = snapshot(
        CAP,
        rows=[
            {"note": None, "cap_usd": None, "supply": 0.0},
            {"note": "only one", "cap_usd": 5.0, "supply": None},
            {"note": None},
        ],
    )
    await store.write(written)
    assert_same(await store.rows(CAP, NOON), written.rows)


async def test_a_field_no_row_has_is_null_in_all(store):
    written = snapshot(PRICE, rows=[{"updated_at": None}, {"updated_at": None}])
    await store.write(written)
    assert_same(await store.rows(PRICE, NOON), written.rows)


async def test_odd_names_come_back_to_the_letter(store):
    written = snapshot(PRICE, rows=[{"symbol": odd, "name": other} for odd in ODD for other in ("x", *ODD[::5])])
    await store.write(written)
    assert_same(await store.rows(PRICE, NOON), written.rows)


@pytest.mark.parametrize(
    "number",
    [1e-8, 6.02e23, 1.0, 0.1 + 0.2, 92311.123456789012, 1.7976931348623157e308, 5e-324, 123456789012345678.0, 1 / 3],
)
async def test_a_number_is_read_exactly_as_written(store, number):
    await store.write(snapshot(PRICE, rows=[{"usd": number}]))
    assert (await store.rows(PRICE, NOON))["usd"].to_list() == [number]


async def test_two_assets_may_share_a_ticker_and_a_name(store):
    written = snapshot(PRICE, rows=[{"symbol": "BTC", "name": "Same", "usd": usd} for usd in (1.0, 2.0)])
    await store.write(written)
    assert_same(await store.rows(PRICE, NOON), written.rows)


async def test_each_tick_shows_the_ticker_of_its_day(store):
    before = snapshot(PRICE, NOON, [{"symbol": "MATIC", "name": "Polygon"}])
    after = snapshot(PRICE, NOON + MINUTE, [{"symbol": "POL", "name": "Polygon (new)"}])
    for each in (before, after):
        await store.write(each)
    for each in (before, after):
        assert_same(await store.rows(PRICE, each.tick), each.rows)


@pytest.mark.parametrize(
    "tiers", [range(1), range(2), range(1, 3), range(5, 6), range(6), range(7), range(0), range(8, 9)]
)
async def test_tiers_pick_their_rows_and_no_others(store, tiers):
    written = many(VOLUME_RANK, 60)
    await store.write(written)
    expected = written.rows.filter(pl.col("tier").is_in(list(tiers)))
    assert_same(await store.rows(VOLUME_RANK, NOON, tiers=tiers), expected)


@pytest.mark.parametrize(
    "ids", [[7], [14, 7, 7], {7, 70, 8}, [1, 2, 3], [], range(1, 3000), [7777777777777]], ids=lambda ids: str(ids)[:20]
)
async def test_ids_pick_their_rows_and_no_others(store, ids):
    written = many(PRICE, 600)
    await store.write(written)
    assert_same(await store.rows(PRICE, NOON, ids=ids), written.rows.filter(pl.col("cmc_id").is_in(list(ids))))


async def test_tiers_and_ids_together_pick_rows_that_are_in_both(store):
    written = many(PRICE, 60)
    await store.write(written)
    found = await store.rows(PRICE, NOON, tiers=range(2), ids=[7, 14, 35, 42])
    assert found["cmc_id"].to_list() == [7, 42]


async def test_tickers_pick_the_rows_that_have_them_in_any_case_and_no_other_plain_ones(store):
    symbols = ("42", "042", "42", "A42", "+42", None, "Btc", "BTC", "BTCX", "\u00c4th")
    await store.write(snapshot(PRICE, rows=[{"symbol": symbol} for symbol in symbols]))

    async def found(*tickers: str, **more: Any) -> list[int]:
        rows = await store.rows(PRICE, NOON, tickers=tickers, fields=("usd",), **more)
        return [id_ for id_, symbol in rows.select("cmc_id", "symbol").iter_rows() if symbol != "\u00c4th"]

    assert await found("42") == [1, 3]
    assert await found("7") == []
    assert await found("42", "btc") == [1, 3, 7, 8]
    assert await found("bTC", ids=[4, 7]) == [4, 7, 8]
    assert await found("BTC", ids=[]) == [7, 8]


@pytest.mark.parametrize(
    "ticker", ["4 2", "4'2", '4"2', "\u0664\u0662", "a/b", "$(x)", "|", ".*", "\u00e4TH", "\u212a"]
)
async def test_a_ticker_of_any_characters_is_found_in_any_case(store, ticker):
    await store.write(snapshot(PRICE, rows=[{"symbol": "BTC"}, {"symbol": ticker}, {"symbol": "K"}]))
    for wanted in (ticker, ticker.lower()):
        rows = await store.rows(PRICE, NOON, tickers=[wanted])
        assert 2 in rows["cmc_id"].to_list()
    assert 2 in (await store.rows(PRICE, NOON, tickers=[ticker, "BTC"]))["cmc_id"].to_list()


async def test_only_the_fields_asked_for_are_read(store):
    written = snapshot(PRICE, rows=[{"symbol": "BTC"}, {"symbol": "ETH", "wrapped": None}, {"updated_at": None}])
    await store.write(written)
    for fields in (["usd"], ["wrapped", "usd", "usd"], PRICE.fields):
        shown = written.rows.select(*PRICE.only(fields).columns)
        assert_same(await store.rows(PRICE, NOON, fields=fields), shown)
        assert_same(await store.rows(PRICE, NOON, fields=fields, ids=[2], tiers=range(1)), shown.filter(cmc_id=2))


async def test_a_row_with_none_of_the_fields_asked_for_is_absent(store):
    await store.write(snapshot(PRICE, rows=[{}, {"wrapped": None}, {"wrapped": None, "stablecoin": None}]))
    assert (await store.rows(PRICE, NOON, fields=["wrapped"]))["cmc_id"].to_list() == [1]
    assert (await store.rows(PRICE, NOON, fields=["wrapped", "stablecoin"]))["cmc_id"].to_list() == [1, 2]
    assert_same(await store.rows(PRICE, NOON, fields=[]), PRICE.only([]).empty())


async def test_a_series_that_gains_fields_reads_null_where_it_had_none_and_keeps_both(store, other):
    older = CAP.only(["supply"])
    before, after = many(older, 20), many(CAP, 20, NOON + MINUTE)
    await store.write(before)
    unknown = before.rows.with_columns(cap_usd=pl.lit(None, pl.Float64)).select(*CAP.columns)
    assert_same(await other.rows(CAP, NOON), unknown)
    await store.write(after)
    late = many(older, 20, NOON + 2 * MINUTE)
    await other.write(late)
    for place in (store, other):
        assert_same(await place.rows(CAP, NOON), unknown)
        assert_same(await place.rows(CAP, after.tick), after.rows)
        assert_same(await place.rows(older, late.tick), late.rows)


async def test_several_ticks_read_together_are_what_each_is_alone_and_those_between_are_left_out(store):
    written = [many(PRICE, 30 + minute, NOON + minute * MINUTE) for minute in range(4)]
    written.append(snapshot(PRICE, NOON + 4 * MINUTE, [{"symbol": "NEW", "updated_at": None}, {"usd": None}]))
    for each in written:
        await store.write(each)
    ticks = [NOON + minute * MINUTE for minute in (4, 0, 2, 7, 2)]
    choices: list[dict[str, Any]] = [{}, {"tiers": range(1, 3)}, {"fields": ["updated_at"]}, {"fields": []}]
    for asked in choices:
        found = await store.rows_between(PRICE, ticks, **asked)
        assert set(found) == set(ticks)
        for tick in ticks:
            assert_same(found[tick], await store.rows(PRICE, tick, **asked))
    assert await store.rows_between(PRICE, []) == {}
    (alone,) = (await store.rows_between(PRICE, [NOON])).values()
    assert_same(alone, written[0].rows)


async def test_five_thousand_assets_come_back_whole(store):
    written = many(PRICE, 5000)
    await store.write(written)
    assert_same(await store.rows(PRICE, NOON), written.rows)


async def test_a_series_of_somebodys_own_is_kept_like_any_other(store):
    written = many(CAP, 20)
    await store.write(written)
    await store.write(many(PRICE, 20))
    assert_same(await store.rows(CAP, NOON), written.rows)


async def test_writing_a_snapshot_twice_leaves_one(store):
    written = many(PRICE, 20)
    await store.write(written)
    await store.write(written)
    assert await store.markers(NOON, NOON) == [written.marker]
    assert_same(await store.rows(PRICE, NOON), written.rows)


async def test_a_tick_written_anew_stays_as_it_was_first_completed(store):
    tags = {"symbol": "OLD", "name": "Old"}
    neighbour = many(PRICE, 20, NOON + MINUTE)
    rank = many(VOLUME_RANK, 20)
    first = snapshot(PRICE, rows=[{"usd": 1.0, "updated_at": 9.0, **tags}, tags, tags], source="one")
    await store.write(first)
    await store.write(neighbour)
    await store.write(rank)
    anew = snapshot(
        PRICE,
        rows=[{"usd": 2.0, "updated_at": None, **tags}, {"symbol": "NEW", "tier": 1}, {"cmc_id": 99}],
        written=2,
        source="two",
    )
    with capture_logs() as logs:
        await store.write(first)
        await store.write(anew)
    assert [entry["event"] for entry in logs] == ["snapshot not stored: its tick has another one"]
    assert await store.markers(NOON, NOON, series=PRICE.name) == [first.marker]
    assert_same(await store.rows(PRICE, NOON), first.rows)
    assert_same(await store.rows(PRICE, NOON, ids=[1, 99]), first.rows.filter(pl.col("cmc_id") == 1))
    assert_same(await store.rows(PRICE, NOON + MINUTE), neighbour.rows)
    assert await store.markers(NOON, NOON, series=VOLUME_RANK.name) == [rank.marker]
    assert_same(await store.rows(VOLUME_RANK, NOON), rank.rows)


async def test_another_store_on_the_same_place_reads_what_was_written(store, other):
    written = many(PRICE, 20)
    await store.write(written)
    assert_same(await other.rows(PRICE, NOON), written.rows)
