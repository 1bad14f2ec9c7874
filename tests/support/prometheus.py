"""A real Prometheus that scrapes monitors and evaluates the alerts of the chart."""

from __future__ import annotations

import json
import math
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from support.clients import tool
from support.harness import wait_until
from support.ports import free_ports

RULES = Path(__file__).parents[2] / "charts/isocenter/files/rules/isocenter.yaml"


class Prometheus:
    """One that runs."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **parameters: str) -> Any:
        """What its HTTP API answers."""
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=30) as answer:
            return json.load(answer)["data"]

    def values(self, expression: str) -> list[float]:
        """The values of an expression now, without those that are none."""
        found = self.ask("query", query=expression)["result"]
        return [value for one in found if not math.isnan(value := float(one["value"][1]))]

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def targets_are_up(self, count: int) -> bool:
        """Whether so many are scraped."""
        return self.values("sum(up)") == [count]

    def rules(self) -> list[dict[str, Any]]:
        """All rules with their state."""
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]

    def firing(self) -> list[str]:
        """Alerts that fire."""
        found = self.ask("alerts")["alerts"]
        return [one["labels"]["alertname"] for one in found if one["state"] == "firing"]


@contextmanager
def scraping(folder: Path, monitors: Sequence[int], rules: Path = RULES) -> Iterator[Prometheus]:
    """A Prometheus that scrapes these ports of this machine every second."""
    [port] = free_ports(1)
    configuration = folder / "prometheus.yml"
    folder.mkdir(parents=True, exist_ok=True)
    targets = [f"127.0.0.1:{monitor}" for monitor in monitors]
    settings = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": "isocenter", "static_configs": [{"targets": targets}]}],
    }
    configuration.write_text(yaml.safe_dump(settings))
    command = [
        tool("prometheus"),
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        prometheus = Prometheus(port)
        wait_until(prometheus.is_ready, 60, "Prometheus is ready")
        wait_until(lambda: prometheus.targets_are_up(len(targets)), 60, "all monitors are scraped")
        yield prometheus
    finally:
        process.terminate()
        process.wait(30)
