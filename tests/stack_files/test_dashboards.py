"""The JSON of the boards: faults that Grafana shows only when a board is opened."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest

from lib.schema import MARKER, MARKER_UNITS, OWN
from tests.stack_files.files import BOARDS, board, drawn, provisioning, rules
from tests.stack_files.metrics import metric_names

ALL = [board(path) for path in BOARDS]
BY_UID = {each["uid"]: each for each in ALL}
PANELS = [(each, panel) for each in ALL for panel in drawn(each)]

KINDS = {"timeseries", "stat", "table", "piechart", "barchart", "state-timeline"}
UNITS = {
    "none", "short", "string", "s", "d", "bytes", "reqps", "percentunit", "currencyUSD", "dateTimeAsIso", "prefix:$",
    "suffix: intervals",
}  # fmt: skip
TRANSFORMATIONS = {"organize", "joinByField", "sortBy", "timeSeriesTable"}
METRICS = metric_names()
GIVEN = {"__url_time_range", "__data", "__field"}
"""What Grafana itself puts into links and names."""


def used(text: str) -> set[str]:
    """The variables a text names."""
    return {found[1] for found in re.finditer(r"\$\{(\w+)", text)} - GIVEN


def declared(each: dict[str, Any]) -> set[str]:
    return {variable["name"] for variable in each["templating"]["list"]}


def queries(each: dict[str, Any]) -> list[str]:
    """Every question of a board: its panels', its variables', its annotations'."""
    found = [target["query"] for panel in drawn(each) for target in panel["targets"]]
    found += [variable["query"]["query"] for variable in each["templating"]["list"] if variable["type"] == "query"]
    return found + [
        note["target"]["query"] for note in each["annotations"]["list"] if "query" in note.get("target", {})
    ]


def paths(value: Any) -> Iterator[str]:
    """Every address in a board."""
    if isinstance(value, dict):
        yield from ([value["url"]] if isinstance(value.get("url"), str) else [])
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from paths(part)


def units(panel: dict[str, Any]) -> Iterator[str]:
    config = panel["fieldConfig"]
    yield config["defaults"]["unit"]
    for override in config["overrides"]:
        yield from (each["value"] for each in override["properties"] if each["id"] == "unit")


def test_the_five_boards_are_there():
    assert {each["title"] for each in ALL} == {"Market", "Asset", "Ranks", "Ingest health", "API and services"}


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_board_is_of_grafana_13_and_named_after_its_file(path):
    each = board(path)
    assert each["uid"] == f"topcoins-{path.stem}"
    assert each["schemaVersion"] == 42
    assert each["description"]
    assert "id" not in each
    assert each["tags"] == ["topcoins"]
    assert (each["time"], each["refresh"]) == ({"from": "now-24h", "to": "now"}, "1m")
    assert each["timezone"] == "utc"


@pytest.mark.parametrize("each", ALL, ids=lambda each: each["uid"])
def test_panels_have_ids_and_titles_of_their_own_and_do_not_overlap(each):
    assert max(Counter(panel["id"] for panel in each["panels"]).values()) == 1
    assert max(Counter(panel["title"] for panel in each["panels"]).values()) == 1
    cells = {
        panel["id"]: {
            (x, y)
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        }
        for panel in each["panels"]
    }
    assert all(0 <= x < 24 for taken in cells.values() for x, _ in taken)
    assert not [pair for pair in combinations(cells, 2) if cells[pair[0]] & cells[pair[1]]]


def test_a_panel_has_one_line_of_description_and_a_unit(subtests):
    for each, panel in PANELS:
        with subtests.test(board=each["title"], panel=panel["title"]):
            assert panel["type"] in KINDS
            assert panel["title"]
            assert panel["description"].endswith(".")
            assert "\n" not in panel["description"]
            assert set(units(panel)) <= UNITS
            assert panel["interval"] == "1m"


def test_a_panel_asks_the_data_source_that_is_chosen_and_first_the_provisioned_one(subtests):
    for each, panel in PANELS:
        with subtests.test(board=each["title"], panel=panel["title"]):
            (source,) = provisioning("datasources/influxdb.yaml")["datasources"]
            wanted = {"type": source["type"], "uid": "${datasource}"}
            chosen = each["templating"]["list"][0]
            assert (chosen["name"], chosen["type"], chosen["query"]) == ("datasource", "datasource", source["type"])
            assert chosen["current"]["value"] == source["uid"]
            assert panel["datasource"] == wanted
            assert panel["targets"]
            assert all(target["datasource"] == wanted for target in panel["targets"])
            assert max(Counter(target["refId"] for target in panel["targets"]).values()) == 1


def test_a_panels_overrides_and_transformations_name_what_is_there(subtests):
    for each, panel in PANELS:
        with subtests.test(board=each["title"], panel=panel["title"]):
            refs = {target["refId"] for target in panel["targets"]}
            named = {change["id"]: change["options"] for change in panel.get("transformations", [])}
            assert set(named) <= TRANSFORMATIONS
            assert set(named.get("timeSeriesTable", {})) <= refs
            ordered = set(named.get("organize", {}).get("indexByName", {}))
            for override in panel["fieldConfig"]["overrides"]:
                known = {"byName": ordered, "byFrameRefID": refs}[override["matcher"]["id"]]
                assert override["matcher"]["options"] in known


