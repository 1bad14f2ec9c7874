"""Audit records as DICOM audit messages: by the schema and the tables of PS3.15 A.5."""

from __future__ import annotations

import time
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from lxml import etree
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts

from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome, Source
from isocenter.runtime import audit_codes
from isocenter.runtime.audit_codes import DCM, KINDS, Code, kind_of
from isocenter.runtime.audit_dicom import message
from support.audit_events import (
    AT,
    HOSTILE,
    SOURCES,
    all_events,
    audit_event,
    filled_with,
    hostile_events,
    whole_event,
)

DATA = Path(__file__).parents[2] / "data"
STANDARD = etree.RelaxNG(etree.parse(DATA / "audit-message.rng"))
WITH_PURPOSE = etree.RelaxNG(etree.parse(DATA / "audit-message-ihe.rng"))

# PS3.15 A.5.3: EventID -> EventActionCode, EventTypeCode (any, where there is none to choose from),
# RoleIDCodes of participants that there must be, and ParticipantObjectIDTypeCodes of objects.
RESTRICTIONS = {
    "110100": ("E", {"110120", "110121"}, {"110150"}, set()),
    "110101": ("R", None, set(), {"12"}),
    "110103": ("CRUD", None, set(), {"110180", "2"}),
    "110104": ("CRU", None, {"110152", "110153"}, {"110180", "2"}),
    "110105": ("D", None, set(), {"110180", "2"}),
    "110106": ("R", None, {"110153", "110154"}, {"2"}),
    "110107": ("C", None, {"110152", "110155"}, {"2"}),
    "110112": ("E", None, {"110152", "110153"}, {"10"}),
    "110113": ("E", {str(code) for code in range(110120, 110148)}, set(), {"110182"}),
    "110114": ("E", {"110122", "110123"}, set(), set()),
}


def parsed(event: AuditEvent) -> etree._Element:
    """The message, valid."""
    root = etree.fromstring(message(event))
    schema = WITH_PURPOSE if event.source.purpose else STANDARD
    assert schema.validate(root), f"{schema.error_log.last_error} {event}"
    return root


def participants(root: etree._Element) -> dict[str, etree._Element]:
    """RoleIDCode -> participant; one without a role is that of ''."""
    found = root.iter("ActiveParticipant")
    return {one.xpath("string(RoleIDCode/@csd-code)"): one for one in found}


def objects(root: etree._Element, kind: str) -> list[etree._Element]:
    """Those that are named by identifiers of this type."""
    wanted = f"ParticipantObjectIdentification[ParticipantObjectIDTypeCode/@csd-code='{kind}']"
    return root.xpath(wanted)


def details(thing: etree._Element) -> list[tuple[str, str]]:
    return [
        (one.get("type"), b64decode(one.get("value")).decode())
        for one in thing.iter("ParticipantObjectDetail")
    ]


def test_every_record_is_a_valid_message_within_the_tables_of_the_standard():
    seen = set()
    for event in all_events():
        root = parsed(event)
        identification = root.find("EventIdentification")
        code = identification.find("EventID").get("csd-code")
        actions, types, roles, kinds = RESTRICTIONS[code]
        assert identification.get("EventActionCode") in actions
        found = {one.get("csd-code") for one in identification.iter("EventTypeCode")}
        assert found <= types if types and found else not types
        assert roles <= participants(root).keys()
        requestors = root.xpath("ActiveParticipant[@UserIsRequestor='true']")
        assert len(requestors) <= 1
        if event.studies:
            assert all(objects(root, kind) for kind in kinds)
        seen.add(code)
    assert seen == RESTRICTIONS.keys()


def test_every_row_of_the_table_is_that_of_some_record():
    met = {kind_of(event) for event in all_events()}
    deep = {"studies": ("1.2",), "series": ("1.2.3",)}
    met |= {
        kind_of(audit_event(AuditAction.DELETE, detail=detail, **given))
        for detail in ("destroys what was deleted 17", "object of deletion 17")
        for given in (deep, {"studies": ("1.2",)})
    }
    assert met == {kind for kinds in KINDS.values() for kind in kinds}


