"""Who may do what with which studies: one policy, and one decision for every door.

A *caller* is whoever asks: a person, a program, an AE, somebody with a link, or the installation
itself. What a caller may do follows from its roles (`ROLES`); with which studies, from the rules of
the policy: an allowing rule must apply and no denying one may. Studies that are marked as
confidential are beyond rules that do not say that they reach them.

A study is seen as a whole or not at all: rules look at its patient, its modalities and the sites
that it came from. `decide` answers for one study and says why; `scope` is the same for all studies
at once, as an expression that narrows searches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

from isocenter.core.attributes import SITES
from isocenter.core.cached import cached
from isocenter.core.matching import JsonAttributes
from isocenter.core.scope import EVERYTHING, NOTHING, Scope, every, has, holds, like, some, without

PATIENT_ID, ISSUER, MODALITIES = "00100020", "00100021", "00080061"
STUDY = "0020000D"
FACTS = (PATIENT_ID, ISSUER, MODALITIES, STUDY, SITES.tag)  # what rules look at
OWN = "own"  # among a rule's sites: those of the caller
ANY = "*"


class Right(Enum):
    """Something that a caller may be allowed to do."""

    SEARCH = "search"  # find studies, and be told of changes
    READ = "read"  # open them
    DOWNLOAD = "download"  # take whole objects away
    STORE = "store"
    DELETE = "delete"  # and restore
    SHARE = "share"  # give others links
    MARK = "mark"  # as confidential
    EMERGENCY = "emergency"  # see what is not granted, with a reason
    AES = "aes"  # change the AE directory
    ACCESS = "access"  # accounts, tokens, sessions and links of others
    AUDIT = "audit"  # read the audit trail
    HOLD = "hold"  # keep searches and place legal holds in it


_LOOK = frozenset({Right.SEARCH, Right.READ, Right.DOWNLOAD})
OF_STUDIES = _LOOK | {Right.STORE, Right.DELETE, Right.SHARE, Right.MARK}
"""Rights that rules bound to studies; the others belong to a role alone."""

_KEPT_BY_MARKS = _LOOK | {Right.DELETE, Right.SHARE}  # images of confidential patients come in
ROLES: Mapping[str, frozenset[Right]] = {
    "viewer": _LOOK | {Right.SHARE, Right.EMERGENCY},
    "technologist": _LOOK | {Right.STORE, Right.EMERGENCY},
    "integrator": _LOOK | {Right.STORE},
    "administrator": _LOOK
    | {Right.STORE, Right.DELETE, Right.SHARE, Right.MARK, Right.AES, Right.ACCESS},
    "auditor": frozenset({Right.AUDIT, Right.HOLD}),
}
"""What people and programs may have been made."""

DEVICE, GUEST = "device", "guest"
_IMPLIED: Mapping[str, frozenset[Right]] = {
    DEVICE: _LOOK | {Right.STORE},  # an AE; its entry in the directory says which of these
    GUEST: _LOOK,  # somebody with a link
}


_ALL = frozenset(Right)
_KNOWN = {**ROLES, **_IMPLIED}


@cached(1024)
def _of_roles(roles: tuple[str, ...]) -> frozenset[Right]:
    return frozenset().union(*(_KNOWN.get(role, frozenset()) for role in roles))


class Kind(Enum):
    """What a caller is."""

    PERSON = "person"
    PROGRAM = "program"
    AE = "ae"
    LINK = "link"
    SYSTEM = "system"  # the installation itself, and whoever operates its machine


@dataclass(frozen=True, slots=True)
class Patient:
    """One patient, as exactly as its ID is known."""

    id: str
    issuer: str = ""  # Issuer of Patient ID; empty: any

    @property
    def scope(self) -> Scope:
        """The patient's studies."""
        return _patients([self.id], self.issuer)


