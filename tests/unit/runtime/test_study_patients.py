"""Whose studies are accessed: asked once, and nobody waits for an index that is down."""

from __future__ import annotations

import asyncio
import time

import pytest

from isocenter.core.errors import Unavailable
from isocenter.core.matching import Level
from isocenter.runtime import study_patients
from isocenter.runtime.study_patients import StudyPatients
from support.web_fakes import FakeQuery

OF_P1 = {"00100020": {"vr": "LO", "Value": ["P1"]}}


async def test_a_study_is_asked_for_once():
    query = FakeQuery([OF_P1])
    patients = StudyPatients(query)
    assert await patients.of("main", ["1.2", "1.3"]) == ("P1",)
    assert await patients.of("main", ["1.3"]) == ("P1",)
    assert [(one.level, one.keys[0].values) for one in query.searches] == [
        (Level.STUDY, ("1.2",)), (Level.STUDY, ("1.3",)),
    ]  # fmt: skip


@pytest.mark.parametrize("answer", [[], [{}], [{"00100020": {"vr": "LO"}}]])
async def test_what_is_not_indexed_yet_is_asked_for_again(answer):
    query = FakeQuery(answer)
    patients = StudyPatients(query)
    assert await patients.of("main", ["1.2"]) == ()
    query.answers = [OF_P1]
    assert await patients.of("main", ["1.2"]) == ("P1",)


async def test_while_the_index_is_down_it_is_left_alone_and_nobody_waits(monkeypatch):
    query = FakeQuery([OF_P1], error=Unavailable("down"))
    patients = StudyPatients(query)
    assert await patients.of("main", ["1.2"]) == ()
    query.error = None
    assert await patients.of("main", ["1.2"]) == ()
    assert len(query.searches) == 1
    clock = time.monotonic
    monkeypatch.setattr(study_patients.time, "monotonic", lambda: clock() + 6)
    assert await patients.of("main", ["1.2"]) == ("P1",)


async def test_an_index_that_hangs_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(study_patients, "_PATIENCE", 0.01)

    class Hanging(FakeQuery):
        async def search(self, caller, search):
            del caller, search
            await asyncio.Event().wait()
            yield []

    assert await StudyPatients(Hanging()).of("main", ["1.2"]) == ()


async def test_a_patient_is_remembered_for_a_while_and_of_so_many_studies(monkeypatch):
    monkeypatch.setattr(study_patients, "_HELD", 2)
    query = FakeQuery([OF_P1])
    patients = StudyPatients(query)
    for study in ("1", "2", "3", "1"):
        assert await patients.of("main", [study]) == ("P1",)
    assert len(query.searches) == 4
    monkeypatch.setattr(study_patients, "_FRESH_SECONDS", 0.0)
    await patients.of("main", ["4"])
    await patients.of("main", ["4"])
    assert len(query.searches) == 6
