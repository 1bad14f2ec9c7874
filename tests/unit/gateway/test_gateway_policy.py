"""What a policy leaves of the archive to an AE: every verb that gives something out, over a real
index and a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association

from isocenter.adapters.index.sqlite import SqliteIndex
from isocenter.core.access import OWN, Marks, Patient, Policy, Right, Rule
from isocenter.core.events import AuditAction, AuditOutcome, ConflictPolicy
from isocenter.gateway.contexts import (
    COMPOSITE_INSTANCE_ROOT,
    PATIENT_ROOT,
    STORAGE_COMMITMENT,
    STUDY_ROOT,
    WITHOUT_BULK_DATA,
)
from isocenter.gateway.settings import GatewaySettings
from isocenter.query.service import QueryService
from isocenter.query.settings import QuerySettings
from isocenter.runtime.access.facts import Facts
from isocenter.runtime.access.guard import PolicyGuard
from isocenter.runtime.access.settings import AccessSettings
from isocenter.runtime.aes import KnownAE
from isocenter.runtime.study_sites import StudySites
from support.archive import Archive, announcement
from support.commitment_results import Results
from support.datasets import tiny
from support.gateway_fakes import EXPLICIT, FakeEnv
from support.live_gateway import CT, Live, dcmtk, in_thread, instances, live_in, storescp
from support.policies import allow, deny

NORTHS, SOUTHS, SECRET = "1.2.1", "1.2.2", "1.2.3"
WELL_KNOWN = "1.2.840.10008.1.20.1.1"
NO_SUCH_INSTANCE, NOT_AUTHORIZED = 0x0112, 0x0124
OWN_SITE = (allow(sites=(OWN,)),)
LEVELS = {
    "PATIENT": ["PatientID"],
    "STUDY": ["StudyInstanceUID"],
    "SERIES": ["StudyInstanceUID", "SeriesInstanceUID"],
    "IMAGE": ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"],
}
# Patient A was at both sites; what is of MR is in the second study only.
OBJECTS = [
    (NORTHS, "A", "CT", "north", 2),
    (SOUTHS, "A", "MR", "south", 3),
    (SECRET, "VIP", "CT", "north", 1),
]


@dataclass
class Site:
    """An archive of two sites behind a gateway, and who calls it."""

    env: FakeEnv
    gateway: Live | None = None

    def ask(self, calling: str, work: Callable[[Association], Any], results: Any = None) -> Any:
        """Something on an association of an AE."""
        ae = AE(calling)
        for uid in (PATIENT_ROOT.find, STUDY_ROOT.find, STUDY_ROOT.get, STUDY_ROOT.move,
                    COMPOSITE_INSTANCE_ROOT.get, WITHOUT_BULK_DATA.get, STORAGE_COMMITMENT,
                    CT):  # fmt: skip
            ae.add_requested_context(uid, EXPLICIT)
        assert self.gateway is not None
        association = ae.associate(
            "127.0.0.1",
            self.gateway.port,
            ae_title="ISOCENTER",
            ext_neg=[build_role(CT, scu_role=True, scp_role=True)],
            evt_handlers=[(evt.EVT_C_STORE, lambda _: 0), *(results.handlers if results else ())],
        )
        assert association.is_established
        try:
            return work(association)
        finally:
            association.release()

    async def find(self, calling: str, level: str, *more: str, **keys: Any) -> list[Dataset]:
        """The matches of a C-FIND."""
        asked = identifier(level, **{**dict.fromkeys((*LEVELS[level], *more), ""), **keys})
        model = PATIENT_ROOT.find if level == "PATIENT" else STUDY_ROOT.find

        def work(association: Association) -> list[Dataset]:
            return [one for status, one in association.send_c_find(asked, model) if one]

        return list(await in_thread(lambda: self.ask(calling, work)))

    async def get(self, calling: str, model: str, level: str, **keys: Any) -> tuple[int, int]:
        """The final status of a C-GET, and how many sub-operations completed."""
        asked = identifier(level, **keys)

        def work(association: Association) -> tuple[int, int]:
            *_, (status, _) = association.send_c_get(asked, model)
            return status.Status, status.get("NumberOfCompletedSuboperations", 0)

        return await in_thread(lambda: self.ask(calling, work))

    async def commit(self, calling: str, *uids: str) -> tuple[int, list[str], dict[str, int]]:
        """What a request for storage commitment comes to."""
        information, results = Dataset(), Results()
        information.TransactionUID = "1.2.99"
        information.ReferencedSOPSequence = []
        for uid in uids:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, uid
            information.ReferencedSOPSequence.append(item)

        def work(association: Association) -> None:
            status, _ = association.send_n_action(information, 1, STORAGE_COMMITMENT, WELL_KNOWN)
            assert status.Status == 0
            results.wait()

        await in_thread(lambda: self.ask(calling, work, results))
        return results.told()

    def retrieves(self) -> list[tuple[AuditOutcome, int, str]]:
        """Outcome, number of instances and error of the records of retrieves."""
        wanted = (AuditAction.RETRIEVE, AuditAction.EXPORT)
        records = [one for one in self.env.fake_audit.records if one["action"] in wanted]
        return [(one["outcome"], one["instance_count"], one["error"]) for one in records]


def identifier(level: str, **keys: Any) -> Dataset:
    asked = Dataset()
    asked.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(asked, keyword, value)
    return asked


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[SqliteIndex]:
    index = await SqliteIndex.open(tmp_path / "index")
    yield index
    await index.close()


@pytest.fixture
def sited(index: SqliteIndex):
    """A way to an archive under some rules."""

    @asynccontextmanager
    async def made(
        rules: Sequence[Rule], *aes: KnownAE, marks: Marks | None = None
    ) -> AsyncIterator[Site]:
        known = (
            KnownAE(title="NORTH", host="127.0.0.1", site="north"),
            KnownAE(title="SOUTH", host="127.0.0.1", site="south"),
            *aes,
        )
        settings = GatewaySettings(port=0, known_aes=known, commitment_wait_seconds=0)
        env = FakeEnv(
            settings, policy=Policy(tuple(rules), marks or Marks()), access=AccessSettings()
        )

        async def query() -> Any:
            return env.fake_query

        async def storage() -> Any:
            return env.fake_storage

        env.facts = Facts(query, storage)
        guard = PolicyGuard(lambda: env.policy, env.facts)
        archive = Archive(index, guard=guard)
        env.fake_storage = archive.storage
        env.fake_query = QueryService(
            index=index, storage=archive.storage, settings=QuerySettings(), guard=guard
        )
        await _fill(archive)
        async with live_in(env) as gateway:
            yield Site(env, gateway)

    return made


async def _fill(archive: Archive) -> None:
    sites = StudySites(archive.storage)
    for study, patient, modality, site, count in OBJECTS:
        for number in range(1, count + 1):
            one = tiny(study, f"{study}.1", f"{study}.1.{number}", PatientID=patient,
                       Modality=modality, InstanceNumber=number)  # fmt: skip
            event, part10 = announcement(one, ConflictPolicy.KEEP_FIRST)
            await archive.blobs.put(event.key, [part10], event.digest)
            await sites.note("main", study, site)
            await archive.announce(replace(event, site=site))
    await archive.index_all()


# --- C-FIND --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "found"),
    [
        ("PATIENT", ["A", "VIP"]),
        ("STUDY", [NORTHS, SECRET]),
        ("SERIES", [f"{NORTHS}.1", f"{SECRET}.1"]),
        ("IMAGE", [f"{NORTHS}.1.1", f"{NORTHS}.1.2", f"{SECRET}.1.1"]),
    ],
)
async def test_an_ae_finds_what_its_own_site_made_at_every_level(sited, level, found):
    async with sited(OWN_SITE) as site:
        answers = await site.find("NORTH", level)
    assert sorted(str(one[LEVELS[level][-1]].value) for one in answers) == found


async def test_what_is_counted_is_what_the_ae_may_see(sited):
    counts = ("NumberOfPatientRelatedStudies", "NumberOfPatientRelatedSeries",
              "NumberOfPatientRelatedInstances")  # fmt: skip
    async with sited(OWN_SITE) as site:
        [north] = await site.find("NORTH", "PATIENT", *counts, PatientID="A")
        [study] = await site.find(
            "NORTH", "STUDY", "ModalitiesInStudy", "NumberOfStudyRelatedInstances",
            *counts, PatientID="A",
        )  # fmt: skip
        by_modality = await site.find("NORTH", "STUDY", ModalitiesInStudy="MR")
    # Those of a patient of whom the AE may not see all are told to nobody.
    assert [north[one].value for one in counts] == [None] * 3
    assert (study.ModalitiesInStudy, study.NumberOfStudyRelatedInstances) == ("CT", 2)
    assert [study[one].value for one in counts] == [None] * 3
    assert by_modality == []


async def test_confidential_patients_and_denied_modalities_are_not_found(sited):
    marks = Marks(patients=(Patient("VIP"),))
    rules = (allow(), deny(Right.SEARCH, who=("ae:NORTH",), modalities=("MR",)))
    async with sited(rules, marks=marks) as site:
        north = await site.find("NORTH", "STUDY")
        south = await site.find("SOUTH", "STUDY")
    assert [one.StudyInstanceUID for one in north] == [NORTHS]
    assert sorted(one.StudyInstanceUID for one in south) == [NORTHS, SOUTHS]


# --- C-GET, C-MOVE -------------------------------------------------------------------------------

OF_A_STUDY = [
    (STUDY_ROOT.get, "STUDY", {}),
    (STUDY_ROOT.get, "SERIES", {"SeriesInstanceUID": "{}.1"}),
    (STUDY_ROOT.get, "IMAGE", {"SeriesInstanceUID": "{}.1", "SOPInstanceUID": "{}.1.1"}),
    (COMPOSITE_INSTANCE_ROOT.get, "IMAGE", {"SOPInstanceUID": "{}.1.1"}),
    (COMPOSITE_INSTANCE_ROOT.get, "FRAME", {"SOPInstanceUID": "{}.1.1", "SimpleFrameList": [1]}),
    (WITHOUT_BULK_DATA.get, "IMAGE", {"SOPInstanceUID": "{}.1.1"}),
]


@pytest.mark.parametrize(("model", "level", "keys"), OF_A_STUDY)
@pytest.mark.parametrize("study_named", [True, False])
async def test_a_study_of_another_site_is_as_one_that_is_not_there(
    sited, model, level, keys, study_named
):
    def of(study: str) -> dict[str, Any]:
        filled = {k: v.format(study) if isinstance(v, str) else v for k, v in keys.items()}
        return filled | ({"StudyInstanceUID": study} if study_named or not keys else {})

    async with sited(OWN_SITE) as site:
        theirs = await site.get("NORTH", model, level, **of(SOUTHS))
        missing = await site.get("NORTH", model, level, **of("1.2.999"))
        own = await site.get("NORTH", model, level, **of(NORTHS))
    assert theirs == missing
    assert theirs[1] == 0
    assert own != missing
    (_, count, _), *_ = site.retrieves()
    assert count == 0


async def test_why_something_was_withheld_is_in_the_audit_trail_alone(sited):
    marks = Marks(studies=(SECRET,))
    async with sited((allow(),), marks=marks) as site:
        got = await site.get("NORTH", STUDY_ROOT.get, "STUDY", StudyInstanceUID=[NORTHS, SECRET])
    assert got == (0, 2)
    why = "the study or its patient is confidential"
    assert site.retrieves() == [(AuditOutcome.MINOR_FAILURE, 2, why)]


async def test_reading_alone_takes_no_objects_away(sited):
    async with sited((allow(Right.SEARCH, Right.READ),)) as site:
        taken = await site.get("NORTH", STUDY_ROOT.get, "STUDY", StudyInstanceUID=NORTHS)
        uid = f"{NORTHS}.1.1"
        described = await site.get("NORTH", WITHOUT_BULK_DATA.get, "IMAGE", SOPInstanceUID=uid)
    assert taken == (0, 0)
    assert described == (0, 1)


async def test_what_may_be_found_only_is_not_given(sited):
    finds = KnownAE(title="FINDS", host="127.0.0.1", verbs=("find",))
    async with sited((allow(),), finds) as site:
        assert len(await site.find("FINDS", "STUDY")) == 3
        with pytest.raises(ValueError, match="presentation context"):
            await site.get("FINDS", STUDY_ROOT.get, "STUDY", StudyInstanceUID=NORTHS)


@pytest.mark.parametrize(
    ("rules", "study", "sent"),
    [
        (OWN_SITE, NORTHS, 2),
        (OWN_SITE, SOUTHS, 0),
        ((allow(who=("ae:NORTH",)),), SOUTHS, 3),  # whoever asks decides to whom it goes
        ((allow(), deny(Right.READ, who=("ae:DEST",), studies=(NORTHS,))), NORTHS, 0),
        ((allow(), deny(Right.READ, who=("ae:DEST",), studies=(NORTHS,))), SOUTHS, 3),
    ],
)
async def test_movescu_moves_what_the_requester_may_and_nothing_denies_to_the_destination(
    sited, tmp_path, rules, study, sent
):
    folder = tmp_path / "received"
    folder.mkdir()
    async with storescp(folder, "-aet", "DEST") as port:
        destination = KnownAE(title="DEST", host="127.0.0.1", port=port, verbs=())
        async with sited(rules, destination) as site:
            outcome = await dcmtk(
                "movescu", "-S", "-aet", "NORTH", "-aec", "ISOCENTER", "-aem", "DEST",
                "127.0.0.1", site.gateway.port,
                "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}",
            )  # fmt: skip
    assert outcome.code == 0, outcome.text
    assert len(instances(folder)) == sent
    ((_, count, _),) = site.retrieves()
    assert count == sent


# --- Storage Commitment --------------------------------------------------------------------------


async def test_a_commitment_does_not_tell_whether_another_site_has_something(sited):
    norths, souths, nobodys = f"{NORTHS}.1.1", f"{SOUTHS}.1.1", "1.2.999.1.1"
    async with sited(OWN_SITE) as site:
        _, kept, failed = await site.commit("NORTH", norths, souths, nobodys)
    assert kept == [norths]
    assert failed == {souths: NO_SUCH_INSTANCE, nobodys: NO_SUCH_INSTANCE}


async def test_what_an_ae_sent_is_committed_to_though_it_may_see_nothing(sited):
    modality = KnownAE(title="MODALITY", host="127.0.0.1", verbs=("store", "commit"))
    marks = Marks(studies=(SECRET,))
    async with sited((allow(Right.STORE),), modality, marks=marks) as site:
        _, kept, _ = await site.commit("MODALITY", f"{SECRET}.1.1")
    assert kept == [f"{SECRET}.1.1"]


# --- strangers -----------------------------------------------------------------------------------


async def test_a_stranger_from_this_machine_stores_and_sees_nothing(sited):
    async with sited((allow(),)) as site:
        at = ("-aet", "NEW", "-aec", "ISOCENTER", "127.0.0.1", site.gateway.port)
        echo = await dcmtk("echoscu", *at)
        found = await dcmtk("findscu", "-S", *at, "-k", "QueryRetrieveLevel=STUDY")
    assert echo.code == 0, echo.text
    assert "No Acceptable Presentation Contexts" in found.text


@pytest.mark.parametrize("unknown_callers", ["never", "loopback", "always"])
@pytest.mark.parametrize("trusted", [True, False])
async def test_who_has_only_the_title_of_an_ae_is_refused(unknown_callers, trusted):
    known = [KnownAE(title="NORTH", host="192.0.2.1", site="north")]
    settings = GatewaySettings(port=0, known_aes=known, unknown_callers=unknown_callers)
    env = FakeEnv(settings, access=AccessSettings(trust_loopback=trusted))
    async with live_in(env) as gateway:
        at = ("-aec", "ISOCENTER", "127.0.0.1", gateway.port)
        spoofed = await dcmtk("echoscu", "-aet", "NORTH", *at)
    assert "Calling AE Title Not Recognized" in spoofed.text
    (record,) = [one for one in env.fake_audit.records if one["action"] is AuditAction.NETWORK]
    assert record["error"] == "the address is not the one that the AE directory has for this title"
    assert not record["source"].known
