"""The alert rules: each fires and clears, asks for metrics that exist, and has a page that says what to do."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.unit import pages
from tools.reference_web import list_metrics

FOLDER = pages.ROOT / "deploy/prometheus"
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yaml").read_text("utf-8"))["groups"][0]["rules"]
NAMES = [rule["alert"] for rule in RULES]


@pytest.mark.parametrize("command", [("check", "rules", "alerts.yaml"), ("test", "rules", "alerts_test.yaml")])
def test_promtool_agrees_with_the_rules(command: tuple[str, ...]) -> None:
    """They parse, and every case of their tests goes as it says."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("the alert rules were not tested: no promtool (Debian's package prometheus)")
    made = subprocess.run([promtool, *command], cwd=FOLDER, capture_output=True, text=True, check=False, timeout=60)
    assert made.returncode == 0, made.stdout + made.stderr


def test_every_alert_is_tested_to_fire_and_to_clear() -> None:
    """In this order, so that it is known to end when what it tells of does."""
    cases = yaml.safe_load((FOLDER / "alerts_test.yaml").read_text("utf-8"))["tests"]
    tried = {case["name"]: [bool(step["exp_alerts"]) for step in case["alert_rule_test"]] for case in cases}
    assert tried == {name: [True, False] for name in NAMES}
    for case in cases:
        assert {step["alertname"] for step in case["alert_rule_test"]} == {case["name"]}


def test_rules_ask_for_metrics_that_exist() -> None:
    """A metric that is renamed would leave an alert that never fires."""
    known = {name for name, _, _ in list_metrics()}
    for rule in RULES:
        asked = set(re.findall(r"\bsyncd_\w+", rule["expr"]))
        assert asked <= known, rule["alert"]
        assert asked or rule["alert"] == "SyncdDown"


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_every_alert_has_a_page(rule: dict[str, Any]) -> None:
    """Under its name, with the expression as it is, in four parts: meaning, impact, diagnosis, mitigation."""
    page = pages.ROOT / rule["annotations"]["runbook"]
    text = page.read_text("utf-8")
    assert text.startswith(f"# {rule['alert']}\n")
    assert rule["expr"] in text
    assert f"for {rule['for']}." in text
    assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == ["Meaning", "Impact", "Diagnosis", "Mitigation"]
    assert rule["labels"]["severity"] in ("warning", "critical")


def test_no_page_is_about_an_alert_that_is_gone() -> None:
    """One page per alert, and one alert per page."""
    assert {page.stem for page in (pages.DOCS / "runbooks").glob("*.md")} == {
        rule["annotations"]["runbook"].removeprefix("docs/runbooks/").removesuffix(".md") for rule in RULES
    }
