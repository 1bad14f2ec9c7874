"""Marks of what is confidential, as records."""

from __future__ import annotations

import pytest

from isocenter.core.access import Marks, Patient
from isocenter.runtime.access.marks import MARKS, Mark, MarkRecords, marks_of
from support.access_rig import HERE, Access


async def test_marks_are_kept_until_they_are_taken_off(access: Access) -> None:
    marks = MarkRecords(access.storage)
    patient, study = Mark(patient=" P1 ", issuer="HR", reason="staff"), Mark(study="1.2")
    for one in (patient, study):
        await marks.put(one, HERE)
    found = {one.name: one for one in await MarkRecords(access.another().storage).all()}
    assert found == {patient.name: patient, study.name: study}
    await marks.remove(patient, HERE)
    await marks.remove(patient, HERE)  # what is not marked can be taken off
    assert await marks.all() == [study]


async def test_one_mark_there_is_of_a_patient_whatever_the_reason(access: Access) -> None:
    marks = MarkRecords(access.storage)
    for reason in ("first", "second"):
        await marks.put(Mark(patient="P1", reason=reason), HERE)
    await marks.put(Mark(patient="P1", issuer="HR"), HERE)
    assert sorted(one.reason for one in await marks.all()) == ["", "second"]


async def test_what_a_mark_is_kept_under_tells_nothing_of_the_patient(access: Access) -> None:
    await MarkRecords(access.storage).put(Mark(patient="MILLER-1970"), HERE)
    ((key, _),) = access.blobs.contents().items()
    assert key.startswith(MARKS)
    assert "MILLER" not in bytes.fromhex(key.removeprefix(MARKS).partition("/")[0]).decode()


def test_the_policy_hears_of_patients_and_of_studies() -> None:
    found = [Mark(study="1.2"), Mark(patient="P1", issuer="HR"), Mark(patient="P2")]
    marks = marks_of(found)
    assert set(marks.patients) == {Patient("P1", "HR"), Patient("P2")}
    assert marks.studies == ("1.2",)
    assert marks_of(reversed(found)) == marks
    assert marks_of([]) == Marks()


@pytest.mark.parametrize("one", [{"patient": "1\nHR"}, {"patient": "1", "issuer": "HR"}])
def test_names_of_different_marks_differ(one: dict[str, str]) -> None:
    others = [Mark(patient="1"), Mark(study="1.2"), Mark(patient="HR", issuer="1")]
    assert Mark(**one).name not in {other.name for other in others}
