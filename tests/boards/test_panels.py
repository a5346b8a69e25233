"""Every question of the boards and of the alert rules, asked of a real InfluxDB over a simulated history."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.boards.grafana import Span, Table, ask
from tests.boards.history import STEP, History, repeat
from tests.stack_files.files import BOARDS, board, drawn, rules

pytestmark = [pytest.mark.influx, pytest.mark.xdist_group("boards")]

PANELS = {f"{board(path)['uid']} {panel['id']}": panel for path in BOARDS for panel in drawn(board(path))}
QUESTIONS = {
    (name, target["refId"]): (target["query"], panel) for name, panel in PANELS.items() for target in panel["targets"]
}
OF_MARKET = [(panel, ref) for panel, ref in QUESTIONS if not panel.startswith("topcoins-services")]
"""The questions of the market's history; test_young.py asks those of the services."""
NAMED = [f"{panel} {ref}" for panel, ref in OF_MARKET]
RULES = {rule["uid"]: rule["data"][0] for rule in rules()}
SPANS = {"a day": timedelta(days=1), "ten days": timedelta(days=10), "a year": timedelta(days=365)}


def to_now(history: History, span: timedelta, panel: dict[str, Any]) -> Span:
    """A range that ends two minutes after the newest tick."""
    stop = history.stop + timedelta(minutes=2)
    return Span(stop - span, stop, panel.get("maxDataPoints", 1000))


def answer(history: History, panel: str, ref: str = "A", span: timedelta = SPANS["a day"]) -> list[Table]:
    flux, shape = QUESTIONS[panel, ref]
    return ask(history.bucket, flux, to_now(history, span, shape))


def rows(tables: list[Table]) -> list[dict[str, str]]:
    return [row for table in tables for row in table.rows]


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize(("panel", "ref"), OF_MARKET, ids=NAMED)
def test_a_panel_is_not_empty_has_its_columns_and_bounded_rows(panel, ref, span, history):
    tables = answer(history, panel, ref, SPANS[span])
    assert tables
    shape = QUESTIONS[panel, ref][1]
    for table in tables:
        # Windows are rounded to the shorter, up to four days to one; Grafana cuts off at ten times the points.
        assert len(table.rows) <= 4 * shape.get("maxDataPoints", 1000)
        fits(shape, ref, table)
    assert len(tables) <= 20


def fits(panel: dict[str, Any], ref: str, table: Table) -> None:
    """Whether the columns are those the panel draws."""
    kind, columns = panel["type"], set(table.columns)
    named = re.findall(r"\$\{__field\.labels\.(\w+)\}", str(panel["fieldConfig"]))
    if kind in ("timeseries", "stat", "state-timeline") or ref == "B":
        assert {"_time", "_value", *named} <= columns
        assert ("_value" in table.numbers) == (kind != "state-timeline")
        assert [row["_time"] for row in table.rows] == sorted({row["_time"] for row in table.rows})
        assert all(row["_value"] for row in table.rows)
        return
    assert "_value" not in columns
    ordered = [change for change in panel.get("transformations", []) if change["id"] == "organize"]
    if ordered:
        assert columns == {name for name in ordered[0]["options"]["indexByName"] if not name.startswith("Trend")}
    if kind == "piechart":
        assert [name for name in table.columns if name not in table.numbers] == ["asset"]
    if kind == "barchart":
        assert columns - set(table.numbers) == {panel["options"]["xField"]}


