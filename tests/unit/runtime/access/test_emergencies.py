"""Emergency access: who may have it, with which reasons, and for how long."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isocenter.core.access import NOBODY, Patient, Right
from isocenter.core.access_api import Asker
from isocenter.core.errors import Invalid, Refused, Unavailable, Withheld
from support.access_rig import HERE, Access, Clock, asker
from support.policies import deny, guard_of, study, withheld

REASON = "unconscious, brought in by ambulance"


@pytest.fixture
def access() -> Access:
    """One whose policy grants nobody anything."""
    return Access(guard=guard_of([], study("1.2", patient="P1", issuer="HR")))


async def claim(
    access: Access, secret: str, patient: str = "P1", issuer: str = "", reason: str = REASON
) -> str:
    """Say that a patient has to be seen; the secret by which the session goes on."""
    who, session = await access.known(secret)
    return await access.emergency(who, session, secret, patient, issuer, reason)


async def sees(access: Access, secret: str, right: Right = Right.READ) -> bool:
    try:
        await access.guard.check(await access.caller(secret), right, "main", "1.2")
    except Withheld:
        return False
    return True


async def test_for_an_hour_a_patients_studies_are_seen_in_this_session(
    access: Access, clock: Clock
) -> None:
    secret = await access.signed_in("eva")
    other = await access.sign_in("eva")
    assert not await sees(access, secret)
    secret = await claim(access, secret, issuer=" HR ")
    assert [await sees(access, secret, one) for one in (Right.SEARCH, Right.READ)] == [True] * 2
    assert (await access.caller(secret)).emergencies == (Patient("P1", "HR"),)
    assert not await sees(access, other)
    clock.move(minutes=59)
    assert await sees(access, secret)
    clock.move(minutes=1, seconds=1)
    assert not await sees(access, secret)
    assert await access.lets_in(secret)


async def test_of_other_patients_nothing_is_seen(access: Access) -> None:
    secret = await access.signed_in("eva")
    secret = await claim(access, secret, patient="P2")
    secret = await claim(access, secret, patient="P1", issuer="ELSEWHERE")
    assert not await sees(access, secret)
    secret = await claim(access, secret)
    assert len((await access.caller(secret)).emergencies) == 3
    assert await sees(access, secret)


async def test_what_a_rule_denies_stays_denied() -> None:
    access = Access(guard=guard_of([deny(name="never")], study("1.2", patient="P1")))
    secret = await access.signed_in("eva")
    secret = await claim(access, secret)
    with withheld("denied by the rule 'never'"):
        await access.guard.check(await access.caller(secret), Right.READ, "main", "1.2")


@pytest.mark.parametrize("reason", ["", "x" * 9, "x" * 201, " " * 50, " " * 5 + "x" * 9])
async def test_the_reason_is_a_sentence(access: Access, reason: str) -> None:
    secret = await access.signed_in("eva")
    with pytest.raises(Invalid, match="say why, in 10 to 200 characters"):
        await claim(access, secret, reason=reason)
    assert not await sees(access, secret)


@pytest.mark.parametrize("reason", ["x" * 10, "x" * 200])
async def test_reasons_of_these_lengths_are_taken(access: Access, reason: str) -> None:
    secret = await access.signed_in("eva")
    secret = await claim(access, secret, reason=reason)
    assert await sees(access, secret)


@pytest.mark.parametrize(
    ("patient", "issuer"), [("", ""), (" ", ""), ("x" * 65, ""), ("P", "x" * 65)]
)
async def test_the_patient_is_named(access: Access, patient: str, issuer: str) -> None:
    secret = await access.signed_in("eva")
    with pytest.raises(Invalid, match="name the patient by the Patient ID"):
        await claim(access, secret, patient=patient, issuer=issuer)


@pytest.mark.parametrize("role", ["integrator", "administrator", "auditor"])
async def test_only_roles_that_have_the_right_may(access: Access, role: str) -> None:
    secret = await access.signed_in("eva", role)
    with pytest.raises(Refused, match="of the roles, viewer, technologist may"):
        await claim(access, secret)


async def test_only_people_who_have_signed_in_may(access: Access) -> None:
    with pytest.raises(Refused, match="people who have signed in"):
        await access.emergency(asker("viewer"), None, "", "P1", "", REASON)
    _, session = await access.known(await access.signed_in("eva"))
    program = replace(session.caller, kind=type(session.caller.kind).PROGRAM)
    with pytest.raises(Refused, match="people who have signed in"):
        await access.emergency(Asker(program, HERE), session, "", "P1", "", REASON)
    with pytest.raises(Refused):
        await access.emergency(Asker(NOBODY, HERE), None, "", "P1", "", REASON)


async def test_it_is_in_the_trail_before_it_counts(access: Access) -> None:
    secret = await access.signed_in("eva")
    access.audit.records.clear()
    access.audit.error = Unavailable("the log is down")
    with pytest.raises(Unavailable):
        await claim(access, secret)
    assert not await sees(access, secret)
    access.audit.error = None
    secret = await claim(access, secret)
    ((action, told),) = access.audit.records
    assert (action, told["patient_ids"]) == ("security", ("P1",))
    assert (told["source"].user, told["source"].purpose) == ("eva", REASON)
    assert told["detail"].startswith("emergency access until ")
    assert told["detail"].endswith(f" UTC: {REASON}")


async def test_it_is_told_in_the_log_without_the_patient(
    access: Access, caplog: pytest.LogCaptureFixture
) -> None:
    secret = await access.signed_in("eva")
    secret = await claim(access, secret)
    (said,) = [one for one in caplog.records if one.getMessage() == "emergency access"]
    assert (said.levelname, said.__dict__["who"]) == ("WARNING", "eva")
    assert "P1" not in str(said.__dict__)
    assert REASON not in str(said.__dict__)


async def test_a_purpose_that_was_said_before_is_kept(access: Access) -> None:
    who, session = await access.known(await access.signed_in("eva"))
    who = replace(who, source=replace(who.source, purpose="emergency treatment"))
    await access.emergency(who, session, "", "P1", "", REASON)
    assert access.audit.records[-1][1]["source"].purpose == "emergency treatment"
