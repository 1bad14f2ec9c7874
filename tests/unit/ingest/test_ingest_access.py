"""Who may store, delete and restore what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from isocenter.adapters.index.sqlite import SqliteIndex
from isocenter.core.access import OWN, SYSTEM, Marks, Patient, Patients, Right
from isocenter.core.errors import NotFound, Refused
from isocenter.core.events import TOPIC_AUDIT, TOPIC_INSTANCES, AuditAction, AuditOutcome
from isocenter.core.matching import Level, Search
from isocenter.runtime.aes import KnownAE
from isocenter.runtime.event_codec import decode
from support import archive as indexed
from support.datasets import tiny
from support.objects import SOURCE, STUDY, Archive, announcement, chunks, element, small
from support.policies import allow, deny, guard_of, person, study, withheld

OWN_SITE = (allow(sites=(OWN,)),)
TECHNOLOGIST = person("technologist")
STAFF = Patients(("EMP*",), "HR")


# --- storing -------------------------------------------------------------------------------------


async def taken(archive: Archive, caller=TECHNOLOGIST, **fields) -> bool:
    """Whether an object of these fields comes in."""
    try:
        await archive.ingest.store(announcement(caller=caller), chunks(small(**fields)))
    except Refused:
        assert await archive.keys("objects/") == []
        assert [one async for one in archive.bus.replay(TOPIC_INSTANCES)] == []
        return False
    assert sum(key.endswith(".dcm") for key in await archive.keys("objects/")) == 1
    return True


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        (SYSTEM, True),
        (person("technologist"), True),
        (person("administrator"), True),
        (person("viewer"), False),
        (person("auditor"), False),
        (person(), False),
        (person("technologist", only=frozenset({Right.READ})), False),
    ],
    ids=str,
)
async def test_an_object_comes_in_from_whose_role_stores(caller, expected) -> None:
    assert await taken(Archive(), caller) is expected


@pytest.mark.parametrize(
    ("rule", "fields", "expected"),
    [
        (allow(modalities=("CT",)), {"modality": b"CT"}, True),
        (allow(modalities=("CT",)), {"modality": b"MR"}, False),
        (allow(modalities=("CT",)), {}, False),
        (allow(patients=(STAFF,)), {"patient_id": b"EMP7", "issuer": b"HR"}, True),
        (allow(patients=(STAFF,)), {"patient_id": b"EMP7", "issuer": b"HO"}, False),
        (allow(patients=(STAFF,)), {"patient_id": b"EMP7"}, False),
        (allow(studies=("1.2", STUDY)), {}, True),
        (allow(studies=("1.2",)), {}, False),
        (allow(Right.READ), {}, False),
    ],
)
async def test_rules_look_at_what_an_object_says_of_its_study(rule, fields, expected) -> None:
    assert await taken(Archive(guard=guard_of((rule,))), **fields) is expected


async def test_a_patient_id_is_meant_in_its_character_set() -> None:
    rules = (allow(patients=(Patients(("Ä1",), "Köln"),)),)
    fields = {"patient_id": "Ä1".encode(), "issuer": "Köln".encode()}
    utf8 = {"charset": b"ISO_IR 192"}
    assert await taken(Archive(guard=guard_of(rules)), **fields, **utf8)
    assert not await taken(Archive(guard=guard_of(rules)), **fields, charset=b"ISO_IR 100")


async def test_deny_beats_allow_and_images_of_confidential_patients_come_in() -> None:
    rules = (allow(), deny(patients=(STAFF,)))
    marks = Marks((Patient("VIP"),))
    for fields, expected in (
        ({}, True),
        ({"patient_id": b"EMP7", "issuer": b"HR"}, False),
        ({"patient_id": b"VIP"}, True),
    ):
        archive = Archive(guard=guard_of(rules, marks=marks))
        assert await taken(archive, **fields) is expected, fields


@pytest.mark.parametrize(
    ("ae", "own", "process", "site"),
    [
        ("east", ("north", "south"), "west", "east"),
        ("", ("north", "south"), "west", "north"),
        (None, ("north",), "west", "north"),
        ("", (), "west", "west"),
        (None, (), "west", "west"),
        (None, (), "", None),
    ],
)
async def test_an_object_comes_from_where_its_sender_is_or_else_its_process(
    ae, own, process, site
) -> None:
    known = [] if ae is None else [KnownAE(title=SOURCE.ae_title, site=ae)]
    caller = person("technologist", sites=own)
    for named in ("east", "north", "south", "west"):
        guard = guard_of((allow(sites=(named,)),))
        archive = Archive(guard=guard, known=known, site=process)
        assert await taken(archive, caller) is (named == site), named


@pytest.mark.parametrize(
    ("first", "rules", "expected"),
    [
        (("north",), OWN_SITE, False),
        (("north",), (*OWN_SITE, allow(Right.STORE, sites=("north",))), True),
        (("north",), (*OWN_SITE, allow(Right.READ, sites=("north",))), False),
        (("north",), (allow(), deny(Right.STORE, sites=("north",))), False),
        (("south",), OWN_SITE, True),
        ((), OWN_SITE, False),
        ((), (allow(),), True),
        (None, OWN_SITE, True),
    ],
)
async def test_what_comes_into_a_study_makes_it_one_of_another_site_only_where_it_may_be_stored(
    first, rules, expected
) -> None:
    """`first`: of what site whoever has brought the first object is; None: there is none."""
    archive = Archive(guard=guard_of(rules))
    if first is not None:
        before = announcement(caller=replace(SYSTEM, sites=first))
        await archive.ingest.store(before, chunks(small(instance="1.2.3.4.8")))
    kept = await archive.keys("sites/")
    caller = person("technologist", sites=("south",))
    if expected:
        await archive.ingest.store(announcement(caller=caller), chunks(small()))
        assert len(await archive.keys("sites/")) == len({*(first or ()), "south"})
        return
    with pytest.raises(Refused):
        await archive.ingest.store(announcement(caller=caller), chunks(small()))
    assert await archive.keys("sites/") == kept
    assert sum(key.endswith(".dcm") for key in await archive.keys("objects/")) == 1


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (allow(patients=(Patients(("P1",), "NORTH"),)), True),
        (allow(patients=(Patients(("P1",), "HR"),)), False),
    ],
)
async def test_rules_look_at_what_an_object_is_corrected_to(rule, expected) -> None:
    coercions = [{"attribute": "IssuerOfPatientID", "map": {"HR": "NORTH"}}]
    sender = KnownAE(title=SOURCE.ae_title, coercions=coercions, site="east")
    archive = Archive(guard=guard_of((rule,)), known=[sender])
    assert await taken(archive, issuer=b"HR") is expected
    assert bool(await archive.keys("sites/")) is expected


async def test_a_refusal_is_recorded_with_its_reason_and_what_it_was_about() -> None:
    archive = Archive(guard=guard_of((deny(name="no students", who=("group:students",)),)))
    assert not await taken(archive, person("technologist", groups=("students",)))
    (record,) = [decode(one) async for one in archive.bus.replay(TOPIC_AUDIT)]
    assert (record.action, record.outcome) == (AuditAction.STORE, AuditOutcome.FAILURE)
    assert record.error == "denied by the rule 'no students'"
    assert (record.studies, record.patient_ids) == ((STUDY,), ("P1",))


async def test_an_object_is_refused_before_its_pixels_are_read() -> None:
    archive, read = Archive(guard=guard_of(())), 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        yield small(more=element(0x7FE00010, "OW", b"", 2**30))
        while True:
            read += 1
            yield bytes(2**16)

    with pytest.raises(Refused):
        await archive.ingest.store(announcement(caller=TECHNOLOGIST), endless())
    assert read < 100


# --- deleting and restoring ----------------------------------------------------------------------

NORTHERN = person("administrator", sites=("north",))
INSTANCES = Search(Level.INSTANCE)


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[indexed.Archive]:
    """A study of the north and one of the south; administrators change those of their site."""
    guard = guard_of(
        (*OWN_SITE, allow(who=("group:chiefs",))),
        study("1.2", sites=["north"]),
        study("1.3", sites=["south"]),
    )
    index = await SqliteIndex.open(tmp_path / "index")
    archive = indexed.Archive(index, guard=guard)
    async with archive.running():
        for uid in ("1.2", "1.3"):
            await archive.store(tiny(uid, f"{uid}.1", f"{uid}.1.1"))
        await archive.caught_up()
        yield archive
    await index.close()


async def test_what_is_of_their_studies_can_be_deleted(archive) -> None:
    done = await archive.remover().delete(NORTHERN, "main", "1.2", "", "", SOURCE, "wrong")
    assert (done.objects, done.kept) == (1, 1)
    assert indexed.values(await archive.answers(INSTANCES), "0020000D") == ["1.3"]


@pytest.mark.parametrize("level", [("", ""), ("1.3.1", ""), ("1.3.1", "1.3.1.1")])
async def test_what_is_of_others_is_withheld_and_stays(archive, level) -> None:
    remover, before = archive.remover(), await archive.everything()
    with withheld("no rule lets person:eva delete this study"):
        await remover.delete(NORTHERN, "main", "1.3", *level, SOURCE, "wrong")
    with pytest.raises(NotFound):
        await remover.delete(NORTHERN, "main", "1.9", "", "", SOURCE, "wrong")
    assert await archive.keys("deletions/") == await archive.keys("deleted/") == []
    assert await archive.everything() == before
    assert archive.audit.records == []


async def test_somebody_whose_role_does_not_delete_is_refused(archive) -> None:
    remover = archive.remover()
    done = await remover.delete(NORTHERN, "main", "1.2", "", "", SOURCE, "wrong")
    for caller in (person("viewer", sites=("north",)), person(), person("technologist")):
        with pytest.raises(Refused, match="may not delete; of the roles, administrator may"):
            await remover.delete(caller, "main", "1.3", "", "", SOURCE, "wrong")
        with pytest.raises(Refused, match="may not delete; of the roles, administrator may"):
            await remover.restore(caller, "main", done.id, SOURCE)
        with pytest.raises(Refused, match="may not delete; of the roles, administrator may"):
            await anext(remover.deletions(caller, "main"))


async def test_only_who_may_delete_everywhere_lists_and_restores_what_is_deleted(archive) -> None:
    remover = archive.remover()
    done = await remover.delete(NORTHERN, "main", "1.2", "", "", SOURCE, "wrong")
    with pytest.raises(Refused, match="person:eva may not delete everywhere"):
        await anext(remover.deletions(NORTHERN, "main"))
    with pytest.raises(Refused, match="person:eva may not delete everywhere"):
        await remover.restore(NORTHERN, "main", done.id, SOURCE)
    assert len(await archive.answers(INSTANCES)) == 1
    chief = person("administrator", name="ada", groups=("chiefs",))
    assert [one async for one in remover.deletions(chief, "main")] == [done]
    assert (await remover.restore(chief, "main", done.id, SOURCE)).kept == 0
    await archive.caught_up()
    assert len(await archive.answers(INSTANCES)) == 2