def test_the_last_row_of_each_action_fits_every_record():
    assert KINDS.keys() == set(AuditAction)
    assert {kinds[-1].when for kinds in KINDS.values()} == {""}


def test_codes_are_those_of_the_standard():
    codes = [one for one in vars(audit_codes).values() if isinstance(one, Code)]
    named = {one.code: one.meaning for one in codes if one.scheme == DCM}
    known = {
        code: meaning
        for keyword in concepts[DCM].values()
        for code, (meaning, _groups) in keyword.items()
    }
    assert len(named) > 20
    assert named == {code: known[code] for code in named}


@pytest.mark.parametrize(("group", "of"), [(400, "event"), (403, "types"), (402, "roles")])
def test_codes_stand_where_their_context_group_is_used(group: int, of: str):
    known = {
        code
        for keyword in cid_concepts[group][DCM]
        for code, (_meaning, groups) in concepts[DCM][keyword].items()
        if group in groups
    }
    kinds = [kind for kinds in KINDS.values() for kind in kinds]
    used = {
        "event": {kind.event.code for kind in kinds},
        "types": {code.code for kind in kinds for code in kind.types},
        "roles": {part.role.code for kind in kinds for part in kind.parts if part.role},
    }
    assert used[of] <= known


@pytest.mark.parametrize(
    ("event", "code", "act"),
    [
        (audit_event(AuditAction.STORE), "110104", "C"),
        (audit_event(AuditAction.RETRIEVE, detail="C-GET STUDY"), "110104", "R"),
        (audit_event(AuditAction.RETRIEVE, detail="WADO-RS"), "110104", "R"),
        (audit_event(AuditAction.RETRIEVE, detail="gRPC GetObject report"), "110104", "R"),
        (audit_event(AuditAction.RETRIEVE, detail="WADO-RS metadata"), "110103", "R"),
        (audit_event(AuditAction.RETRIEVE, detail="WADO-URI rendered"), "110103", "R"),
        (audit_event(AuditAction.EXPORT, detail="C-MOVE"), "110104", "R"),
        (audit_event(AuditAction.EXPORT, detail="backup, beginning"), "110106", "R"),
        (audit_event(AuditAction.DELETE, studies=("1.2",)), "110105", "D"),
        (audit_event(AuditAction.DELETE, studies=("1.2",), series=("1.3",)), "110103", "D"),
        (
            audit_event(AuditAction.DELETE, studies=("1.2",), detail="restored 17"),
            "110103",
            "U",
        ),
        (audit_event(AuditAction.AUDIT, detail="audit trail report"), "110101", "R"),
        (audit_event(AuditAction.VERIFY, detail="audit trail verified: 9 records"), "110101", "R"),
        (audit_event(AuditAction.AUDIT, detail="legal hold released"), "110113", "E"),
    ],
    ids=lambda value: value.detail if isinstance(value, AuditEvent) else "",
)
def test_the_event_is_chosen_by_what_was_done(event: AuditEvent, code: str, act: str):
    identification = parsed(event).find("EventIdentification")
    assert identification.find("EventID").get("csd-code") == code
    assert identification.get("EventActionCode") == act


@pytest.mark.parametrize(
    ("detail", "code"),
    [
        ("AE directory: set CT1 {}", "110128"),
        ("dead letter 3-9 discarded: nonsense", "110132"),
        ("the signing key was replaced", "110129"),
    ],
)
def test_an_alert_says_of_what_type_it_is_and_describes_itself(detail: str, code: str):
    root = parsed(audit_event(AuditAction.SECURITY, detail=detail, error="no", process="p-1"))
    assert root.xpath("string(//EventTypeCode/@csd-code)") == code
    (subject,) = objects(root, "110182")
    assert subject.get("ParticipantObjectID") == "p-1"
    assert details(subject) == [("Alert Description", f"{detail}: no")]