@pytest.mark.parametrize("each", ALL, ids=lambda each: each["uid"])
def test_every_variable_used_is_declared_and_every_one_declared_is_used(each):
    shown = {name: value for name, value in each.items() if name != "templating"}
    own = used(json.dumps(shown)) | set().union(*(used(query) for query in queries(each)))
    carried = {name for link in each["links"] if link["includeVars"] for name in declared(BY_UID[uid_of(link["url"])])}
    assert own <= declared(each)
    assert declared(each) <= own | carried


def test_a_variable_of_one_name_is_the_same_on_every_board():
    seen: dict[str, Any] = {}
    for each in ALL:
        for variable in each["templating"]["list"]:
            plain = {name: value for name, value in variable.items() if name != "hide"}
            assert seen.setdefault(variable["name"], plain) == plain


def test_the_id_of_an_asset_is_the_part_after_the_last_bar_of_its_name():
    for each in ALL:
        (variable,) = [variable for variable in each["templating"]["list"] if variable["name"] == "asset"]
        pattern = variable["regex"].strip("/").replace("(?<", "(?P<")
        (found,) = re.finditer(pattern, "A|B some|thing|42")
        assert found.groupdict() == {"text": "A|B some|thing", "value": "42"}


@pytest.mark.parametrize("each", ALL, ids=lambda each: each["uid"])
def test_a_board_names_no_data_source_by_itself(each):
    assert '"uid": "topcoins"' not in json.dumps(each)


@pytest.mark.parametrize("each", ALL, ids=lambda each: each["uid"])
def test_the_line_at_the_top_has_the_notice_and_leads_to_the_page(each):
    top = each["panels"][0]
    assert (top["type"], top["gridPos"]["y"]) == ("text", 0)
    assert {"notice", "page"} <= used(top["options"]["content"])
    (link,) = [link for link in each["links"] if link["title"] == "Page"]
    assert (link["url"], link["targetBlank"]) == ("${page}", True)


@pytest.mark.parametrize("uid", ["topcoins-ingest 1", "topcoins-market 3"])
def test_ages_turn_red_when_the_alert_fires(uid):
    board_uid, number = uid.split()
    (panel,) = [panel for panel in BY_UID[board_uid]["panels"] if panel["id"] == int(number)]
    fires = {
        rule["data"][2]["model"]["conditions"][0]["evaluator"]["params"][0]
        for rule in rules()
        if "stale" in rule["uid"]
    }
    assert {panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"]} == fires == {3}


def uid_of(url: str) -> str:
    found = re.match(r"/d/([\w-]+)/", url)
    assert found, url
    return found[1]


@pytest.mark.parametrize("each", ALL, ids=lambda each: each["uid"])
def test_links_lead_to_boards_that_are_there_and_carry_asset_and_range(each):
    for url in paths(each):
        if url == "${page}":
            continue
        other = BY_UID[uid_of(url)]
        for name, value in re.findall(r"[?&]var-(\w+)=([^&]+)", url):
            assert name in declared(other)
            assert value in ("${__data.fields.cmc_id}", "${__field.labels.cmc_id}")
            assert url.endswith("&${__url_time_range}")
    between = [link for link in each["links"] if link["title"] != "Page"]
    assert {uid_of(link["url"]) for link in between} == set(BY_UID) - {each["uid"]}
    assert all(link["keepTime"] and link["includeVars"] for link in between)
    assert "asset" in declared(each)


def test_a_rank_is_drawn_with_the_first_place_at_the_top(subtests):
    for each, panel in PANELS:
        with subtests.test(board=each["title"], panel=panel["title"]):
            ranks = any('"rank"' in target["query"] for target in panel["targets"]) and panel["type"] == "timeseries"
            inverted = panel["fieldConfig"]["defaults"].get("custom", {}).get("transform") == "negative-Y"
            assert inverted == ranks
            if inverted:
                # Grafana draws -r and would write -r on the axis.
                (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
                assert all(
                    value["text"] == name.removeprefix("-") for name, value in mapping["options"].items() if name != "0"
                )
                assert {str(-rank) for rank in (*range(1, 101), *range(110, 1001, 10))} <= set(mapping["options"])


@pytest.mark.parametrize("each", ALL, ids=lambda each: each["uid"])
def test_the_questions_name_what_the_schema_declares(each):
    fields = {field for series in OWN.values() for field in series.fields} | set(MARKER_UNITS)
    for query in queries(each):
        named = set(re.findall(r'(?:r\._measurement == |measurement: )"(\w+)"', query))
        metrics = {name for name in named if name.startswith("topcoins_")}
        assert metrics <= METRICS
        assert named - metrics <= {*OWN, MARKER}
        assert set(re.findall(r'r\._field == "(\w+)"', query)) <= fields | {"gauge", "counter"}
        assert set(re.findall(r'series: "(\w+)"', query)) <= set(OWN)


@pytest.mark.parametrize("each", ALL, ids=lambda each: each["uid"])
def test_every_long_range_is_asked_of_the_hourly_bucket_or_counted_in_windows(each):
    for query in queries(each):
        if "topcoins_" in query and '"snapshot"' not in query:
            continue  # the metrics, which cover 14 days
        windows = re.findall(r"aggregateWindow\(every: ([\w.]+)", query)
        if 'long then v.defaultBucket + "_hourly"' not in query:
            # The raw markers, counted: their points are not drawn.
            assert '"snapshot"' in query
            assert windows in (["every"], [])
            assert windows or "|> last()" in query or "|> sum()" in query
        elif "range(start: v.timeRangeStart, stop: v.timeRangeStop)" in query:
            assert windows == ["v.windowPeriod"] or "|> limit(n: 200)" in query
