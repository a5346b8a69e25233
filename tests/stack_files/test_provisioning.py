"""What Grafana is given at its start, against compose, the settings and the boards."""

import pytest

from lib.cli.doctor.stored import OLDEST_UPDATE
from lib.schema import OWN
from lib.settings import Settings
from tests.docs.pages import anchors
from tests.stack_files.files import BOARDS, GRAFANA, board, compose, drawn, interpolated, provisioning, read_yaml, rules
from tests.stack_files.metrics import metric_names, named_metrics

SERVICE = compose()["services"]["grafana"]
SEEN = {source: seen for source, seen, *_ in (interpolated(mount, {}).split(":") for mount in SERVICE["volumes"])}


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
    for path in (GRAFANA / "provisioning").rglob("*.yaml"):
        shown = path.relative_to(GRAFANA / "provisioning")
        of_file, of_folder = (SEEN.get(f"./grafana/provisioning/{name}") for name in (shown, shown.parent))
        assert (of_file or f"{of_folder}/{path.name}") == f"/etc/grafana/provisioning/{shown}"


@pytest.mark.parametrize(("webhook", "points"), [("", 0), ("https://hooks.example.com/x", 1)])
def test_alerts_go_to_the_webhook_when_it_is_set(webhook, points):
    mount = next(mount for mount in SERVICE["volumes"] if "grafana/contact" in mount)
    host, seen, _ = interpolated(mount, {"TOPCOINS_ALERT_WEBHOOK": webhook}).split(":")
    assert seen == "/etc/grafana/provisioning/alerting/contact.yaml"
    contact = read_yaml(GRAFANA.parent / host)
    assert len(contact.get("contactPoints", [])) == len(contact.get("policies", [])) == points
    for point, policy in zip(contact.get("contactPoints", []), contact.get("policies", []), strict=True):
        assert policy["receiver"] == point["name"]
        assert point["receivers"][0]["settings"]["url"] == "$TOPCOINS_ALERT_WEBHOOK"
        assert "TOPCOINS_ALERT_WEBHOOK" in SERVICE["environment"]


ONE_EACH = ("frozen-price", "unread", "credits", "spool", "drops", "disk", "doubtful", "archive", "clock", "stopped")


def test_stale_data_and_gaps_have_a_rule_per_series_and_all_else_has_one():
    wanted = {f"topcoins-{what}-{name.replace('_', '-')}" for what in ("stale", "gaps") for name in OWN}
    assert {rule["uid"] for rule in rules()} == wanted | {f"topcoins-{what}" for what in ONE_EACH}
    for name in OWN:
        for what in ("stale", "gaps"):
            (rule,) = [rule for rule in rules() if rule["uid"] == f"topcoins-{what}-{name.replace('_', '-')}"]
            assert f'r.series == "{name}"' in rule["data"][0]["model"]["query"]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["uid"])
def test_a_rule_without_an_answer_fires_but_for_those_that_wait_for_the_metrics(rule):
    of_metrics = "_metrics" in rule["data"][0]["model"]["query"] and rule["uid"] != "topcoins-unread"
    assert rule["noDataState"] == ("OK" if of_metrics else "Alerting")
    assert rule["execErrState"] == "Alerting"


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["uid"])
def test_a_rule_has_a_severity_points_to_its_panel_and_to_a_section_of_the_documentation(rule):
    (found,) = [board(path) for path in BOARDS if board(path)["uid"] == rule["dashboardUid"]]
    assert rule["panelId"] in {panel["id"] for panel in drawn(found)}
    assert {"summary", "description"} <= rule["annotations"].keys()
    assert rule["labels"]["severity"] in ("warning", "critical")
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert anchor in anchors(GRAFANA.parent / page)


def test_the_rules_of_prometheus_name_metrics_that_there_are_and_sections_of_the_documentation():
    (group,) = read_yaml(GRAFANA / "prometheus/topcoins.rules.yml")["groups"]
    for rule in group["rules"]:
        assert {name.removesuffix("_bucket") for name in named_metrics(rule["expr"])} <= metric_names(), rule["alert"]
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert anchor in anchors(GRAFANA.parent / page)
        assert rule["labels"]["severity"] in ("warning", "critical")
    scrape = read_yaml(GRAFANA / "prometheus/prometheus.yml")
    assert scrape["rule_files"] == ["topcoins.rules.yml"]
    assert scrape["scrape_configs"][0]["metrics_path"] == "/metrics"


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