def _patients(ids: Iterable[str], issuer: str) -> Scope:
    issued = has(ISSUER, "LO", [issuer]) if issuer else EVERYTHING
    return every([has(PATIENT_ID, "LO", ids), issued])


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as its door has made sure."""

    kind: Kind
    name: str
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    only: frozenset[Right] | None = None  # what a token or the AE directory leaves of the roles
    studies: tuple[str, ...] | None = None  # what a link leads to
    emergencies: tuple[Patient, ...] = ()  # whom they have to see now, and said why

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.name}"

    @property
    def rights(self) -> frozenset[Right]:
        """What its roles allow, as far as it is not narrowed."""
        if self.kind is Kind.SYSTEM:
            return _ALL
        found = _of_roles(self.roles)
        return found if self.only is None else found & self.only

    @property
    def names(self) -> frozenset[str]:
        """By which rules mean it."""
        of = [*(f"role:{one}" for one in self.roles), *(f"group:{one}" for one in self.groups)]
        return frozenset((ANY, f"{self.kind.value}:{ANY}", str(self), *of))


NOBODY = Caller(Kind.PERSON, "")
"""Whoever said nothing about who they are."""
SYSTEM = Caller(Kind.SYSTEM, "isocenter")


@dataclass(frozen=True)
class Patients:
    """A group of patients."""

    ids: tuple[str, ...]  # Patient IDs; `*` and `?` stand for anything
    issuer: str = ""  # Issuer of Patient ID; empty: any

    @cached_property
    def scope(self) -> Scope:
        """Their studies."""
        issued = has(ISSUER, "LO", [self.issuer]) if self.issuer else EVERYTHING
        return every([like(PATIENT_ID, "LO", self.ids), issued])


@dataclass(frozen=True, slots=True)
class Rule:
    """What some callers may do, or may not, with some studies. What is empty bounds nothing."""

    name: str
    allows: bool
    rights: frozenset[Right]
    who: tuple[str, ...]  # names of callers
    sites: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    patients: tuple[Patients, ...] = ()
    studies: tuple[str, ...] = ()
    confidential: bool = False  # it reaches studies that are marked

    def concerns(self, caller: Caller, right: Right) -> bool:
        """Whether it is about this caller and this right."""
        return right in self.rights and not caller.names.isdisjoint(self.who)

    @property
    def bounds(self) -> bool:
        """Whether it is about some studies only."""
        return bool(self.sites or self.modalities or self.patients or self.studies)

    def scope(self, caller: Caller) -> Scope:
        """The studies that it is about, for this caller."""
        parts: list[Scope] = []
        if self.sites:
            named = [one for one in self.sites if one != OWN]
            own = caller.sites if OWN in self.sites else ()
            parts.append(has(SITES.tag, SITES.vr, (*named, *own)))
        if self.modalities:
            parts.append(has(MODALITIES, "CS", self.modalities))
        if self.patients:
            parts.append(some(one.scope for one in self.patients))
        if self.studies:
            parts.append(has(STUDY, "UI", self.studies))
        return every(parts)


@dataclass(frozen=True)
class Marks:
    """What is marked as confidential."""

    patients: tuple[Patient, ...] = ()
    studies: tuple[str, ...] = ()

    @cached_property
    def scope(self) -> Scope:
        """The studies that are."""
        ids: dict[str, list[str]] = {}
        for one in self.patients:
            ids.setdefault(one.issuer, []).append(one.id)
        patients = (_patients(equal, issuer) for issuer, equal in ids.items())
        return some([*patients, has(STUDY, "UI", self.studies)])


EVERYONE = Rule("everybody, as far as their role allows", True, frozenset(Right), (ANY,))
"""The rule where a policy has none of its own."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of an installation."""

    rules: tuple[Rule, ...] = (EVERYONE,)
    marks: Marks = field(default=Marks())

    @property
    def tells_studies_apart(self) -> bool:
        """Whether it matters to anybody what a study is."""
        return self.marks != Marks() or any(rule.bounds for rule in self.rules)

    def concerned(self, caller: Caller, right: Right, *, allows: bool) -> Iterator[Rule]:
        """The allowing or denying rules that are about a caller and a right."""
        for rule in self.rules:
            if rule.allows is allows and rule.concerns(caller, right):
                yield rule


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, for the caller and for whoever asks why."""

    allowed: bool
    why: str


def decide(
    policy: Policy, caller: Caller, right: Right, study: JsonAttributes | None = None
) -> Decision:
    """Whether a caller may do something, with a study that has these attributes (`FACTS`), or at
    all. Deny beats allow, and what nothing allows is denied."""
    if right not in caller.rights:
        return Decision(False, _lacking(caller, right))
    if caller.kind is Kind.SYSTEM:
        return Decision(True, "the installation itself may do everything")
    if right not in OF_STUDIES or study is None:
        return Decision(True, f"{_roles(caller)} may {right.value}")
    if caller.studies is not None:
        return _by_link(policy, caller, study)
    if (denied := denial(policy, caller, right, study)) is not None:
        return denied
    if right in _LOOK and holds(_emergencies(caller), study):
        return Decision(True, "emergency access to the patient")
    marked = right in _KEPT_BY_MARKS and holds(policy.marks.scope, study)
    for rule in policy.concerned(caller, right, allows=True):
        if holds(rule.scope(caller), study) and (rule.confidential or not marked):
            return Decision(True, f"allowed by the rule {rule.name!r}")
    if marked:
        return Decision(False, "the study or its patient is confidential")
    return Decision(False, f"no rule lets {caller} {right.value} this study")


def addition(
    policy: Policy, caller: Caller, known: JsonAttributes, brought: JsonAttributes
) -> Decision:
    """Whether a caller may add something to a study that is kept. They may where they may store
    such a study, and where it does not become one that they see, or one that is not confidential,
    by what they say of its patient or its modality."""
    decision = decide(policy, caller, Right.STORE, known)
    becomes = _with(known, brought)
    if not decision.allowed or becomes == known:
        return decision
    for right in (Right.SEARCH, Right.READ):
        before = decide(policy, caller, right, known)
        if not before.allowed and decide(policy, caller, right, becomes).allowed:
            return Decision(False, "it would show them a study that is kept from them")
    marks = policy.marks.scope
    if Right.MARK not in caller.rights and holds(marks, known) and not holds(marks, becomes):
        return Decision(False, "the study would no longer be one of a confidential patient")
    return decision


def _with(known: JsonAttributes, brought: JsonAttributes) -> JsonAttributes:
    """What a study may be when something is added; its sites are another matter."""
    patient = {tag: brought[tag] for tag in (PATIENT_ID, ISSUER) if tag in brought}
    modalities = [
        value for one in (known, brought) for value in one.get(MODALITIES, {}).get("Value", ())
    ]
    united = {"vr": "CS", "Value": sorted(set(modalities))}
    return known | patient | ({MODALITIES: united} if modalities else {})


def denial(policy: Policy, caller: Caller, right: Right, study: JsonAttributes) -> Decision | None:
    """That a rule denies it, whatever allows it; None where none does."""
    for rule in policy.concerned(caller, right, allows=False):
        if holds(rule.scope(caller), study):
            return Decision(False, f"denied by the rule {rule.name!r}")
    return None


def scope(policy: Policy, caller: Caller, right: Right) -> Scope:
    """The studies with which a caller may do something: those for which `decide` allows it."""
    if right not in caller.rights:
        return NOTHING
    if caller.kind is Kind.SYSTEM:
        return EVERYTHING
    if caller.studies is not None:
        return has(STUDY, "UI", caller.studies)
    denied = some(r.scope(caller) for r in policy.concerned(caller, right, allows=False))
    allowing = tuple(policy.concerned(caller, right, allows=True))
    plain = some(rule.scope(caller) for rule in allowing if not rule.confidential)
    reaching = some(rule.scope(caller) for rule in allowing if rule.confidential)
    emergencies = _emergencies(caller) if right in _LOOK else NOTHING
    marks = policy.marks.scope if right in _KEPT_BY_MARKS else NOTHING
    seen = some([emergencies, reaching, every([plain, without(marks)])])
    return every([without(denied), seen])


def _emergencies(caller: Caller) -> Scope:
    return some(one.scope for one in caller.emergencies)


def _by_link(policy: Policy, caller: Caller, study: JsonAttributes) -> Decision:
    del policy  # whoever made the link was allowed to, and it can be taken back
    if holds(has(STUDY, "UI", caller.studies or ()), study):
        return Decision(True, "the link leads to this study")
    return Decision(False, "the link leads to another study")


def _lacking(caller: Caller, right: Right) -> str:
    having = ", ".join(role for role, rights in ROLES.items() if right in rights)
    if caller.only is not None and right not in caller.only:
        return f"{caller} was not given the right to {right.value}"
    return f"{_roles(caller)} may not {right.value}; of the roles, {having or 'none'} may"


def _roles(caller: Caller) -> str:
    return f"{caller} ({', '.join(caller.roles) or 'without a role'})"
