"""Five weeks of a hospital as its audit trail tells them: made up, the same every time, with some
things in the last week that are unusual. No name and no number belongs to anybody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random

from isocenter.core.audit import AuditFilter
from isocenter.core.audit_api import Hold, SavedSearch
from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome, Source
from support.memory_trail import MemoryTrail

NOW = datetime(2026, 11, 26, 17, 10, tzinfo=UTC)  # a Thursday
DAYS = 36
PATIENT = "MRN-204137"
PERSON = "a.weber"
OFFICER = Source("DICOMweb", "10.20.0.5", user="c.lindqvist", purpose="HOPERAT")

_SITE, _PARTITION = "Northgate", "main"
_READERS = {  # user: address, first hour, last hour, accesses a day
    "a.weber": ("10.20.4.11", 7, 16, 22),
    "m.dubois": ("10.20.4.12", 8, 17, 18),
    "s.keller": ("10.20.4.15", 8, 15, 16),
    "r.osei": ("10.20.4.21", 9, 18, 20),
    "t.brandt": ("10.20.6.3", 7, 14, 11),
    "j.moreau": ("10.20.6.8", 6, 13, 9),
    "i.novak": ("10.20.7.2", 10, 19, 13),
}
_MODALITIES = {"CT1": "10.20.1.31", "CT2": "10.20.1.32", "MR1": "10.20.1.41", "US4": "10.20.1.63"}
_VERBS = (
    (AuditAction.QUERY, "QIDO-RS studies 00100020"),
    (AuditAction.RETRIEVE, "WADO-RS metadata"),
    (AuditAction.RETRIEVE, "WADO-RS frames"),
    (AuditAction.RETRIEVE, "WADO-RS"),
    (AuditAction.EXPORT, "C-MOVE"),
)
_WEIGHTS = (4, 5, 6, 2, 1)


def uid(*names: object) -> str:
    """A UID of the scene."""
    digest = sha256(repr(names).encode()).hexdigest()
    return f"2.25.{int(digest[:30], 16)}"


STUDY = uid("study", PATIENT, 0)
SERIES = uid("series", STUDY)
INSTANCE = uid("instance", SERIES, 1)


def scene() -> MemoryTrail:
    """The trail, its saved searches and a legal hold."""
    trail = MemoryTrail(unsealed=23)
    trail.keep(*sorted(_events(), key=lambda event: event.at))
    for name, which, days in (
        ("Exports of the last week", AuditFilter(actions=(AuditAction.EXPORT,)), 7),
        ("Refused at night", AuditFilter(outcomes=(AuditOutcome.FAILURE,)), 1),
        (f"Case of {PATIENT}", AuditFilter(patient_id=PATIENT), 0),
    ):
        at = NOW - timedelta(days=11)
        trail.searches[name] = SavedSearch(name, which, OFFICER, at, days)
    reason = "Kept for the proceedings 4 O 118/26 until the court releases it"
    trail.held["4 O 118/26"] = Hold("4 O 118/26", reason, OFFICER, NOW - timedelta(days=40))
    return trail


def _events() -> Iterator[AuditEvent]:
    dice = Random(20261126)
    for back in range(DAYS, -1, -1):
        day = (NOW - timedelta(days=back)).replace(hour=0, minute=0)
        for event in (*_day(dice, day), *_unusual(dice, day, back)):
            if event.at < NOW:
                yield event
    yield from _story(dice)
    for hours in (3, 27, 51):
        yield _made(
            dice, NOW - timedelta(hours=hours), AuditAction.VERIFY, OFFICER,
            detail="audit trail verified: 11842 records, 0 findings",
        )  # fmt: skip


def _day(dice: Random, day: datetime) -> Iterator[AuditEvent]:
    weekend = day.weekday() >= 5
    for title, host in _MODALITIES.items():
        source = Source("DIMSE", host, title, "ISOCENTER")
        for number in range(3 if weekend else 9):
            at = _time(dice, day, 0 if title == "CT1" else 6, 23 if title == "CT1" else 19)
            patient = f"MRN-{dice.randint(200000, 209999)}"
            yield _access(dice, at, AuditAction.STORE, source, "C-STORE", patient, number)
    for user, (host, first, last, usual) in _READERS.items():
        if weekend and user != "i.novak":
            continue
        source = Source("DICOMweb", host, user=user, purpose="TREAT")
        for _ in range(max(2, round(dice.gauss(usual, usual / 6)))):
            at = _time(dice, day, first, last)
            action, detail = dice.choices(_VERBS, _WEIGHTS)[0]
            patient = PATIENT if dice.random() < 0.012 else f"MRN-{dice.randint(200000, 209999)}"
            yield _access(dice, at, action, source, detail, patient, dice.randint(0, 1))
    if dice.random() < 0.5:
        refused = Source("DIMSE", "10.20.9.77", "OLDWS", "ISOCENTER", known=False)
        yield _refused(dice, _time(dice, day, 8, 17), refused)


def _unusual(dice: Random, day: datetime, back: int) -> Iterator[AuditEvent]:
    if back == 2:  # the night before Tuesday
        source = Source("DICOMweb", "10.20.6.8", user="j.moreau", purpose="TREAT")
        for minute in (12, 14, 15, 19, 27, 31):
            at = day + timedelta(hours=2, minutes=minute)
            yield _access(dice, at, AuditAction.RETRIEVE, source, "WADO-RS frames", PATIENT, 0)
    if back == 5:  # Saturday
        source = Source("DICOMweb", "10.20.4.15", user="s.keller", purpose="TREAT")
        for _ in range(9):
            at = _time(dice, day, 10, 11)
            patient = f"MRN-{dice.randint(200000, 209999)}"
            yield _access(dice, at, AuditAction.QUERY, source, _VERBS[0][1], patient, 0)
    if back == 1:
        source = Source("DICOMweb", "10.20.6.3", user="t.brandt", purpose="HRESCH")
        for number in range(94):
            at = day + timedelta(hours=11 + number % 2, minutes=dice.randint(0, 59))
            yield _access(
                dice, at, AuditAction.RETRIEVE, source, "WADO-RS", f"MRN-{205000 + number}", 0
            )
    if back == 0:
        source = Source("DIMSE", "10.20.9.201", "SCAN9", "ISOCENTER", known=False)
        for minute in range(3, 48, 3):
            yield _refused(dice, day + timedelta(hours=4, minutes=minute), source)


def _story(dice: Random) -> Iterator[AuditEvent]:
    """What happened to an object: two versions, read, moved, one of them deleted."""
    modality = Source("DIMSE", "10.20.1.31", "CT1", "ISOCENTER")
    reader = Source("DICOMweb", "10.20.4.11", user="a.weber", purpose="TREAT")
    begun = NOW - timedelta(days=9, hours=3)
    for minutes, action, source, more in (
        (0, AuditAction.STORE, modality, {"detail": "C-STORE", "digests": (_digest(1),)}),
        (11, AuditAction.STORE, modality, {"detail": "C-STORE coerced", "digests": (_digest(2),)}),
        (12, AuditAction.CONFLICT, modality,
         {"detail": "keep-first", "digests": (_digest(1), _digest(2)),
          "outcome": AuditOutcome.MINOR_FAILURE,
          "error": "another object has the same SOP Instance UID; the first one answers"}),
        (95, AuditAction.RETRIEVE, reader, {"detail": "WADO-RS frames"}),
        (1603, AuditAction.EXPORT, reader, {"detail": "C-MOVE", "destination": "SURGERY2"}),
        (4420, AuditAction.DELETE, OFFICER,
         {"detail": "object of deletion 19a2f0", "digests": (_digest(2),)}),
    ):  # fmt: skip
        yield _made(
            dice, begun + timedelta(minutes=minutes), action, source, patient_ids=(PATIENT,),
            studies=(STUDY,), series=(SERIES,), instances=(INSTANCE,), instance_count=1, **more,
        )  # fmt: skip


def _digest(version: int) -> str:
    return sha256(f"version {version}".encode()).hexdigest()


def _access(
    dice: Random, at: datetime, action: AuditAction, source: Source, detail: str, patient: str,
    number: int,
) -> AuditEvent:  # fmt: skip
    study = uid("study", patient, number)
    series = uid("series", study)
    failed = dice.random() < 0.015
    made = _made(
        dice, at, action, source, detail=detail, patient_ids=(patient,), studies=(study,),
        series=(series,), instance_count=dice.randint(1, 240),
        outcome=AuditOutcome.MINOR_FAILURE if failed else AuditOutcome.SUCCESS,
        error="broken off before its end" if failed else "",
        destination="SURGERY2" if action is AuditAction.EXPORT else "",
    )  # fmt: skip
    if action is AuditAction.QUERY:
        return replace(
            made, query=f"PatientID={patient}", studies=(), series=(), instance_count=0,
            outcome=AuditOutcome.SUCCESS, error="",
        )  # fmt: skip
    return made


def _refused(dice: Random, at: datetime, source: Source) -> AuditEvent:
    return _made(
        dice, at, AuditAction.NETWORK, source, outcome=AuditOutcome.FAILURE,
        detail="association refused", error="the calling AE title is not known here",
        partition="",
    )  # fmt: skip


def _made(
    dice: Random, at: datetime, action: AuditAction, source: Source, **more: object
) -> AuditEvent:
    process = "pacs-1/web" if source.protocol == "DICOMweb" else "pacs-1/gateway"
    fields: dict[str, object] = {"outcome": AuditOutcome.SUCCESS, "partition": _PARTITION, **more}
    return AuditEvent(
        action=action, source=source, at=at, id=f"{process}-{dice.getrandbits(128):032x}",
        process=process, site=_SITE, trace=f"{dice.getrandbits(128):032x}", **fields,
    )  # type: ignore[arg-type]  # fmt: skip


def _time(dice: Random, day: datetime, first: int, last: int) -> datetime:
    hour = min(last, max(first, round(dice.gauss((first + last) / 2, (last - first) / 4))))
    seconds = dice.randint(0, 3599) + dice.random()
    return day + timedelta(hours=hour, seconds=seconds)
