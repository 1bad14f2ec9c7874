"""`isocenter access`: what the policy says and why, sessions, and what is confidential."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from isocenter.app import Process
from isocenter.core.events import AuditAction
from isocenter.runtime.access.sessions import Session
from support.access_rig import HERE, kept
from support.audited import AllCommands
from support.datasets import tiny, write

POLICY = """
[patients.staff]
ids = ["EMP*"]

[[rules]]
name = "people look at everything"
allow = ["search", "read"]
who = ["person:*", "role:integrator"]

[[rules]]
name = "colleagues are nobody's business"
deny = ["read"]
who = ["*"]
patients = ["staff"]
"""


@pytest.fixture
def policy(isocenter: AllCommands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The policy of the installation."""
    file = tmp_path / "policy.toml"
    file.write_text(POLICY)
    monkeypatch.setenv("ISOCENTER_ACCESS__POLICY", str(file))
    return file


def studies(isocenter: AllCommands, *patients: str) -> list[str]:
    """Keep and index a study of each."""
    folder = isocenter.trail.data.parent / "files"
    folder.mkdir()
    made = []
    for number, patient in enumerate(patients):
        dataset = tiny()
        dataset.PatientID = patient
        write(dataset, folder / f"{number}.dcm")
        made.append(str(dataset.StudyInstanceUID))
    isocenter("import", str(folder))
    isocenter("rebuild")
    return made


async def _begin(isocenter: AllCommands, name: str) -> None:
    env = Process(isocenter.trail.settings)
    try:
        doors = await env.doors()
        account = await doors.accounts.get(name)
        account = account.model_copy(update={"password": kept()})
        await doors.accounts.keep(account, HERE)
        await doors.sessions.begin(Session.of(account, HERE, "Firefox"), HERE)
    finally:
        await env.close()


# --- check ---------------------------------------------------------------------------------------


def test_a_policy_is_told_one_line_a_rule(isocenter, policy) -> None:
    assert isocenter("access", "check", str(policy), on_data=False) == (
        "people look at everything: allows person:*, role:integrator: read search\n"
        "colleagues are nobody's business: denies *: read\n"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "does not exist"),
        ("[[rules]", "cannot be read"),
        ("x = 1", "is not valid"),
        ('[[rules]]\nname = "x"\nallow = ["look"]', "'look' is no right; write * or search"),
        ('[[rules]]\nname = "x"', "allow"),
        ('[[rules]]\nname = "x"\nallow = ["read"]\nwho = ["eva"]', "who"),
        ('[[rules]]\nname = "x"\nallow = ["read"]\npatients = ["staff"]', "staff"),
    ],
)
def test_what_is_wrong_with_a_policy_is_told(isocenter, tmp_path, text, why) -> None:
    file = tmp_path / "wrong.toml"
    if text is not None:
        file.write_text(text)
    assert isocenter("access", "check", str(file), on_data=False, code=1) == ""
    assert isocenter.err.startswith("error: ")
    assert why in isocenter.err
    assert str(file) in isocenter.err


# --- explain -------------------------------------------------------------------------------------


def test_a_decision_about_a_study_is_explained_by_its_rule(isocenter, policy) -> None:
    isocenter("account", "add", "eva", "--role", "viewer")
    plain, staff = studies(isocenter, "P1", "EMP7")
    assert isocenter("access", "explain", "person:Eva", "read", plain) == (
        "yes: allowed by the rule 'people look at everything'\n"
    )
    assert isocenter("access", "explain", "person:eva", "read", staff, code=1) == (
        'no: denied by the rule "colleagues are nobody\'s business"\n'
    )
    assert isocenter("access", "explain", "person:eva", "search", staff).startswith("yes: ")
    assert isocenter("access", "explain", "person:eva", "share", plain, code=1) == (
        "no: no rule lets person:eva share this study\n"
    )
    isocenter("access", "mark", "--study", plain)
    assert isocenter("access", "explain", "person:eva", "read", plain, code=1) == (
        "no: the study or its patient is confidential\n"
    )
    isocenter("access", "explain", "person:eva", "read", "1.2.3.4", code=1)
    assert "the study is not known here" in isocenter.err


