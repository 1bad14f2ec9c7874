"""The monitor: what it answers with, alone and for a family of processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from isocenter.core.errors import Unavailable
from isocenter.runtime.health import Health
from isocenter.runtime.instruments import ASSOCIATIONS_OPEN, STORE_DURATION, STORE_INSTANCES
from isocenter.runtime.monitor import Monitor, pages_of
from isocenter.runtime.monitor_family import merged, pages_of_family
from isocenter.runtime.role import Role
from isocenter.runtime.telemetry import Outlets, Telemetry, telemetry_to


class Worker(Role):
    """A role that is as ready as a test says."""

    name = "worker"

    def __init__(self) -> None:
        self.wrong: Sequence[str] = ()

    def problems(self) -> Sequence[str]:
        return self.wrong


def scraped(**labels: str) -> Telemetry:
    """Telemetry that is only scraped."""
    return telemetry_to(Outlets(scraped=True, labels=labels), "host/test", ["worker"])


@pytest.fixture
async def worker() -> Worker:
    return Worker()


@pytest.fixture
async def monitor(worker: Worker) -> AsyncIterator[Monitor]:
    """Listening on a port of the system's choice."""
    health = Health([worker])
    monitor = Monitor(pages_of(health, lambda: b"m 1\n"), health, host="127.0.0.1")
    await monitor.start()
    yield monitor
    await monitor.stop()


async def get(monitor: Monitor, path: str, method: str = "GET") -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.request(method, f"http://127.0.0.1:{monitor.port}{path}")


async def raw(monitor: Monitor, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", monitor.port)
    writer.write(request)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


async def test_answers_while_it_lives_and_tells_its_metrics(monitor: Monitor) -> None:
    assert (await get(monitor, "/livez")).json() == {"status": "ok"}
    answer = await get(monitor, "/metrics")
    assert (answer.status_code, answer.text) == (200, "m 1\n")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert (await get(monitor, "/livez", "HEAD")).content == b""


async def test_is_ready_when_its_roles_are_and_says_why_not(
    monitor: Monitor, worker: Worker
) -> None:
    assert (await get(monitor, "/readyz?verbose")).status_code == 200
    worker.wrong = ("the disk is full",)
    answer = await get(monitor, "/readyz")
    assert (answer.status_code, answer.json()["problems"]) == (503, ["worker: the disk is full"])
    worker.wrong = ()
    await monitor.drain()
    answer = await get(monitor, "/readyz")
    assert (answer.status_code, answer.json()["problems"]) == (503, ["process: it is stopping"])


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\n\r\n", 404),
        (b"DELETE /livez HTTP/1.1\r\n\r\n", 405),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\n", 400),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", 400),
    ],
    ids=["no such page", "no such method", "no request", "half a request", "a long one"],
)
async def test_bad_requests_get_an_answer(monitor: Monitor, request_: bytes, status: int) -> None:
    assert (await raw(monitor, request_)).startswith(f"HTTP/1.1 {status} ".encode())


async def test_a_page_that_fails_is_an_answer_too(worker: Worker) -> None:
    def fails() -> bytes:
        raise ValueError

    health = Health([worker])
    monitor = Monitor(pages_of(health, fails), health, host="127.0.0.1")
    await monitor.start()
    try:
        assert (await get(monitor, "/metrics")).status_code == 500
        assert (await get(monitor, "/livez")).status_code == 200
    finally:
        await monitor.stop()


async def test_a_taken_port_is_told(monitor: Monitor) -> None:
    health = Health(())
    second = Monitor({}, health, host="127.0.0.1", port=monitor.port)
    with pytest.raises(Unavailable, match=r"monitoring.*monitor\.port"):
        await second.start()


def test_metrics_are_prometheus_text_with_the_labels_of_the_process() -> None:
    telemetry = scraped(site="north", process="requests-1")
    telemetry.count(STORE_INSTANCES, 3, {"protocol": "DIMSE", "outcome": "ok"})
    telemetry.record(STORE_DURATION, 0.03, {"protocol": "DIMSE", "outcome": "ok"})
    telemetry.observe(ASSOCIATIONS_OPEN, lambda: [(2, {})])
    families = {
        family.name: family
        for family in text_string_to_metric_families(telemetry.exposition().decode())
    }
    (sample,) = families["isocenter_store_instances"].samples
    assert (sample.name, sample.value) == ("isocenter_store_instances_total", 3)
    of_process = {"site": "north", "process": "requests-1"}
    assert sample.labels == {"protocol": "DIMSE", "outcome": "ok"} | of_process
    duration = families["isocenter_store_duration_seconds"]
    assert duration.documentation == STORE_DURATION.what
    buckets = {
        one.labels["le"]: one.value for one in duration.samples if one.name.endswith("_bucket")
    }
    assert (buckets["0.025"], buckets["0.05"], buckets["+Inf"]) == (0, 1, 1)
    (open_,) = families["isocenter_associations_open"].samples
    assert (open_.value, open_.labels) == (2, of_process)


def test_a_family_is_told_metric_by_metric() -> None:
    texts = []
    for process in ("one", "two"):
        telemetry = scraped(process=process)
        telemetry.count(STORE_INSTANCES, 5, {"protocol": "DIMSE", "outcome": "ok"})
        texts.append(telemetry.exposition())
    text = merged(texts).decode()
    assert text.count("# TYPE isocenter_store_instances_total counter") == 1
    (family,) = text_string_to_metric_families(text)
    assert {one.labels["process"]: one.value for one in family.samples} == {"one": 5, "two": 5}


async def test_a_family_is_ready_when_all_are(tmp_path: Path) -> None:
    workers = {name: Worker() for name in ("one", "two")}
    sockets = {name: tmp_path / f"{name}.sock" for name in workers}
    monitors = []
    for name, worker in workers.items():
        health = Health([worker])
        pages = pages_of(health, scraped(process=name).exposition)
        monitors.append(Monitor(pages, health, socket=sockets[name]))
        await monitors[-1].start()
    pages = pages_of_family({**sockets, "three": tmp_path / "three.sock"})
    workers["two"].wrong = ("no log",)
    answer = await pages["/readyz"]()
    assert answer.status == 503
    assert b'"two: worker: no log","three: does not answer"' in answer.body
    workers["two"].wrong = ()
    assert (await pages_of_family(sockets)["/readyz"]()).status == 200
    assert (await pages["/livez"]()).status == 200
    for monitor in monitors:
        await monitor.stop()
