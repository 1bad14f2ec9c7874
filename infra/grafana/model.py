"""What a dashboard is: rows of panels as data, and Grafana's JSON of them.

The JSON has what Grafana 10 and newer reads, and nothing that depends on when it is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

Json = dict[str, Any]

TAG = "isocenter"
_WIDTH = 24  # of a dashboard, in Grafana's columns
_SCHEMA_VERSION = 39  # of Grafana 11; older ones ignore what they do not know
_SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}

GREEN, ORANGE, RED = "green", "orange", "red"


class Kind(Enum):
    """How a panel shows its queries."""

    GRAPH = "timeseries"
    NUMBER = "stat"
    BARS = "bargauge"


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and the name of each series in the legend."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. `orange` and `red` are the values from which on it has that colour; with `red`
    below `orange`, what is small is bad."""

    title: str
    description: str
    unit: str  # an id of Grafana's units
    queries: tuple[Query, ...]
    kind: Kind = Kind.GRAPH
    width: int = 12
    orange: float | None = None
    red: float | None = None
    signed: bool = False  # may be below 0

    @property
    def height(self) -> int:
        """In Grafana's rows."""
        return 4 if self.kind is Kind.NUMBER else 8


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice of a label's values at the head of a dashboard."""

    label: str
    metric: str  # whose label it is


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One page."""

    name: str  # of its file, and part of its address
    title: str
    description: str
    rows: tuple[Row, ...]
    since: str = "now-6h"
    variables: tuple[Variable, ...] = ()

    def json(self, choices: Sequence[Variable]) -> Json:
        """As Grafana takes it, with these variables and its own."""
        return {
            "uid": f"isocenter-{self.name}",
            "title": f"Isocenter / {self.title}",
            "description": self.description,
            "tags": [TAG],
            "schemaVersion": _SCHEMA_VERSION,
            "editable": True,
            "graphTooltip": 1,  # one crosshair in all panels
            "timezone": "browser",
            "refresh": "30s",
            "time": {"from": self.since, "to": "now"},
            "links": [_link()],
            "templating": {
                "list": [_source(), *(_variable(one) for one in (*choices, *self.variables))]
            },
            "panels": list(_laid_out(self.rows)),
        }


def _laid_out(rows: Sequence[Row]) -> Iterator[Json]:
    """Panels from left to right, in as many lines as they need."""
    number, top = 0, 0
    for row in rows:
        number += 1
        yield _heading(row, number, top)
        top, left, height = top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > _WIDTH:
                top, left, height = top + height, 0, 0
            number += 1
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            yield {"id": number, "gridPos": place, **_panel(panel)}
            left, height = left + panel.width, max(height, panel.height)
        top += height


def _heading(row: Row, number: int, top: int) -> Json:
    return {
        "id": number,
        "type": "row",
        "title": row.title,
        "collapsed": False,
        "gridPos": {"x": 0, "y": top, "w": _WIDTH, "h": 1},
        "panels": [],
    }


def _panel(panel: Panel) -> Json:
    lowest: Json = {} if panel.signed else {"min": 0}
    return {
        "type": panel.kind.value,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "targets": [
            _target(query, chr(ord("A") + place), panel.kind)
            for place, query in enumerate(panel.queries)
        ],
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                **lowest,
                "color": {"mode": "palette-classic" if panel.kind is Kind.GRAPH else "thresholds"},
                "thresholds": {"mode": "absolute", "steps": list(_steps(panel))},
                "custom": _LINES if panel.kind is Kind.GRAPH else {},
            },
            "overrides": [],
        },
        "options": _OPTIONS[panel.kind],
    }


def _target(query: Query, letter: str, kind: Kind) -> Json:
    now = kind is not Kind.GRAPH
    return {
        "refId": letter,
        "datasource": _SOURCE,
        "expr": query.expression,
        "legendFormat": query.legend,
        "editorMode": "code",
        "instant": now,
        "range": not now,
    }


def _steps(panel: Panel) -> Iterator[Json]:
    """The colours from the lowest value upwards; the first has no limit."""
    limits = [(ORANGE, panel.orange), (RED, panel.red)]
    given = sorted((limit, colour) for colour, limit in limits if limit is not None)
    small_is_bad = panel.orange is not None and panel.red is not None and panel.red < panel.orange
    if small_is_bad:
        colours, from_on = [colour for _, colour in given] + [GREEN], [limit for limit, _ in given]
    else:
        colours, from_on = [GREEN, *(colour for _, colour in given)], [limit for limit, _ in given]
    for colour, limit in zip(colours, [None, *from_on], strict=True):
        yield {"color": colour, "value": limit}


def _link() -> Json:
    return {
        "type": "dashboards",
        "title": "Isocenter",
        "tags": [TAG],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "",
        "url": "",
    }


def _source() -> Json:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "regex": "",
    }


def _variable(one: Variable) -> Json:
    query = f"label_values({one.metric}, {one.label})"
    return {
        "name": one.label,
        "label": one.label.capitalize() if len(one.label) > 2 else one.label.upper(),
        "type": "query",
        "datasource": _SOURCE,
        "query": {"qryType": 1, "query": query, "refId": one.label},
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "includeAll": True,
        "allValue": ".*",  # what has no such label is among all
        "multi": True,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "options": [],
        "regex": "",
    }


_LINES: Json = {
    "drawStyle": "line",
    "lineInterpolation": "linear",
    "lineWidth": 1,
    "fillOpacity": 10,
    "showPoints": "never",
    "spanNulls": False,
}
_REDUCED: Json = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_OPTIONS: dict[Kind, Json] = {
    Kind.GRAPH: {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    Kind.NUMBER: {
        "reduceOptions": _REDUCED,
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
    },
    Kind.BARS: {
        "reduceOptions": _REDUCED,
        "displayMode": "basic",
        "orientation": "horizontal",
        "showUnfilled": True,
        "valueMode": "color",
    },
}
