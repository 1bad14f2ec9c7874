"""Criteria of a search as queries over the fields of `schema`.

Both speak of the same terms (`core.matching.terms`), so most queries find exactly what a criterion
accepts. What they do not settle is narrowed, as far as can be, and left to `Criterion.accepts`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from isocenter.adapters.index.elasticsearch.client import Json
from isocenter.adapters.index.elasticsearch.schema import (
    ADDED,
    LONG_VRS,
    TERM_LENGTH,
    UID_FIELDS,
    added_term,
    item_field,
)
from isocenter.core.attributes import Attribute
from isocenter.core.matching import Between, Criterion, Equal, Test, Wildcard, Word

_ALTERNATIVES = 256  # clauses of a query, beside single values
_VALUES = 65_536  # index.max_terms_count
# Determinizing a pattern costs exponentially in the `?` behind a `*`, and regular expressions of
# more than 1,000 characters are refused.
_PATTERN_LENGTH = 150
_PATTERN_STARS = 12
_PATTERN_MARKS = 6
_PATTERN_CARETS = 5
_ABOVE = "\U0010ffff"
_SPECIAL = re.compile(r"[^\w\s]|_", re.ASCII)  # in regular expressions
_LITERALLY = re.compile(r"[*?\\]")  # in wild cards

EVERYTHING: Json = {"match_all": {}}


@dataclass(frozen=True, slots=True)
class Condition:
    """A superset of the documents that one criterion leaves."""

    query: Json
    exact: bool  # it is no more than these


@dataclass(frozen=True, slots=True)
class _Field:
    """Where the terms of an attribute are, and what stands in front of each."""

    name: str
    start: str = ""

    def term(self, term: str) -> str:
        """A term as it is kept."""
        return self.start + term[:TERM_LENGTH]


def of(row: Attribute, criterion: Criterion) -> Condition:
    """What a criterion of an attribute leaves of the documents that have its terms."""
    if row.vr != criterion.vr or row.vr in LONG_VRS:
        return Condition(EVERYTHING, exact=False)
    if row.vr == "SQ":
        found = [
            _matching(_Field(f"t.{item_field(row.tag, item.tag)}"), _Field(""), item)
            for item in criterion.items
            if item.tag in row.items
        ]
        return Condition(_all([condition.query for condition in found]), exact=False)
    if row.added:
        terms, words = (_Field(f"t.{ADDED}", added_term(row, words=kind)) for kind in (False, True))
    else:
        terms, words = _Field(UID_FIELDS.get(row.tag, f"t.{row.tag}")), _Field(f"w.{row.tag}")
    return _matching(terms, words, criterion)


def _matching(field: _Field, words: _Field, criterion: Criterion) -> Condition:
    equal = [
        tests[0].term
        for tests in criterion.alternatives
        if len(tests) == 1 and isinstance(tests[0], Equal)
    ]
    others = [
        tests
        for tests in criterion.alternatives
        if len(tests) != 1 or not isinstance(tests[0], Equal)
    ]
    if len(others) > _ALTERNATIVES or len(equal) > _VALUES:
        return Condition(EVERYTHING, exact=False)
    exact = all(len(term) < TERM_LENGTH for term in equal)
    found = [_equal(field, equal)] if equal else []
    for tests in others:
        parts = [_test(field, test) for test in tests]
        exact = exact and all(part.exact for part in parts)
        found.append(_all([part.query for part in parts]))
    if criterion.words:
        found.append(_all([_word(words, word) for word in criterion.words]))
    return Condition(_any(found), exact)


def _test(field: _Field, test: Test) -> Condition:
    if isinstance(test, Equal):
        return Condition(_equal(field, [test.term]), len(test.term) < TERM_LENGTH)
    if isinstance(test, Between):
        return Condition(_between(field, test), exact=True)
    if not _simple(test):
        return Condition(_begins(field, test.prefix), exact=False)
    glob = _LITERALLY.sub(r"\\\g<0>", field.start) + _glob(test.pattern)
    found: list[Json] = [{"wildcard": {field.name: {"value": glob}}}]
    if test.carets:
        found += [_shorter(field, components) for components in _without_ends(test)]
    return Condition(_any(found), exact=True)


def _word(field: _Field, word: Word) -> Json:
    begins = _begins(field, word.start)
    return _any([begins, _equal(field, [word.sound])]) if word.sound else begins


def _between(field: _Field, test: Between) -> Json:
    if test.high == _ABOVE and not field.start:
        return {"range": {field.name: {"gte": test.low}}}
    return {"range": {field.name: {"gte": field.term(test.low), "lte": field.term(test.high)}}}


def _begins(field: _Field, start: str) -> Json:
    value = field.term(start)
    return {"prefix": {field.name: {"value": value}}} if value else EVERYTHING


def _equal(field: _Field, values: Sequence[str]) -> Json:
    return {"terms": {field.name: [field.term(value) for value in values]}}


def _all(queries: Sequence[Json]) -> Json:
    return {"bool": {"filter": list(queries)}} if len(queries) != 1 else queries[0]


def _any(queries: Sequence[Json]) -> Json:
    if len(queries) == 1:
        return queries[0]
    return {"bool": {"should": list(queries), "minimum_should_match": 1}}


# --- wild cards ----------------------------------------------------------------------------------


def _simple(test: Wildcard) -> bool:
    """Whether the server can make an automaton of a pattern with little effort."""
    _, star, rest = test.pattern.partition("*")
    return (
        len(test.pattern) <= _PATTERN_LENGTH
        and test.pattern.count("*") <= _PATTERN_STARS
        and (not star or rest.count("?") <= _PATTERN_MARKS)
        and test.carets <= _PATTERN_CARETS
    )


def _glob(pattern: str) -> str:
    return re.sub(r"\*+", "*", pattern.replace("\\", "\\\\"))


def _without_ends(test: Wildcard) -> list[list[str]]:
    """Components of the names that have fewer of them than a pattern: what they leave empty at
    their end must be matched by nothing but `*`. All their carets are those of the pattern, so
    no wild card in front matches one."""
    components = test.pattern.split("^")
    found = []
    while len(components) > 1 and not components[-1].strip("*"):
        components = components[:-1]
        # A name never ends with an empty component.
        if components[-1] or len(components) == 1:
            found.append(components)
    return found


def _shorter(field: _Field, components: Sequence[str]) -> Json:
    text = "^".join(components)
    if not {"*", "?"} & set(text):
        return _equal(field, [text])
    parts = [_expression(component) for component in components]
    value = _SPECIAL.sub(r"\\\g<0>", field.start) + r"\^".join(parts)
    return {"regexp": {field.name: {"value": value, "flags": "NONE"}}}


def _expression(component: str) -> str:
    """Lucene's regular expression of one component, in which no wild card matches a caret."""
    wild = {"*": r"[^\^]*", "?": r"[^\^]"}
    pieces = re.split(r"(\*+|\?)", component)
    return "".join(wild.get(piece[:1]) or _SPECIAL.sub(r"\\\g<0>", piece) for piece in pieces)
