"""SOP Class Extended Negotiation: what is answered, and that a query then keeps to it."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pynetdicom.pdu_primitives import (
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
)

from isocenter.dimse.contexts import Accepted, AssociationOffer, CommonExtended, OfferedContext
from isocenter.gateway import extended
from isocenter.gateway.contexts import PATIENT_ROOT, STUDY_ROOT
from isocenter.gateway.settings import GatewaySettings
from support.gateway_fakes import EXPLICIT, IMPLICIT, from_test_file
from support.gateway_parts import admissions_of
from support.live_gateway import CT, Live, associate, in_thread, live

PRIVATE = "1.2.826.0.1.3680043.2.1"  # a specialised SOP class that no table of ours has
BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
STORAGE_SERVICE = "1.2.840.10008.4.2"
VERIFICATION = "1.2.840.10008.1.1"


def admitted(
    offered: dict[str, bytes], common: dict[str, CommonExtended] | None = None, **known: str
):
    """`known`: what the directory says of who asks."""
    settings = GatewaySettings(known_aes=[{"title": "TESTER", **known}])
    uids = {**offered, **(common or {})}
    offer = AssociationOffer(
        "TESTER", "ISOCENTER", "127.0.0.1", 1,
        [OfferedContext(2 * n + 1, uid, (IMPLICIT,)) for n, uid in enumerate(uids)],
        extended=offered, common=common or {},
    )  # fmt: skip
    admission = admissions_of(settings)(offer)
    assert isinstance(admission, Accepted)
    return admission


@pytest.mark.parametrize(
    ("sop_class", "proposed", "answered"),
    [
        (STUDY_ROOT.find, b"\1", b"\1"),
        (STUDY_ROOT.find, b"\1\1\1\1\1\1\1", b"\1\1\1\1\0\0\1"),
        (PATIENT_ROOT.find, b"\0\1\0\1", b"\0\1\0\1"),
        (PATIENT_ROOT.find, b"\1\1\1\1\1\1\1\1\1\xff", b"\1\1\1\1\0\0\1"),  # younger bytes
        (PATIENT_ROOT.find, b"\2\xff\0", b"\0\0\0"),  # neither 0 nor 1: not understood
        (STUDY_ROOT.move, b"\1", b"\1"),
        (STUDY_ROOT.get, b"\1\1", b"\1\0"),
        (STUDY_ROOT.get, b"", None),
        (CT, b"\2\0\0\0\1\0", b"\2\0\3\0\0\0"),
        (CT, b"", b"\2\0\3\0\0\0"),
        (VERIFICATION, b"\1", None),
    ],
)
def test_what_is_proposed_is_answered(sop_class, proposed, answered):
    assert admitted({sop_class: proposed}).extended.get(sop_class) == answered


def test_storage_says_truthfully_that_it_coerces():
    told = admitted({CT: b"\2\0\0\0\0\0"}, character_set="ISO_IR 100").extended
    assert told == {CT: b"\2\0\1\0\1\0"}


def test_only_what_is_accepted_is_answered():
    assert admitted({PRIVATE: b"\2\0\0\0\1\0"}).extended == {}


@pytest.mark.parametrize(
    ("sop_class", "common", "taken"),
    [
        (PRIVATE, CommonExtended(STORAGE_SERVICE, (BASIC_TEXT_SR,)), True),
        (PRIVATE, CommonExtended(STORAGE_SERVICE, ("1.2.3", CT)), True),
        (PRIVATE, CommonExtended(STORAGE_SERVICE, ("1.2.3",)), False),
        (PRIVATE, CommonExtended(STORAGE_SERVICE), False),
        (PRIVATE, CommonExtended("1.2.840.10008.4.9", (CT,)), False),
        # Known, and no storage SOP class, whatever is said of it.
        ("1.2.840.10008.5.1.4.31", CommonExtended(STORAGE_SERVICE, (CT,)), False),
    ],
)
def test_classes_that_specialise_known_ones_are_accepted(sop_class, common, taken):
    assert (sop_class in admitted({}, {sop_class: common}).contexts) is taken


# --- with pynetdicom -----------------------------------------------------------------------------


def proposal(sop_class: str, information: bytes) -> SOPClassExtendedNegotiation:
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid = sop_class
    item.service_class_application_information = information
    return item


def answers_of(association) -> dict[str, bytes]:
    return {
        str(item.sop_class_uid): item.service_class_application_information
        for item in association.acceptor.user_information
        if isinstance(item, SOPClassExtendedNegotiation)
    }


async def found(gateway: Live, information: bytes, **keys) -> list[Dataset]:
    """What a pynetdicom SCU finds after proposing this."""

    def ask() -> list[Dataset]:
        items = [proposal(STUDY_ROOT.find, information)] if information else []
        association = associate(gateway, (STUDY_ROOT.find, [EXPLICIT]), roles=items)
        assert answers_of(association) == ({STUDY_ROOT.find: information} if items else {})
        identifier = Dataset()
        identifier.QueryRetrieveLevel = "STUDY"
        for keyword, value in keys.items():
            setattr(identifier, keyword, value)
        answers = list(association.send_c_find(identifier, STUDY_ROOT.find))
        association.release()
        assert answers[-1][0].Status == 0
        return [answer for status, answer in answers if status.Status == 0xFF00]

    return await in_thread(ask)


def study(uid: str, **attributes):
    return from_test_file("CT_small.dcm", StudyInstanceUID=uid, **attributes)


async def test_dates_and_times_are_one_only_where_negotiated():
    held = [
        study("1.1", StudyDate="20060706", StudyTime="0300"),
        study("1.2", StudyDate="20060705", StudyTime="0900"),
    ]
    keys = {"StudyDate": "20060705-20060707", "StudyTime": "1000-1800", "StudyInstanceUID": ""}
    async with live(held) as gateway:
        assert await found(gateway, b"", **keys) == []
        assert await found(gateway, b"\1", **keys) == []
        [answer] = await found(gateway, b"\0\1", **keys)
    assert answer.StudyInstanceUID == "1.1"
    assert answer.StudyTime == "0300"


async def test_names_match_by_their_sound_only_where_negotiated():
    async with live([study("1.1", PatientName="Swayne^Mary")]) as gateway:
        assert await found(gateway, b"\1\0", PatientName="Swain") == []
        [answer] = await found(gateway, b"\0\0\1", PatientName="Swain")
    assert answer.PatientName == "Swayne^Mary"


async def test_all_values_of_a_key_match_only_where_negotiated():
    held = [study("1.1", OtherPatientIDs=["A", "B"]), study("1.2", OtherPatientIDs=["A", "C"])]
    keys = {"OtherPatientIDs": ["A", "B"], "StudyInstanceUID": ""}
    async with live(held) as gateway:
        assert len(await found(gateway, b"", **keys)) == 2
        [answer] = await found(gateway, b"\0\0\0\0\0\0\1", **keys)
    assert answer.StudyInstanceUID == "1.1"


async def test_dates_and_times_are_in_the_requester_s_zone_only_where_negotiated():
    at = {"StudyDate": "20240101", "StudyTime": "233000", "TimezoneOffsetFromUTC": "+0000"}
    keys = {"StudyDate": "20240102", "StudyTime": "", "TimezoneOffsetFromUTC": "+0100"}
    async with live([study("1.1", **at)]) as gateway:
        assert await found(gateway, b"", **keys) == []
        [answer] = await found(gateway, b"\0\0\0\1", **keys)
        [as_it_is] = await found(gateway, b"\0\0\0\1", StudyDate="", TimezoneOffsetFromUTC="")
    assert (answer.StudyDate, answer.StudyTime) == ("20240102", "003000")
    assert answer.TimezoneOffsetFromUTC == "+0100"
    assert as_it_is.StudyDate == "20240101"
    assert as_it_is.TimezoneOffsetFromUTC == "+0000"


async def test_a_time_zone_that_is_none_is_refused():
    def ask(port: Live) -> int:
        items = [proposal(STUDY_ROOT.find, b"\0\0\0\1")]
        association = associate(port, (STUDY_ROOT.find, [EXPLICIT]), roles=items)
        identifier = Dataset()
        identifier.QueryRetrieveLevel = "STUDY"
        identifier.TimezoneOffsetFromUTC = "CET"
        [(status, _)] = association.send_c_find(identifier, STUDY_ROOT.find)
        association.release()
        return status.Status

    async with live([]) as gateway:
        assert await in_thread(lambda: ask(gateway)) == 0xC000


async def test_a_specialised_object_comes_in_with_the_class_it_specialises():
    item = SOPClassCommonExtendedNegotiation()
    item.sop_class_uid = PRIVATE
    item.service_class_uid = STORAGE_SERVICE
    item.related_general_sop_class_identification = [BASIC_TEXT_SR]

    def store(gateway: Live) -> int:
        association = associate(gateway, (PRIVATE, [EXPLICIT]), roles=[item])
        assert [context.abstract_syntax for context in association.accepted_contexts] == [PRIVATE]
        sent = Dataset()
        sent.SOPClassUID, sent.SOPInstanceUID = PRIVATE, "1.2.3"
        sent.ensure_file_meta()
        sent.file_meta.TransferSyntaxUID = EXPLICIT
        status = association.send_c_store(sent)
        association.release()
        return status.Status

    async with live([]) as gateway:
        assert await in_thread(lambda: store(gateway)) == 0
        [(announcement, _)] = gateway.env.fake_ingest.taken
    assert announcement.sop_class == PRIVATE
    assert announcement.general_sop_class == BASIC_TEXT_SR


def test_the_tables_have_a_field_for_every_matching():
    agreed = extended.matching_of(_Negotiated(bytes(len(extended.FIND) * [1])), STUDY_ROOT.find)
    assert agreed == extended.Matching(combined=True, fuzzy=True, zoned=True, every_value=True)
    assert extended.matching_of(_Negotiated(b""), STUDY_ROOT.find) == extended.Matching()


class _Negotiated:
    """An association of which only the negotiation counts."""

    def __init__(self, information: bytes) -> None:
        self.extended = {STUDY_ROOT.find: information}