def test_a_refused_peer_is_the_subject_of_an_alert():
    event = audit_event(AuditAction.NETWORK, detail="refused", outcome=AuditOutcome.FAILURE)
    root = parsed(event)
    assert root.xpath("string(//EventTypeCode/@csd-code)") == "110126"
    assert objects(root, "110182")[0].get("ParticipantObjectID") == "192.0.2.7"
    assert root.xpath("ActiveParticipant/@UserIsRequestor") == ["false", "false"]


def test_a_c_move_names_who_asked_who_sent_and_who_received():
    source = SOURCES["person at a modality"]
    root = parsed(whole_event(AuditAction.EXPORT, source, detail="C-MOVE STUDY"))
    found = participants(root)
    assert dict(found[""].attrib) == {
        "UserID": "eva",
        "AlternativeUserID": "AETITLES=WS2",
        "UserName": "CN=ws2,O=Hospital",
        "UserIsRequestor": "true",
        "NetworkAccessPointID": "2001:db8::7",
        "NetworkAccessPointTypeCode": "2",
    }
    assert found["110153"].get("UserID") == "host-1-web-0"
    assert found["110153"].get("AlternativeUserID") == "AETITLES=ISOCENTER"
    assert found["110152"].get("UserID") == "ARCHIVE2"
    assert found["110152"].get("AlternativeUserID") == "AETITLES=ARCHIVE2"


def test_a_store_is_sent_by_the_caller_and_a_c_get_by_us():
    sent = participants(parsed(audit_event(AuditAction.STORE, process="p-1")))
    assert (sent["110153"].get("UserID"), sent["110152"].get("UserID")) == ("CT1", "p-1")
    got = participants(parsed(audit_event(AuditAction.RETRIEVE, process="p-1")))
    assert (got["110153"].get("UserID"), got["110152"].get("UserID")) == ("p-1", "CT1")
    assert got["110152"].get("UserIsRequestor") == "true"


def test_a_backup_names_its_medium():
    event = audit_event(
        AuditAction.EXPORT, SOURCES["operator"], detail="backup 17", destination="/mnt/backup"
    )
    medium = participants(parsed(event))["110154"]
    assert medium.get("UserID") == medium.get("NetworkAccessPointID") == "/mnt/backup"
    assert medium.get("NetworkAccessPointTypeCode") == "5"
    assert medium.xpath("string(MediaIdentifier/MediaType/@csd-code)") == "110037"


def test_a_machine_is_told_from_an_address():
    codes = [
        parsed(audit_event(AuditAction.VERIFY, SOURCES[source])).xpath(
            "string(ActiveParticipant[1]/@NetworkAccessPointTypeCode)"
        )
        for source in ("operator", "modality")
    ]
    assert codes == ["1", "2"]


def test_an_application_has_a_launcher_only_if_somebody_launched_it():
    own = parsed(audit_event(AuditAction.START, Source("process", "node-1"), process="p-1"))
    (application,) = own.iter("ActiveParticipant")
    assert application.get("UserID") == "p-1"
    assert application.get("NetworkAccessPointID") == "node-1"
    by_hand = participants(parsed(audit_event(AuditAction.STOP, SOURCES["operator"])))
    assert by_hand["110151"].get("UserID") == "root"


def test_a_query_carries_its_keys_and_values():
    query = "PatientID=\x00Müller\n<&>"
    root = parsed(audit_event(AuditAction.QUERY, query=query, patient_ids=("Müller",)))
    (search,) = objects(root, "10")
    assert b64decode(search.findtext("ParticipantObjectQuery")).decode() == query
    assert search.get("ParticipantObjectID") == "C-FIND STUDY PatientID"
    assert objects(root, "2")[0].get("ParticipantObjectID") == "Müller"


