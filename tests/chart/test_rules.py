"""The alerts: Prometheus takes them, each fires for its reason and for no other's, speaks of
metrics that there are, and leads to a page that says what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from isocenter.cli.main import app
from support.clients import run
from support.promql import mistakes
from support.rendered import render

ROOT = Path(__file__).parents[2]
RULES = ROOT / "charts/isocenter/files/rules/isocenter.yaml"
SCENARIOS = sorted(Path(__file__).parent.glob("rules/*.yaml"))
RUNBOOKS = ROOT / "docs/runbooks"
ADDRESS = "https://github.com/isocenter/isocenter/blob/main/docs/runbooks/"
SEVERITIES = {"critical", "warning", "info"}
SECTIONS = ("## What users see", "## Look first", "## Mend")

GROUPS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
ALERTS = {rule["alert"]: rule for one in GROUPS for rule in one["rules"] if "alert" in rule}
RECORDED = {rule["record"]: rule for one in GROUPS for rule in one["rules"] if "record" in rule}
EXPRESSIONS = {name: rule["expr"] for name, rule in {**ALERTS, **RECORDED}.items()}


def test_prometheus_takes_the_rules() -> None:
    checked = run("promtool", "check", "rules", RULES)
    assert checked.code == 0, checked.text


def test_the_chart_brings_them_as_they_are() -> None:
    objects = render({"mode": "embedded", "monitoring": {"rules": {"enabled": True}}})
    assert objects.get("PrometheusRule", "pacs-isocenter-isocenter")["spec"]["groups"] == GROUPS


def test_alerts_fire_for_their_reasons_and_for_no_others() -> None:
    tried = run("promtool", "test", "rules", *SCENARIOS)
    assert tried.code == 0, tried.text


def test_every_alert_has_a_scenario_in_which_it_fires() -> None:
    tests = [one for path in SCENARIOS for one in yaml.safe_load(path.read_text())["tests"]]
    fired = {
        name
        for test in tests
        for question in test["promql_expr_test"]
        for sample in question["exp_samples"]
        for name in re.findall(r'alertname="(\w+)"', sample["labels"])
    }
    assert fired == ALERTS.keys()


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_rules_speak_of_metrics_and_labels_that_there_are(name: str) -> None:
    assert mistakes(EXPRESSIONS[name]) == []


def test_what_is_recorded_is_used() -> None:
    used = {
        name for rule in ALERTS.values() for name in re.findall(r"isocenter:\w+:\w+", rule["expr"])
    }
    assert used == RECORDED.keys()


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_tells_how_bad_it_is_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in SEVERITIES
    told = rule["annotations"]
    assert told.keys() == {"summary", "description", "runbook_url"}
    assert told["runbook_url"] == f"{ADDRESS}{name}.md"


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("Isocenter*.md")} == ALERTS.keys()


@pytest.mark.parametrize("name", ALERTS)
def test_a_runbook_says_what_users_see_where_to_look_and_what_mends_it(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    places = [text.find(f"\n{section}\n") for section in SECTIONS]
    assert -1 not in places, f"one of {SECTIONS} is missing"
    assert places == sorted(places)
    verbs = {one.name or one.callback.__name__ for one in app.registered_commands if one.callback}
    verbs |= {str(group.name) for group in app.registered_groups}
    named = set(re.findall(r"^(?:kubectl .* -- )?isocenter ([a-z]+)", text, re.MULTILINE))
    named |= set(re.findall(r"`isocenter ([a-z]+)", text))
    assert named <= verbs
