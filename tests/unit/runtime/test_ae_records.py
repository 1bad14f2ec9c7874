"""The AE directory that administrators change while everything runs."""

# ruff: noqa: ARG002 - stand-ins have the signatures of what they stand for

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.core.access import Policy
from isocenter.core.access_api import Asker
from isocenter.core.errors import Conflict, Invalid, NotFound, Refused, Unavailable
from isocenter.core.events import AuditAction, AuditOutcome, Source
from isocenter.core.identity import AES
from isocenter.runtime import named_records
from isocenter.runtime.access.guard import PolicyGuard
from isocenter.runtime.ae_administration import AEAdministration, Origin
from isocenter.runtime.ae_records import DirectoryFollower, ae_records
from isocenter.runtime.aes import Directory, KnownAE, fields_of, parsed
from isocenter.storage.service import StorageService
from isocenter.storage.settings import StorageSettings
from support.policies import person
from support.waiting import until

EVA = Source("CLI", "admin.example", user="eva")
BY_EVA = Asker(person("administrator"), EVA)
KEPT = "what is known counts"
CT1 = KnownAE(title="CT1", host="192.0.2.7", port=104, verbs=["store", "echo"])
ODD = KnownAE(title="A/B .. #1", addresses=["192.0.2.0/24"])


class Store(StorageService):
    """An object store that can be away."""

    def __init__(self) -> None:
        super().__init__(blobs=MemoryBlobs(), settings=StorageSettings(), guard=PolicyGuard(Policy))
        self.away = False
        self.reads = 0

    def list(self, prefix, after=""):
        if self.away:
            raise Unavailable("the object store does not answer")
        return super().list(prefix, after)

    def read(self, key, offset=0, length=None):
        self.reads += 1
        return super().read(key, offset, length)

    async def keys(self) -> list[str]:
        return [info.key async for info in self.list(AES)]


async def test_changes_are_read_back_by_whoever_looks():
    store = Store()
    for ae in (CT1, ODD):
        await ae_records(store).append(ae.title, ae, EVA)
    latest = await ae_records(store).latest()
    assert {title: one.value for title, one in latest.items()} == {"CT1": CT1, ODD.title: ODD}
    assert latest["CT1"].by == EVA


async def test_the_last_change_counts_and_the_ones_before_are_removed():
    store = Store()
    one, other = ae_records(store), ae_records(store)
    await one.append("CT1", CT1, EVA)
    await other.append("CT1", CT1.model_copy(update={"port": 105}), EVA)
    await one.append("CT1", None, EVA)
    assert len(await store.keys()) == 1
    for records in (one, other, ae_records(store)):
        assert (await records.latest())["CT1"].value is None


async def test_a_change_follows_the_one_that_it_changes_whatever_the_clocks_say(monkeypatch):
    store = Store()
    records = ae_records(store)
    first = await records.append("CT1", CT1, EVA)

    class Behind(named_records.datetime):
        @classmethod
        def now(cls, _tz):
            return first.at.replace(year=2001)

    monkeypatch.setattr(named_records, "datetime", Behind)
    later = await ae_records(store).append("CT1", None, EVA)
    assert later.at > first.at
    assert (await records.latest())["CT1"].value is None


async def test_every_record_is_read_once():
    store = Store()
    records = ae_records(store)
    await ae_records(store).append("CT1", CT1, EVA)
    for _ in range(3):
        await records.latest()
    assert store.reads == 1


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"[]",
        b"{}",
        b'{"name": "CT1", "fields": {"title": "CT1", "of_later": 1}, "by": {"protocol": "CLI"}}',
    ],
)
async def test_a_record_that_cannot_be_read_changes_nothing(record, caplog):
    store = Store()
    records, fresh = ae_records(store), ae_records(store)
    await records.append("CT1", CT1, EVA)
    await records.append("WS", KnownAE(title="WS"), EVA)
    await records.latest()
    key = f"{AES}{b'CT1'.hex()}/7fffffffffffffff-00000000"
    await store.put(key, [record], hashlib.sha256(record).hexdigest())
    assert (await records.latest())["CT1"].value == CT1
    assert set(await fresh.latest()) == {"WS"}
    assert "is ignored" in caplog.text


async def test_a_directory_follows_and_keeps_what_it_knows_while_the_store_is_away(caplog):
    store, directory = Store(), Directory([KnownAE(title="FIXED", site="settings")])
    records, follower = ae_records(store), DirectoryFollower(directory, store, 0.02)
    await records.append("CT1", CT1, EVA)
    await records.append("FIXED", KnownAE(title="FIXED", site="elsewhere"), EVA)
    await follower.start()
    try:
        assert directory.named("CT1 ") == CT1
        assert directory.named("FIXED").site == "settings"
        store.away = True
        await until(lambda: KEPT in caplog.text, 10)
        await asyncio.sleep(0.1)  # for several more looks
        assert directory.named("CT1") == CT1
        assert caplog.text.count(KEPT) == 1
        store.away = False
        await records.append("CT1", None, EVA)
        await until(lambda: directory.named("CT1") is None, 10)
    finally:
        await follower.close()


