"""The export: at each step the very answer of the top list, in every format, on both stores."""

import io
from datetime import datetime

import orjson
import polars as pl
import pytest

from lib.clock import isoformat
from lib.instants import Span
from lib.schema import PRICE, VOLUME_RANK
from query_api.asof.absence import NoSnapshot
from query_api.asof.top_list import ListQuery, TopListFinder
from query_api.features.export.work import Steps, read_steps
from query_api.http.content_type import TableFormat
from query_api.http.formats import to_json
from query_api.long_work import LongWork
from tests.contract.snapshots import MINUTE
from tests.fakes import NOON
from tests.sample import sample_snapshot
from tests.unit.query_api.exports import export_chunks

AGE = 3 * MINUTE
SPAN = Span(NOON - MINUTE, NOON + 20 * MINUTE, 2 * MINUTE)
ANSWERED = (0, 1, 2, 3, 9, 10, 11, 15)
"""The minutes that have a pair: the steps at minutes -1, 7 and 19 have none within the age."""


@pytest.fixture
async def lists(store):
    for minute in ANSWERED:
        for series in (PRICE, VOLUME_RANK):
            await store.write(sample_snapshot(series, NOON + minute * MINUTE, 30))
    return TopListFinder(store, max_skew=MINUTE)


def read(lists: TopListFinder, span: Span = SPAN) -> Steps:
    return read_steps(lists, span, ListQuery(7, AGE), LongWork())


async def body(lists: TopListFinder, format: TableFormat, span: Span = SPAN) -> bytes:
    return b"".join([chunk async for chunk in export_chunks(format, read(lists, span))])


async def test_each_step_is_the_answer_of_its_instant_and_a_gap_is_a_step_too(lists):
    steps = [step async for step in read(lists)]
    assert [step.at for step in steps] == [NOON + (2 * n - 1) * MINUTE for n in range(11)]
    assert [(step.at - NOON) // MINUTE for step in steps if isinstance(step, NoSnapshot)] == [-1, 7, 19]
    for step in steps:
        if not isinstance(step, NoSnapshot):
            alone = await lists.find(step.at, ListQuery(7, AGE))
            assert to_json(step, 7) == to_json(alone, 7)
            assert step.pair.price.tick <= step.at


COUNTS = {"steps": 11, "answered": 8, "gaps": 3, "rows": 56}


async def test_each_line_is_a_row_and_the_last_line_has_the_totals(lists):
    gap, *lines, end = map(orjson.loads, (await body(lists, "ndjson")).splitlines())
    assert end.items() >= {"end": True, **COUNTS}.items()
    assert {name for name, value in gap.items() if value is not None} == {"step", "gap"}
    alone = await lists.find(NOON + MINUTE, ListQuery(7, AGE))
    for line, row in zip(lines[:7], orjson.loads(to_json(alone, 7))["data"], strict=True):
        assert line.items() >= row.items()
        assert line["price_time"] == isoformat(alone.pair.price.tick)


async def test_the_end_has_the_known_at_that_gives_the_file_again_and_a_hash_of_its_snapshots(lists, store, clock):
    export = await body(lists, "csv")
    end = dict(term.split("=") for term in export.decode().rpartition(",")[2].split())
    known_at = datetime.fromisoformat(end["known_at"])
    clock.move(seconds=1)
    for series in (PRICE, VOLUME_RANK):
        await store.write(sample_snapshot(series, NOON + 7 * MINUTE, 30))
    now = await body(lists, "csv")
    assert f"snapshots={end['snapshots']}" not in now.decode()
    steps = read_steps(lists, SPAN, ListQuery(7, AGE, known_at), LongWork())
    again = b"".join([chunk async for chunk in export_chunks("csv", steps)])
    assert again == export


async def test_the_formats_hold_the_same_rows(lists):
    table = pl.read_parquet(io.BytesIO(await body(lists, "parquet")))
    text = await body(lists, "csv")
    *_, end = text.decode().splitlines()
    assert end.startswith("#end,")
    assert " ".join(f"{name}={count}" for name, count in COUNTS.items()) in end
    rows = pl.read_csv(io.BytesIO(text), comment_prefix="#", schema_overrides=dict.fromkeys(["name", "gap"], pl.String))
    assert rows.columns == table.columns
    assert len(rows) == len(table) == 59
    lines = [orjson.loads(line) for line in (await body(lists, "ndjson")).splitlines()[:-1]]
    assert list(lines[0]) == table.columns
    assert [line["price_usd"] for line in lines] == table["price_usd"].to_list() == rows["price_usd"].to_list()
    gaps = table.filter(pl.col("gap").is_not_null())
    assert gaps["step"].to_list() == [NOON + minute * MINUTE for minute in (-1, 7, 19)]
    assert gaps["cmc_id"].null_count() == 3


async def test_a_span_without_steps_gives_a_complete_empty_file(lists):
    none = await body(lists, "parquet", Span(NOON, NOON, MINUTE))
    assert pl.read_parquet(io.BytesIO(none)).is_empty()


async def test_full_hours_read_together_are_the_answers_of_their_instants_too(store, place):
    """Ticks on the hour, an hour that begins late, one without any, and one that is not copied yet."""
    hour = 60 * MINUTE
    minutes = [*(60 * at for at in range(-20, -1) if at not in (-9, -7)), -9 * 60 + 3, -9 * 60 + 4, -59]
    for minute in minutes:
        for series in (PRICE, VOLUME_RANK):
            await store.write(sample_snapshot(series, NOON + minute * MINUTE, 30))
    await place.settle()
    for series in (PRICE, VOLUME_RANK):
        await store.write(sample_snapshot(series, NOON - hour, 30))
    lists = TopListFinder(store, max_skew=MINUTE)
    steps = [step async for step in read(lists, Span(NOON - 20 * hour, NOON, hour))]
    assert [(step.at - NOON) // hour for step in steps if isinstance(step, NoSnapshot)] == [-9, -7]
    for step in steps:
        if not isinstance(step, NoSnapshot):
            assert to_json(step, 7) == to_json(await lists.find(step.at, ListQuery(7, AGE)), 7)
