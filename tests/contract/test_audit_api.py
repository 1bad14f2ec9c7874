"""The API of the audit trail, on the local object and over gRPC."""

from __future__ import annotations

import pytest

from isocenter.core.audit import AuditFilter, By, Tally
from isocenter.core.audit_api import Verification
from isocenter.core.errors import Conflict, NotFound
from isocenter.core.events import AuditAction, AuditOutcome
from support.fake_audit_trail import ENTRY, HEAD, HOLD, RESULT, SEARCH, STATE
from support.fake_services import AT
from support.service_pairs import all_of

WHICH = AuditFilter(
    AT, AT, (AuditAction.STORE,), (AuditOutcome.FAILURE,), "CT1", "p1", "1.2", "1.3", "north", "é ü"
)


async def test_records_are_found_counted_and_told_in_their_places(service):
    api, fake = await service("audit")
    assert list(await api.search(WHICH, 440, "id-9")) == [ENTRY] * 440
    assert await api.count(AuditFilter()) == 450
    assert await api.get("id-1") == ENTRY
    assert list(await api.story("1.2.3.4")) == [ENTRY] * 450
    assert await api.prove("id-1") == b"{}"
    assert fake.asked == [
        (WHICH, 440, "id-9"), (AuditFilter(),), ("id-1",), ("1.2.3.4",), ("id-1",),
    ]  # fmt: skip


async def test_counts_have_the_keys_that_were_asked_for(service):
    api, fake = await service("audit")
    assert list(await api.tally(WHICH, [By.HOUR, By.WHO])) == [
        Tally(("2026-11-26T12", "CT1"), 2**40), Tally(("2026-11-26T13", ""), 1),
    ]  # fmt: skip
    assert fake.asked == [(WHICH, (By.HOUR, By.WHO))]


async def test_a_verification_tells_how_far_it_is_and_what_it_found(service):
    api, fake = await service("audit")
    assert await all_of(api.verify(["abc"], [HEAD])) == [Verification(total=10), RESULT]
    assert fake.asked == [(("abc",), (HEAD,))]


async def test_what_is_kept_beside_the_trail(service):
    api, fake = await service("audit")
    assert await api.state() == STATE
    assert list(await api.saved()) == [SEARCH]
    await api.save(SEARCH)
    await api.forget("night")
    assert list(await api.holds()) == [HOLD]
    await api.hold(HOLD)
    await api.release("case 7")
    assert fake.asked == [
        ("state",), ("saved",), (SEARCH,), ("forget", "night"), ("holds",), (HOLD,),
        ("release", "case 7"),
    ]  # fmt: skip


@pytest.mark.parametrize("error", [NotFound("nothing has this id"), Conflict("in use")])
async def test_errors_come_as_they_are(service, error):
    api, fake = await service("audit")
    fake.error = error
    for call in (api.get("id"), api.prove("id"), api.story("1.2"), api.release("x"), api.state()):
        with pytest.raises(type(error), match=error.message):
            await call
