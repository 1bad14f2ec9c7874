"""The search parameters of AuditEvent (IHE ITI-81, FHIR R4) and the filters they become.

What counts is the resource: a record is found if its resource says what is asked for. A parameter
gives a filter that every such record passes; where others may pass it too, the resource decides.
Answers are exact, then, and what cannot be answered so is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from isocenter.core.audit import AuditFilter, words
from isocenter.core.errors import Invalid
from isocenter.core.events import AuditAction
from isocenter.core.identity import is_uid
from isocenter.runtime.audit_codes import KINDS, OUTCOMES, Kind
from isocenter.runtime.audit_ids import window_of
from isocenter.runtime.audit_parts import APPLICATION_NAME, NOBODY, TRAIL_URI
from isocenter.web.audit_fhir_values import (
    Resource,
    Token,
    any_token,
    one_of,
    plain,
    span,
    token,
    unescaped,
    values_of,
    within,
)

Test = Callable[[Resource], bool]
Actions = frozenset[AuditAction]

ALL_ACTIONS: Actions = frozenset(AuditAction)
DCM_SYSTEM = "http://dicom.nema.org/resources/ontology/DCM"

_ACTION_SYSTEM = "http://terminology.hl7.org/CodeSystem/audit-event-action"
_OUTCOME_SYSTEM = "http://terminology.hl7.org/CodeSystem/audit-event-outcome"
_UID_SYSTEM, _UID_PREFIX = "urn:dicom:uid", "urn:oid:"
_TITLES = "AETITLES="  # in front of AE titles, which it is no part of
# What resources say of records in which no word of it stands.
_CONSTANTS = (APPLICATION_NAME, NOBODY, TRAIL_URI)
_RECORD_ID = re.compile(r"(?:.*-)?[0-9a-f]{32}", re.DOTALL)  # which is no word of its record


@dataclass(frozen=True, slots=True)
class Constraint:
    """What a parameter asks for."""

    fields: Mapping[str, Any]  # of the filter; every record that is meant passes it
    test: Test  # of its resource
    certain: Actions = frozenset()  # whose records need no test, if the filter has all the fields


@dataclass(slots=True)
class Query:
    """A search, as it is put together."""

    which: AuditFilter = field(default_factory=AuditFilter)
    tests: list[Test] = field(default_factory=list)
    certain: Actions = ALL_ACTIONS  # whose records need no test
    impossible: bool = False  # nothing can be found

    def add(self, constraint: Constraint) -> None:
        """All that are added must hold."""
        narrowed = [self._narrow(*one) for one in constraint.fields.items()]
        certain = constraint.certain if all(narrowed) else frozenset()
        if certain != ALL_ACTIONS:
            self.tests.append(constraint.test)
            self.certain &= certain

    def _narrow(self, name: str, value: Any) -> bool:  # noqa: ANN401 - values of a filter
        """Whether the filter says it now."""
        merged = _MERGED.get(name, _only)(getattr(self.which, name), value)
        if merged is None:
            return False
        self.which = replace(self.which, **{name: merged})
        since, until = self.which.since, self.which.until
        reverse = since is not None and until is not None and since >= until
        self.impossible = self.impossible or merged == () or reverse
        return True

    def passes(self, resource: Resource) -> bool:
        """Whether a record that passes the filter is meant."""
        return all(test(resource) for test in self.tests)


def _only(had: str, value: str) -> str | None:
    return value if had in ("", value) else None


def _both(had: tuple[Any, ...], value: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(one for one in had if one in value) if had else value


def _later(had: datetime | None, value: datetime) -> datetime:
    return max(had, value) if had else value


def _earlier(had: datetime | None, value: datetime) -> datetime:
    return min(had, value) if had else value


def _joined(had: str, value: str) -> str:
    return f"{had} {value}".strip()


_MERGED: Mapping[str, Callable[[Any, Any], Any]] = {
    "since": _later, "until": _earlier, "actions": _both, "outcomes": _both, "text": _joined,
}  # fmt: skip


# --- readers: of a parameter's name and value ----------------------------------------------------

Reader = Callable[[str, str], Constraint]


def _date(name: str, text: str) -> Constraint:
    meant = span(one_of(name, text))
    bounds = {"since": meant.since, "until": meant.until}
    fields = {bound: moment for bound, moment in bounds.items() if moment}
    return Constraint(fields, _always, ALL_ACTIONS)


def _always(_resource: Resource) -> bool:
    return True


def _id(name: str, text: str) -> Constraint:
    wanted = unescaped(one_of(name, text))
    since, until = window_of(wanted)
    return Constraint({"since": since, "until": until}, lambda found: found["id"] == wanted)


def _kind(told: Callable[[Kind], Iterable[Any]], element: str, implied: str = "") -> Reader:
    """Of a coded element that is the same for all records of a kind; `implied`: the system of one
    that is a code alone."""

    def read(name: str, text: str) -> Constraint:
        tokens = _tokens(name, text, implied)
        said = {
            action: [any_token(tokens, told(kind)) for kind in kinds]
            for action, kinds in KINDS.items()
        }
        possible = tuple(action for action, kinds in said.items() if any(kinds))
        certain = frozenset(action for action, kinds in said.items() if all(kinds))
        test = _has_token(tokens, element)
        if certain == set(possible):
            certain = ALL_ACTIONS  # the filter lets no others pass
        return Constraint({"actions": possible}, test, certain)

    return read


def _outcome(name: str, text: str) -> Constraint:
    tokens = _tokens(name, text, _OUTCOME_SYSTEM)
    found = tuple(outcome for outcome, code in OUTCOMES.items() if any_token(tokens, [code]))
    return Constraint({"outcomes": found}, _has_token(tokens, "outcome"), ALL_ACTIONS)


def _tokens(name: str, text: str, implied: str) -> Sequence[Token]:
    found = [token(value) for value in values_of(name, text)]
    return [Token(None, one.code) if implied and one.system == implied else one for one in found]


def _patient(name: str, text: str) -> Constraint:
    one = _identifier(name, text)
    if one.system:
        raise Invalid(
            f"{name} cannot be answered for a system: records hold IDs without their issuer",
            fix=f"ask for {name}=ID",
        )

    def test(found: Resource) -> bool:
        return any(
            what.get("type") == "Patient" and any_token([one], [what["identifier"]])
            for what in within(found, "entity", "what")
        )

    return Constraint({"patient_id": one.code}, test, ALL_ACTIONS)


def _entity(name: str, text: str) -> Constraint:
    one = _identifier(name, text)
    test = _has_token([one], "entity", "what", "identifier")
    uid = one.code.removeprefix(_UID_PREFIX)
    if uid != one.code and is_uid(uid):
        if one.system not in (None, _UID_SYSTEM):
            return Constraint({"actions": ()}, test, ALL_ACTIONS)
        return Constraint({"study": uid}, test, ALL_ACTIONS)
    if is_uid(uid) and uid.count(".") > 1:
        raise Invalid(
            f"{name} has a UID that is not written as FHIR names them",
            fix=f"write {name}={_UID_PREFIX}1.2.3 (or patient.identifier= for a Patient ID)",
        )
    if _RECORD_ID.fullmatch(one.code):
        return Constraint({}, test)
    return _by_words(name, one.code, test)


def _identified(*path: str) -> Reader:
    """Of an identifier, of which any word may stand in the record."""

    def read(name: str, text: str) -> Constraint:
        one = _identifier(name, text)
        return _by_words(name, one.code, _has_token([one], *path, "identifier"))

    return read


def _identifier(name: str, text: str) -> Token:
    one = token(one_of(name, text))
    if not one.code:
        raise Invalid(f"{name} has no value", fix="give an identifier, not its system alone")
    return one


def _name(*path: str) -> Reader:
    """Of an element that is a text, and is searched as a token."""

    def read(name: str, text: str) -> Constraint:
        one = _identifier(name, text)
        return _by_words(name, one.code.removeprefix(_TITLES), _has_token([one], *path))

    return read


def _site(name: str, text: str) -> Constraint:
    one = _identifier(name, text)
    return Constraint({"place": one.code}, _has_token([one], "source", "site"))


def _coded(*path: str) -> Reader:
    """Of a coded element of which the filter knows nothing."""

    def read(name: str, text: str) -> Constraint:
        return Constraint({}, _has_token(_tokens(name, text, ""), *path))

    return read


def _beginning(*path: str) -> Reader:
    """Of a string: how it begins, without case and accents (FHIR R4 3.1.1.4.8)."""

    def read(name: str, text: str) -> Constraint:
        wanted = plain(unescaped(one_of(name, text)))

        def test(found: Resource) -> bool:
            return any(plain(one).startswith(wanted) for one in within(found, *path))

        return _by_words(name, wanted, test)

    return read


def _exactly(*path: str) -> Reader:
    """Of a string: all of it, as it is."""

    def read(name: str, text: str) -> Constraint:
        wanted = unescaped(one_of(name, text))
        return _by_words(name, wanted, lambda found: wanted in within(found, *path))

    return read


def _by_words(name: str, value: str, test: Test) -> Constraint:
    if any(plain(constant).startswith(plain(value)) for constant in _CONSTANTS):
        return Constraint({}, test)
    found = words(value)
    if not found:
        raise Invalid(f"{name} has no word to look for", fix="give more of the value")
    return Constraint({"text": " ".join(found)}, test)


def _has_token(tokens: Sequence[Token], *path: str) -> Test:
    return lambda found: any_token(tokens, within(found, *path))


# --- the table -----------------------------------------------------------------------------------


def _coding(code: str) -> Mapping[str, str]:
    return {"system": DCM_SYSTEM, "code": code}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A search parameter."""

    name: str
    type: str  # date, token or string
    says: str
    read: Reader
    exactly: Reader | None = None  # with the modifier :exact
    chained: bool = False  # no search parameter of the resource itself


