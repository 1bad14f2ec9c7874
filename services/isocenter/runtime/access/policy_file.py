"""The policy as a file in TOML: rules, and the groups of patients that they name.

    [patients.staff]
    ids = ["EMP*"]
    issuer = "HR"

    [[rules]]
    name = "everybody sees what their own site made"
    allow = ["search", "read"]
    who = ["role:viewer", "role:technologist"]
    sites = ["own"]

    [[rules]]
    name = "colleagues' own images are nobody's business"
    deny = ["search", "read"]
    who = ["group:students"]
    patients = ["staff"]

What a rule does not say bounds nothing. A file is the whole policy: without rules nobody may see
anything.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    ValidationError,
    model_validator,
)

from isocenter.core.access import ANY, OWN, ROLES, Patients, Right, Rule
from isocenter.core.errors import Invalid
from isocenter.core.identity import is_uid

_WHO = re.compile(r"(role|group|person|program|ae):(.+)")
_CODE_STRING = re.compile(r"[A-Z0-9_ ]{1,16}")  # PS3.5 6.2
_MOST = 10_000  # values of a list
_STARS = 6  # in one pattern
_PATTERNS = 500  # in the whole file: a search has to look for each


def _who(text: str) -> str:
    found = _WHO.fullmatch(text)
    if text == ANY or (found and (found[1] != "role" or found[2] in ROLES)):
        return text
    raise ValueError(
        f"{text!r} names nobody; write *, role:viewer, group:NAME, person:NAME, program:NAME, "
        f"ae:TITLE or one of the kinds with * ({', '.join(ROLES)} are roles)"
    )


def _right(text: str) -> str:
    if text == ANY or text in {one.value for one in Right}:
        return text
    raise ValueError(f"{text!r} is no right; write * or {', '.join(one.value for one in Right)}")


def _study(text: str) -> str:
    if not is_uid(text):
        raise ValueError(f"{text!r} is no Study Instance UID")
    return text


def _pattern(text: str) -> str:
    if text.count("*") > _STARS or text.count("?") > _STARS:
        raise ValueError(f"{text!r} has more than {_STARS} wild cards of a kind")
    return text


def _modality(text: str) -> str:
    if not _CODE_STRING.fullmatch(text):
        raise ValueError(f"{text!r} is no modality")
    return text


_Text = Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]
_Who = Annotated[str, StringConstraints(max_length=256), AfterValidator(_who)]
_RightName = Annotated[str, AfterValidator(_right)]
_Study = Annotated[str, AfterValidator(_study)]
_Pattern = Annotated[_Text, AfterValidator(_pattern)]
_Modality = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_upper=True, max_length=16),
    AfterValidator(_modality),
]


class PatientGroup(BaseModel):
    """Patients by their IDs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ids: tuple[_Pattern, ...] = Field(
        min_length=1, max_length=_MOST, description="Patient IDs; `*` and `?` stand for anything."
    )
    issuer: _Text | None = Field(None, description="Issuer of Patient ID; none: any.")


class RuleFields(BaseModel):
    """One rule."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description="What it is for; decisions are explained by it."
    )
    allow: tuple[_RightName, ...] = Field((), description="What it allows; `*`: everything.")
    deny: tuple[_RightName, ...] = Field((), description="What it denies; deny beats allow.")
    who: tuple[_Who, ...] = Field(
        (ANY,), min_length=1, max_length=_MOST, description="Whom it is about."
    )
    sites: tuple[_Text, ...] = Field(
        (), max_length=_MOST, description=f"Sites that a study came from; `{OWN}`: the caller's."
    )
    modalities: tuple[_Modality, ...] = Field(
        (), max_length=_MOST, description="Modalities of which a study has one."
    )
    patients: tuple[_Text, ...] = Field(
        (), max_length=_MOST, description="Groups of patients, by name."
    )
    studies: tuple[_Study, ...] = Field((), max_length=_MOST, description="Study Instance UIDs.")
    confidential: StrictBool = Field(
        False, description="Whether it reaches what is marked as confidential."
    )

    @model_validator(mode="after")
    def _does_one_thing(self) -> RuleFields:
        if bool(self.allow) == bool(self.deny):
            raise ValueError("give either allow or deny")
        if self.deny and self.confidential:
            raise ValueError("a rule that denies reaches what is confidential anyway")
        return self


class PolicyFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patients: dict[_Text, PatientGroup] = Field({}, description="Groups of patients, by name.")
    rules: tuple[RuleFields, ...] = Field((), max_length=_MOST, description="The rules.")

    @model_validator(mode="after")
    def _groups_are_known(self) -> PolicyFile:
        for rule in self.rules:
            if unknown := [one for one in rule.patients if one not in self.patients]:
                raise ValueError(
                    f"rule {rule.name!r}: no group of patients is called {', '.join(unknown)}"
                )
        return self

    @model_validator(mode="after")
    def _few_patterns(self) -> PolicyFile:
        ids = (one for group in self.patients.values() for one in group.ids)
        if sum("*" in one or "?" in one for one in ids) > _PATTERNS:
            raise ValueError(f"more than {_PATTERNS} Patient IDs have wild cards; list them")
        return self


def read(path: Path) -> tuple[Rule, ...]:
    """The rules of a file. Raises `Invalid`, naming each mistake."""
    try:
        return rules_of(tomllib.loads(path.read_text(encoding="utf-8")), str(path))
    except FileNotFoundError as error:
        raise Invalid(f"the policy {path} does not exist", fix="see [access] policy") from error
    except (ValueError, RecursionError, OSError) as error:  # what tomllib raises, beside its own
        raise Invalid(f"the policy {path} cannot be read: {error}", fix="mend it") from error


def rules_of(fields: object, name: str) -> tuple[Rule, ...]:
    """The rules of a file's content. Raises `Invalid`."""
    try:
        file = PolicyFile.model_validate(fields)
    except ValidationError as error:
        wrong = [
            ": ".join(filter(None, (_place(one["loc"]), one["msg"].removeprefix("Value error, "))))
            for one in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise Invalid(f"the policy {name} is not valid:\n  " + "\n  ".join(wrong)) from error
    groups = {group: Patients(one.ids, one.issuer or "") for group, one in file.patients.items()}
    return tuple(_rule(one, groups) for one in file.rules)


def _rule(one: RuleFields, groups: dict[str, Patients]) -> Rule:
    names = one.allow or one.deny
    rights = frozenset(Right) if ANY in names else frozenset(map(Right, names))
    return Rule(
        one.name,
        bool(one.allow),
        rights,
        one.who,
        sites=one.sites,
        modalities=one.modalities,
        patients=tuple(groups[group] for group in one.patients),
        studies=one.studies,
        confidential=one.confidential,
    )


def _place(location: tuple[int | str, ...]) -> str:
    """Rules are counted from 1, as people do."""
    return " ".join(str(part + 1) if isinstance(part, int) else part for part in location)
