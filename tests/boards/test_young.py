"""Every question of the boards and of the alert rules, asked of a stack in its first hours and after a pause."""

import math
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from lib.clock import DAY, HOUR
from tests.boards.grafana import Span, Table, ask
from tests.boards.test_panels import PANELS, QUESTIONS, RULES, rows
from tests.boards.young import CAUSE, MINUTE, NOTICE, STEP, Young, young
from tests.influxd import Influxd
from tests.stack_files.files import BOARDS, board

pytestmark = [pytest.mark.influx, pytest.mark.xdist_group("boards")]

SERVICES = "topcoins-services"
AGES = {
    "empty": -MINUTE,
    "prices alone": MINUTE,
    "one tick old": STEP + MINUTE,
    "two hours old": 2 * HOUR + MINUTE,
    "23 hours old": 23 * HOUR + MINUTE,
    "in the pause": 40 * HOUR,
    "one tick after the pause": 48 * HOUR + MINUTE,
    "an hour after the pause": 49 * HOUR + MINUTE,
}
ONLY_COUNTED = ("two hours old", "one tick after the pause")
STATES = [
    (path, age)
    for path in BOARDS
    for age in AGES
    if (age in ("empty", "one tick after the pause") if path.stem == "services" else age not in ONLY_COUNTED)
]


@pytest.fixture(scope="session")
def stack(influxd: Influxd) -> Iterator[Young]:
    with young(influxd) as made:
        yield made


def span_of(stack: Young, age: str, span: timedelta = DAY) -> Span:
    stop = stack.first + AGES[age]
    return Span(stop - span, stop)


def answer(stack: Young, panel: str, age: str, ref: str = "A") -> list[Table]:
    return ask(stack.bucket, QUESTIONS[panel, ref][0], span_of(stack, age))


def questions(path: Path) -> Iterator[str]:
    """All that a board asks: its panels, its variables, its annotations."""
    uid = board(path)["uid"]
    yield from (flux for (name, _), (flux, _) in QUESTIONS.items() if name.startswith(f"{uid} "))
    yield from (each["query"]["query"] for each in board(path)["templating"]["list"] if each["type"] == "query")
    yield from (each["target"]["query"] for each in board(path)["annotations"]["list"] if "target" in each)


@pytest.mark.parametrize(("path", "age"), STATES, ids=lambda part: getattr(part, "stem", part))
def test_nothing_of_a_board_ends_with_an_error_or_a_number_that_is_none(path, age, stack):
    for span in (DAY, 10 * DAY) if age == "an hour after the pause" else (DAY,):
        for flux in questions(path):
            for table in ask(stack.bucket, flux, span_of(stack, age, span)):
                for row in table.rows:
                    assert all(math.isfinite(float(row[name])) for name in table.numbers if row[name]), flux


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_board_of_ranks_without_prices_has_no_error(path, stack):
    alone = stack.first + STEP + timedelta(seconds=10)
    for flux in questions(path):
        ask(stack.bucket, flux, Span(alone, alone + timedelta(seconds=40)))


@pytest.mark.parametrize("age", AGES)
def test_no_alert_rule_ends_with_an_error(age, stack):
    for uid in RULES:
        assert all(math.isfinite(value) for value in judged(stack, uid, AGES[age]))


def judged(stack: Young, uid: str, age: timedelta) -> list[float]:
    """The values of a rule; none when there is no answer."""
    query = RULES[uid]
    stop = stack.first + age
    span = Span(stop - timedelta(seconds=query["relativeTimeRange"]["from"]), stop)
    return [float(row["_value"]) for row in rows(ask(stack.bucket, query["model"]["query"], span))]


def test_the_top_list_of_the_first_day_has_no_change_and_nobody_gains_or_loses(stack):
    for age in ("one tick old", "23 hours old", "an hour after the pause"):
        found = rows(answer(stack, "topcoins-market 4", age))
        assert len(found) == 20
        assert {row["change"] for row in found} == {""}
        assert rows(answer(stack, "topcoins-market 5", age)) == rows(answer(stack, "topcoins-market 6", age)) == []


