"""docs/operating.md against compose, the alert rules and the boards."""

import re

from tests.stack_files.files import BOARDS, ROOT, board, compose, rules, variables

PAGE = (ROOT / "docs/operating.md").read_text("utf-8").partition("\n## Without Docker\n")[0]
READ = variables((ROOT / "compose.yaml").read_text("utf-8"))


def test_the_page_describes_every_volume_and_backs_up_all_but_the_spool():
    volumes = set(compose()["volumes"])
    rows = {
        name for row in re.findall(r"(?m)^\| (`.*?`) \| .* \| .* \|$", PAGE) for name in re.findall(r"`(\w+)`", row)
    }
    assert volumes <= rows
    (volumes_line,) = re.findall(r'(?m)^volumes="(.*)"$', PAGE)
    # The spool is delivered to the store anyway.
    assert set(volumes_line.split()) == volumes - {"spool"}


def test_the_page_names_every_service_rule_and_board():
    assert {f"`{name}`" for name in compose()["services"]} <= set(re.findall(r"`\w+`", PAGE))
    named = [cell for row in re.findall(r"(?m)^\| ([^|]+) \|", PAGE) for cell in row.strip().split(", ")]
    assert {board(path)["title"] for path in BOARDS} <= set(named)
    assert {rule["title"] for rule in rules()} <= set(named)


def test_every_variable_the_page_names_is_one_compose_reads():
    named = set(re.findall(r"\b((?:TOPCOINS|API|GRAFANA|CMC|COINDESK)_[A-Z_]+)\b", PAGE))
    set_ = {name for service in compose()["services"].values() for name in service["environment"]}
    assert named
    assert named <= READ | set_


def test_the_page_names_the_project_and_the_image_of_compose():
    assert f"-v {compose()['name']}_%s:" in PAGE
    images = set(re.findall(r"influxdb:[\d.]+", PAGE))
    assert images == {compose()["services"]["influxdb"]["image"]}
