"""Alert rules and dashboard: they are valid, and name only what the daemon really measures."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.support.asterisk_lab import free_port
from tests.support.daemon_process import DaemonProcess

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "ami_rotator.json"


def _need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        reason = f"{program} is not installed: apt-get install prometheus"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def _promtool(*arguments: str) -> str:
    done = subprocess.run(
        [_need("promtool"), *arguments], cwd=PROMETHEUS, capture_output=True, text=True, timeout=60, check=False
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


@contextmanager
def _prometheus(folder: Path, target: str) -> Iterator[str]:
    """Run Prometheus with our configuration, but for the target and how often it looks; give its address."""
    shutil.copy(PROMETHEUS / "rules.yml", folder)
    text = (PROMETHEUS / "prometheus.yml").read_text()
    for old, new in (("api:8000", target), (": 15s", ": 1s")):
        assert old in text
        text = text.replace(old, new)
    (folder / "prometheus.yml").write_text(text)
    address = f"127.0.0.1:{free_port()}"
    places = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    command = [_need("prometheus"), *places, f"--web.listen-address={address}"]
    with (folder / "output.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield f"http://{address}/api/v1"
    finally:
        process.terminate()
        process.wait(20)


async def _ask(session: aiohttp.ClientSession, question: str, **parameters: str) -> Any:
    async with session.get(question, params=parameters) as answer:
        if answer.status == 503:
            raise aiohttp.ClientConnectionError("Prometheus listens and is not ready")
        said = await answer.json()
    assert said["status"] == "success", said
    return said["data"]


async def test_a_real_prometheus_scrapes_the_daemon_and_every_rule_and_panel_is_evaluated(
    demo_daemon: DaemonProcess, tmp_path: Path
) -> None:
    target = demo_daemon.base_url.removeprefix("http://")
    with _prometheus(tmp_path, target) as api:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            while True:
                try:
                    rules = [
                        rule for group in (await _ask(session, f"{api}/rules"))["groups"] for rule in group["rules"]
                    ]
                    up = (await _ask(session, f"{api}/query", query="rotator_dialer_up"))["result"]
                    if up and rules and all(rule["health"] != "unknown" for rule in rules):
                        break
                except aiohttp.ClientConnectionError:
                    pass
                await asyncio.sleep(0.1)
            (scrape,) = (await _ask(session, f"{api}/targets"))["activeTargets"]
            for panel in json.loads(DASHBOARD.read_text())["panels"]:
                for asked in panel.get("targets", []):
                    await _ask(session, f"{api}/query", query=asked["expr"].replace("$instance", ".*"))
            alerts = (await _ask(session, f"{api}/alerts"))["alerts"]

    assert (scrape["health"], scrape["lastError"]) == ("up", "")
    assert {rule["name"]: rule["health"] for rule in rules} == {alert["alert"]: "ok" for alert in _alerts()}
    assert [one["value"][1] for one in up] == ["1"]
    # What stands for at least a minute would be an alarm; a demo that is well has none.
    assert [alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"] == []


async def test_rules_and_dashboard_name_only_metrics_and_labels_that_the_daemon_has(demo_daemon: DaemonProcess) -> None:
    text = ""
    while "rotator_caller_ids{" not in text or "rotator_released_total{" not in text:
        _, text = await demo_daemon.get("/metrics")
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
    for section in re.findall(r"^### (Rotator\w+\n[^#]+)", runbook, re.MULTILINE):
        assert len(re.findall(r"[.?:;](?=\s)", section)) >= 2, section  # what it means, and what to do


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
