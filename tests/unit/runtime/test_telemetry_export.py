"""Telemetry on its way to a collector, and what happens where there is none."""

from __future__ import annotations

import asyncio
import logging
import re
import time

import pytest

from isocenter.core.errors import Invalid
from isocenter.runtime.instruments import STORE_INSTANCES
from isocenter.runtime.telemetry import NO_SPAN, OFF, Outlets, Telemetry, telemetry_to
from isocenter.settings import load
from support.otlp_receiver import receiving
from support.ports import free_ports

LABELS = {"protocol": "DIMSE", "ae": "CT1", "outcome": "ok"}


@pytest.fixture(autouse=True)
def _libraries_are_heard_again():
    logger = logging.getLogger("opentelemetry")
    level = logger.level
    yield
    logger.setLevel(level)


def to(endpoint: str) -> Telemetry:
    return telemetry_to(Outlets(endpoint), "host/test", ["gateway", "web"])


def test_without_an_endpoint_telemetry_is_off() -> None:
    assert to("") is OFF


@pytest.mark.parametrize("endpoint", ["http://collector:4317", "https://[::1]:4317", ""])
def test_an_endpoint_is_an_address(endpoint: str) -> None:
    assert load(flags={"telemetry.endpoint": endpoint}).telemetry.endpoint == endpoint


@pytest.mark.parametrize("endpoint", ["collector:4317", "http://collector", "http://c:1/v1/traces"])
def test_what_is_no_address_is_an_error_that_says_what_to_write(endpoint: str) -> None:
    with pytest.raises(Invalid, match=r"telemetry\.endpoint: .*write http://host:4317"):
        load(flags={"telemetry.endpoint": endpoint})


async def test_closing_sends_everything_and_says_where_it_comes_from() -> None:
    with receiving() as receiver:
        telemetry = to(receiver.endpoint)
        with telemetry.span("C-STORE", {"size": 3}):
            telemetry.count(STORE_INSTANCES, 1, LABELS)
        await telemetry.close()
    (span,) = receiver.spans
    assert (span.name, span.attributes, span.roles) == (
        "C-STORE",
        {"size": 3},
        ("gateway", "web"),
    )
    assert receiver.metrics[STORE_INSTANCES.name] == [LABELS]
    (resource,) = receiver.resources
    assert resource["service.name"] == "isocenter"
    assert resource["service.instance.id"] == "host/test"
    assert resource["service.version"]


async def test_a_collector_that_is_not_there_slows_nothing_and_is_told_once(caplog) -> None:
    caplog.set_level(logging.INFO)
    (port,) = free_ports(1)
    telemetry = to(f"http://127.0.0.1:{port}")
    began = time.perf_counter()
    for _ in range(6000):  # more than the queue holds
        with telemetry.span("C-STORE"):
            telemetry.count(STORE_INSTANCES, 1, LABELS)
    assert time.perf_counter() - began < 20
    began = time.perf_counter()
    await telemetry.close()
    assert time.perf_counter() - began < 10
    told = [record for record in caplog.records if record.name != "asyncio"]
    assert {record.name for record in told} <= {"isocenter.runtime.telemetry_export"}
    assert 1 <= len(told) <= 2  # of each signal once


async def test_a_collector_that_comes_late_gets_what_follows_and_that_is_told(caplog) -> None:
    caplog.set_level(logging.INFO)
    (port,) = free_ports(1)
    telemetry = to(f"http://127.0.0.1:{port}")
    telemetry.span("lost").end()
    async with asyncio.timeout(30):
        while not caplog.records:
            await asyncio.sleep(0.05)
    assert caplog.records[0].message == "telemetry does not arrive and is dropped"
    with receiving(port) as receiver:
        async with asyncio.timeout(30):
            while not receiver.spans:
                telemetry.span("late").end()
                await asyncio.sleep(0.1)
        await telemetry.close()
    assert "telemetry arrives again" in caplog.messages


async def test_a_collector_and_whoever_scrapes_get_the_same() -> None:
    with receiving() as receiver:
        outlets = Outlets(receiver.endpoint, scraped=True, labels={"site": "north"})
        telemetry = telemetry_to(outlets, "host/test", ["gateway"])
        with telemetry.span("C-STORE"):
            telemetry.count(STORE_INSTANCES, 3, LABELS)
        scraped = telemetry.exposition().decode()
        await telemetry.close()
    assert [span.name for span in receiver.spans] == ["C-STORE"]
    assert receiver.metrics[STORE_INSTANCES.name] == [LABELS]
    assert receiver.resources[0]["site"] == "north"
    assert re.search(
        r'^isocenter_store_instances_total\{.*site="north".*\} 3', scraped, re.MULTILINE
    )


async def test_what_is_only_scraped_makes_no_spans_and_passes_the_traces_of_others_on() -> None:
    telemetry = telemetry_to(Outlets(scraped=True), "host/test", ["gateway"])
    assert telemetry.on
    with telemetry.span("C-STORE"):
        assert telemetry.child("bus.append") is NO_SPAN
        assert telemetry.headers() == {}
        assert telemetry.log_fields() == {}
    carried = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    with telemetry.span("GET", parent=carried):
        assert telemetry.headers() == carried
    await telemetry.close()