@pytest.mark.parametrize("panel", ["topcoins-asset 5", "topcoins-asset 6", "topcoins-asset 7", "topcoins-asset 8"])
def test_a_year_of_hours_is_drawn_from_its_first_day_in_some_thousand_points(panel, history):
    span = to_now(history, SPANS["a year"], PANELS[panel])
    for table in answer(history, panel, span=SPANS["a year"]):
        # A window is labelled with its end, and the first one begins with the first full hour.
        assert at(table.rows[0]["_time"]) - span.start <= span.window + timedelta(hours=1)
        # Of 8,760 hours; the ten days that have but every sixth are whole windows too.
        assert 1000 < len(table.rows) < 1500


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_without_data_is_empty_and_no_error(panel, history):
    early = history.stop - timedelta(days=400)
    for (name, _), (flux, _) in QUESTIONS.items():
        if name == panel and "range(start: -30d)" not in flux:
            assert ask(history.bucket, flux, Span(early - timedelta(days=1), early)) == []


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_variables_list_the_assets_and_annotations_the_gaps(path, history):
    span = to_now(history, SPANS["a day"], {})
    for variable in board(path)["templating"]["list"]:
        if variable["type"] == "query" and variable["name"] != "notice":
            (table,) = ask(history.bucket, variable["query"]["query"], span)
            assert list(table.columns) == ["entry"]
            assert "BTC Bitcoin|1" in [row["entry"] for row in table.rows]
            assert all(re.match(r".+\|\d+$", row["entry"]) for row in table.rows)
    for note in board(path)["annotations"]["list"]:
        if note["type" if "builtIn" in note else "name"] == "Gaps":
            (table,) = ask(history.bucket, note["target"]["query"], span)
            assert table.columns == {"text": "string", "time": "dateTime:RFC3339", "timeEnd": "dateTime:RFC3339"}
            assert {(at(row["time"]), at(row["timeEnd"])) for row in table.rows} == {history.gap}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def snapshot(history: History, series: str, tick: datetime) -> dict[int, dict[str, Any]]:
    return {row["cmc_id"]: row for row in history.written[series, tick].rows.iter_rows(named=True)}


def test_the_top_list_is_the_newest_ranks_with_their_prices_and_changes(history):
    ranks = snapshot(history, "volume_rank", history.stop)
    prices = snapshot(history, "price", history.stop)
    before = snapshot(history, "price", history.stop - timedelta(days=1))
    found = rows(answer(history, "topcoins-market 4"))
    wanted = sorted((row["rank"], id_) for id_, row in ranks.items() if row["rank"] <= 20 and id_ in prices)
    assert [(float(row["rank"]), int(row["cmc_id"])) for row in found] == wanted
    for row in found:
        id_ = int(row["cmc_id"])
        assert float(row["usd"]) == prices[id_]["usd"]
        assert float(row["volume"]) == ranks[id_]["volume_usd"]
        assert row["asset"] == f"{prices[id_]['symbol']} {prices[id_]['name']}"
        if id_ in before:
            assert float(row["change"]) == pytest.approx(prices[id_]["usd"] / before[id_]["usd"] - 1)
        else:
            assert row["change"] == ""


def test_the_lines_of_the_top_list_are_of_its_assets(history):
    listed = {row["cmc_id"] for row in rows(answer(history, "topcoins-market 4"))}
    assert {row["cmc_id"] for row in rows(answer(history, "topcoins-market 4", "B"))} == listed


def test_gainers_and_losers_are_the_two_ends_of_the_changes(history):
    gainers, losers = (
        [float(row["change"]) for row in rows(answer(history, f"topcoins-market {panel}"))] for panel in (5, 6)
    )
    assert gainers == sorted(gainers, reverse=True)
    assert losers == sorted(losers)
    assert min(gainers) > max(losers)


def test_the_shares_are_of_the_whole_volume(history):
    ranks = snapshot(history, "volume_rank", history.stop)
    shares = [float(row["volume"]) for row in rows(answer(history, "topcoins-market 7"))]
    assert sum(shares) == pytest.approx(sum(row["volume_usd"] for row in ranks.values()))


def test_compared_assets_start_together_at_zero(history):
    tables = answer(history, "topcoins-asset 8")
    assert {table.rows[0]["asset"] for table in tables} == {"BTC Bitcoin", "ETH Ethereum", "SOL Solana"}
    assert {(table.rows[0]["_time"], float(table.rows[0]["_value"])) for table in tables} == {
        (tables[0].rows[0]["_time"], 0.0)
    }


def test_a_renamed_asset_is_one_line(history):
    renamed = {"900001"}
    ranks = snapshot(history, "volume_rank", history.stop)
    assert ranks[900001]["rank"] <= 50
    flux, shape = QUESTIONS["topcoins-asset 5", "A"]
    span = to_now(history, SPANS["a day"], shape)
    (table,) = ask(history.bucket, flux.replace("${asset}", *renamed), span)
    assert len(table.rows) == len([tick for tick in history.raw() if span.start <= tick < span.stop])


