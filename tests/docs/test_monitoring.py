"""Alert rules and dashboard: they are valid, and name only what the daemon really measures."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.daemon_process import daemon

pytestmark = pytest.mark.timeout(180)

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "ami_rotator.json"


def _promtool(*arguments: str) -> str:
    program = shutil.which("promtool")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("promtool is not installed: apt-get install prometheus")
        pytest.skip("promtool is not installed: apt-get install prometheus")
    done = subprocess.run(
        [program, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def _alerts() -> list[dict[str, str]]:
    found = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())
    return [rule for group in found["groups"] for rule in group["rules"]]


def _expressions() -> Iterator[str]:
    for alert in _alerts():
        yield alert["expr"]
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"]


def test_promtool_accepts_configuration_and_rules() -> None:
    assert "SUCCESS" in _promtool("check", "config", "prometheus.yml")


def test_alerts_fire_when_they_should_and_only_then() -> None:
    assert "SUCCESS" in _promtool("test", "rules", "rules_test.yml")


async def test_rules_and_dashboard_name_only_metrics_and_labels_that_the_daemon_has(
    database_dsn: str, redis_url: str, tmp_path: Path
) -> None:
    settings = {"DATABASE_URL": database_dsn, "REDIS_URL": redis_url, "SIMULATOR_CALLS_PER_S": "20"}
    async with daemon(tmp_path, settings) as running:
        text = ""
        while "rotator_caller_ids{" not in text or "rotator_released_total{" not in text:
            _, text = await running.get("/metrics")
    names = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        names |= {f"{name}{part}" for part in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
    labels: dict[str, set[str]] = {}
    for name, inside in re.findall(r"^(rotator_\w+)\{(.*)\} ", text, re.MULTILINE):
        labels.setdefault(name, {"instance", "job"}).update(re.findall(r'(\w+)="', inside))

    used = {name for expression in _expressions() for name in re.findall(r"\brotator_\w+", expression)}
    unknown_labels = {
        (name, label)
        for expression in _expressions()
        for name, inside in re.findall(r"\b(rotator_\w+)\{([^}]*)\}", expression)
        for label in re.findall(r'(\w+)\s*[=!]~?\s*"', inside)
        if name in labels and label not in labels[name]
    }
    assert used - names == set()
    assert len(used) > 20
    assert unknown_labels == set()


def test_every_alert_has_its_section_in_the_runbook_and_no_section_is_left_over() -> None:
    runbook = (ROOT / "docs" / "operations.md").read_text()

    assert re.findall(r"^### (Rotator\w+)$", runbook, re.MULTILINE) == [alert["alert"] for alert in _alerts()]


def test_the_dashboards_panels_are_placed_side_by_side_and_ask_prometheus() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells

    assert len(panels) >= 15
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert all(panel["targets"] and panel["datasource"]["uid"] == "prometheus" for panel in panels)
    provisioned = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    assert provisioned["datasources"][0]["uid"] == "prometheus"
