"""The retrieve models of instances alone (PS3.4 Y and Z), and Patient/Study Only, before unchanged
clients."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pynetdicom import build_role, evt
from pynetdicom.sop_class import (
    CompositeInstanceRetrieveWithoutBulkDataGet,
    CompositeInstanceRootRetrieveGet,
    CompositeInstanceRootRetrieveMove,
)

from isocenter.core.events import AuditAction
from isocenter.gateway.contexts import COMPOSITE_INSTANCE_ROOT, WITHOUT_BULK_DATA
from isocenter.runtime.aes import KnownAE
from support.gateway_fakes import EXPLICIT, IMPLICIT, from_test_file, series
from support.live_gateway import (
    CT,
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

MR = "1.2.840.10008.5.1.4.1.1.4"
RLE = "1.2.840.10008.1.2.5"


def test_the_models_are_those_of_the_standard():
    assert WITHOUT_BULK_DATA.get == CompositeInstanceRetrieveWithoutBulkDataGet
    assert COMPOSITE_INSTANCE_ROOT.get == CompositeInstanceRootRetrieveGet
    assert COMPOSITE_INSTANCE_ROOT.move == CompositeInstanceRootRetrieveMove


async def got(
    gateway: Live, model: str, *uids: str, syntax: str = EXPLICIT, sop_class: str = CT, **keys
) -> tuple[list[Dataset], Dataset]:
    """What a C-GET brings, and its final status."""

    def work() -> tuple[list[Dataset], Dataset]:
        received: list[Dataset] = []

        def keep(event: evt.Event) -> int:
            data_set = event.dataset
            data_set.file_meta = event.file_meta
            received.append(data_set)
            return 0x0000

        association = associate(
            gateway, (model, [IMPLICIT]), (sop_class, [syntax]),
            handlers=[(evt.EVT_C_STORE, keep)], roles=[build_role(sop_class, scp_role=True)],
        )  # fmt: skip
        asked = Dataset()
        asked.QueryRetrieveLevel = "IMAGE"
        if uids:
            asked.SOPInstanceUID = list(uids)
        for keyword, value in keys.items():
            setattr(asked, keyword, value)
        *_, (status, _) = association.send_c_get(asked, model)
        association.release()
        return received, status

    return await in_thread(work)


async def test_instances_come_by_their_uids_alone():
    async with live(series(3)) as gateway:
        received, status = await got(gateway, COMPOSITE_INSTANCE_ROOT.get, STUDY_1[0], STUDY_1[2])
        [record] = gateway.env.fake_audit.records
    assert status.Status == 0
    assert [str(one.SOPInstanceUID) for one in received] == [STUDY_1[0], STUDY_1[2]]
    assert all("PixelData" in one for one in received)
    assert (record["action"], record["instance_count"]) == (AuditAction.RETRIEVE, 2)


async def test_without_uids_nothing_is_sent():
    async with live(series(1)) as gateway:
        received, status = await got(gateway, COMPOSITE_INSTANCE_ROOT.get)
        assert (received, status.Status) == ([], 0xA900)
        _, status = await got(gateway, WITHOUT_BULK_DATA.get, QueryRetrieveLevel="STUDY")
        assert status.Status == 0xA900


@pytest.mark.parametrize(
    ("uids", "keys", "status"),
    [
        (STUDY_1[:1], {"SimpleFrameList": [1, 2]}, 0xAA01),
        (STUDY_1[:1], {"CalculatedFrameList": [1, 9, 2]}, 0xAA01),
        (STUDY_1[:1], {"TimeRange": [0.0, 1.5]}, 0xAA01),
        (STUDY_1[:1], {}, 0xAA04),
        (STUDY_1[:1], {"SimpleFrameList": [1], "TimeRange": [0.0, 1.5]}, 0xAA04),
        (STUDY_1[:2], {"SimpleFrameList": [1]}, 0xAA04),
        ((), {"SimpleFrameList": [1]}, 0xAA04),
    ],
)
async def test_frames_that_are_not_there_are_refused_with_a_status_of_the_model(uids, keys, status):
    async with live(series(2)) as gateway:
        received, answer = await got(
            gateway, COMPOSITE_INSTANCE_ROOT.get, *uids, QueryRetrieveLevel="FRAME", **keys
        )
        _, other = await got(gateway, WITHOUT_BULK_DATA.get, *uids, QueryRetrieveLevel="FRAME")
    assert (received, answer.Status) == ([], status)
    assert other.Status == 0xA900  # has no such level


async def test_a_verb_on_the_context_of_another_is_refused():
    """A C-FIND where C-GET without bulk data was agreed on, and on a storage context."""

    def ask(gateway: Live) -> list[int]:
        association = associate(gateway, (WITHOUT_BULK_DATA.get, [IMPLICIT]), (CT, [IMPLICIT]))
        asked = Dataset()
        asked.QueryRetrieveLevel = "IMAGE"
        asked.SOPInstanceUID = STUDY_1[0]
        models = (WITHOUT_BULK_DATA.get, CT)
        answers = [
            [status.Status for status, _ in association.send_c_find(asked, model)]
            for model in models
        ]
        answers += [
            [status.Status for status, _ in association.send_c_move(asked, "STORE", models[0])]
        ]
        association.release()
        return [status for statuses in answers for status in statuses]

    async with live(series(1)) as gateway:
        assert await in_thread(lambda: ask(gateway)) == [0x0122] * 3
        settings = {"known_aes": (KnownAE(title="STORE", host="127.0.0.1", port=1),)}
    async with live(series(1), unknown_callers="always", **settings) as gateway:
        assert (await in_thread(lambda: ask(gateway)))[-1] == 0x0122


async def test_instances_come_without_bulk_data_and_as_what_they_are():
    async with live(series(2)) as gateway:
        received, status = await got(gateway, WITHOUT_BULK_DATA.get, STUDY_1[1])
    assert (status.Status, status.NumberOfCompletedSuboperations) == (0, 1)
    [one] = received
    assert (one.SOPClassUID, one.SOPInstanceUID) == (CT, STUDY_1[1])
    assert (one.Rows, one.PatientName) == (128, "Doe^Jane")
    assert "PixelData" not in one


@pytest.mark.parametrize("syntax", [RLE, EXPLICIT, IMPLICIT])
async def test_what_is_compressed_comes_without_bulk_data_in_any_syntax(syntax):
    held = from_test_file("MR_small_RLE.dcm")
    uid = held.stored.name.instance
    async with live([held]) as gateway:
        received, status = await got(
            gateway, WITHOUT_BULK_DATA.get, uid, syntax=syntax, sop_class=MR
        )
    assert status.Status == 0
    [one] = received
    assert one.file_meta.TransferSyntaxUID == syntax
    assert (one.Rows, "PixelData" in one) == (64, False)


async def test_waveforms_come_without_their_data():
    held = from_test_file("waveform_ecg.dcm")
    stored = held.stored
    async with live([held]) as gateway:
        received, _ = await got(
            gateway, WITHOUT_BULK_DATA.get, stored.name.instance, sop_class=stored.sop_class
        )
    [one] = received
    assert len(one.WaveformSequence) == 2
    assert all("WaveformData" not in item for item in one.WaveformSequence)
    assert all(item.NumberOfWaveformSamples > 0 for item in one.WaveformSequence)


async def test_instances_move_by_their_uids_alone(tmp_path):
    async with storescp(tmp_path) as port:
        settings = {"known_aes": (KnownAE(title="STORE", host="127.0.0.1", port=port),)}

        def move(gateway: Live) -> Dataset:
            model = COMPOSITE_INSTANCE_ROOT.move
            association = associate(gateway, (model, [IMPLICIT]))
            asked = Dataset()
            asked.QueryRetrieveLevel = "IMAGE"
            asked.SOPInstanceUID = STUDY_1[1]
            *_, (status, _) = association.send_c_move(asked, "STORE", model)
            association.release()
            return status

        async with live(series(3), **settings, unknown_callers="always") as gateway:
            status = await in_thread(lambda: move(gateway))
    assert status.Status == 0
    assert instances(tmp_path) == [STUDY_1[1]]


@pytest.mark.parametrize(
    ("level", "keys", "count"),
    [
        ("PATIENT", ["PatientID=PAT1"], 5),
        ("STUDY", ["PatientID=PAT1", "StudyInstanceUID=1.2.3"], 3),
        ("STUDY", ["StudyInstanceUID=1.2.4"], 2),
    ],
)
async def test_patient_study_only_is_retrieved_by_dcmtk(tmp_path, level, keys, count):
    """PS3.4 C.6.3, retired."""
    moved, fetched = tmp_path / "moved", tmp_path / "fetched"
    moved.mkdir()
    fetched.mkdir()
    asked = [part for key in (f"QueryRetrieveLevel={level}", *keys) for part in ("-k", key)]
    async with storescp(moved) as port:
        settings = {"known_aes": (KnownAE(title="STORE", host="127.0.0.1", port=port),)}
        held = series(3) + series(2, study="1.2.4")
        async with live(held, **settings, unknown_callers="always") as gateway:
            outcome = await dcmtk("movescu", "-O", "-aem", "STORE", *at(gateway), *asked)
            assert outcome.code == 0, outcome.text
            outcome = await dcmtk("getscu", "-O", *at(gateway), "-od", fetched, *asked)
            assert outcome.code == 0, outcome.text
    assert len(instances(moved)) == count
    assert instances(fetched) == instances(moved)


async def test_patient_study_only_has_no_series(tmp_path):
    async with live(series(3)) as gateway:
        await dcmtk(
            "getscu", "-O", *at(gateway), "-od", tmp_path, "-k", "QueryRetrieveLevel=SERIES",
            "-k", "StudyInstanceUID=1.2.3", "-k", "SeriesInstanceUID=1.2.3.1",
        )  # fmt: skip
    assert instances(tmp_path) == []
