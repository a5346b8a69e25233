"""docs/operating.md against compose, the alert rules and the boards."""

import re
import stat
import subprocess

from tests.docs.pages import blocks
from tests.stack_files.files import BOARDS, ROOT, board, compose, rules, variables

PAGE = (ROOT / "docs/operating.md").read_text("utf-8").partition("\n## Without Docker\n")[0]
READ = variables((ROOT / "compose.yaml").read_text("utf-8"))


def test_the_page_describes_every_volume_and_backs_up_all_of_them():
    volumes = set(compose()["volumes"])
    rows = {
        name for row in re.findall(r"(?m)^\| (`.*?`) \| .* \| .* \|$", PAGE) for name in re.findall(r"`(\w+)`", row)
    }
    assert volumes <= rows
    (volumes_line,) = re.findall(r'(?m)^volumes="(.*)"$', PAGE)
    assert set(volumes_line.split()) == volumes


def test_the_backup_can_be_read_by_its_owner_alone(tmp_path):
    (script,) = re.findall(r"(?s)-c \\\n\s+'(umask .*?)'\n", PAGE)
    (tmp_path / "volumes").mkdir()
    (tmp_path / "volumes" / "token").write_text("secret")
    script = script.replace("/volumes", str(tmp_path / "volumes")).replace("/backup", str(tmp_path))
    subprocess.run(["sh", "-c", script], check=True)
    (made,) = tmp_path.glob("*.tar.gz")
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert subprocess.run(["tar", "-tzf", made], capture_output=True, text=True, check=True).stdout == "./\n./token\n"
    assert subprocess.run(["git", "check-ignore", "-q", made.name], cwd=ROOT).returncode == 0


def test_the_drill_names_its_project_in_every_command():
    (block,) = (block for block in blocks(ROOT / "docs/operating.md") if "-p drill" in block.text)
    assert all("docker compose -p drill" in line for line in block.commands if "docker compose" in line)
    assert "mounts drill" in block.text


def test_whatever_starts_the_stack_in_the_background_waits_until_it_is_healthy():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    started = [
        line for page in pages for line in re.findall(r"docker compose[^`\n]* up -d[^`\n]*", page.read_text("utf-8"))
    ]
    assert len(started) > 5
    assert [line for line in started if "--wait" not in line] == []


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
    assert f"$(mounts {compose()['name']})" in PAGE
    images = set(re.findall(r"influxdb:[\d.]+", PAGE))
    assert images == {compose()["services"]["influxdb"]["image"]}
