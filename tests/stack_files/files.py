"""The stack's files, parsed: compose, the Dockerfile, the boards and what Grafana is provisioned with."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "grafana"
BOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-+])([^}]*))?\}")


class _Compose(yaml.CSafeLoader):
    """YAML with compose's `!reset`, which takes a value of an earlier file away."""


_Compose.add_constructor("!reset", lambda loader, node: None)


def compose(*names: str) -> dict[str, Any]:
    """The compose files merged as compose does: maps are merged, anything else is replaced."""
    merged: dict[str, Any] = {}
    for name in names or ("compose.yaml",):
        merged = _merged(merged, yaml.load((ROOT / name).read_text("utf-8"), _Compose))
    return merged


def _merged(below: Any, above: Any) -> Any:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return below | {name: _merged(below.get(name), value) for name, value in above.items()}


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file. PyYAML's own loader, without libyaml, takes a second for all of them in each test process."""
    parsed: dict[str, Any] = yaml.load(path.read_bytes(), yaml.CSafeLoader)
    return parsed


def interpolated(text: str, environ: Mapping[str, str]) -> str:
    """Compose's `${NAME}`, `${NAME:-when empty}` and `${NAME:+when set}`."""

    def value(found: re.Match[str]) -> str:
        name, kind, other = found.groups()
        own = environ.get(name, "")
        if kind == "+":
            return other if own else ""
        return own or other or ""

    return _VARIABLE.sub(value, text)


def variables(text: str) -> set[str]:
    """The names compose would look up."""
    return {found[1] for found in _VARIABLE.finditer(text)}


def board(path: Path) -> dict[str, Any]:
    """A dashboard."""
    parsed: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return parsed


def drawn(each: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels of a board that show data."""
    return [panel for panel in each["panels"] if panel["type"] != "text"]


def provisioning(name: str) -> dict[str, Any]:
    """One of Grafana's provisioning files."""
    return read_yaml(GRAFANA / "provisioning" / name)


def rules() -> list[dict[str, Any]]:
    """The alert rules of every group."""
    return [rule for group in provisioning("alerting/ingest.yaml")["groups"] for rule in group["rules"]]
