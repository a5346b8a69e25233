"""A declared column is in everything that shows the list, under one name; see `docs/contributing.md`."""

import csv
import io
from typing import Any

import pytest

from lib import columns
from lib.columns import COLUMNS, Column, Kind
from lib.schema import PRICE, VOLUME_RANK
from query_api.page import load
from tests.fakes import FakeClock, MemoryStore
from tests.unit.query_api.market import MARKET_CAP, NEWEST, NOW, Prices, Ranks, calling, fill, market_caps

UPDATED = NEWEST.timestamp() - 5
STORED: dict[tuple[str, str], Any] = {
    ("volume_rank", "cmc_id"): 1,
    ("price", "symbol"): "BTC",
    ("price", "name"): "Bitcoin",
    ("price", "usd"): 92311.5,
    ("volume_rank", "volume_usd"): 9.5e10,
    ("volume_rank", "rank"): 1,
    ("price", "updated_at"): "2026-11-17T14:36:55Z",
    ("market_cap", "market_cap_usd"): 1.8e12,
    ("market_cap", "supply"): 19.9e6,
}
"""The stored values of the one asset, as an answer shows them."""
EXTRA = columns.extra_columns([MARKET_CAP])


def stored(column: Column) -> Any:
    return STORED[column.series.name, column.field] if column.series else 1


@pytest.fixture
async def client():
    clock = FakeClock(NOW)
    store = MemoryStore(clock)
    await fill(store, [Prices(NEWEST, [(1, "BTC", "Bitcoin", 92311.5, 9e10)], UPDATED), Ranks(NEWEST, [(1, 9.5e10)])])
    await store.write(market_caps(NEWEST, [(1, 1.8e12, 19.9e6)]))
    async with calling(store, clock, extras=[MARKET_CAP]) as caller:
        yield caller


def test_every_column_names_a_field_or_tag_that_its_series_stores() -> None:
    for column in COLUMNS:
        assert column.series is None or column.field in column.series.columns
    assert len({*columns.names()}) == len(COLUMNS)
    assert not {*PRICE.fields, *PRICE.tags} & {*VOLUME_RANK.fields}  # a joined row has both


async def test_a_declared_column_is_in_the_answer_the_csv_the_export_and_the_page(client, subtests) -> None:
    row = (await client.get("/v1/top")).json()["data"][0]
    exported = await client.get("/v1/export", params={"from": "2026-11-17T14:37:00Z", "every": "1h", "format": "csv"})
    (step, _) = csv.DictReader(io.StringIO(exported.text))
    for column in (*COLUMNS, *EXTRA):
        with subtests.test(column.name):
            assert row[column.name] == stored(column)

            named = await client.get("/v1/top", params={"format": "csv", "columns": column.name})
            assert next(csv.reader(io.StringIO(named.text))) == [column.name]
            for text in (named.text.splitlines()[1], step[column.name]):
                assert text == stored(column) or float(text) == stored(column)

            document = load([column]).document.decode()
            assert (f'data-column="{column.name}" data-kind="{column.kind.value}"' in document) == bool(column.heading)
            assert column.heading in document


async def test_a_declared_column_is_in_the_openapi_document_with_its_meaning(client, subtests) -> None:
    schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
    kinds = {Kind.INTEGER: "integer", Kind.NUMBER: "number", Kind.TEXT: "string", Kind.TIME: "string"}
    for column in COLUMNS:
        with subtests.test(column.name):
            for model in ("Row", "AssetResponse"):
                shown = schemas[model]["properties"][column.name]
                assert shown["description"] == column.description
                types = [shown] if "type" in shown else shown["anyOf"]
                assert types[0]["type"] == kinds[column.kind]
                assert ({"type": "null"} in types) == column.nullable
                assert column.name in schemas[model]["required"]


async def test_an_unknown_column_is_refused_with_the_declared_ones(client) -> None:
    refused = await client.get("/v1/top", params={"format": "csv", "columns": "Price USD"})
    assert refused.status_code == 422
    assert ", ".join([*columns.names(), *columns.names(EXTRA)]) in refused.json()["detail"]


async def test_the_page_shows_the_columns_of_an_extra_series(client) -> None:
    page = (await client.get("/", headers={"accept": "text/html"})).text
    assert 'data-column="market_cap_usd" data-kind="number"' in page
