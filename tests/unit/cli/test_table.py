"""Tables of answers, as wide as a terminal usually is."""

import io

import orjson
from rich.console import Console

from lib.cli.table import history_table, top_table

POINT = {"price_usd": 92311.5, "volume_24h_usd": 61234567890.1, "source_rank": 2, "filled": False}


def shown(points: list[dict[str, object]]) -> str:
    answer = {
        "cmc_id": 1,
        "from": "2026-11-17T14:00:00Z",
        "to": "2026-11-17T15:00:00Z",
        "every": "1m",
        "coverage": {"expected": 4, "present": 1, "absent": 1, "missing": 2, "filled": 1},
        "names": [{"symbol": "[BTC]", "name": "Bitcoin"}],
        "data": points,
    }
    out = io.StringIO()
    Console(file=out, width=80).print(history_table(orjson.dumps(answer)))
    return out.getvalue()


def test_each_step_of_a_history_has_its_minute_the_age_of_its_price_or_why_it_has_none():
    ticks = {"price_time": "2026-11-17T14:07:00Z"}
    none = dict.fromkeys(("price_usd", "volume_24h_usd", "source_rank"))
    text = shown(
        [
            {"at": "2026-11-17T14:07:00Z", **POINT, **ticks},
            {"at": "2026-11-17T14:09:30Z", **POINT, **ticks, "filled": True},
            {"at": "2026-11-17T14:10:00Z", **none, **ticks, "filled": False},
            {"at": "2026-11-17T14:11:00Z", **none, "price_time": None, "filled": False},
        ]
    )
    lines = [line for line in text.splitlines() if "2026-11-17T14:" in line and "│" in line]
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]
    assert [line[0] for line in cells] == [f"2026-11-17T14:{at}Z" for at in ("07:00", "09:30", "10:00", "11:00")]
    assert [line[-1] for line in cells] == ["0s", "2m30s (filled)", "not listed", "gap"]
    assert cells[0][1:4] == ["92,311.5", "61,234,567,890", "2"]
    assert "[BTC] (Bitcoin)" in text


def test_the_caption_of_a_list_shows_that_its_values_are_old():
    answer = {
        "count": 0,
        "requested_at": "2026-11-17T15:00:00Z",
        "price_time": "2026-11-17T15:00:00Z",
        "rank_time": "2026-11-17T15:00:00Z",
        "sources": {"price": "coinmarketcap", "rank": "coindesk"},
        "unchanged": {"price": True, "rank": False},
        "data": [],
    }
    row = {"rank": 1, "cmc_id": 1, "symbol": "BTC", "name": "Bitcoin", "price_usd": 1.0, "volume_24h_usd": 1.0}
    assert "(coinmarketcap), unchanged, ranks" in str(top_table(orjson.dumps(answer)).caption)
    rows = [{**row, "price_updated_at": at} for at in ("2026-11-17T13:19:00Z", None, "2026-11-17T13:00:00Z")]
    caption = str(top_table(orjson.dumps({**answer, "data": rows})).caption)
    assert "(coinmarketcap), newest value 1h41m old, unchanged, ranks" in caption