async def test_a_directory_is_not_complete_before_it_was_read():
    store, directory = Store(), Directory(())
    store.away = True
    follower = DirectoryFollower(directory, store, 0.02)
    await follower.start()
    try:
        assert not directory.complete
        store.away = False
        await until(lambda: directory.complete, 10)
    finally:
        await follower.close()


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({}, "title: Field required"),
        ({"title": "A\\B"}, "title: .*shorten or respell"),
        ({"title": "A", "verbs": ["print"]}, "verbs.0: .*'echo'"),
        ({"title": "A", "sop_classes": ["1.02"]}, "sop_classes.0: .*no UID"),
        ({"title": "A", "addresses": ["ct1"]}, "addresses.0: .*write 10.0.0.7"),
        ({"title": "A", "certificate": "ct1"}, "certificate: .*64 hexadecimal digits"),
        ({"title": "A", "certificate": "sha256:abc"}, "certificate: .*64 hexadecimal digits"),
        ({"title": "A", "conflict": "drop"}, "conflict: .*'keep-first'"),
        ({"title": "A", "port": 104}, "give both"),
        ({"title": "A", "prot": 104}, "prot: Extra inputs"),
        ([], "valid dictionary"),
    ],
)
def test_mistakes_are_named_with_their_field(fields, hint):
    with pytest.raises(Invalid, match=hint):
        parsed(fields)


def test_an_ae_is_told_by_what_is_not_by_default():
    told = {"title": "CT1", "host": "192.0.2.7", "port": 104, "verbs": ["store", "echo"]}
    assert fields_of(CT1) == told
    assert parsed(json.loads(json.dumps(told))) == CT1


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(sorted(KnownAE.model_fields)), _JSON, max_size=6),
    st.text(max_size=16),
)
def test_whatever_is_said_of_an_ae_is_understood_or_refused(fields, title):
    try:
        ae = parsed({"title": title, **fields})
    except Invalid:
        return
    assert parsed(json.loads(json.dumps(fields_of(ae)))) == ae


# --- administration ------------------------------------------------------------------------------


class Trail:
    """Remembers what is recorded."""

    def __init__(self) -> None:
        self.records: list[tuple[AuditOutcome, str]] = []

    async def record(self, action, source, *, outcome=AuditOutcome.SUCCESS, detail="", error=""):
        assert (action, source) == (AuditAction.SECURITY, EVA)
        self.records.append((outcome, detail + error))


class Full(Store):
    """An object store that takes nothing any more."""

    async def put(self, key, data, digest):
        raise Unavailable("the object store does not answer")


async def test_a_change_that_fails_is_recorded_as_such():
    trail = Trail()
    administration = AEAdministration([], Full(), trail, PolicyGuard(Policy))
    with pytest.raises(Unavailable):
        await administration.set(CT1, BY_EVA)
    assert [outcome for outcome, _ in trail.records] == [AuditOutcome.SUCCESS, AuditOutcome.FAILURE]
    assert "does not answer" in trail.records[1][1]
    assert await administration.entries() == []


async def test_long_entries_make_short_audit_records():
    trail = Trail()
    many = CT1.model_copy(update={"sop_classes": tuple(f"1.2.{n}" for n in range(1000))})
    await AEAdministration([], Store(), trail, PolicyGuard(Policy)).set(many, BY_EVA)
    assert len(trail.records[0][1]) == 1000


async def test_what_is_as_it_was_is_not_written_again():
    trail, store = Trail(), Store()
    administration = AEAdministration([ODD], store, trail, PolicyGuard(Policy))
    first, new = await administration.set(CT1, BY_EVA)
    assert (new, first.by) == (True, "eva")
    assert await administration.set(CT1, BY_EVA) == (first, False)
    assert len(trail.records) == 1
    assert [one.origin for one in await administration.entries()] == [
        Origin.SETTINGS,
        Origin.DIRECTORY,
    ]
    for refused in (administration.set(ODD, BY_EVA), administration.remove(ODD.title, BY_EVA)):
        with pytest.raises(Conflict):
            await refused
    await administration.remove("CT1", BY_EVA)
    with pytest.raises(NotFound):
        await administration.remove("CT1", BY_EVA)


@pytest.mark.parametrize("role", ["viewer", "technologist", "integrator", "auditor"])
async def test_whose_role_does_not_change_the_directory_is_refused(role):
    trail, store = Trail(), Store()
    administration = AEAdministration([ODD], store, trail, PolicyGuard(Policy))
    asker = Asker(person(role), EVA)
    for refused in (administration.set(CT1, asker), administration.remove(ODD.title, asker)):
        with pytest.raises(Refused, match="of the roles, administrator may"):
            await refused
    assert (trail.records, await store.keys()) == ([], [])
