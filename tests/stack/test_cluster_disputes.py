"""Writers that disagree, events that nobody understands, clocks that differ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from kafka import KafkaProducer

from support.files import Series, find_instances, write_series
from support.harness import Isocenter, wait_until
from support.requests import OUT_OF_RESOURCES, SUCCESS, c_store
from support.senders import DimseSender, check_kept
from support.stack import Stack

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
NAME = "disputes"


@pytest.fixture(scope="module")
def cluster(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Isocenter]:
    """Two gateways, two ingests, two indexers."""
    data = tmp_path_factory.mktemp(NAME) / "data"
    copies = {"gateway": 2, "ingest": 2, "indexing": 2}
    cluster = Isocenter(data, "split", stack.settings(NAME), copies)
    try:
        cluster.prepare()
        cluster.start()
        yield cluster
    finally:
        cluster.kill()


def _at_both_gateways(cluster: Isocenter, one: Series, other: Series) -> None:
    """Store both at the same time, each at a gateway of its own."""
    senders = [
        DimseSender(cluster, [one]),
        DimseSender(cluster, [other], cluster.ports["gateway-2"]),
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(60)
        assert not sender.pending, sender.refused


def _conflicts(cluster: Isocenter, study: str) -> list[str]:
    listed = cluster.cli("audit list", "--json", "--study", study, "--action", "conflict")
    return sorted(json.loads(line)["instances"][0] for line in listed.stdout.splitlines())


def test_two_contents_of_an_instance_at_two_gateways_are_both_kept_and_one_answers(
    cluster: Isocenter, tmp_path: Path
) -> None:
    one = write_series(tmp_path / "one", 10)
    other = Series(tmp_path / "other", one.study, one.series, one.patient_id)
    other.folder.mkdir()
    for uid, path in one.files.items():
        changed = pydicom.dcmread(path)
        changed.ImageComments = "another content"
        other.files[uid] = other.folder / path.name
        changed.save_as(other.files[uid])
    _at_both_gateways(cluster, one, other)
    wait_until(
        lambda: _conflicts(cluster, one.study) == sorted(one.files),
        60,
        "every conflict is in the audit trail once",
    )
    assert len(cluster.objects.contents(one.study)) == 20
    assert sorted(find_instances(cluster, one.study)) == sorted(one.files)
    (study,) = cluster.search(f"/studies?StudyInstanceUID={one.study}")
    assert study["00201208"]["Value"] == [10]
    metadata = json.loads(cluster.get(f"/studies/{one.study}/metadata"))
    assert sorted(m["00080018"]["Value"][0] for m in metadata) == sorted(one.files)
    # What answers a search is what is retrieved.
    for each in metadata:
        uid = each["00080018"]["Value"][0]
        place = f"/studies/{one.study}/series/{one.series}/instances/{uid}"
        body = cluster.get(place, accept="application/dicom; transfer-syntax=*")
        assert (b"another content" in body) == ("00204000" in each)


def test_the_same_content_at_two_gateways_is_one_object(cluster: Isocenter, tmp_path: Path) -> None:
    series = write_series(tmp_path / "same", 10)
    _at_both_gateways(cluster, series, series)
    wait_until(lambda: len(find_instances(cluster, series.study)) == 10, 60)
    assert len(cluster.objects.contents(series.study)) == 10
    assert _conflicts(cluster, series.study) == []
    check_kept(cluster, [series], series.files)


def test_poison_and_future_events_go_to_the_dead_letters_and_the_rest_goes_on(
    cluster: Isocenter, stack: Stack, tmp_path: Path
) -> None:
    series = write_series(tmp_path / "around", 4)
    first, *others = series.files.values()
    assert c_store(cluster, first) == SUCCESS
    producer = KafkaProducer(bootstrap_servers=stack.kafka.address)
    for kind, data in (
        (b"isocenter.v1.InstanceStored", b"\xff\xff no message"),
        (b"isocenter.v9.InstanceFolded", b"of a future version"),
    ):
        headers = [("ce_type", kind), ("ce_id", b"poison"), ("ce_specversion", b"1.0")]
        topic = f"{NAME}.instances"
        producer.send(topic, data, key=series.study.encode(), headers=headers).get(10)
    producer.close()
    for path in others:
        assert c_store(cluster, path, "gateway-2") == SUCCESS
    wait_until(lambda: len(find_instances(cluster, series.study)) == 4, 60, "the rest goes on")

    def letters() -> list[str]:
        told = cluster.cli("dead list").stdout.splitlines()
        return [line for line in told if "isocenter.instances/" in line]

    wait_until(lambda: len(letters()) == 2, 30, "both are among the dead letters")
    (future,) = [line for line in letters() if "InstanceFolded" in line]
    assert "update this process" in future


@pytest.mark.parametrize(("role", "shift"), [("ingest", "+10m"), ("indexing", "-10m")])
def test_clocks_that_differ_by_minutes_do_no_harm(
    cluster: Isocenter, tmp_path: Path, role: str, shift: str
) -> None:
    _restart(cluster, role, {"LD_PRELOAD": FAKETIME, "FAKETIME": shift})
    try:
        series = write_series(tmp_path / "new", 6)
        for number, path in enumerate(series.files.values()):
            assert c_store(cluster, path, ("gateway", "gateway-2")[number % 2]) == SUCCESS
        check_kept(cluster, [series], series.files)
    finally:
        _restart(cluster, role, {})


def test_a_clock_that_the_object_store_refuses_is_named(cluster: Isocenter, tmp_path: Path) -> None:
    told = len(cluster.log.read_text())
    _restart(cluster, "storage", {"LD_PRELOAD": FAKETIME, "FAKETIME": "+2h"})
    try:
        series = write_series(tmp_path / "new", 1)
        (path,) = series.files.values()
        wait_until(
            lambda: (
                c_store(cluster, path) == OUT_OF_RESOURCES
                and "clock" in cluster.log.read_text()[told:]
            ),
            30,
            "it is refused, and the log names the clock",
        )
    finally:
        _restart(cluster, "storage", {})
    wait_until(lambda: c_store(cluster, path) == SUCCESS, 30, "storing again")


def _restart(cluster: Isocenter, name: str, env: dict[str, str]) -> None:
    monotonic = {"DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"} if env else {}
    cluster.kill_one(name)
    cluster.start_one(name, env | monotonic)
    wait_until(lambda: cluster.listens(cluster.ports[name]), 60, f"{name} listens")
