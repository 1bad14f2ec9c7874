"""How the SQLite index answers a search: SQL narrows, `core.matching` decides.

A search walks studies (or patients) in their order and, below, their series and instances. Where
one key selects few of them they are looked up by it; otherwise the walk follows the order's own
index, which is an index of the study date too. Criteria that SQL has not settled exactly are
applied to the decoded rows. No cursor stays open between two batches.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import orjson

from isocenter.adapters.index import counting
from isocenter.adapters.index.conditions import (
    INSTANCE_UID,
    SERIES_UID,
    TOP,
    Condition,
    Cost,
    equal_terms,
    marks,
)
from isocenter.adapters.index.counting import COUNTED
from isocenter.adapters.index.ordering import PAGE
from isocenter.adapters.index.planning import Plan
from isocenter.adapters.index.schema import TRACE
from isocenter.core.cached import cached
from isocenter.core.matching import Criterion, JsonAttributes, Level, Search
from isocenter.core.ports import Match

# Up to this many entities are looked up and sorted; more are walked in the order's index.
FEW = 20_000
# Up to this many rows are answered in the event loop's own thread (about 1 ms).
QUICK = 64

_Row = tuple[str, int, bytes]  # sort, id, doc
_Answer = Callable[[], Match]


# --- answers -------------------------------------------------------------------------------------


def quick(db: sqlite3.Connection, what: Plan) -> list[Match] | None:
    """All answers, if one key finds so few rows that they are read in no time; else None."""
    if not what.conditions or what.conditions[0].cost is not Cost.POINT or what.asked_order:
        return None
    first = what.conditions[0]
    weight = COUNTED.get(what.search.level, "1")
    found = db.execute(
        _few(first.ids, what.table, weight, what.scope.sql or "1"),
        (*what.scope.values, *first.values, QUICK + 1),
    ).fetchall()
    if sum([row[3] for row in found]) > QUICK or len(found) > QUICK:
        return None
    # A row may have been found by several values.
    low, high = what.order.low, what.order.high
    rows = sorted({row[:3] for row in found if row[4] and low < row[0] < high})
    answers = [a for a in _answers(db, what, iter((rows,)), what.left(first)) if a]
    search = what.search
    end = None if search.limit is None else search.offset + search.limit
    return [answer() for answer in answers[search.offset : end]]


@cached(512)
def _few(ids: str, table: str, weight: str, scope: str) -> str:
    """Its last parameter is how many at most, of the scope or not: what is left out must show."""
    return (
        f"SELECT e.sort, e.id, e.doc, {weight}, {scope} FROM ({ids} LIMIT ?) found"  # noqa: S608 - names are ours
        f" CROSS JOIN {table} e ON e.id = found.entity"
    )


def batches(db: sqlite3.Connection, what: Plan) -> Iterator[list[Match]]:
    """The answers in bounded batches; an empty one says that the search is still at work."""
    batch: list[Match] = []
    for answer in _page(what.search, _walk(db, what)):
        if answer:
            batch.append(answer())
        if not answer or len(batch) >= PAGE:
            yield batch
            batch = []
    if batch:
        yield batch


def count(db: sqlite3.Connection, what: Plan) -> int:
    """How many answers there are without limit and offset."""
    few = what.order.settled is not None and _few_in_order(db, what)
    statement = counting.statement(what, few_in_order=few)
    if statement is None:
        return sum(1 for answer in _walk(db, what) if answer)
    (total,) = db.execute(*statement).fetchone()
    return int(total)


def _page(search: Search, answers: Iterator[_Answer | None]) -> Iterator[_Answer | None]:
    """Offset and limit; None (still at work) goes through."""
    skip, left = search.offset, search.limit
    for answer in answers:
        if answer and skip:
            skip -= 1
            continue
        if answer and left is not None:
            if not left:
                return
            left -= 1
        yield answer
        if left == 0:
            return


def _walk(db: sqlite3.Connection, what: Plan) -> Iterator[_Answer | None]:
    ids: set[int] | None = None
    settled: list[Condition] = []
    for condition in what.conditions:
        if condition.cost > Cost.PREFIX and what.order.settled and _few_in_order(db, what):
            break
        if ids is not None and (condition.cost > Cost.PREFIX or len(ids) <= PAGE):
            break
        # A point can be tested row by row where it does not select few.
        few = FEW // 10 if condition.probe else FEW
        rows = db.execute(f"{condition.ids} LIMIT {few + 1}", condition.values).fetchall()
        if len(rows) <= few:
            found = {row[0] for row in rows}
            ids = found if ids is None else ids & found
            settled.append(condition)
    if ids is None and what.asked_order and what.order.settled and _few_in_order(db, what):
        rows = db.execute(
            f"SELECT id FROM {what.table} WHERE sort > ? AND sort < ?",  # noqa: S608 - names are ours
            (what.order.low, what.order.high),
        ).fetchall()
        ids = {row[0] for row in rows}
    if ids is not None:
        return _answers(db, what, _looked_up(db, what, sorted(ids)), what.left(*settled))
    probes = [condition for condition in what.conditions if condition.probe]
    pages = what.asked_order.pages(db, what.order, probes, what.scope) if what.asked_order else None
    return _answers(db, what, pages or _in_order(db, what, probes), what.left(*probes))


def _few_in_order(db: sqlite3.Connection, what: Plan) -> bool:
    (found,) = db.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM {what.table}"  # noqa: S608 - names are ours
        f" WHERE sort > ? AND sort < ? LIMIT {FEW + 1})",
        (what.order.low, what.order.high),
    ).fetchone()
    return bool(found <= FEW)


# --- rows ----------------------------------------------------------------------------------------


def _looked_up(db: sqlite3.Connection, what: Plan, ids: Sequence[int]) -> Iterator[list[_Row]]:
    """The rows with these ids, in order, within the range of the order and the scope."""
    columns = what.asked_order.names if what.asked_order else "sort"
    found: list[tuple[Any, ...]] = []
    for some in _chunks(ids):
        found += db.execute(
            f"SELECT {columns}, id FROM {what.table} e"  # noqa: S608 - names are ours
            f" WHERE id IN ({marks(some)}) AND sort > ? AND sort < ?{what.scope.further}",
            (*some, what.order.low, what.order.high, *what.scope.values),
        )
    if what.asked_order:
        what.asked_order.sort(found)
    else:
        found.sort()
    for chunk in _chunks([row[-1] for row in found]):
        rows = db.execute(
            f"SELECT id, sort, doc FROM {what.table} WHERE id IN ({marks(chunk)})",  # noqa: S608
            chunk,
        )
        by_id = {row_id: (sort, row_id, doc) for row_id, sort, doc in rows}
        yield [by_id[row_id] for row_id in chunk if row_id in by_id]


def _chunks(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), PAGE):
        yield ids[start : start + PAGE]


def _in_order(
    db: sqlite3.Connection, what: Plan, probes: Sequence[Condition]
) -> Iterator[list[_Row]]:
    """All rows in the range of the order and the scope for which the probes hold."""
    tests = "".join(f" AND {probe.probe}" for probe in probes) + what.scope.further
    values = [*(value for probe in probes for value in probe.values), *what.scope.values]
    after = what.order.low
    while True:
        rows: list[_Row] = db.execute(
            f"SELECT sort, id, doc FROM {what.table} e"  # noqa: S608 - names are ours
            f" WHERE sort > ? AND sort < ?{tests} ORDER BY sort LIMIT {PAGE}",
            (after, what.order.high, *values),
        ).fetchall()
        if rows:
            yield rows
        if len(rows) < PAGE:
            return
        after = rows[-1][0]


def _answers(
    db: sqlite3.Connection,
    what: Plan,
    pages: Iterator[list[_Row]],
    left: Sequence[Criterion],
) -> Iterator[_Answer | None]:
    """What matches, in order; None after every page of rows."""
    top_only = what.search.level in TOP
    for rows in pages:
        for _, row_id, doc in rows:
            if left and not _accepted(doc, left):
                continue
            if top_only:
                yield partial(_match, doc, what.wanted)
            else:
                yield from _series(db, what, row_id, doc)
        yield None


def _series(
    db: sqlite3.Connection, what: Plan, study: int, study_doc: bytes
) -> Iterator[_Answer | None]:
    only, values = _uids(what.series, SERIES_UID)
    rows = db.execute(
        f"SELECT id, doc FROM series WHERE study = ? AND instances > 0{only}"  # noqa: S608
        " ORDER BY number, uid",
        (study, *values),
    ).fetchall()
    above = _decoded(study_doc, what.wanted) if rows else {}
    for row_id, doc in rows:
        if what.series and not _accepted(doc, what.series):
            continue
        if what.search.level is Level.SERIES:
            yield partial(_match, doc, what.wanted, above)
        else:
            yield from _instances(db, what, row_id, _decoded(doc, what.wanted, above))


def _instances(
    db: sqlite3.Connection, what: Plan, series: int, above: JsonAttributes
) -> Iterator[_Answer | None]:
    only, values = _uids(what.instances, INSTANCE_UID)
    after: tuple[int, str] = (-(2**63), "")
    while True:
        rows = db.execute(
            "SELECT number, uid, doc FROM versions WHERE series = ? AND shown = 1"  # noqa: S608
            f" AND (number, uid) > (?, ?){only} ORDER BY number, uid LIMIT {PAGE}",
            (series, *after, *values),
        ).fetchall()
        for _, _, doc in rows:
            if not what.instances or _accepted(doc, what.instances):
                yield partial(_match, doc, what.wanted, above)
        if len(rows) < PAGE:
            return
        after = rows[-1][:2]
        yield None


def _uids(criteria: Sequence[Criterion], tag: str) -> tuple[str, tuple[str, ...]]:
    """SQL that leaves the rows with the UIDs of a key."""
    for criterion in criteria:
        if criterion.tag == tag and (uids := equal_terms(criterion)):
            return f" AND uid IN ({marks(uids)})", uids
    return "", ()


def _accepted(doc: bytes, criteria: Sequence[Criterion]) -> bool:
    attributes: JsonAttributes = orjson.loads(doc)
    return all(c.accepts(attributes.get(c.tag)) for c in criteria)


def _decoded(
    doc: bytes, wanted: frozenset[str], above: JsonAttributes | None = None
) -> JsonAttributes:
    attributes: JsonAttributes = orjson.loads(doc)
    attributes = {tag: attributes[tag] for tag in attributes if tag in wanted or tag == TRACE}
    return {**above, **attributes} if above else attributes


def _match(doc: bytes, wanted: frozenset[str], above: JsonAttributes | None = None) -> Match:
    attributes = _decoded(doc, wanted, above)
    trace = attributes.pop(TRACE, None)
    return Match(attributes, trace["Value"][0]) if trace else Match(attributes)
