"""Which instances a retrieve is about, and how the sub-operations deliver them."""

from __future__ import annotations

import asyncio

import pytest

from isocenter.core.access import Policy, Right
from isocenter.core.access_api import Guard
from isocenter.core.errors import Corrupted, Unavailable
from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.gateway import progress
from isocenter.gateway.c_get import CGet
from isocenter.gateway.contexts import PATIENT_ROOT
from isocenter.gateway.frames import FrameExtractor
from isocenter.gateway.retrieval import Retrieval
from isocenter.gateway.settings import GatewaySettings
from isocenter.gateway.suboperations import SubOperations
from isocenter.runtime.access.guard import PolicyGuard
from isocenter.runtime.aes import KnownAE
from isocenter.runtime.instruments import RETRIEVE_BYTES, RETRIEVE_INSTANCES
from isocenter.runtime.study_patients import StudyPatients
from isocenter.runtime.telemetry import OFF, Telemetry
from support.gateway_fakes import (
    EXPLICIT,
    IMPLICIT,
    FakeAssociation,
    FakeAudit,
    FakeQuery,
    FakeRequest,
    FakeStorage,
    FakeTranscoding,
    Held,
    encode,
    from_test_file,
    identifier,
    series,
)
from support.gateway_parts import callers_of, lanes_of
from support.policies import allow, guard_of, study
from support.telemetry import Recorder

CT = "1.2.840.10008.5.1.4.1.1.2"
HELD = series(3) + series(2, study="1.2.4")
J2K = from_test_file("MR_small_jp2klossless.dcm")
STUDY_1 = ["1.2.3.1.1", "1.2.3.1.2", "1.2.3.1.3"]
STUDY_2 = ["1.2.4.1.1", "1.2.4.1.2"]


def request(*contexts: tuple[str, str], **keys) -> FakeRequest:
    association = FakeAssociation(*(contexts or ((CT, EXPLICIT),)))
    return FakeRequest(
        PATIENT_ROOT.get, encode(identifier(**keys), EXPLICIT), association=association
    )


@pytest.fixture(autouse=True)
def pending_after_each(monkeypatch: pytest.MonkeyPatch):
    """Every count can be seen."""
    monkeypatch.setattr(progress, "PENDING_INTERVAL", 0)


class Setup:
    """A C-GET over fakes."""

    def __init__(
        self, held: list[Held] = HELD, telemetry: Telemetry = OFF, guard: Guard | None = None
    ) -> None:
        self.query, self.storage, self.audit = FakeQuery(held), FakeStorage(held), FakeAudit()
        retrieval = Retrieval(
            storage=self.storage,
            query=self.query,
            audit=self.audit,
            patients=StudyPatients(FakeQuery(held)),
            callers=callers_of(GatewaySettings(known_aes=[KnownAE(title="SCANNER")])),
            guard=guard or PolicyGuard(Policy),
            extractor=FrameExtractor(storage=self.storage, transcoding=FakeTranscoding()),
            max_identifier=100_000,
        )
        sub_operations = SubOperations(
            storage=self.storage,
            transcoding=FakeTranscoding(),
            lanes=lanes_of(GatewaySettings()),
            telemetry=telemetry,
        )
        self.c_get = CGet(
            retrieval=retrieval, sub_operations=sub_operations, transcoding=FakeTranscoding()
        )

    async def __call__(self, asked: FakeRequest) -> list[str]:
        await self.c_get(asked)
        return [uid for uid, *_ in asked.association.received]


