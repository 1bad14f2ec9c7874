"""One trace runs from the C-STORE, through every process and the log, to the first answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage

from isocenter.runtime.instruments import METRICS
from isocenter.runtime.spans import SPANS
from support.datasets import ct_image
from support.harness import Isocenter, running, wait_until
from support.otlp_receiver import Receiver, Span, receiving
from support.stack import Stack

# From the first step to the last, each below the one before it: name, and the role that did it.
PATH = (
    ("C-STORE", "gateway"),
    ("isocenter.v1.IngestService/StoreWhole", "gateway"),  # the client's side
    ("isocenter.v1.IngestService/StoreWhole", "ingest"),
    ("ingest.store", "ingest"),
    ("bus.append", "ingest"),
    ("indexing.event", "indexing"),
    ("query.first_answer", "query"),
)
CUSTODY = (
    ("ingest.store", "ingest"),
    ("isocenter.v1.StorageService/Keep", "ingest"),
    ("isocenter.v1.StorageService/Keep", "storage"),
    ("storage.put", "storage"),
)
# What one C-STORE and one search say nothing about.
NOT_MEASURED = {
    "isocenter.audit.forward.down",
    "isocenter.audit.forward.failures",
    "isocenter.audit.forwarded",
    "isocenter.audit.publish.failures",
    "isocenter.fill.attributes",
    "isocenter.fill.objects",
    "isocenter.fill.remaining",
    "isocenter.limits.refused",
    "isocenter.log.dead_letters",
    "isocenter.log.skipped",
    "isocenter.moves.active",
    "isocenter.moves.waiting",
    "isocenter.outbox.kept",
    "isocenter.outbox.relayed",
    "isocenter.retrieve.bytes",
    "isocenter.retrieve.failures",
    "isocenter.retrieve.instances",
    "isocenter.retrieve.retries",
    "isocenter.sweep.objects",
    "isocenter.transcoding.duration",
}
SECRETS = {"patient name": "NOBODY^IN^PARTICULAR", "patient ID": "SECRET-ID-4711"}


@contextmanager
def observed(
    data: Path, shape: str, settings: Mapping[str, object] | None = None
) -> Iterator[tuple[Isocenter, Receiver]]:
    with receiving() as receiver:
        told = {**(settings or {}), "telemetry.endpoint": receiver.endpoint}
        with running(data, shape, told) as isocenter:
            yield isocenter, receiver


def store_and_find(isocenter: Isocenter) -> tuple[str, ...]:
    """Send one instance and wait until it is found; its UIDs."""
    image = ct_image(64, 64, patient_id=SECRETS["patient ID"])
    image.PatientName = SECRETS["patient name"]
    ae = AE("SCANNER")
    ae.add_requested_context(CTImageStorage, image.file_meta.TransferSyntaxUID)
    association = ae.associate(isocenter.host, isocenter.dicom_port, ae_title="ISOCENTER")
    assert association.is_established
    assert association.send_c_store(image).Status == 0x0000
    association.release()
    query = f"/studies?StudyInstanceUID={image.StudyInstanceUID}"
    wait_until(lambda: isocenter.search(query), what="the study is found")
    return str(image.StudyInstanceUID), str(image.SeriesInstanceUID), str(image.SOPInstanceUID)


def step(spans: list[Span], name: str, role: str) -> Span:
    """The one step of this name in a process of this role."""
    (found,) = [span for span in spans if span.name == name and role in span.roles]
    return found


def assert_each_below_the_one_before(spans: list[Span], path: tuple[tuple[str, str], ...]) -> None:
    steps = [step(spans, name, role) for name, role in path]
    parents = [one.parent for one in steps[1:]]
    assert parents == [one.id for one in steps[:-1]], [one.name for one in steps]


def test_a_store_in_separate_processes_is_one_trace_to_its_first_answer(tmp_path: Path) -> None:
    with observed(tmp_path / "data", "split") as (isocenter, receiver):
        uids = store_and_find(isocenter)
        wait_until(
            lambda: "isocenter.audit.records" in receiver.metrics,
            seconds=30,
            what="the records of the store and the search are kept, and measurements are sent",
        )
        assert set(isocenter.stop().values()) == {0}
        spans = receiver.trace_of("query.first_answer")
    assert step(spans, "C-STORE", "gateway").parent == ""
    assert_each_below_the_one_before(spans, PATH)
    assert_each_below_the_one_before(spans, CUSTODY)
    assert step(spans, "C-STORE", "gateway").attributes["dicom.status"] == "0x0000"

    (search,) = step(spans, "query.first_answer", "query").links
    (searched,) = [span for span in receiver.spans if span.id == search]
    assert searched.name == "query.search"
    asked = [span.name for span in receiver.spans if span.trace == searched.trace]
    assert "GET /dicomweb/studies" in asked

    for span in receiver.spans:
        (row,) = [row for row in SPANS if fnmatchcase(span.name, row.name)]
        assert span.attributes.keys() <= {*row.attributes, "error.type"}, span
    assert {metric.name for metric in METRICS} - receiver.metrics.keys() == NOT_MEASURED
    _nothing_identifies(receiver, uids)


def test_a_store_on_one_machine_is_one_trace_to_its_first_answer(tmp_path: Path) -> None:
    with observed(tmp_path / "data", "up") as (isocenter, receiver):
        uids = store_and_find(isocenter)
        assert set(isocenter.stop().values()) == {0}
        spans = receiver.trace_of("query.first_answer")
    path = [(name, role) for name, role in PATH if not name.startswith("isocenter.")]
    assert_each_below_the_one_before(spans, tuple(path))
    assert_each_below_the_one_before(spans, (CUSTODY[0], ("storage.commit", "storage")))
    _nothing_identifies(receiver, uids)


def test_a_store_on_servers_is_one_trace_through_kafka_to_its_first_answer(
    stack: Stack, tmp_path: Path
) -> None:
    with observed(tmp_path / "data", "split", stack.settings("trace")) as (isocenter, receiver):
        uids = store_and_find(isocenter)
        assert set(isocenter.stop().values()) == {0}
        spans = receiver.trace_of("query.first_answer")
    assert_each_below_the_one_before(spans, PATH)
    assert_each_below_the_one_before(spans, CUSTODY)
    _nothing_identifies(receiver, uids)


def _nothing_identifies(receiver: Receiver, uids: tuple[str, ...]) -> None:
    exported = b"".join(receiver.requests)
    assert exported
    leaked = [
        what
        for what, text in [*SECRETS.items(), *(("UID", uid) for uid in uids)]
        if text.encode() in exported
    ]
    assert not leaked
