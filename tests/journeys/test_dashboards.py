"""Every panel of every dashboard shows something of an installation at work, as a real Prometheus
reads it; no alert fires for one that is well, and one does for what goes wrong."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from isocenter.adapters.bus.log import LogBus
from isocenter.core.events import TOPIC_INSTANCES, ConflictPolicy
from isocenter.runtime.event_codec import encode
from support.archive import announcement
from support.clients import dcmtk, storescp
from support.dashboards import PANELS, Shown
from support.datasets import ct_image
from support.files import Series, count_instances, write_series
from support.harness import Isocenter, wait_until
from support.ports import free_ports
from support.prometheus import Prometheus, scraping
from support.senders import STOW_HEADERS, stow_body

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("dashboards"), pytest.mark.timeout(300)]

COUNT = 3  # instances of a series
WHOLE = 'multipart/related; type="application/dicom"; transfer-syntax=*'
CHOSEN = {
    "$namespace": ".*", "$site": ".*", "$ae": ".*", "$__rate_interval": "30s", "$__range": "10m",
}  # fmt: skip

# With all roles of a store in one process there are no calls between processes to be shown.
NEED_PROCESSES = {"calls"}


@dataclass(frozen=True)
class Watched:
    """An installation, who looks at it, and where it may send to."""

    isocenter: Isocenter
    prometheus: Prometheus
    folder: Path


@pytest.fixture(scope="module", params=["up", "split"])
def watched(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp(request.param)
    station, *ports = free_ports(20)
    known = [
        {"title": "CT1", "host": "127.0.0.1"},
        {"title": "STATION", "host": "127.0.0.1", "port": station},
    ]
    settings = {"gateway.known_aes": known, "site": "north", "indexing.quiet_seconds": 1}
    isocenter = Isocenter(folder / "data", request.param, settings)
    names = ["up"] if request.param == "up" else list(isocenter.ports)
    monitors = dict(zip(names, ports, strict=False))
    try:
        start(isocenter, monitors)
        first = write_series(folder / "first", COUNT)
        store(isocenter, first)
        isocenter.stop()  # the totals of the archive are looked at when a process starts
        start(isocenter, monitors)
        with (
            storescp(folder / "station", ae_title="STATION", port=station),
            scraping(folder / "prometheus", list(monitors.values())) as prometheus,
        ):
            yield Watched(isocenter, prometheus, folder)
    finally:
        isocenter.kill()


def start(isocenter: Isocenter, monitors: dict[str, int]) -> None:
    """Start it, each of its processes with a monitor, or one for all."""
    if isocenter.shape == "up":
        isocenter.settings["monitor.port"] = monitors["up"]
        isocenter.start()
        return
    for name, port in monitors.items():
        isocenter.start_one(name, {"ISOCENTER_MONITOR__PORT": str(port)})
    wait_until(isocenter.ready, 60, "ready")


def store(isocenter: Isocenter, series: Series) -> None:
    """By C-STORE, until it is found."""
    stored = dcmtk("storescu", isocenter, "+sd", series.folder, calling="CT1")
    assert stored.code == 0, stored.text
    wait_until(lambda: count_instances(isocenter, series.study) == series.count, 60, "findable")


def work(watched: Watched, number: int) -> None:
    """What a hospital does, once: it stores, searches, fetches and looks."""
    isocenter, folder = watched.isocenter, watched.folder / f"round-{number}"
    series = write_series(folder, COUNT)
    store(isocenter, series)
    body = stow_body(next(iter(series.files.values())))
    request = urllib.request.Request(f"{isocenter.dicomweb}/studies", body, STOW_HEADERS)
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={series.study}")
    got = folder / "got"
    got.mkdir()
    for program, *arguments in (
        ("echoscu",),
        ("findscu", "-S", *keys),
        ("movescu", "-S", "-aem", "STATION", *keys),
        ("getscu", "-S", "-od", got, *keys),
    ):
        done = dcmtk(program, isocenter, *arguments, calling="STATION")
        assert done.code == 0, done.text
    study, instance = f"/studies/{series.study}", next(iter(series.files))
    isocenter.get(study, WHOLE)
    isocenter.get(f"{study}/metadata")
    isocenter.get(f"{study}/series/{series.series}/instances/{instance}/rendered", "image/png")


def empty(prometheus: Prometheus, panel: Shown) -> list[str]:
    """The expressions of a panel that have no value now."""
    return [one for one in panel.expressions if not prometheus.values(as_chosen(one))]


def as_chosen(expression: str) -> str:
    """As Grafana asks it, with everything chosen."""
    for variable, value in CHOSEN.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression
    return expression


def test_every_panel_shows_something_of_an_installation_at_work(watched: Watched) -> None:
    shape = watched.isocenter.shape
    left = [one for one in PANELS if shape == "split" or one.dashboard not in NEED_PROCESSES]
    rounds = iter(range(100))

    def all_shown() -> bool:
        work(watched, next(rounds))
        left[:] = [panel for panel in left if empty(watched.prometheus, panel)]
        return not left

    try:
        wait_until(all_shown, 120, "every panel shows something")
    except AssertionError as error:
        shown = {str(one): empty(watched.prometheus, one) for one in left}
        raise AssertionError(f"these show nothing: {shown}") from error


def test_no_alert_fires_while_all_is_well_and_all_rules_can_be_evaluated(watched: Watched) -> None:
    names = {rule["name"] for rule in watched.prometheus.rules() if rule["type"] == "recording"}
    assert names
    rounds = iter(range(100, 200))

    def all_recorded() -> bool:
        work(watched, next(rounds))  # a rate needs what grows between two scrapes
        return all(watched.prometheus.values(name) for name in names)

    wait_until(all_recorded, 60, f"each of {sorted(names)} has a value")
    rules = watched.prometheus.rules()
    assert {(rule["name"], rule["health"], rule.get("lastError")) for rule in rules} == {
        (rule["name"], "ok", None) for rule in rules
    }
    assert watched.prometheus.firing() == []


def test_the_very_first_dead_letter_raises_its_alert(watched: Watched) -> None:
    poison, _ = announcement(ct_image(64, 64), ConflictPolicy.KEEP_FIRST, inline=False)

    async def announce_what_is_not_there() -> None:
        bus = await LogBus.open(watched.isocenter.data / "log")
        await bus.append(TOPIC_INSTANCES, [encode(poison)])
        await bus.close()

    asyncio.run(announce_what_is_not_there())
    wait_until(lambda: "IsocenterDeadLetters" in watched.prometheus.firing(), 60, "the alert")
