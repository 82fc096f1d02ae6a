"""Alert rules and dashboards: promtool accepts them, each alert has its runbook, the panels lie beside each other.

That the metrics which they name exist is asked of running processes: tests/e2e/test_monitoring.py.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.loop.settings import ROOT

PROMETHEUS = ROOT / "deploy/prometheus"
RULES = yaml.safe_load((PROMETHEUS / "gavel.rules.yml").read_text())
ALERTS: list[dict[str, Any]] = [rule for group in RULES["groups"] for rule in group["rules"]]
DASHBOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "deploy/grafana").glob("*.json"))
}


def queries() -> Iterator[tuple[str, str]]:
    """Every PromQL expression, with the name of its alert or panel."""
    for alert in ALERTS:
        yield alert["alert"], alert["expr"]
    for dashboard in DASHBOARDS.values():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                yield panel["title"], target["expr"]
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                yield variable["name"], variable["query"]["query"]


@pytest.fixture(scope="module")
def promtool() -> Path:
    found = subprocess.run([ROOT / "scripts/promtool.sh"], capture_output=True, text=True, check=False)
    if found.returncode == 2:
        pytest.skip(found.stderr.strip())
    assert found.returncode == 0, found.stderr
    return Path(found.stdout.strip())


@pytest.mark.parametrize(
    "command",
    ["check config prometheus.yml", "check rules gavel.rules.yml", "test rules gavel.rules.test.yml"],
)
def test_promtool(promtool: Path, command: str) -> None:
    done = subprocess.run([promtool, *command.split()], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_alert(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"page", "ticket"}
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}


def test_every_runbook_section_has_an_alert() -> None:
    text = (ROOT / "docs/operations.md").read_text()
    assert set(re.findall(r"^### (Gavel\w+)$", text, re.MULTILINE)) == {alert["alert"] for alert in ALERTS}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_do_not_overlap_and_say_what_they_show(name: str) -> None:
    dashboard = DASHBOARDS[name]
    assert dashboard["uid"] == name
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"], panel["title"]
            assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_alerts_of_rankings_are_tried() -> None:
    text = (PROMETHEUS / "gavel.rules.test.yml").read_text()
    (group,) = (group for group in RULES["groups"] if group["name"] == "gavel-ranking")
    assert {rule["alert"] for rule in group["rules"]} <= set(re.findall(r"alertname: (\w+)", text))