def test_the_trail_is_named_when_it_was_read():
    (trail,) = objects(parsed(audit_event(AuditAction.AUDIT)), "12")
    assert trail.findtext("ParticipantObjectName") == "Security Audit Log"
    assert trail.get("ParticipantObjectTypeCodeRole") == "13"


def test_what_is_known_of_the_instances_is_said_of_their_study():
    (study,) = objects(parsed(whole_event(AuditAction.RETRIEVE, SOURCES["person"])), "110180")
    assert study.get("ParticipantObjectID") == "1.2.840.1"
    description = study.find("ParticipantObjectDescription/SOPClass")
    assert description.get("NumberOfInstances") == "300"
    assert [one.get("UID") for one in description] == ["1.2.840.1.1.1", "1.2.840.1.1.2"]
    assert details(study) == [
        ("SeriesInstanceUID", "1.2.840.1.1"),
        ("SeriesInstanceUID", "1.2.840.1.2"),
        ("SHA-256", "a" * 64),
        ("SHA-256", "b" * 64),
    ]


def test_what_is_known_of_instances_of_many_studies_is_said_of_the_record():
    event = audit_event(
        AuditAction.RETRIEVE, studies=("1.2", "1.3"), instances=("1.2.1",), digests=("d" * 64,)
    )
    root = parsed(replace(event, instance_count=12))
    assert [one.find("ParticipantObjectDescription") for one in objects(root, "110180")] == [
        None
    ] * 2
    (record,) = objects(root, "record")
    assert record.xpath("string(.//SOPClass/@NumberOfInstances)") == "12"
    assert record.xpath(".//StudyIDs/@UID") == ["1.2", "1.3"]
    assert ("SHA-256", "d" * 64) in details(record)


def test_instances_that_are_named_are_counted():
    root = parsed(audit_event(AuditAction.STORE, studies=("1.2",), instances=("1.2.3", "1.2.4")))
    assert root.xpath("string(//SOPClass/@NumberOfInstances)") == "2"


def test_a_study_whose_patient_is_not_known_has_one_without_id():
    root = parsed(audit_event(AuditAction.RETRIEVE, studies=("1.2",)))
    assert [one.get("ParticipantObjectID") for one in objects(root, "2")] == [""]
    assert objects(parsed(audit_event(AuditAction.QUERY, studies=("1.2",))), "2") == []


def test_when_and_how_it_ended():
    failed = audit_event(AuditAction.STORE, outcome=AuditOutcome.FAILURE, error="disk full")
    identification = parsed(failed).find("EventIdentification")
    assert identification.get("EventDateTime") == "2026-11-26T17:04:05.678901+00:00"
    assert identification.get("EventOutcomeIndicator") == "8"
    assert identification.findtext("EventOutcomeDescription") == "C-STORE: disk full"


def test_a_purpose_is_the_code_that_it_is_or_else_words():
    def purpose(text: str) -> list[tuple[str, str, str]]:
        event = audit_event(AuditAction.RETRIEVE, Source("DICOMweb", user="eva", purpose=text))
        return [tuple(one.attrib.values()) for one in parsed(event).iter("PurposeOfUse")]

    assert purpose("treat") == [("TREAT", "2.16.840.1.113883.5.8", "treatment")]
    assert purpose("second opinion") == [("other", "99ISOCENTER", "second opinion")]
    assert purpose("") == []


def test_the_purpose_stands_last_in_its_element():
    identification = parsed(whole_event(AuditAction.SECURITY, SOURCES["person"]))[0]
    names = [one.tag for one in identification]
    assert names == ["EventID", "EventTypeCode", "EventOutcomeDescription", "PurposeOfUse"]