@pytest.mark.parametrize(
    ("level", "keys", "delivered", "asks_the_index"),
    [
        ("PATIENT", {"PatientID": "PAT1"}, STUDY_1 + STUDY_2, True),
        ("PATIENT", {"PatientID": "NOBODY"}, [], True),
        ("STUDY", {"StudyInstanceUID": "1.2.4"}, STUDY_2, False),
        ("STUDY", {"StudyInstanceUID": ["1.2.4", "1.2.3"]}, STUDY_2 + STUDY_1, False),
        ("STUDY", {"StudyInstanceUID": "1.2.5"}, [], False),
        ("SERIES", {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.1"}, STUDY_1, False),
        ("SERIES", {"SeriesInstanceUID": "1.2.3.1"}, STUDY_1, True),
        (
            "IMAGE",
            {
                "StudyInstanceUID": "1.2.3",
                "SeriesInstanceUID": "1.2.3.1",
                "SOPInstanceUID": ["1.2.3.1.3", "1.2.3.1.1"],
            },
            ["1.2.3.1.1", "1.2.3.1.3"],
            False,
        ),
        ("IMAGE", {"SOPInstanceUID": "1.2.4.1.2"}, ["1.2.4.1.2"], True),
    ],
)
async def test_the_instances_behind_the_unique_keys_are_delivered(
    level, keys, delivered, asks_the_index
):
    setup, asked = Setup(), request(QueryRetrieveLevel=level, **keys)
    assert await setup(asked) == delivered
    assert asked.statuses == [0xFF00] * len(delivered) + [0x0000]
    assert bool(setup.query.searches) is asks_the_index


@pytest.mark.parametrize(
    "keys",
    [
        {"QueryRetrieveLevel": "STUDY"},
        {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.*"},
        {"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": "1.2.3"},
        {"QueryRetrieveLevel": "PATIENT", "PatientID": "*"},
        {"QueryRetrieveLevel": "PATIENT", "PatientID": ["PAT1", "PAT2"]},
        {"StudyInstanceUID": "1.2.3"},
    ],
)
async def test_an_identifier_without_proper_unique_keys_is_refused(keys):
    setup, asked = Setup(), request(**keys)
    assert await setup(asked) == []
    assert asked.statuses == [0xA900]


async def test_pending_responses_are_not_sent_more_often_than_the_interval(monkeypatch):
    monkeypatch.setattr(progress, "PENDING_INTERVAL", 3600)
    asked = request(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.3")
    await Setup()(asked)
    assert asked.statuses == [0xFF00, 0x0000]


async def test_counts_run_from_all_remaining_to_all_completed():
    asked = request(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.3")
    await Setup()(asked)
    counts = [
        (fields.get("remaining"), fields["completed"], fields["failed"], fields["warning"])
        for _, _, fields in asked.answers
    ]
    assert counts == [(2, 1, 0, 0), (1, 2, 0, 0), (0, 3, 0, 0), (None, 3, 0, 0)]


async def test_the_retrieve_is_in_the_audit_trail_with_its_counts():
    setup, asked = Setup(), request(QueryRetrieveLevel="PATIENT", PatientID="PAT1")
    await setup(asked)
    [record] = setup.audit.records
    assert record["action"] is AuditAction.RETRIEVE
    assert record["patient_ids"] == ("PAT1",)
    assert (record["studies"], record["instance_count"]) == (("1.2.3", "1.2.4"), 5)
    assert record["detail"] == "C-GET PATIENT"
    assert record["query"] == "PatientID=PAT1"
    assert record["outcome"] is AuditOutcome.SUCCESS


async def test_a_retrieve_that_finds_nothing_is_in_the_audit_trail_as_a_failure():
    setup, asked = Setup(), request(QueryRetrieveLevel="STUDY", StudyInstanceUID="9.9")
    await setup(asked)
    [record] = setup.audit.records
    assert record["outcome"] is AuditOutcome.MINOR_FAILURE
    assert (record["studies"], record["instance_count"]) == (("9.9",), 0)


@pytest.mark.parametrize(
    ("failing", "outcome", "told"),
    [
        (STUDY_1[:1], AuditOutcome.MINOR_FAILURE, "2 sent, 1 failed, 0 not sent"),
        (STUDY_1, AuditOutcome.FAILURE, "0 sent, 3 failed, 0 not sent"),
    ],
)
async def test_what_did_not_leave_is_in_a_second_record(failing, outcome, told):
    setup, asked = Setup(), request(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.3")
    setup.storage.errors = {uid: Corrupted("not as stored") for uid in failing}
    await setup(asked)
    first, second = setup.audit.records
    assert (first["outcome"], first["instance_count"]) == (AuditOutcome.SUCCESS, 3)
    assert (second["action"], second["outcome"]) == (AuditAction.RETRIEVE, outcome)
    assert (second["instances"], second["instance_count"]) == (tuple(failing), len(failing))
    assert (second["studies"], second["error"]) == (("1.2.3",), told)
    assert second["detail"] == first["detail"]


async def test_what_a_cancelled_retrieve_has_not_sent_is_in_a_second_record():
    setup, asked = Setup(), request(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.3")
    asked.cancel_after = 1
    await setup(asked)
    assert asked.statuses[-1] == 0xFE00
    _, second = setup.audit.records
    assert second["outcome"] is AuditOutcome.MINOR_FAILURE
    assert second["instance_count"] == asked.answers[-1][2]["remaining"]


async def test_the_requester_is_answered_though_the_second_record_cannot_be_written():
    setup, asked = Setup(), request(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.3")
    setup.storage.errors = {STUDY_1[0]: Corrupted("not as stored")}

    def away() -> None:
        setup.audit.error = Unavailable("log does not answer")

    asked.association.after_store = away
    await setup(asked)
    assert len(setup.audit.records) == 1
    assert asked.statuses[-1] == 0xB000


async def test_without_an_audit_record_nothing_leaves():
    setup, asked = Setup(), request(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.3")
    setup.audit.error = Unavailable("log does not answer")
    assert await setup(asked) == []
    assert asked.statuses == [0xA701]


async def test_objects_go_out_as_they_are_stored():
    asked = request((J2K.stored.sop_class, EXPLICIT), (J2K.stored.sop_class, J2K_SYNTAX))
    await deliver_j2k(asked)
    [(_, syntax, data, _)] = asked.association.received
    assert (syntax, data) == (J2K_SYNTAX, J2K.data)


J2K_SYNTAX = J2K.stored.transfer_syntax


async def deliver_j2k(asked: FakeRequest) -> None:
    keys = identifier(QueryRetrieveLevel="STUDY", StudyInstanceUID=J2K.stored.name.study)
    asked.payload = encode(keys, EXPLICIT)
    await Setup([J2K])(asked)


async def test_objects_are_transcoded_where_the_receiver_does_not_take_what_is_stored():
    asked = request((J2K.stored.sop_class, IMPLICIT))
    await deliver_j2k(asked)
    [(_, syntax, data, _)] = asked.association.received
    assert syntax == IMPLICIT
    assert len(data) > len(J2K.data)
    assert asked.statuses[-1] == 0x0000


async def test_what_no_context_takes_fails_with_its_uid():
    asked = request((CT, IMPLICIT))
    await deliver_j2k(asked)
    status, answer, _ = asked.answers[-1]
    assert status == 0xA702
    assert answer.FailedSOPInstanceUIDList == J2K.stored.name.instance


async def test_a_corrupted_object_is_not_sent_and_the_others_are():
    setup, asked = Setup(), request(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.3")
    setup.storage.errors[STUDY_1[1]] = Corrupted("digest differs")
    assert await setup(asked) == [STUDY_1[0], STUDY_1[2]]
    status, answer, fields = asked.answers[-1]
    assert (status, fields["completed"], fields["failed"]) == (0xB000, 2, 1)
    assert answer.FailedSOPInstanceUIDList == STUDY_1[1]


async def test_what_the_receiver_kept_is_counted_for_it_with_its_size():
    recorder = Recorder()
    setup = Setup(telemetry=recorder.telemetry)
    setup.storage.errors[STUDY_1[1]] = Corrupted("digest differs")
    asked = request(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.3")
    await setup(asked)
    whom = ("DIMSE", asked.association.calling_ae_title)
    sizes = [one.stored.size for one in HELD if one.stored.name.instance in STUDY_1]
    assert recorder.values(RETRIEVE_INSTANCES) == {whom: 2}
    assert recorder.values(RETRIEVE_BYTES) == {whom: sizes[0] + sizes[2]}
    refused = request(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.4")
    refused.association.status = 0xA700
    await setup(refused)
    assert recorder.values(RETRIEVE_INSTANCES) == {whom: 2}


@pytest.mark.parametrize(
    ("answer", "final", "count"),
    [(0xB000, 0xB000, "warning"), (0xA700, 0xA702, "failed"), (0x0000, 0x0000, "completed")],
)
async def test_the_receivers_answers_are_counted(answer, final, count):
    asked = request(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.3")
    asked.association.status = answer
    await Setup()(asked)
    status, _, fields = asked.answers[-1]
    assert (status, fields[count]) == (final, 3)


async def test_cancel_ends_after_the_sub_operation_under_way():
    setup, asked = Setup(), request(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.3")
    asked.association.after_store = asked.cancelled.set
    assert await setup(asked) == STUDY_1[:1]
    assert asked.statuses == [0xFF00, 0xFE00]
    assert asked.answers[-1][2]["remaining"] == 2


async def test_cancel_after_the_last_sub_operation_is_too_late():
    asked = request(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.3")
    asked.cancel_after = 3
    await Setup()(asked)
    assert asked.statuses[-1] == 0x0000


async def test_the_next_objects_are_read_while_one_is_being_sent():
    setup, asked = Setup(), request(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.3")
    asked.association.gate.clear()
    running = asyncio.create_task(setup(asked))
    for ahead in STUDY_1[1:]:
        await asyncio.wait_for(setup.storage.reading[ahead].wait(), 5)
    assert asked.association.received == []
    asked.association.gate.set()
    assert await running == STUDY_1


@pytest.mark.parametrize(
    ("rules", "delivered"),
    [
        ((allow(),), STUDY_1),
        ((allow(Right.SEARCH, Right.READ),), []),
        ((allow(Right.SEARCH, Right.READ), allow(studies=("1.2.4",))), []),
        ((allow(Right.SEARCH, Right.READ), allow(Right.DOWNLOAD, studies=("1.2.3",))), STUDY_1),
    ],
)
async def test_whole_objects_go_to_whom_the_policy_lets_take_them_away(rules, delivered) -> None:
    setup = Setup(guard=guard_of(rules, study("1.2.3"), study("1.2.4")))
    asked = request(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.3")
    assert await setup(asked) == delivered
    assert asked.statuses[-1] == 0