def test_whom_nobody_knows_is_taken_as_it_is_said(isocenter) -> None:
    isocenter("access", "explain", "person:ben", "read", code=1)
    assert "person:ben is not known here\n  fix: say what they are with --role" in isocenter.err
    as_if = ("--role", "viewer", "--group", "night", "--site", "north")
    assert isocenter("access", "explain", "person:ben", "read", *as_if) == (
        "yes: person:ben (viewer) may read\n"
    )
    assert isocenter("access", "explain", "person:ben", "delete", *as_if, code=1) == (
        "no: person:ben (viewer) may not delete; of the roles, administrator may\n"
    )
    isocenter("account", "add", "eva", "--role", "viewer")
    assert isocenter(
        "access", "explain", "person:eva", "delete", "--role", "administrator"
    ).startswith("yes: ")


def test_programs_are_explained_by_what_their_token_leaves(isocenter) -> None:
    isocenter("token", "create", "portal", "--only", "read")
    assert isocenter("access", "explain", "program:portal", "read") == (
        "yes: program:portal (integrator) may read\n"
    )
    assert isocenter("access", "explain", "program:portal", "store", code=1) == (
        "no: program:portal was not given the right to store\n"
    )


def test_who_is_shut_out_may_nothing(isocenter) -> None:
    isocenter("account", "add", "eva", "--role", "viewer")
    isocenter("account", "set", "eva", "--disable")
    told = isocenter("access", "explain", "person:eva", "read", code=1)
    assert told == "no: the account eva is disabled; isocenter account set eva --enable\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("eva", "read"), "'eva' names nobody\n  fix: write person:NAME, program:NAME or ae:TITLE"),
        (("system:isocenter", "read"), "names nobody"),
        (("person:eva", "look"), "'look' is no right\n  fix: rights are search, read, download"),
        (("person:eva", "read", "1.x"), "this is no Study Instance UID"),
        (("program:portal", "read"), "program:portal is not known here"),
    ],
)
def test_a_question_that_is_none_is_told(isocenter, words, why) -> None:
    isocenter("access", "explain", *words, code=1)
    assert why in isocenter.err


# --- sessions ------------------------------------------------------------------------------------


def test_sessions_are_listed_and_ended(isocenter) -> None:
    assert isocenter("access", "sessions") == "nobody is signed in\n"
    isocenter("account", "add", "eva", "--role", "viewer")
    asyncio.run(_begin(isocenter, "eva"))
    one = json.loads(isocenter("access", "sessions", "--json"))
    assert (one["person"], one["address"]) == ("eva", HERE.host)
    assert re.fullmatch(
        rf"{one['id']}  eva +\d{{4}}-\d\d-\d\d \d\d:\d\d  192\.0\.2\.7\n",
        isocenter("access", "sessions"),
    )
    isocenter.left()
    assert isocenter("access", "end-session", one["id"]) == "ended\n"
    assert [record.detail for record in isocenter.left()] == ["session of eva: ended"]
    assert isocenter("access", "sessions", "--json") == ""
    isocenter("access", "end-session", one["id"], code=1)
    assert "this session is over" in isocenter.err


# --- marks ---------------------------------------------------------------------------------------


def test_patients_and_studies_are_marked_and_taken_off(isocenter) -> None:
    patient = ("--patient", "P1", "--issuer", "HR")
    assert isocenter("access", "mark", *patient, "--reason", "staff") == "marked as confidential\n"
    isocenter("access", "mark", "--study", "1.2")
    marks = [json.loads(line) for line in isocenter("access", "marks").splitlines()]
    assert sorted(one["patient"] + one["study"] for one in marks) == ["1.2", "P1"]
    assert isocenter("access", "unmark", *patient) == "not confidential any more\n"
    isocenter("access", "unmark", *patient, code=1)
    assert "there is no such mark" in isocenter.err
    records = isocenter.left()
    assert [(one.action, one.detail) for one in records] == [
        (AuditAction.SECURITY, "marked as confidential: staff"),
        (AuditAction.SECURITY, "marked as confidential"),
        (AuditAction.QUERY, "what is confidential"),
        (AuditAction.SECURITY, "not confidential any more: staff"),
    ]
    assert records[0].patient_ids == ("P1",)


@pytest.mark.parametrize("words", [(), ("--patient", "P1", "--study", "1.2")])
def test_what_cannot_be_marked_is_told(isocenter, words) -> None:
    isocenter("access", "mark", *words, code=1)
    assert "this cannot be marked" in isocenter.err
    assert isocenter.left() == []
