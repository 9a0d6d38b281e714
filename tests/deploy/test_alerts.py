"""The alerts, the dashboard and the runbook: they fit each other, and Prometheus accepts them."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from leadpay.cli import app
from leadpay.measurements import INSTRUMENTS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RUNBOOK = (ROOT / "docs" / "howto" / "runbook.md").read_text(encoding="utf-8")
RULES: list[dict[str, Any]] = yaml.safe_load((DEPLOY / "alerts.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana.json").read_text(encoding="utf-8"))
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
EXPORTED = {
    f"{name.replace('.', '_')}{'_seconds' if one.unit == 's' else ''}{'_total' if one.kind == 'counter' else ''}": one
    for name, one in INSTRUMENTS.items()
}
PROMTOOL = shutil.which("promtool") or "/usr/bin/promtool"
needs_promtool = pytest.mark.skipif(
    not Path(PROMTOOL).exists() and "CI" not in os.environ,
    reason="PROMTOOL IS MISSING: the alerts were not tried (apt-get install prometheus)",
)


def promtool(*arguments: str, folder: Path = DEPLOY) -> str:
    done = subprocess.run([PROMTOOL, *arguments], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed tool
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@needs_promtool
def test_each_alert_fires_when_it_should_and_none_in_a_quiet_hour() -> None:
    """An hour on call: bank away, handler broken, secret rotated, disk full, and the rest."""
    assert f"{len(RULES)} rules found" in promtool("check", "rules", "alerts.yaml")
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yaml")
    tests = yaml.safe_load((DEPLOY / "alerts_test.yaml").read_text(encoding="utf-8"))["tests"]
    fired = {one["alertname"] for test in tests for one in test["alert_rule_test"] if one["exp_alerts"]}
    quiet = {one["alertname"] for test in tests for one in test["alert_rule_test"] if not one["exp_alerts"]}
    assert fired == quiet == {rule["alert"] for rule in RULES}


@needs_promtool
def test_prometheus_can_read_every_query_of_the_dashboard(tmp_path: Path) -> None:
    """Grafana puts in the interval."""
    rules = [
        {"record": f"query_{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(QUERIES)
    ]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", "rules.yaml", folder=tmp_path)


def test_every_metric_and_label_in_a_query_exists() -> None:
    """A misspelled one would never fire, or show an empty panel."""
    labels = {attribute.replace(".", "_") for one in INSTRUMENTS.values() for attribute in one.attributes}
    for query in [*QUERIES, *(rule["expr"] for rule in RULES)]:
        for name in re.findall(r"\b(?:lead|http|error|messaging)_\w+", query):
            assert name in labels or re.sub(r"_(bucket|count)$", "", name) in EXPORTED, query


def test_every_alert_has_its_runbook() -> None:
    """What it means, what to look at, and what fixes it, at the address that the alert names."""
    headings = re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)
    assert sorted(headings) == sorted(rule["alert"] for rule in RULES)
    for rule in RULES:
        assert rule["annotations"]["runbook_url"].endswith(f"docs/howto/runbook.md#{rule['alert'].lower()}")
        section = RUNBOOK.partition(f"## {rule['alert']}\n")[2].partition("\n## ")[0]
        assert all(f"**{part}:**" in section for part in ("Means", "Look at", "Fix")), rule["alert"]


def test_every_command_of_the_runbook_exists() -> None:
    """It is read when there is no time to look one up."""
    commands = re.findall(r"`leadpay ([a-z -]+?)(?: --[^`]*)?`", RUNBOOK)
    assert len(commands) > 15
    for command in set(commands):
        chain, _, rest = app.parse_commands(command.split())
        assert (" ".join(chain), list(rest)) == (command, [])


def test_the_dashboard_can_be_loaded() -> None:
    """Its panels have IDs and places of their own."""
    panels = DASHBOARD["panels"]
    assert DASHBOARD["uid"] == "leadpay"
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
    assert all(target["datasource"]["uid"] == "${datasource}" for panel in panels for target in panel["targets"])
    assert DASHBOARD["templating"]["list"][0]["name"] == "datasource"