PARAMETERS: Mapping[str, Parameter] = {
    one.name: one
    for one in (
        Parameter("_id", "token", "the name of a record", _id),
        Parameter(
            "date", "date", "when it happened; without a time zone in UTC; prefixes but ne and ap;"
            " may be repeated", _date,
        ),
        Parameter("type", "token", "EventID of DICOM PS3.16 CID 400",
                  _kind(lambda kind: [_coding(kind.event.code)], "type")),
        Parameter("subtype", "token", "EventTypeCode of DICOM PS3.16 CID 401 and 403",
                  _kind(lambda kind: [_coding(one.code) for one in kind.types], "subtype")),
        Parameter("action", "token", "C, R, U, D or E",
                  _kind(lambda kind: [kind.act], "action", _ACTION_SYSTEM)),
        Parameter("outcome", "token", "0, 4 or 8", _outcome),
        Parameter("agent.identifier", "token", "the user, AE title, address or process",
                  _identified("agent", "who"), chained=True),
        Parameter("agent-name", "string", "the subject of the certificate, or the program",
                  _beginning("agent", "name"), _exactly("agent", "name")),
        Parameter("altid", "token", "an AE title, as AETITLES=CT1", _name("agent", "altId")),
        Parameter("address", "string", "the address from which it was asked for",
                  _beginning("agent", "network", "address"),
                  _exactly("agent", "network", "address")),
        Parameter("patient.identifier", "token", "a Patient ID, without its issuer", _patient,
                  chained=True),
        Parameter("entity.identifier", "token", "a Study Instance UID as urn:oid:1.2.3, or the"
                  " identifier of another entity", _entity, chained=True),
        Parameter("entity-type", "token", "audit-entity-type of an entity",
                  _coded("entity", "type")),
        Parameter("entity-role", "token", "object-role of an entity", _coded("entity", "role")),
        Parameter("source.identifier", "token", "the process that made the record",
                  _identified("source", "observer"), chained=True),
        Parameter("site", "token", "the site at which the record was made", _site),
    )
}  # fmt: skip
# The same in the other form that FHIR has for it (FHIR R4 3.1.1.4.12).
ALIASES: Mapping[str, str] = {
    one.name.replace(".identifier", ":identifier"): one.name
    for one in PARAMETERS.values()
    if one.chained
}
_EXACT = ":exact"


def known(name: str) -> bool:
    """Whether a parameter, modifiers apart, is one that narrows a search here."""
    return name in ALIASES or name.partition(":")[0] in PARAMETERS


def constraint(name: str, value: str) -> Constraint:
    """What a known parameter asks for. Raises `Invalid`, `NotFound`."""
    base, colon, modifier = ALIASES.get(name, name).partition(":")
    parameter = PARAMETERS[base]
    reader = parameter.exactly if colon + modifier == _EXACT else parameter.read
    if reader is None or (colon and colon + modifier != _EXACT):
        raise Invalid(
            f"the modifier of {name} cannot be answered",
            fix=f"ask for {base}" + (f" or {base}{_EXACT}" if parameter.exactly else ""),
        )
    return reader(base, value)
