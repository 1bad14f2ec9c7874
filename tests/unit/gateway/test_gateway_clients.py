"""The gateway role on a socket, before unchanged clients: dcmtk's tools and pynetdicom."""

from __future__ import annotations

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from isocenter.gateway.contexts import STUDY_ROOT, VERIFICATION
from isocenter.runtime.aes import KnownAE
from support.gateway_fakes import EXPLICIT, IMPLICIT, from_test_file, series
from support.live_gateway import (
    CT,
    Live,
    associate,
    at,
    dcmtk,
    in_thread,
    live,
)

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


async def test_names_that_are_not_ascii_come_back_in_the_character_set_of_the_request():
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
    assert answer.SpecificCharacterSet == "ISO_IR 100"
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


# --- life cycle ----------------------------------------------------------------------------------


async def test_two_roles_share_a_port_and_draining_one_refuses_new_callers():
    async with live() as first, live(port=first.port) as second:
        assert second.port == first.port
        await first.role.drain()
        for _ in range(4):
            assert (await dcmtk("echoscu", *at(second))).code == 0
