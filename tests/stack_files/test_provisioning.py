"""What Grafana is given at its start, against compose, the settings and the boards."""

import re

import pytest

from lib.cli.doctor.stored import OLDEST_UPDATE
from lib.schema import OWN
from lib.settings import Settings
from tests.stack_files.files import BOARDS, GRAFANA, board, compose, provisioning, rules

SERVICE = compose()["services"]["grafana"]
SEEN = {source: seen for source, seen, *_ in (mount.split(":") for mount in SERVICE["volumes"])}


def test_the_data_source_is_the_store_asked_in_flux_with_grafanas_own_token():
    (source,) = provisioning("datasources/influxdb.yaml")["datasources"]
    writer = compose()["services"]["ingest_price"]["environment"]
    assert source["url"] == writer["TOPCOINS_STORE_URL"]
    assert source["type"] == "influxdb"
    data = source["jsonData"]
    assert (data["version"], data["organization"], data["defaultBucket"]) == (
        "Flux",
        Settings().influx_org,
        Settings().influx_bucket,
    )
    assert source["secureJsonData"] == {"token": f"$__file{{{SEEN['token_grafana']}/influx_token}}"}


def test_the_password_of_the_admin_is_read_from_the_same_volume():
    assert SERVICE["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"] == f"{SEEN['token_grafana']}/admin_password"


def test_grafana_fetches_no_plugin_and_starts_the_one_that_the_data_source_is():
    (source,) = provisioning("datasources/influxdb.yaml")["datasources"]
    assert SERVICE["environment"]["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"
    disabled = SERVICE["environment"]["GF_PLUGINS_DISABLE_PLUGINS"]
    assert " " not in disabled
    assert source["type"] not in disabled.split(",")


def test_the_boards_are_looked_for_where_they_are_mounted():
    (provider,) = provisioning("dashboards/topcoins.yaml")["providers"]
    assert provider["options"]["path"] == SEEN["./grafana/dashboards"]
    home = SERVICE["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home in {f"{SEEN['./grafana/dashboards']}/{path.name}" for path in BOARDS}


def test_the_provisioning_is_mounted_where_grafana_reads_it():
    assert SEEN["./grafana/provisioning"] == "/etc/grafana/provisioning"
    folders = {path.parent.name for path in (GRAFANA / "provisioning").rglob("*.yaml")}
    assert folders == {"datasources", "dashboards", "alerting"}


def test_stale_data_and_gaps_have_a_rule_per_series_and_credits_and_frozen_prices_have_one():
    wanted = {f"topcoins-{what}-{name.replace('_', '-')}" for what in ("stale", "gaps") for name in OWN}
    assert {rule["uid"] for rule in rules()} == wanted | {"topcoins-credits", "topcoins-frozen-price"}
    for name in OWN:
        for what in ("stale", "gaps"):
            (rule,) = [rule for rule in rules() if rule["uid"] == f"topcoins-{what}-{name.replace('_', '-')}"]
            assert f'r.series == "{name}"' in rule["data"][0]["model"]["query"]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["uid"])
def test_a_rule_fires_when_there_is_no_answer_and_points_to_its_panel(rule):
    assert (rule["noDataState"], rule["execErrState"]) == ("Alerting", "Alerting")
    found = [board(path) for path in BOARDS if board(path)["uid"] == rule["dashboardUid"]]
    assert rule["panelId"] in {panel["id"] for panel in found[0]["panels"]}
    assert {"summary", "description"} <= rule["annotations"].keys()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["uid"])
def test_a_rule_is_a_query_its_last_value_and_a_threshold(rule):
    (provider,) = provisioning("datasources/influxdb.yaml")["datasources"]
    query, reduced, judged = rule["data"]
    assert [part["refId"] for part in rule["data"]] == [part["model"]["refId"] for part in rule["data"]]
    assert query["datasourceUid"] == query["model"]["datasource"]["uid"] == provider["uid"]
    assert (reduced["model"]["type"], reduced["model"]["expression"]) == ("reduce", query["refId"])
    assert (judged["model"]["type"], judged["model"]["expression"]) == ("threshold", reduced["refId"])
    assert rule["condition"] == judged["refId"]
    assert query["relativeTimeRange"]["from"] > query["relativeTimeRange"]["to"]


def test_values_are_frozen_for_the_rule_when_they_are_for_doctor():
    (rule,) = [rule for rule in rules() if rule["uid"] == "topcoins-frozen-price"]
    (evaluator,) = [condition["evaluator"] for condition in rule["data"][2]["model"]["conditions"]]
    assert evaluator == {"type": "gt", "params": [OLDEST_UPDATE.total_seconds()]}


def test_grafana_finds_nothing_to_expand_in_the_rules():
    assert "$" not in (GRAFANA / "provisioning/alerting/ingest.yaml").read_text("utf-8")


def test_the_allowance_of_the_rule_is_the_boards():
    (rule,) = [rule for rule in rules() if rule["uid"] == "topcoins-credits"]
    (ingest,) = [board(path) for path in BOARDS if board(path)["uid"] == rule["dashboardUid"]]
    (variable,) = [each for each in ingest["templating"]["list"] if each["name"] == "allowance"]
    (allowance,) = re.findall(r"allowance = (\d+)\.0", rule["data"][0]["model"]["query"])
    assert variable["query"] == variable["current"]["value"] == allowance
