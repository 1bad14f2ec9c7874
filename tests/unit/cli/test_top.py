"""`isocenter top`: what it makes of two looks at monitors, and what it says without any."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping

import pytest
from rich.console import Console

from isocenter.cli.top import _address
from isocenter.cli.top_samples import Interval, Scrape
from isocenter.cli.top_view import view
from isocenter.core.errors import Invalid
from isocenter.runtime.instruments import (
    ARCHIVE_INSTANCES,
    ARCHIVE_STUDIES,
    DIMSE_DURATION,
    DISK_FREE,
    DISK_SIZE,
    LOG_DEAD_LETTERS,
    LOG_LAG,
    METRICS,
    PROCESS_READY,
    RETRIEVE_INSTANCES,
    STORE_BYTES,
    STORE_INSTANCES,
    Kind,
)
from isocenter.runtime.telemetry import Outlets, Telemetry, telemetry_to
from support.ports import free_ports

AT = "http://127.0.0.1:9464"
STORED = {"protocol": "DIMSE", "ae": "CT1", "outcome": "ok"}
INSTANCES = {"group": "indexing", "topic": "isocenter.instances"}


class Monitored:
    """Processes with their telemetry, looked at as `top` does."""

    def __init__(self, *processes: str) -> None:
        self.telemetry: dict[str, Telemetry] = {}
        for process in processes:
            self.restart(process)

    def restart(self, process: str) -> None:
        outlets = Outlets(scraped=True, labels={"process": process})
        self.telemetry[process] = telemetry_to(outlets, f"host/{process}", [])

    def look(self, at: float, problems: Mapping[str, str] | None = None) -> Scrape:
        texts = {f"{AT}/{name}": one.exposition().decode() for name, one in self.telemetry.items()}
        return Scrape(at, Scrape.of(texts, {}).samples, problems or {})


def test_metrics_have_the_names_that_the_endpoint_gives_them() -> None:
    telemetry = telemetry_to(Outlets(scraped=True), "host/test", [])
    for metric in METRICS:
        labels = dict.fromkeys(metric.labels, "x")
        if metric.kind is Kind.COUNTER:
            telemetry.count(metric, 1, labels)
        elif metric.kind is Kind.HISTOGRAM:
            telemetry.record(metric, 1, labels)
        else:
            telemetry.observe(metric, lambda labels=labels: [(1, labels)])
    told = re.findall(r"^# TYPE (\w+) ", telemetry.exposition().decode(), re.MULTILINE)
    assert sorted(told) == sorted(metric.in_prometheus for metric in METRICS)


def test_rates_add_up_over_processes_and_survive_their_restarts() -> None:
    monitored = Monitored("one", "two")
    for telemetry in monitored.telemetry.values():
        telemetry.count(STORE_INSTANCES, 100, STORED)
    before = monitored.look(10)
    monitored.telemetry["one"].count(STORE_INSTANCES, 30, STORED)
    monitored.restart("two")
    monitored.telemetry["two"].count(STORE_INSTANCES, 10, STORED)
    interval = Interval(before, monitored.look(12))
    assert interval.rates(STORE_INSTANCES, "ae") == {("CT1",): 20}
    assert interval.rates(STORE_INSTANCES) == {(): 20}


def test_quantiles_are_those_of_what_was_recorded_between() -> None:
    monitored = Monitored("one")
    labels = {"verb": "C-STORE", "ae": "CT1", "status": "success"}
    record = monitored.telemetry["one"].record
    record(DIMSE_DURATION, 50, labels)  # before, so it does not count
    before = monitored.look(0)
    for _ in range(90):
        record(DIMSE_DURATION, 0.003, labels)  # in the bucket from 0.0025 to 0.005
    for _ in range(10):
        record(DIMSE_DURATION, 0.2, labels)  # from 0.1 to 0.25
    record(DIMSE_DURATION, 1000, {**labels, "verb": "C-MOVE"})
    interval = Interval(before, monitored.look(1))
    halves = interval.quantiles(0.5, DIMSE_DURATION, "verb")
    assert halves["C-STORE",] == pytest.approx(0.0025 + 0.0025 * 50 / 90)
    assert interval.quantiles(0.95, DIMSE_DURATION, "verb")["C-STORE",] == pytest.approx(0.175)
    assert halves["C-MOVE",] == 60  # beyond the last bound: at least that
    again = monitored.look(2)
    assert Interval(again, monitored.look(3)).quantiles(0.5, DIMSE_DURATION, "verb") == {}


def shown(interval: Interval) -> dict[str, str]:
    """What is printed: the first column, and the rest of its line."""
    console = Console(width=100, highlight=False)
    with console.capture() as captured:
        console.print(view(interval))
    found = {}
    for line in captured.get().splitlines():
        first, _, rest = line.strip().partition("  ")
        found[first] = " ".join(rest.split())
    return found


def test_everything_that_matters_is_shown() -> None:
    monitored = Monitored("requests-1", "consumers")
    requests, consumers = monitored.telemetry.values()
    for telemetry, ready, lag in ((requests, 0.0, 3), (consumers, 1.0, 5)):
        telemetry.observe(PROCESS_READY, lambda ready=ready: [(ready, {})])
        telemetry.observe(LOG_LAG, lambda lag=lag: [(lag, INSTANCES)])
        telemetry.observe(DISK_SIZE, lambda: [(1e9, {})])
        telemetry.observe(DISK_FREE, lambda: [(25e7, {})])
    consumers.observe(ARCHIVE_STUDIES, lambda: [(12, {})])
    consumers.observe(ARCHIVE_INSTANCES, lambda: [(3456, {})])
    before = monitored.look(0)
    requests.count(STORE_INSTANCES, 20, STORED)
    requests.count(STORE_INSTANCES, 4, {**STORED, "outcome": "unavailable"})
    requests.count(STORE_BYTES, 10e6, {"protocol": "DIMSE", "ae": "CT1"})
    requests.count(STORE_INSTANCES, 2, {**STORED, "protocol": "DICOMweb", "ae": ""})
    requests.count(RETRIEVE_INSTANCES, 6, {"protocol": "DIMSE", "ae": "STATION"})
    for status in ("success", "failure", "aborted"):
        requests.record(DIMSE_DURATION, 0.2, {"verb": "C-FIND", "ae": "CT1", "status": status})
    consumers.count(LOG_DEAD_LETTERS, 1, INSTANCES)
    lines = shown(Interval(before, monitored.look(2, {AT: "requests-1: gateway: closed"})))
    assert f"not ready: {AT}: requests-1: gateway: closed" in lines
    assert lines["processes"] == "1 of 2 ready"
    assert lines["lag of indexing"] == "5 (isocenter.instances)"
    assert lines["dead letters"].startswith("1 since")
    assert lines["archive"].startswith("12 studies, 3,456 instances;")
    assert lines["disk"] == "250.0 MB of 1.0 GB free (25%)"
    assert lines["CT1"] == "10.0 5.0 2.0"
    assert lines["DICOMweb"] == "1.0 0.0 0.0"
    assert lines["STATION"] == "3.0 0.0"
    assert lines["C-FIND"] == "1.5 175 ms 242 ms 1.0"


def top(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "isocenter", "top", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_where_nothing_listens_it_says_which_setting_does_that() -> None:
    (port,) = free_ports(1)
    for arguments in ((f"http://127.0.0.1:{port}", "--once"), ()):
        done = top(*arguments)
        assert done.returncode == 1
        assert "--set monitor.port=9464" in done.stderr


def test_an_address_may_be_that_of_the_metrics_and_must_be_one() -> None:
    assert _address("http://host:9464/metrics") == "http://host:9464"
    assert _address("http://host:9464/") == "http://host:9464"
    with pytest.raises(Invalid, match="not the address of a monitor"):
        _address("host:9464")