def test_entries_and_exits_are_the_difference_of_the_two_ends(history):
    opening = min(tick for tick in history.raw() if tick >= history.stop + timedelta(minutes=2) - SPANS["a day"])
    first, last = (
        {id_ for id_, row in snapshot(history, "volume_rank", tick).items() if row["rank"] <= 20}
        for tick in (opening, history.stop)
    )
    found = {(int(row["cmc_id"]), row["event"]) for row in rows(answer(history, "topcoins-ranks 2"))}
    assert found == {(id_, "entered") for id_ in last - first} | {(id_, "left") for id_ in first - last}
    assert found


def test_an_assets_time_in_the_bands_is_the_whole_of_it(history):
    bands = answer(history, "topcoins-ranks 4")
    for row in rows(bands):
        assert sum(float(row[name]) for name in bands[0].numbers) == pytest.approx(1)


def test_the_gap_is_listed_with_the_ticks_it_missed(history):
    found = rows(answer(history, "topcoins-ingest 4"))
    before, after = history.gap
    assert {(row["series"], at(row["last_before"]), at(row["first_after"]), float(row["missed"])) for row in found} == {
        (series, before, after, (after - before) / STEP - 1) for series in ("price", "volume_rank")
    }


def test_expected_ticks_are_more_than_the_stored_ones_by_the_gap(history):
    before, after = history.gap
    for series in ("price", "volume_rank"):
        stored, expected = (
            {
                row["_time"]: float(row["_value"])
                for row in rows(answer(history, "topcoins-ingest 3", ref))
                if row["series"] == series
            }
            for ref in ("stored", "expected")
        )
        missing = sum(expected[window] - stored[window] for window in expected)
        # The newest window is not over: its last slot has yet to count.
        assert (after - before) / STEP - 2 <= missing <= (after - before) / STEP - 1
        assert set(expected) <= set(stored)


def test_ages_are_shown_at_the_end_of_the_range(history):
    for panel in ("topcoins-ingest 1", "topcoins-market 3"):
        assert {row["series"]: float(row["_value"]) for row in rows(answer(history, panel))} == {
            "price": pytest.approx(0.2),
            "volume_rank": pytest.approx(0.2),
        }


def values(history: History, uid: str, stop: datetime) -> list[float]:
    """A rule's values at an instant; none when there is no answer, which fires too."""
    query = RULES[uid]
    span = Span(stop - timedelta(seconds=query["relativeTimeRange"]["from"]), stop)
    return [float(row["_value"]) for row in rows(ask(history.bucket, query["model"]["query"], span))]


def judged(history: History, uid: str, stop: datetime) -> float:
    (value,) = values(history, uid, stop)
    return value


def threshold(uid: str) -> float:
    (rule,) = [rule for rule in rules() if rule["uid"] == uid]
    return float(rule["data"][2]["model"]["conditions"][0]["evaluator"]["params"][0])


@pytest.mark.parametrize("uid", ["topcoins-stale-price", "topcoins-stale-volume-rank"])
def test_stale_data_fires_after_three_intervals(uid, history):
    assert judged(history, uid, history.stop + STEP) == pytest.approx(1)
    assert judged(history, uid, history.stop + 3 * STEP) <= threshold(uid)
    assert judged(history, uid, history.stop + 3 * STEP + timedelta(seconds=6)) > threshold(uid)


@pytest.mark.parametrize("uid", ["topcoins-gaps-price", "topcoins-gaps-volume-rank"])
def test_gaps_fire_while_more_than_one_tick_of_the_hour_is_missing(uid, history):
    before, after = history.gap
    missed = (after - before) / STEP - 1
    now = history.stop + timedelta(seconds=30)
    assert judged(history, uid, now) == missed > threshold(uid)
    assert judged(history, uid, before + timedelta(seconds=30)) == 0


def test_a_young_history_has_no_gaps(history):
    assert judged(history, "topcoins-gaps-price", history.raw()[0] + 2 * STEP + timedelta(seconds=30)) <= 0


def test_frozen_prices_fire_when_a_new_tick_has_old_values(history):
    uid = "topcoins-frozen-price"
    assert 0 <= judged(history, uid, history.stop + STEP) < 120
    later = history.stop + timedelta(hours=6)
    repeat(history, "price", history.stop, later)
    age = judged(history, uid, later + STEP)
    assert age == pytest.approx(6 * 3600, abs=120)
    assert age > threshold(uid)


@pytest.mark.parametrize("uid", RULES)
def test_a_rule_has_no_answer_when_there_is_no_data(uid, history):
    assert values(history, uid, history.stop - timedelta(days=70)) == []
