"""Attributes that are added to the table, in the SQLite index: their state, the numbers by which
their terms are kept, and the end of those of numbers that are no longer in use.

A document of a study, series or instance says by which numbers its values are among the terms
(`schema.ADDED`), for others may have written it with another table: what is not said to be there
is not taken away either.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping

from isocenter.adapters.index import schema
from isocenter.core.attributes import Attributes
from isocenter.core.fill_state import FillState, decoded
from isocenter.core.matching import JsonAttributes

_BATCH = 5000  # rows

Numbers = Mapping[str, int]  # of an added attribute's terms, by its tag


def read_state(connection: sqlite3.Connection) -> FillState:
    """What the index says; of one that has never been told, nothing."""
    table = "SELECT 1 FROM sqlite_master WHERE name = 'fill_state'"
    if not connection.execute(table).fetchone():
        return FillState()
    row = connection.execute("SELECT doc FROM fill_state").fetchone()
    return decoded(row[0]) if row else FillState()


def replace_state(connection: sqlite3.Connection, state: FillState, before: FillState) -> bool:
    """Write it, within a transaction, unless it has changed."""
    if read_state(connection).revision != before.revision:
        return False
    connection.execute(
        "INSERT INTO fill_state(id, doc) VALUES (1, ?)"
        " ON CONFLICT(id) DO UPDATE SET doc = excluded.doc",
        (state.encoded(),),
    )
    return True


def numbers_of(connection: sqlite3.Connection, attributes: Attributes) -> Numbers:
    """The numbers of the attributes that the index holds."""
    return read_state(connection).numbers(attributes) if attributes.added else {}


def mark(doc: JsonAttributes, numbers: Numbers) -> None:
    """Say in a document by which numbers its values are among the terms."""
    if numbers:
        doc[schema.ADDED] = {"Value": sorted(numbers.values())}


def forget_some(connection: sqlite3.Connection) -> bool:
    """Remove some of the terms of numbers that nothing has any more; whether there were any."""
    used = {one.number for one in read_state(connection).held}
    for table, column in (("terms", "row"), ("shares", "series")):
        for field in _added_fields(connection, table):
            if schema.number_of(field) in used:
                continue
            connection.execute(
                f"DELETE FROM {table} WHERE (field, value, {column}) IN"  # noqa: S608 - names are ours
                f" (SELECT field, value, {column} FROM {table} WHERE field = ? LIMIT {_BATCH})",
                (field,),
            )
            return True
    return False


def _added_fields(connection: sqlite3.Connection, table: str) -> Iterator[int]:
    """The fields of added attributes, by steps of the index."""
    statement = f"SELECT max(field) FROM {table} WHERE field < ?"  # noqa: S608 - names are ours
    (field,) = connection.execute(statement, (0,)).fetchone()
    while field is not None:
        yield field
        (field,) = connection.execute(statement, (field,)).fetchone()


def registered(doc: JsonAttributes, numbers: Numbers) -> Numbers:
    """Those numbers by which the values of a document are among the terms."""
    said: Iterable[int] = doc.get(schema.ADDED, {}).get("Value", ()) if numbers else ()
    return {tag: number for tag, number in numbers.items() if number in said}
