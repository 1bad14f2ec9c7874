"""C-GET and C-MOVE of the gateway role on a socket, before unchanged clients."""

from __future__ import annotations

import socket

from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt

from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.gateway import c_move, progress
from isocenter.gateway.contexts import PATIENT_ROOT, STUDY_ROOT
from isocenter.runtime.aes import KnownAE
from support.gateway_fakes import EXPLICIT, IMPLICIT, from_test_file, series
from support.live_gateway import (
    CT,
    MR,
    STUDY_1,
    Live,
    associate,
    at,
    dcmtk,
    in_thread,
    instances,
    live,
    storescp,
)

J2K = "1.2.840.10008.1.2.4.90"

# --- C-GET ---------------------------------------------------------------------------------------


async def test_getscu_receives_a_study(tmp_path):
    async with live(series(3) + series(2, study="1.2.4")) as gateway:
        outcome = await dcmtk(
            "getscu", "-S", *at(gateway), "-od", tmp_path,
            "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.3",
        )  # fmt: skip
        assert outcome.code == 0, outcome.text
        [record] = gateway.env.fake_audit.records
    assert instances(tmp_path) == STUDY_1
    assert (record["action"], record["instance_count"]) == (AuditAction.RETRIEVE, 3)


async def test_getscu_receives_what_it_does_not_take_compressed_transcoded(tmp_path):
    held = from_test_file("MR_small_jp2klossless.dcm")
    async with live([held]) as gateway:
        outcome = await dcmtk(
            "getscu", "-P", *at(gateway), "-od", tmp_path,
            "-k", "QueryRetrieveLevel=STUDY",
            "-k", f"StudyInstanceUID={held.stored.name.study}",
        )  # fmt: skip
    assert outcome.code == 0, outcome.text
    [file] = tmp_path.iterdir()
    got, original = dcmread(file), dcmread(get_testdata_file("MR_small.dcm", download=False))
    assert got.file_meta.TransferSyntaxUID == EXPLICIT
    assert (got.pixel_array == original.pixel_array).all()


async def test_c_get_sends_as_stored_where_a_context_of_its_own_asks_for_it():
    held = from_test_file("MR_small_jp2klossless.dcm")
    received: list[str] = []

    def keep(event: evt.Event) -> int:
        received.append(event.context.transfer_syntax)
        return 0x0000

    def work(gateway: Live) -> int:
        association = associate(
            gateway, (STUDY_ROOT.get, [IMPLICIT]), (MR, [EXPLICIT, J2K]), (MR, [J2K]),
            handlers=[(evt.EVT_C_STORE, keep)], roles=[build_role(MR, scp_role=True)],
        )  # fmt: skip
        asked = Dataset()
        asked.QueryRetrieveLevel = "STUDY"
        asked.StudyInstanceUID = held.stored.name.study
        *_, (final, _) = association.send_c_get(asked, STUDY_ROOT.get)
        association.release()
        return final.Status

    async with live([held]) as gateway:
        assert await in_thread(lambda: work(gateway)) == 0x0000
    assert received == [J2K]


async def test_c_get_is_cancelled_between_sub_operations():
    received: list[str] = []
    held = series(40)

    def work(gateway: Live) -> list[Dataset]:
        def keep(event: evt.Event) -> int:
            received.append(event.request.AffectedSOPInstanceUID)
            if len(received) == 2:
                event.assoc.send_c_cancel(1, query_model=PATIENT_ROOT.get)
            return 0x0000

        association = associate(
            gateway, (PATIENT_ROOT.get, [IMPLICIT]), (CT, [EXPLICIT]),
            handlers=[(evt.EVT_C_STORE, keep)], roles=[build_role(CT, scp_role=True)],
        )  # fmt: skip
        asked = Dataset()
        asked.QueryRetrieveLevel = "PATIENT"
        asked.PatientID = "PAT1"
        answers = [status for status, _ in association.send_c_get(asked, PATIENT_ROOT.get, 1)]
        association.release()
        return answers

    async with live(held) as gateway:
        answers = await in_thread(lambda: work(gateway))
    assert answers[-1].Status == 0xFE00
    assert answers[-1].NumberOfRemainingSuboperations > 0
    assert 2 <= len(received) < 40


# --- C-MOVE --------------------------------------------------------------------------------------


async def move(gateway: Live, study: str, destination: str = "DEST") -> list[tuple[int, Dataset]]:
    def work() -> list[tuple[Dataset, Dataset | None]]:
        association = associate(gateway, (STUDY_ROOT.move, [IMPLICIT]))
        asked = Dataset()
        asked.QueryRetrieveLevel = "STUDY"
        asked.StudyInstanceUID = study
        answers = list(association.send_c_move(asked, destination, STUDY_ROOT.move))
        association.release()
        return answers

    return await in_thread(work)


