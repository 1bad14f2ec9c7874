"""The gateway role on a socket, before unchanged clients: dcmtk's tools and pynetdicom."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt

from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.gateway import suboperations
from isocenter.gateway.contexts import PATIENT_ROOT, STUDY_ROOT, VERIFICATION
from isocenter.gateway.role import GatewayRole, build
from isocenter.gateway.settings import GatewaySettings, KnownAE
from support.gateway_fakes import EXPLICIT, IMPLICIT, FakeEnv, from_test_file, series

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
STUDY_1 = ["1.2.3.1.1", "1.2.3.1.2", "1.2.3.1.3"]


@dataclass
class Live:
    """A gateway that listens."""

    env: FakeEnv
    role: GatewayRole

    @property
    def port(self) -> int:
        return self.role.port


@asynccontextmanager
async def live(held=None, **settings) -> AsyncIterator[Live]:
    env = FakeEnv(GatewaySettings(**{"port": 0, **settings}), list(held or ()))
    role = await build(env)
    await role.start()
    try:
        yield Live(env, role)
    finally:
        await role.drain()
        await role.stop()


@dataclass(frozen=True)
class Outcome:
    code: int
    text: str


async def dcmtk(name: str, *arguments: object) -> Outcome:
    """Run one of dcmtk's tools to its end."""
    path = shutil.which(name)
    assert path, f"{name} is missing: install the Debian package dcmtk"
    process = await asyncio.create_subprocess_exec(
        path,
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Outcome(process.returncode or 0, output.decode(errors="replace"))


def at(gateway: Live, called: str = "ISOCENTER") -> tuple[object, ...]:
    return "-aet", "TESTER", "-aec", called, "127.0.0.1", gateway.port


async def in_thread(work: Callable[[], object]) -> object:
    """Run pynetdicom, which blocks, beside the gateway's event loop."""
    return await asyncio.wait_for(asyncio.to_thread(work), 30)


@asynccontextmanager
async def storescp(folder: Path, *arguments: str) -> AsyncIterator[int]:
    """dcmtk's storage SCP writing into a folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = shutil.which("storescp")
    assert path, "storescp is missing: install the Debian package dcmtk"
    process = await asyncio.create_subprocess_exec(
        path, "-od", str(folder), *arguments, str(port),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await wait_for(lambda: dcmtk("echoscu", "127.0.0.1", port))
        yield port
    finally:
        process.kill()
        await process.wait()


async def wait_for(attempt: Callable[[], Awaitable[Outcome]]) -> None:
    async with asyncio.timeout(20):
        while (await attempt()).code:
            await asyncio.sleep(0.05)


def instances(folder: Path) -> list[str]:
    return sorted(str(dcmread(path).SOPInstanceUID) for path in folder.iterdir())


# --- association and C-ECHO ----------------------------------------------------------------------


async def test_echoscu_is_answered():
    async with live() as gateway:
        assert (await dcmtk("echoscu", *at(gateway))).code == 0


async def test_another_called_title_is_rejected():
    async with live() as gateway:
        outcome = await dcmtk("echoscu", *at(gateway, "ELSEWHERE"))
    assert outcome.code != 0
    assert "Called AE Title Not Recognized" in outcome.text


async def test_an_unknown_caller_is_rejected_where_the_settings_say_so():
    async with live(unknown_callers="never") as gateway:
        outcome = await dcmtk("echoscu", *at(gateway))
        assert "Calling AE Title Not Recognized" in outcome.text
    async with live(unknown_callers="never", known_aes=[KnownAE(title="TESTER")]) as gateway:
        assert (await dcmtk("echoscu", *at(gateway))).code == 0


# --- C-STORE -------------------------------------------------------------------------------------


async def test_storescu_hands_every_byte_to_ingest():
    path = get_testdata_file("CT_small.dcm", download=False)
    async with live() as gateway:
        outcome = await dcmtk("storescu", *at(gateway), path)
        assert outcome.code == 0, outcome.text
        [(announcement, data)] = gateway.env.fake_ingest.taken
    sent = from_test_file("CT_small.dcm")
    assert announcement.instance == sent.stored.name.instance
    assert (announcement.sop_class, announcement.transfer_syntax) == (CT, EXPLICIT)
    assert (announcement.source.ae_title, announcement.source.known) == ("TESTER", False)
    assert len(data) == pytest.approx(len(sent.data), abs=200)  # dcmtk drops trailing padding


async def test_a_refused_object_does_not_end_the_association():
    from isocenter.core.errors import OutOfResources

    statuses = []
    async with live() as gateway:
        ingest = gateway.env.fake_ingest
        ingest.error = OutOfResources("disk reserve reached")

        def work() -> None:
            association = associate(gateway, (CT, [EXPLICIT]))
            data_set = dcmread(get_testdata_file("CT_small.dcm", download=False))
            for error in (ingest.error, None):
                ingest.error = error
                statuses.append(association.send_c_store(data_set))
            association.release()

        await in_thread(work)
        assert len(ingest.taken) == 1
    assert [status.Status for status in statuses] == [0xA700, 0x0000]
    assert statuses[0].ErrorComment == "disk reserve reached"


async def test_private_sop_classes_are_negotiated_only_by_policy():
    private = "1.3.6.1.4.1.9999.1"

    def accepted(gateway: Live) -> list[str]:
        association = associate(gateway, (private, [IMPLICIT]), (VERIFICATION, [IMPLICIT]))
        contexts = [str(context.abstract_syntax) for context in association.accepted_contexts]
        association.release()
        return contexts

    async with live() as gateway:
        assert await in_thread(lambda: accepted(gateway)) == [VERIFICATION]
    async with live(accept_unknown_sop_classes=True) as gateway:
        assert private in await in_thread(lambda: accepted(gateway))


def associate(gateway: Live, *contexts: tuple[str, list[str]], handlers=(), roles=()):
    ae = AE("TESTER")
    for abstract_syntax, syntaxes in contexts:
        ae.add_requested_context(abstract_syntax, syntaxes)
    association = ae.associate(
        "127.0.0.1",
        gateway.port,
        ae_title="ISOCENTER",
        evt_handlers=list(handlers),
        ext_neg=list(roles),
    )
    assert association.is_established
    return association


# --- C-FIND --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "level", "keys", "answers"),
    [
        ("-P", "PATIENT", ["PatientID=PAT1", "PatientName"], 1),
        ("-S", "STUDY", ["PatientName=doe*", "StudyInstanceUID"], 2),
        ("-S", "SERIES", ["StudyInstanceUID=1.2.3", "SeriesInstanceUID", "Modality=CT"], 1),
        ("-S", "IMAGE", ["StudyInstanceUID=1.2.3", "SOPInstanceUID"], 3),
        ("-O", "STUDY", ["StudyInstanceUID=1.2.4"], 1),
        ("-S", "STUDY", ["PatientID=NOBODY"], 0),
    ],
)
async def test_findscu_finds_at_every_level(model, level, keys, answers, tmp_path):
    held = series(3) + series(2, study="1.2.4")
    wanted = [argument for key in keys for argument in ("-k", key)]
    async with live(held) as gateway:
        outcome = await dcmtk(
            "findscu", model, *at(gateway), "-k", f"QueryRetrieveLevel={level}", *wanted,
            "-X", "-od", tmp_path,
        )  # fmt: skip
    assert outcome.code == 0, outcome.text
    files = list(tmp_path.iterdir())
    assert len(files) == answers
    for file in files:
        assert dcmread(file, force=True).RetrieveAETitle == "ISOCENTER"


async def test_names_that_are_not_ascii_come_back_in_utf_8():
    held = [from_test_file("CT_small.dcm", SpecificCharacterSet="ISO_IR 100", PatientName="Ä^B")]

    def work(gateway: Live) -> list[tuple[int, Dataset | None]]:
        association = associate(gateway, (STUDY_ROOT.find, [IMPLICIT]))
        asked = Dataset()
        asked.SpecificCharacterSet = "ISO_IR 100"
        asked.QueryRetrieveLevel = "STUDY"
        asked.PatientName = "ä*"
        answers = list(association.send_c_find(asked, STUDY_ROOT.find))
        association.release()
        return [(status.Status, answer) for status, answer in answers]

    async with live(held) as gateway:
        (pending, answer), (final, _) = await in_thread(lambda: work(gateway))
    assert (pending, final) == (0xFF00, 0x0000)
    assert answer.SpecificCharacterSet == "ISO_IR 192"
    assert str(answer.PatientName) == "Ä^B"


async def test_findscu_cancels_a_search():
    held = series(20)
    async with live(held) as gateway:
        gateway.env.fake_query.gate_after = 4
        outcome = await dcmtk(
            "findscu", "-v", "-S", "--cancel", 3, *at(gateway),
            "-k", "QueryRetrieveLevel=IMAGE", "-k", "SOPInstanceUID",
        )  # fmt: skip
        assert gateway.env.fake_query.closed.is_set()
    assert outcome.code == 0, outcome.text
    assert "Cancel" in outcome.text


async def test_a_bad_identifier_is_refused_and_the_next_request_works():
    def work(gateway: Live) -> list[int]:
        association = associate(gateway, (STUDY_ROOT.find, [EXPLICIT]))
        found = []
        for level in ("PATIENT", "STUDY"):
            asked = Dataset()
            asked.QueryRetrieveLevel = level
            asked.StudyInstanceUID = ""
            answers = association.send_c_find(asked, STUDY_ROOT.find)
            found.append([status.Status for status, _ in answers])
        association.release()
        return found

    async with live(series(1)) as gateway:
        assert await in_thread(lambda: work(gateway)) == [[0xA900], [0xFF00, 0x0000]]


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


async def test_a_dead_destination_fails_every_sub_operation():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        known = [KnownAE(title="DEST", host="127.0.0.1", port=closed.getsockname()[1])]
        async with live(series(3), known_aes=known) as gateway:
            [(status, failed)] = await move(gateway, "1.2.3")
    assert (status.Status, status.NumberOfFailedSuboperations) == (0xA702, 3)
    assert list(failed.FailedSOPInstanceUIDList) == STUDY_1


async def test_a_silent_destination_does_not_hang_the_move():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        known = [KnownAE(title="DEST", host="127.0.0.1", port=silent.getsockname()[1])]
        timeouts = {"connect_timeout": 0.3, "association_timeout": 0.3}
        async with live(series(1), known_aes=known, **timeouts) as gateway:
            [(status, _)] = await move(gateway, "1.2.3")
    assert status.Status == 0xA702


async def test_c_move_names_its_originator_and_is_cancelled_between_sub_operations(monkeypatch):
    monkeypatch.setattr(suboperations, "PENDING_INTERVAL", 0)  # it is cancelled at the second one
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


# --- life cycle ----------------------------------------------------------------------------------


async def test_two_roles_share_a_port_and_draining_one_refuses_new_callers():
    async with live() as first, live(port=first.port) as second:
        assert second.port == first.port
        await first.role.drain()
        for _ in range(4):
            assert (await dcmtk("echoscu", *at(second))).code == 0