def test_expected_ticks_begin_with_the_first_one_and_go_on_through_a_pause(stack):
    def total(age: str, ref: str) -> float:
        return sum(float(row["_value"]) for row in rows(answer(stack, "topcoins-ingest 3", age, ref)))

    assert total("two hours old", "expected") == 2 + 1
    assert total("two hours old", "stored") == 3 + 2
    # One tick an hour of each series is expected, also in a range that begins in the pause.
    assert total("one tick after the pause", "expected") == 2 * 24
    assert total("one tick after the pause", "stored") == 2


def test_ages_are_in_intervals(stack):
    for panel in ("topcoins-ingest 1", "topcoins-market 3"):
        ages = {row["series"]: float(row["_value"]) for row in rows(answer(stack, panel, "in the pause"))}
        assert ages == {"price": 17, "volume_rank": pytest.approx(17 - 1 / 120)}


def test_a_gap_is_listed_with_its_cause_while_it_lasts_and_when_it_began_before_the_range(stack):
    for age, missed in (("in the pause", 16), ("an hour after the pause", 24)):
        found = rows(answer(stack, "topcoins-ingest 4", age))
        assert {(row["series"], row["cause"], float(row["missed"])) for row in found} == {
            (series, CAUSE, missed) for series in ("price", "volume_rank")
        }
    assert rows(answer(stack, "topcoins-ingest 4", "23 hours old")) == []


def test_the_notice_is_that_of_the_metrics_and_another_text_where_there_is_none(stack):
    (query,) = [each["query"]["query"] for each in board(BOARDS[0])["templating"]["list"] if each["name"] == "notice"]
    (own,) = rows(ask(stack.bucket, query.replace("range(start: -1d)", "range(start: -30d)"), span_of(stack, "empty")))
    assert own["entry"] == NOTICE
    (other,) = rows(ask(stack.bucket, query.replace("-1d", "-1s"), span_of(stack, "empty")))
    assert "Ingest health" in other["entry"]


def test_the_board_of_the_services_shows_what_the_metrics_count(stack):
    age = "one tick after the pause"

    def values(title: str, ref: str = "A") -> list[float]:
        (name,) = [name for name, panel in PANELS.items() if name.startswith(SERVICES) and panel["title"] == title]
        return [float(row["_value"]) for row in rows(answer(stack, name, age, ref))]

    assert all(value == pytest.approx(1.1) for value in values("Requests"))
    assert all(value == pytest.approx(0.1) for value in values("Refusals and errors"))
    assert all(value == pytest.approx(0.001 + 0.004 * 30 / 36) for value in values("Latency", "p50"))
    assert all(value == pytest.approx(0.045) for value in values("Latency", "p95"))
    assert len(values("Latency", "p95")) > 500
    assert max(values("Spool")) == 1
    assert sum(values("Dropped snapshots")) == sum(values("Failovers")) == 2 * (540 // 100)
    assert values("Disk lasts") == [pytest.approx(41 / 24, abs=0.01)]
    assert sorted(values("Credits")) == [0, 1]


def test_the_rules_of_the_services_fire_by_their_metrics_and_are_silent_without(stack):
    now = AGES["one tick after the pause"]
    wanted = {
        "unread": [0], "credits": [1], "spool": [0], "drops": [1], "disk": [1], "doubtful": [0], "clock": [0],
        "stopped": [0],
    }  # fmt: skip
    assert {uid: judged(stack, f"topcoins-{uid}", now) for uid in wanted} == wanted
    early = AGES["23 hours old"]
    silent = {uid for uid in RULES if "_metrics" in RULES[uid]["model"]["query"]}
    assert [uid for uid in silent if judged(stack, uid, early)] == []
