"""The policy as a file: what it says, and what is said about one that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from isocenter.core.access import OWN, Patients, Right, Rule
from isocenter.core.errors import Invalid
from isocenter.runtime.access.policy_file import read, rules_of

RULE = '[[rules]]\nname = "one"\nallow = ["search"]\n'
WHOLE = """
[patients.staff]
ids = ["EMP*", " X-? "]
issuer = "HR"

[patients.visitors]
ids = ["V1"]

[[rules]]
name = "everybody sees what their own site made"
allow = ["search", "read"]
who = ["role:viewer", "role:technologist"]
sites = ["own", " south "]
modalities = [" CT ", "MR"]

[[rules]]
name = "colleagues' own images are nobody's business"
deny = ["*"]
who = ["group:students", "ae:CT 1", "program:*", "person:eva"]
patients = ["staff", "visitors"]

[[rules]]
name = "the head of the ward"
allow = ["read"]
studies = ["1.2.3"]
confidential = true
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policy.toml"


def mistakes(file: Path, text: str) -> list[str]:
    """What is said about a file, a line for each mistake."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(Invalid) as raised:
        read(file)
    first, *others = str(raised.value).split("\n  ")
    assert first == f"the policy {file} is not valid:"
    return others


# --- what it says --------------------------------------------------------------------------------


def test_a_file_is_read_as_the_rules_that_it_says(file) -> None:
    file.write_text(WHOLE, encoding="utf-8")
    assert read(file) == (
        Rule(
            "everybody sees what their own site made",
            True,
            frozenset({Right.SEARCH, Right.READ}),
            ("role:viewer", "role:technologist"),
            sites=(OWN, "south"),
            modalities=("CT", "MR"),
        ),
        Rule(
            "colleagues' own images are nobody's business",
            False,
            frozenset(Right),
            ("group:students", "ae:CT 1", "program:*", "person:eva"),
            patients=(Patients(("EMP*", "X-?"), "HR"), Patients(("V1",))),
        ),
        Rule(
            "the head of the ward",
            True,
            frozenset({Right.READ}),
            ("*",),
            studies=("1.2.3",),
            confidential=True,
        ),
    )


@pytest.mark.parametrize("text", ["", "# nothing yet\n", '[patients.staff]\nids = ["EMP*"]\n'])
def test_a_file_without_rules_has_none(file, text) -> None:
    file.write_text(text, encoding="utf-8")
    assert read(file) == ()


def test_what_a_rule_does_not_say_bounds_nothing() -> None:
    (rule,) = rules_of({"rules": [{"name": "one", "allow": ["*"]}]}, "a policy")
    assert rule == Rule("one", True, frozenset(Right), ("*",))


@pytest.mark.parametrize("right", Right)
def test_every_right_can_be_allowed_and_denied(right) -> None:
    for does in ("allow", "deny"):
        (rule,) = rules_of({"rules": [{"name": "one", does: [right.value]}]}, "a policy")
        assert (rule.allows, rule.rights) == (does == "allow", {right})


def test_names_are_not_only_ascii(file) -> None:
    file.write_text(RULE + 'who = ["person:Zoë", "group:Notaufnahme Köln"]\n', encoding="utf-8")
    assert read(file)[0].who == ("person:Zoë", "group:Notaufnahme Köln")


def test_modalities_are_meant_in_either_case(file) -> None:
    file.write_text(RULE + 'modalities = ["ct", "Mr"]\n', encoding="utf-8")
    assert read(file)[0].modalities == ("CT", "MR")


# --- what cannot be used -------------------------------------------------------------------------


def test_a_file_that_is_not_there_is_told_with_the_setting_that_names_it(file) -> None:
    with pytest.raises(Invalid) as raised:
        read(file)
    assert str(raised.value) == f"the policy {file} does not exist; see [access] policy"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"[[rules]\n", r"\(at line 1, column \d+\)"),
        (b'[[rules]]\nname = "one\n', r"\(at line 2, column \d+\)"),
        (b'[[rules]]\nname = "one"\nname = "two"\n', r"\(at line 3, column \d+\)"),
        (b'[[rules]]\nname = "Zo\xeb"\n', "'utf-8' codec can't decode byte 0xeb"),
    ],
)
def test_a_file_that_is_no_toml_is_told_with_the_place(file, content, why) -> None:
    file.write_bytes(content)
    with pytest.raises(Invalid, match=why) as raised:
        read(file)
    assert str(raised.value).startswith(f"the policy {file} cannot be read: ")


def test_a_folder_is_no_policy(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"cannot be read: .*directory"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("text", "place", "right"),
    [
        ("[[rule]]\n", "rule", "not permitted"),
        (RULE + 'site = ["own"]\n', "rules 1 site", "not permitted"),
        (RULE + RULE + 'site = ["own"]\n', "rules 2 site", "not permitted"),
        (RULE + '[patients.staff]\nids = ["E"]\nid = "E"\n', "patients staff id", "not permitted"),
        ("rules = 5\n", "rules", "valid tuple"),
        ('[[rules]]\nallow = ["search"]\n', "rules 1 name", "required"),
        ('[[rules]]\nname = ""\nallow = ["search"]\n', "rules 1 name", "at least 1 character"),
        (f'[[rules]]\nname = "{"x" * 201}"\nallow = ["*"]\n', "rules 1 name", "at most 200"),
        ('[[rules]]\nname = "one"\n', "rules 1", "give either allow or deny"),
        (RULE + 'deny = ["read"]\n', "rules 1", "give either allow or deny"),
        ('[[rules]]\nname = "one"\ndeny = ["read"]\nconfidential = true\n', "rules 1",
         "a rule that denies reaches what is confidential anyway"),
        ('[[rules]]\nname = "one"\nallow = "search"\n', "rules 1 allow", "valid tuple"),
        ('[[rules]]\nname = "one"\nallow = ["search", "look"]\n', "rules 1 allow 2",
         f"'look' is no right; write * or {', '.join(one.value for one in Right)}"),
        ('[[rules]]\nname = "one"\ndeny = ["Read"]\n', "rules 1 deny 1", "'Read' is no right"),
        (RULE + "who = []\n", "rules 1 who", "at least 1 item"),
        (RULE + 'who = ["*", "eva"]\n', "rules 1 who 2", "'eva' names nobody; write *, role:"),
        (RULE + 'who = ["role:physician"]\n', "rules 1 who 1",
         "(viewer, technologist, integrator, administrator, auditor are roles)"),
        (RULE + 'who = ["group:"]\n', "rules 1 who 1", "'group:' names nobody"),
        (RULE + 'who = ["system:isocenter"]\n', "rules 1 who 1", "names nobody"),
        (RULE + 'who = ["link:*"]\n', "rules 1 who 1", "names nobody"),
        (RULE + 'sites = ["north", ""]\n', "rules 1 sites 2", "at least 1 character"),
        (RULE + f'sites = ["{"x" * 65}"]\n', "rules 1 sites 1", "at most 64 characters"),
        (RULE + "sites = [5]\n", "rules 1 sites 1", "valid string"),
        (RULE + 'modalities = ["C/T"]\n', "rules 1 modalities 1", "'C/T' is no modality"),
        (RULE + 'studies = ["1.2", "1.02"]\n', "rules 1 studies 2",
         "'1.02' is no Study Instance UID"),
        (RULE + 'confidential = "perhaps"\n', "rules 1 confidential", "valid boolean"),
        (RULE + 'patients = ["staff", "visitors"]\n', "rule 'one'",
         "no group of patients is called staff, visitors"),
        (RULE + "[patients.staff]\nids = []\n", "patients staff ids", "at least 1 item"),
        (RULE + '[patients.staff]\nissuer = "HR"\n', "patients staff ids", "required"),
        (RULE + '[patients.staff]\nids = ["E", " "]\n', "patients staff ids 2",
         "at least 1 character"),
        (RULE + f'[patients.staff]\nids = ["{"E*" * 7}"]\n', "patients staff ids 1",
         "has more than 6 wild cards of a kind"),
        (RULE + f'[patients.staff]\nids = ["{"?" * 7}"]\n', "patients staff ids 1",
         "has more than 6 wild cards of a kind"),
        (RULE + '[patients.staff]\nids = ["E"]\nissuer = ""\n', "patients staff issuer",
         "at least 1 character"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_what_is_right(file, text, place, right) -> None:
    told = mistakes(file, text)[0]
    assert told.startswith(f"{place}: ")
    assert right in told


def test_all_mistakes_are_told_at_once(file) -> None:
    told = mistakes(file, RULE + 'site = ["own"]\n[[rules]]\nname = "two"\nallow = ["look"]\n')
    places = [one.partition(": ")[0] for one in told]
    assert {"rules 1 site", "rules 2 allow 1"} <= set(places)


def test_a_mistake_tells_no_patient_id(file) -> None:
    told = mistakes(file, RULE + '[patients.staff]\nids = ["EMP7", ""]\n')
    assert "EMP7" not in str(told)
