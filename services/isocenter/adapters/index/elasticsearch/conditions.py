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
    LONG_VRS,
    TERM_LENGTH,
    UID_FIELDS,
    item_field,
)
from isocenter.core.attributes import BY_TAG
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
_SPECIAL = re.compile(r"[^\w\s]|_", re.ASCII)

EVERYTHING: Json = {"match_all": {}}


@dataclass(frozen=True, slots=True)
class Condition:
    """A superset of the documents that one criterion leaves."""

    query: Json
    exact: bool  # it is no more than these


def of(criterion: Criterion) -> Condition:
    """What a criterion leaves of the documents that have the terms of its attribute."""
    row = BY_TAG[criterion.tag]
    if row.vr != criterion.vr or row.vr in LONG_VRS:
        return Condition(EVERYTHING, exact=False)
    if row.vr == "SQ":
        found = [
            _matching(f"t.{item_field(row.tag, item.tag)}", "", item)
            for item in criterion.items
            if item.tag in row.items
        ]
        return Condition(_all([condition.query for condition in found]), exact=False)
    field = UID_FIELDS.get(row.tag)
    return _matching(field or f"t.{row.tag}", f"w.{row.tag}", criterion)


def _matching(field: str, words: str, criterion: Criterion) -> Condition:
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


def _test(field: str, test: Test) -> Condition:
    if isinstance(test, Equal):
        return Condition(_equal(field, [test.term]), len(test.term) < TERM_LENGTH)
    if isinstance(test, Between):
        bounds = {"gte": test.low} | ({} if test.high == _ABOVE else {"lte": test.high})
        return Condition({"range": {field: bounds}}, exact=True)
    if not _simple(test):
        start = test.prefix[:TERM_LENGTH]
        query = {"prefix": {field: {"value": start}}} if start else EVERYTHING
        return Condition(query, exact=False)
    found: list[Json] = [{"wildcard": {field: {"value": _glob(test.pattern)}}}]
    if test.carets:
        found += [_shorter(field, components) for components in _without_ends(test)]
    return Condition(_any(found), exact=True)


def _word(field: str, word: Word) -> Json:
    begins: Json = {"prefix": {field: {"value": word.start[:TERM_LENGTH]}}}
    return _any([begins, _equal(field, [word.sound])]) if word.sound else begins


def _equal(field: str, values: Sequence[str]) -> Json:
    return {"terms": {field: [value[:TERM_LENGTH] for value in values]}}


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


def _shorter(field: str, components: Sequence[str]) -> Json:
    text = "^".join(components)
    if not {"*", "?"} & set(text):
        return _equal(field, [text])
    parts = [_expression(component) for component in components]
    return {"regexp": {field: {"value": r"\^".join(parts), "flags": "NONE"}}}


def _expression(component: str) -> str:
    """Lucene's regular expression of one component, in which no wild card matches a caret."""
    wild = {"*": r"[^\^]*", "?": r"[^\^]"}
    pieces = re.split(r"(\*+|\?)", component)
    return "".join(wild.get(piece[:1]) or _SPECIAL.sub(r"\\\g<0>", piece) for piece in pieces)
