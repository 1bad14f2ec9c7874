"""Storage Commitment of a whole installation, in both shapes, before pynetdicom, and across
a kill."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE
from pynetdicom.sop_class import StorageCommitmentPushModel

from support.clients import dcmtk
from support.commitment_results import Results
from support.files import Series, count_instances, write_series
from support.harness import Isocenter, running, wait_until
from support.ports import free_ports

WELL_KNOWN = "1.2.840.10008.1.20.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
COUNT = 8


def stored(isocenter: Isocenter, folder: Path) -> Series:
    series = write_series(folder, COUNT)
    outcome = dcmtk("storescu", isocenter, "+sd", series.folder)
    assert outcome.code == 0, outcome.text
    wait_until(lambda: count_instances(isocenter, series.study) == COUNT, what="found")
    return series


def ask(
    isocenter: Isocenter, series: Series, results: Results | None, *, title: str = "TESTER"
) -> str:
    """The transaction of a request to commit to a series. Without `results` none is waited for."""
    asked = Dataset()
    asked.TransactionUID = generate_uid()
    asked.ReferencedSOPSequence = []
    for uid in series.files:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, uid
        asked.ReferencedSOPSequence.append(item)
    ae = AE(title)
    ae.add_requested_context(StorageCommitmentPushModel)
    handlers = results.handlers if results else []
    association = ae.associate(
        isocenter.host, isocenter.dicom_port, ae_title="ISOCENTER", evt_handlers=handlers
    )
    assert association.is_established
    try:
        status, _ = association.send_n_action(asked, 1, StorageCommitmentPushModel, WELL_KNOWN)
        assert status.Status == 0
        if results:
            results.wait()
    finally:
        association.release()
    return str(asked.TransactionUID)


@contextmanager
def listening(title: str, port: int, results: Results) -> Iterator[None]:
    ae = AE(title)
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=results.handlers)
    try:
        yield
    finally:
        server.shutdown()


def test_what_was_changed_on_disk_is_not_committed_to(isocenter: Isocenter, tmp_path: Path) -> None:
    series = stored(isocenter, tmp_path)
    damaged = next(iter(series.files))
    ((key, content),) = isocenter.objects.contents(series.study, damaged).items()
    isocenter.objects.overwrite(key, content[:-1] + bytes([content[-1] ^ 1]))
    results = Results()
    ask(isocenter, series, results)
    kind, kept, failed = results.told()
    assert (kind, failed) == (2, {damaged: 0x0110})
    assert sorted(kept) == sorted(set(series.files) - {damaged})


def test_a_known_peer_is_told_wherever_the_request_came_in(
    isocenter: Isocenter, tmp_path: Path
) -> None:
    series = stored(isocenter, tmp_path)
    results = Results()
    with listening("DESTINATION", isocenter.destination_port, results):
        transaction = ask(isocenter, series, None, title="DESTINATION")
        results.wait()
    assert results.reports[0][1].TransactionUID == transaction
    kind, kept, failed = results.told()
    assert (kind, sorted(kept), failed) == (1, sorted(series.files), {})


def test_a_request_outlives_a_kill(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    peer = {"title": "SCANNER", "host": "127.0.0.1", "port": port}
    with running(tmp_path / "data", "up", {"gateway.known_aes": [peer]}) as isocenter:
        series = stored(isocenter, tmp_path / "sent")
        ask(isocenter, series, None, title="SCANNER")  # nobody listens there yet
        isocenter.kill()
        results = Results()
        with listening("SCANNER", port, results):
            isocenter.start()
            results.wait(90)
        kind, kept, failed = results.told()
        assert (kind, sorted(kept), failed) == (1, sorted(series.files), {})
