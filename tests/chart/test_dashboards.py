"""The dashboards: as their sources say, Grafana's own SDK reads all of them, and they show metrics
that there are. That they show something is in `tests/journeys/test_dashboards.py`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from isocenter.app import ROLES
from isocenter.runtime.instruments import METRICS
from support.dashboards import FOLDER, PANELS, Shown
from support.promql import metric_of, mistakes, selected
from support.rendered import render

ROOT = Path(__file__).parents[2]
FILES = sorted(FOLDER.glob("*.json"))
OURS = {"datasource", "namespace", "site"}
EVERYWHERE = {"ae", *OURS}
GRAFANAS = {"__rate_interval", "__range"}


def test_the_dashboards_are_what_their_sources_make(tmp_path: Path) -> None:
    command = [sys.executable, "infra/grafana/generate.py", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True)
    fresh = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {path.name: path.read_bytes() for path in FILES} == fresh, "run `make dashboards`"


def test_the_chart_brings_them_as_they_are() -> None:
    objects = render({"mode": "embedded", "monitoring": {"dashboards": {"enabled": True}}})
    for path in FILES:
        brought = objects.get("ConfigMap", f"pacs-isocenter-dashboard-{path.stem}")["data"]
        assert json.loads(brought[path.name]) == json.loads(path.read_text())


def test_every_role_has_one() -> None:
    assert set(ROLES) < {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_grafanas_sdk_reads_all_that_is_in_it(path: Path) -> None:
    register_default_plugins()
    written = json.loads(path.read_text())
    read = json.loads(json.dumps(Dashboard.from_json(written), default=lambda one: one.to_json()))
    assert missing(written, read) == []


def missing(written: Any, read: Any, place: str = "") -> list[str]:
    """What the first has and the second has not, or has otherwise."""
    if isinstance(written, dict) and isinstance(read, dict):
        return [
            one
            for key, value in written.items()
            for one in missing(value, read.get(key), f"{place}/{key}")
        ]
    if isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        return [
            one
            for number, (mine, its) in enumerate(zip(written, read, strict=True))
            for one in missing(mine, its, f"{place}/{number}")
        ]
    return [] if written == read else [f"{place}: {written!r} became {read!r}"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_can_be_chosen_what_a_dashboard_shows(path: Path) -> None:
    page = json.loads(path.read_text())
    variables = {one["name"] for one in page["templating"]["list"]}
    assert OURS <= variables <= EVERYWHERE
    used = set(re.findall(r"\$\{?(\w+)", path.read_text())) - {"__all"}
    assert used <= variables | GRAFANAS
    for one in page["templating"]["list"]:
        if one["type"] == "query":
            name, label = re.fullmatch(
                r"label_values\((\w+), (\w+)\)", one["query"]["query"]
            ).groups()
            assert mistakes(f'{name}{{{label}=~".*"}}') == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_panels_lie_beside_each_other(path: Path) -> None:
    panels = json.loads(path.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"],
            one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"],
        )
        assert any(apart), (one, other)


@pytest.mark.parametrize("panel", PANELS, ids=str)
def test_a_panel_says_what_it_shows_of_metrics_that_there_are(panel: Shown) -> None:
    assert panel.title
    assert panel.description.endswith(".")
    assert panel.unit
    assert panel.expressions
    for expression in panel.expressions:
        assert mistakes(expression) == []
        for one in selected(expression):
            labels = {label for label, _, _ in one.matchers}
            assert {"namespace", "site"} <= labels, "it shows more than was chosen"


def test_no_two_panels_of_a_dashboard_have_one_title_in_one_row() -> None:
    names = [str(panel) for panel in PANELS]
    assert len(set(names)) == len(names)


def test_every_metric_is_shown_somewhere() -> None:
    shown = {
        metric_of(one.name)
        for panel in PANELS
        for expression in panel.expressions
        for one in selected(expression)
    }
    assert [metric.name for metric in METRICS if metric not in shown] == []