async def test_movescu_sends_a_study_to_a_destination(tmp_path):
    async with storescp(tmp_path, "-aet", "DEST") as port:
        known = [KnownAE(title="DEST", host="127.0.0.1", port=port)]
        async with live(series(3), known_aes=known) as gateway:
            outcome = await dcmtk(
                "movescu", "-v", "-S", *at(gateway), "-aem", "DEST",
                "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.3",
            )  # fmt: skip
            assert outcome.code == 0, outcome.text
            [record] = gateway.env.fake_audit.records
    assert instances(tmp_path) == STUDY_1
    assert (record["action"], record["destination"]) == (AuditAction.EXPORT, "DEST")
    assert record["instance_count"] == 3


async def test_a_destination_gets_what_it_does_not_take_compressed_transcoded(tmp_path):
    held = from_test_file("MR_small_jp2klossless.dcm")
    async with storescp(tmp_path, "+x=") as port:
        known = [KnownAE(title="DEST", host="127.0.0.1", port=port)]
        async with live([held], known_aes=known) as gateway:
            answers = await move(gateway, held.stored.name.study)
    assert answers[-1][0].Status == 0x0000
    [file] = tmp_path.iterdir()
    assert dcmread(file).file_meta.TransferSyntaxUID == EXPLICIT


async def test_an_unknown_destination_has_its_status_and_is_recorded_as_a_failure():
    async with live(series(1), known_aes=[KnownAE(title="CALLER")]) as gateway:
        for title in ("NOWHERE", "CALLER"):
            answers = await move(gateway, "1.2.3", title)
            assert [status.Status for status, _ in answers] == [0xA801]
        records = gateway.env.fake_audit.records
    assert [record["destination"] for record in records] == ["NOWHERE", "CALLER"]
    assert {record["outcome"] for record in records} == {AuditOutcome.FAILURE}


async def test_a_dead_destination_fails_every_sub_operation(monkeypatch):
    monkeypatch.setattr(c_move, "PAUSES", (0.1, 0.1))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        known = [KnownAE(title="DEST", host="127.0.0.1", port=closed.getsockname()[1])]
        async with live(series(3), known_aes=known) as gateway:
            [(status, failed)] = await move(gateway, "1.2.3")
    assert (status.Status, status.NumberOfFailedSuboperations) == (0xA702, 3)
    assert list(failed.FailedSOPInstanceUIDList) == STUDY_1


async def test_a_silent_destination_does_not_hang_the_move(monkeypatch):
    monkeypatch.setattr(c_move, "PAUSES", (0.1,))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        known = [KnownAE(title="DEST", host="127.0.0.1", port=silent.getsockname()[1])]
        timeouts = {"connect_timeout": 0.3, "association_timeout": 0.3}
        async with live(series(1), known_aes=known, **timeouts) as gateway:
            [(status, _)] = await move(gateway, "1.2.3")
    assert status.Status == 0xA702


async def test_c_move_names_its_originator_and_is_cancelled_between_sub_operations(monkeypatch):
    monkeypatch.setattr(progress, "PENDING_INTERVAL", 0)  # it is cancelled at the second one
    originators: list[tuple[str, int]] = []

    def keep(event: evt.Event) -> int:
        request = event.request
        originators.append(
            (request.MoveOriginatorApplicationEntityTitle, request.MoveOriginatorMessageID)
        )
        return 0x0000

    destination = AE("DEST")
    destination.add_supported_context(CT, EXPLICIT)
    scp = destination.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)]
    )
    known = [KnownAE(title="DEST", host="127.0.0.1", port=scp.socket.getsockname()[1])]

    def work(gateway: Live) -> list[Dataset]:
        association = associate(gateway, (STUDY_ROOT.move, [IMPLICIT]))
        asked = Dataset()
        asked.QueryRetrieveLevel = "STUDY"
        asked.StudyInstanceUID = "1.2.3"
        statuses = []
        for status, _ in association.send_c_move(asked, "DEST", STUDY_ROOT.move, msg_id=9):
            statuses.append(status)
            if len(statuses) == 2:
                association.send_c_cancel(9, query_model=STUDY_ROOT.move)
        association.release()
        return statuses

    try:
        async with live(series(60), known_aes=known) as gateway:
            statuses = await in_thread(lambda: work(gateway))
    finally:
        scp.shutdown()
    assert statuses[-1].Status == 0xFE00
    assert set(originators) == {("TESTER", 9)}
    assert len(originators) < 60
