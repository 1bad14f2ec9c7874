"""What people do with the access to studies is within what they may do: marks, and links."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.core.access import OWN, SYSTEM, Caller, Kind, Patients, Policy, Right
from isocenter.core.access_api import Asker
from isocenter.core.errors import NotFound, Refused, Withheld
from isocenter.core.events import Source
from isocenter.runtime.access.administration import AccessAdministration
from isocenter.runtime.access.guard import PolicyGuard
from isocenter.runtime.access.links import Links
from isocenter.runtime.access.marks import Mark, MarkRecords
from isocenter.runtime.access.passwords import Passwords
from isocenter.runtime.access.sharing import Sharing
from isocenter.storage.service import StorageService
from isocenter.storage.settings import StorageSettings
from support.archive import AuditLogFake
from support.policies import allow, deny, guard_of, person, study

BY = Source("DICOMweb", user="eva")
ADMINISTRATOR = person("administrator", sites=("north",))
STUDIES = study("1.2", sites=["north"]), study("1.3", sites=["south"])


def store() -> StorageService:
    return StorageService(
        blobs=MemoryBlobs(), settings=StorageSettings(), guard=PolicyGuard(Policy)
    )


def administration(*rules: Any) -> AccessAdministration:
    doors: Any = None  # of which marks need none
    audit_log: Any = AuditLogFake()
    return AccessAdministration(doors, guard_of(rules, *STUDIES), audit_log, MarkRecords(store()))


@pytest.mark.parametrize(
    ("rules", "fields", "error"),
    [
        ((allow(),), {"study": "1.3"}, None),
        ((allow(),), {"study": "1.9"}, None),
        ((allow(),), {"patient": "P1"}, None),
        ((allow(sites=(OWN,)),), {"study": "1.2"}, None),
        ((allow(sites=(OWN,)),), {"study": "1.3"}, Withheld),
        ((allow(sites=(OWN,)),), {"study": "1.9"}, Withheld),
        ((allow(sites=(OWN,)),), {"patient": "P1"}, Refused),
        ((allow(), deny(Right.MARK)), {"study": "1.2"}, Withheld),
        ((allow(Right.SEARCH, Right.READ),), {"patient": "P1"}, Refused),
        ((allow(patients=(Patients(("P*",), "HR"),)),), {"patient": "P1", "issuer": "HR"}, None),
        ((allow(patients=(Patients(("P*",), "HR"),)),), {"patient": "P1"}, Refused),
    ],
)
async def test_what_is_marked_is_what_the_policy_lets_somebody_mark(rules, fields, error) -> None:
    admin = administration(*rules)
    mark, asker = Mark(**fields), Asker(ADMINISTRATOR, BY)
    with pytest.raises(error) if error else nullcontext():
        await admin.mark(asker, fields)
    assert await admin.marked.all() == ([] if error else [mark])
    await admin.mark(Asker(SYSTEM, BY), fields)
    assert await admin.marks(asker) == ([] if error else [mark])
    with pytest.raises(NotFound) if error else nullcontext():
        await admin.unmark(asker, mark.name)
    assert await admin.marked.all() == ([mark] if error else [])


async def test_a_program_of_the_same_name_has_none_of_a_persons_links() -> None:
    doors: Any = SimpleNamespace(links=Links(store(), Passwords(), 1.0))
    audit_log: Any = AuditLogFake()
    sharing = Sharing(doors, PolicyGuard(Policy), audit_log)
    eva = Asker(person("viewer"), BY)
    namesake = Asker(Caller(Kind.PROGRAM, eva.caller.name, ("viewer",)), BY)
    await sharing.share(eva, "1.2", "a colleague", days=1)
    (one,) = await sharing.links(eva)
    assert await sharing.links(namesake) == []
    with pytest.raises(NotFound):
        await sharing.revoke(namesake, one.id)
    await sharing.revoke(eva, one.id)
    assert await sharing.links(eva) == []
