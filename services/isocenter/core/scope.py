"""Which studies somebody may see, as an expression over attributes of a study and its patient.

One meaning, `holds`, on which decisions about one study rest; index adapters narrow searches by the
same expression, and the contract suite compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from isocenter.core.matching import Criterion, Equal, JsonAttributes, Test, Wildcard
from isocenter.core.terms import terms


@dataclass(frozen=True)
class Has:
    """The study has an attribute with one of these values; of PATIENT or STUDY level, and matched
    by whole terms (`core.matching`)."""

    criterion: Criterion

    def accepts(self, study: Study) -> bool:
        """Whether a study is such. There may be thousands of values."""
        found = study.terms(self.criterion)
        if not self._equal.isdisjoint(found):
            return True
        for test in self._others:
            for term in found:
                if test.accepts(term):
                    return True
        return False

    @cached_property
    def _equal(self) -> frozenset[str]:
        tests = (test for (test,) in self.criterion.alternatives)
        return frozenset(test.term for test in tests if isinstance(test, Equal))

    @cached_property
    def _others(self) -> tuple[Test, ...]:
        tests = (test for (test,) in self.criterion.alternatives)
        return tuple(test for test in tests if not isinstance(test, Equal))


class Study:
    """The terms of a study's attributes, each made once."""

    __slots__ = ("_attributes", "_terms")

    def __init__(self, attributes: JsonAttributes) -> None:
        self._attributes = attributes
        self._terms: dict[str, tuple[str, ...]] = {}

    def terms(self, criterion: Criterion) -> tuple[str, ...]:
        """Of the attribute that a criterion is about."""
        found = self._terms.get(criterion.tag)
        if found is None:
            attribute = self._attributes.get(criterion.tag)
            found = terms(criterion.vr, attribute) if attribute else ()
            self._terms[criterion.tag] = found
        return found


@dataclass(frozen=True, slots=True)
class Every:
    """All parts hold; without parts: everything."""

    parts: tuple[Scope, ...] = ()

    def accepts(self, study: Study) -> bool:
        """Whether a study is such."""
        for part in self.parts:  # noqa: SIM110 - of every study that a search looks at
            if not part.accepts(study):
                return False
        return True


@dataclass(frozen=True, slots=True)
class Some:
    """One part holds; without parts: nothing."""

    parts: tuple[Scope, ...] = ()

    def accepts(self, study: Study) -> bool:
        """Whether a study is such."""
        for part in self.parts:  # noqa: SIM110 - the same
            if part.accepts(study):
                return True
        return False


@dataclass(frozen=True, slots=True)
class Without:
    """The part does not hold."""

    part: Scope

    def accepts(self, study: Study) -> bool:
        """Whether a study is such."""
        return not self.part.accepts(study)


Scope = Has | Every | Some | Without

EVERYTHING = Every()
NOTHING = Some()


def has(tag: str, vr: str, values: Iterable[str]) -> Scope:
    """That an attribute has one of these values."""
    return _has(tag, vr, [Equal(value) for value in values])


def like(tag: str, vr: str, patterns: Iterable[str]) -> Scope:
    """That an attribute has a value like one of these, in which `*` stands for any characters and
    `?` for one."""
    wild = {"*", "?"}
    return _has(tag, vr, [Wildcard(one) if wild & set(one) else Equal(one) for one in patterns])


def _has(tag: str, vr: str, tests: Sequence[Test]) -> Scope:
    return Has(Criterion(tag, vr, tuple((test,) for test in tests))) if tests else NOTHING


def every(parts: Iterable[Scope]) -> Scope:
    """All of them, without those that say nothing."""
    kept = tuple(dict.fromkeys(part for part in parts if part != EVERYTHING))
    if NOTHING in kept:
        return NOTHING
    return kept[0] if len(kept) == 1 else Every(kept)


def some(parts: Iterable[Scope]) -> Scope:
    """One of them, without those that never hold."""
    kept = tuple(dict.fromkeys(part for part in parts if part != NOTHING))
    if EVERYTHING in kept:
        return EVERYTHING
    return kept[0] if len(kept) == 1 else Some(kept)


def without(part: Scope) -> Scope:
    """What the part leaves."""
    if isinstance(part, Without):
        return part.part
    if part == NOTHING:
        return EVERYTHING
    return NOTHING if part == EVERYTHING else Without(part)


def holds(scope: Scope, attributes: JsonAttributes) -> bool:
    """Whether a study with these attributes, those of its patient included, is in a scope."""
    return scope.accepts(Study(attributes))
