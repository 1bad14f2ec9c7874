"""Who may add something to a study that is kept: nobody gets at a study by naming its UID."""

from __future__ import annotations

from typing import Any

import pytest

from isocenter.core.access import OWN, Caller, Kind, Marks, Patient, Patients, Policy, Right
from isocenter.core.errors import Refused, Unavailable
from isocenter.core.matching import JsonAttributes
from isocenter.runtime.access.facts import Facts
from isocenter.runtime.access.guard import PolicyGuard
from support.objects import STUDY, Archive, announcement, chunks, small
from support.policies import KnownStudies, allow, person, study

OWN_SITE = (allow(sites=(OWN,)),)
STORE_ALL_SEE_OWN = (allow(Right.STORE), allow(Right.SEARCH, Right.READ, sites=(OWN,)))
NORTH = person("technologist", name="north", sites=("north",))
SOUTH = person("technologist", name="south", sites=("south",))


class Rig:
    """An archive under rules, and the index, which knows what it is told."""

    def __init__(self, *rules: Any, marks: Marks | None = None) -> None:
        self.index = KnownStudies()
        policy = Policy(rules, marks or Marks())
        facts = Facts(self.index.opened, self._storage)  # type: ignore[arg-type]
        self.archive = Archive(guard=PolicyGuard(lambda: policy, facts))

    async def _storage(self) -> Any:
        return self.archive.storage

    def indexed(self, one: JsonAttributes) -> None:
        self.index.studies[STUDY] = one

    async def store(self, caller: Caller, instance: str, **fields: bytes) -> None:
        data_set = small(instance=instance, **fields)  # type: ignore[arg-type]
        await self.archive.ingest.store(announcement(caller=caller), chunks(data_set))

    async def sites(self) -> set[str]:
        keys = await self.archive.keys("sites/")
        return {bytes.fromhex(key.rpartition("/")[2]).decode() for key in keys}


@pytest.mark.parametrize("indexed", [True, False])
async def test_to_a_study_of_another_site_nothing_is_added(indexed) -> None:
    rig = Rig(*OWN_SITE)
    await rig.store(NORTH, "1.1")
    if indexed:
        rig.indexed(study(STUDY, patient="P1", sites=["north"]))
    with pytest.raises(Refused, match="no rule lets person:south store this study"):
        await rig.store(SOUTH, "1.2")
    await rig.store(NORTH, "1.3")
    assert await rig.sites() == {"north"}


async def test_while_the_index_is_away_what_is_kept_tells() -> None:
    rig = Rig(*OWN_SITE)
    await rig.store(NORTH, "1.1")
    rig.index.error = Unavailable("the index is down")
    await rig.store(NORTH, "1.2")
    with pytest.raises(Refused):
        await rig.store(SOUTH, "1.3")


async def test_a_study_of_no_site_is_nobodys_own() -> None:
    rig = Rig(*OWN_SITE, allow(who=("group:importers",)))
    await rig.store(person("technologist", groups=("importers",)), "1.1")
    with pytest.raises(Refused):
        await rig.store(SOUTH, "1.2")
    assert await rig.sites() == set()


async def test_a_new_study_is_of_the_site_of_whoever_brings_it() -> None:
    rig = Rig(*STORE_ALL_SEE_OWN)
    await rig.store(SOUTH, "1.1")
    assert await rig.sites() == {"south"}


async def test_who_may_add_to_a_study_does_not_make_it_one_of_their_site() -> None:
    rig = Rig(*STORE_ALL_SEE_OWN)
    await rig.store(NORTH, "1.1")
    await rig.store(SOUTH, "1.2")
    assert await rig.sites() == {"north"}


async def test_who_sees_a_study_makes_it_one_of_their_site() -> None:
    rig = Rig(*STORE_ALL_SEE_OWN, allow(Right.READ, who=("person:south",)))
    await rig.store(NORTH, "1.1")
    await rig.store(SOUTH, "1.2")
    assert await rig.sites() == {"north", "south"}


@pytest.mark.parametrize(
    ("rules", "fields"),
    [
        ((allow(Right.STORE), allow(Right.READ, patients=(Patients(("S*",)),))),
         {"patient_id": b"S1"}),
        ((allow(Right.STORE), allow(Right.SEARCH, patients=(Patients(("P1",), "HR"),))),
         {"issuer": b"HR"}),
        ((allow(Right.STORE), allow(Right.READ, modalities=("US",))), {"modality": b"US"}),
    ],
)  # fmt: skip
async def test_nobody_makes_a_study_one_that_they_see(rules, fields) -> None:
    rig = Rig(*rules)
    await rig.store(SOUTH, "1.1")
    await rig.store(SOUTH, "1.2")
    with pytest.raises(Refused, match="it would show them a study that is kept from them"):
        await rig.store(SOUTH, "1.3", **fields)


async def test_a_study_stays_one_of_a_confidential_patient() -> None:
    rig = Rig(allow(), marks=Marks((Patient("P1"),)))
    administrator = person("administrator")
    await rig.store(NORTH, "1.1")
    with pytest.raises(Refused, match="show them"):
        await rig.store(NORTH, "1.2", patient_id=b"PUBLIC")
    device = Caller(Kind.AE, "CT1", ("device",), only=frozenset({Right.STORE}))
    with pytest.raises(Refused, match="no longer be one of a confidential patient"):
        await rig.store(device, "1.2", patient_id=b"PUBLIC")
    await rig.store(device, "1.2")
    await rig.store(administrator, "1.3")


async def test_where_studies_are_all_alike_nothing_is_asked() -> None:
    rig = Rig(allow())
    for number in range(2):
        await rig.store(NORTH, f"1.{number}", patient_id=b"P%d" % number)
    assert rig.index.asked == []
    assert await rig.sites() == {"north"}