@pytest.mark.parametrize("action", AuditAction)
def test_nothing_of_a_record_is_lost(action: AuditAction):
    named = ("DIMSE", "192.0.2.7", "CT1", "OURS", "eva", "CN=ct1")
    source = Source(*named, known=False, purpose="why")
    root = parsed(whole_event(action, source))
    told = [value for one in root.iter() for value in (one.text or "", *one.attrib.values())]
    told += [value for one in root.iter() for _, value in details(one)]
    told += [b64decode(one.text).decode() for one in root.iter("ParticipantObjectQuery")]
    text = "\n".join(told)
    for value in (
        "192.0.2.7", "CT1", "OURS", "eva", "CN=ct1", "DIMSE", "why", "main", "PID-1", "1.2.840.1",
        "1.2.840.1.2", "1.2.840.1.1.2", "300", "ARCHIVE2", "it did not answer", "b" * 64, "north",
        "PatientID=PID-1&StudyDate=20260101-", "host-1-web-0", "host-1-web-0-01JD5Z",
        "0af7651916cd43dd8448eb211c80319c", "not in the settings", AT.isoformat(),
    ):  # fmt: skip
        assert value in text


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.parametrize("action", AuditAction)
def test_hostile_text_stays_text(action: AuditAction, text: str):
    event = filled_with(audit_event(action), text)
    assert_harmless(message(event))
    parsed(event)


def test_what_xml_cannot_hold_is_shown_and_everything_else_is_kept():
    user = 'a\x00b\ud800c\ufffed"<&>\n\té\U0001f600\x9b'
    root = parsed(audit_event(AuditAction.VERIFY, Source("DICOMweb", user=user)))
    shown = 'a\ufffdb\ufffdc\ufffdd"<&>\n\té\U0001f600\ufffd'
    assert root.find("ActiveParticipant").get("UserID") == shown


@pytest.mark.parametrize("piece", ["xxxx", "<\x00é\ud800"], ids=["plain", "hostile"])
def test_a_text_of_a_million_characters_is_told_whole(piece: str):
    text = piece * 250_000
    event = audit_event(AuditAction.QUERY, query=text, error=text)
    root = etree.fromstring(message(event), etree.XMLParser(huge_tree=True))
    assert STANDARD.validate(root)
    told = b64decode(root.findtext(".//ParticipantObjectQuery")).decode()
    assert told == text.replace("\ud800", "\ufffd")
    assert len(root.findtext(".//EventOutcomeDescription")) > len(text)


@settings(deadline=None)
@given(hostile_events())
def test_any_text_makes_a_valid_message_of_one_line(event: AuditEvent):
    assert_harmless(message(event))
    parsed(event)


def assert_harmless(data: bytes) -> None:
    """One line without a declaration, a mark or anything that nobody can see."""
    assert data.startswith(b"<AuditMessage>")
    assert not any(byte < 0x20 or byte == 0x7F for byte in data)
    assert not any("\x80" <= character <= "\x9f" for character in data.decode())
    assert b"<!" not in data
    assert b"<?" not in data


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b' UserID="CT1"', b""),
        (b'EventOutcomeIndicator="0"', b'EventOutcomeIndicator="1"'),
        (b"<ParticipantObjectName></ParticipantObjectName>", b""),
        (b"T17:04", b" 17:04"),
        (b"<AuditMessage>", b"<AuditMessage><PurposeOfUse/>"),
    ],
    ids=["no user", "outcome", "no name", "time", "purpose"],
)
def test_the_schema_refuses_what_is_no_message(before: bytes, after: bytes):
    data = message(audit_event(AuditAction.STORE))
    assert before in data
    assert not STANDARD.validate(etree.fromstring(data.replace(before, after)))


def test_messages_are_made_faster_than_they_have_to_be_sent():
    event = whole_event(AuditAction.RETRIEVE, SOURCES["person at a modality"])
    rates = []
    for _ in range(5):
        begun = time.process_time()
        for _ in range(500):
            message(event)
        rates.append(500 / (time.process_time() - begun))
    assert max(rates) > 5000
