"""Storage Commitment of a whole installation, in both shapes, before pynetdicom, and across
a kill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel

from support.clients import dcmtk
from support.files import Series, count_instances, write_series
from support.harness import Isocenter, running, wait_until
from support.ports import free_ports

WELL_KNOWN = "1.2.840.10008.1.20.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
COUNT = 8

Reports = list[tuple[int, Dataset]]


def stored(isocenter: Isocenter, folder: Path) -> Series:
    series = write_series(folder, COUNT)
    outcome = dcmtk("storescu", isocenter, "+sd", series.folder)
    assert outcome.code == 0, outcome.text
    wait_until(lambda: count_instances(isocenter, series.study) == COUNT, what="found")
    return series


def taking(reports: Reports) -> list[tuple[Any, Callable[[evt.Event], tuple[int, None]]]]:
    def take(event: evt.Event) -> tuple[int, None]:
        reports.append((event.request.EventTypeID, event.event_information))
        return 0, None

    return [(evt.EVT_N_EVENT_REPORT, take)]


def ask(
    isocenter: Isocenter, series: Series, reports: Reports, *, title: str = "TESTER", wait: bool
) -> str:
    """The transaction of a request to commit to a series. Whoever does not wait takes no result on
    this association."""
    asked = Dataset()
    asked.TransactionUID = generate_uid()
    asked.ReferencedSOPSequence = []
    for uid in series.files:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, uid
        asked.ReferencedSOPSequence.append(item)
    ae = AE(title)
    ae.add_requested_context(StorageCommitmentPushModel)
    handlers = taking(reports) if wait else []
    association = ae.associate(
        isocenter.host, isocenter.dicom_port, ae_title="ISOCENTER", evt_handlers=handlers
    )
    assert association.is_established
    try:
        status, _ = association.send_n_action(asked, 1, StorageCommitmentPushModel, WELL_KNOWN)
        assert status.Status == 0
        if wait:
            wait_until(lambda: reports, 60, "the result")
    finally:
        association.release()
    return str(asked.TransactionUID)


@contextmanager
def listening(title: str, port: int, reports: Reports) -> Iterator[None]:
    ae = AE(title)
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=taking(reports))
    try:
        yield
    finally:
        server.shutdown()


def committed(report: tuple[int, Dataset]) -> list[str]:
    items = report[1].get("ReferencedSOPSequence", [])
    return sorted(item.ReferencedSOPInstanceUID for item in items)


def test_what_was_changed_on_disk_is_not_committed_to(isocenter: Isocenter, tmp_path: Path) -> None:
    series = stored(isocenter, tmp_path)
    damaged = next(iter(series.files))
    ((key, content),) = isocenter.objects.contents(series.study, damaged).items()
    isocenter.objects.overwrite(key, content[:-1] + bytes([content[-1] ^ 1]))
    reports: Reports = []
    ask(isocenter, series, reports, wait=True)
    kind, information = reports[0]
    assert kind == 2
    (failed,) = information.FailedSOPSequence
    assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == (damaged, 0x0110)
    assert committed(reports[0]) == sorted(set(series.files) - {damaged})


def test_a_known_peer_is_told_wherever_the_request_came_in(
    isocenter: Isocenter, tmp_path: Path
) -> None:
    series = stored(isocenter, tmp_path)
    reports: Reports = []
    with listening("DESTINATION", isocenter.destination_port, reports):
        transaction = ask(isocenter, series, reports, title="DESTINATION", wait=False)
        wait_until(lambda: reports, 60, "the result")
    assert reports[0][1].TransactionUID == transaction
    assert committed(reports[0]) == sorted(series.files)


def test_a_request_outlives_a_kill(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    peer = {"title": "SCANNER", "host": "127.0.0.1", "port": port}
    with running(tmp_path / "data", "up", {"gateway.known_aes": [peer]}) as isocenter:
        series = stored(isocenter, tmp_path / "sent")
        ask(isocenter, series, [], title="SCANNER", wait=False)  # nobody listens there yet
        isocenter.kill()
        reports: Reports = []
        with listening("SCANNER", port, reports):
            isocenter.start()
            wait_until(lambda: reports, 90, "the result")
        assert committed(reports[0]) == sorted(series.files)
