"""Writing to the SQLite audit index: records are added, moved and removed, each in all tables.

All of it runs in the writer's thread, a transaction at a time.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

from isocenter.adapters.index import sqlite_audit_schema as schema
from isocenter.adapters.index.sqlite_audit_rows import EVER, ROOM, ROWS_OF_HOUR, Position
from isocenter.adapters.index.sqlite_audit_searching import rows_of
from isocenter.adapters.index.sqlite_audit_terms import digest, terms_of
from isocenter.core.audit import Entry, Place, names_of
from isocenter.core.errors import Unprocessable
from isocenter.core.events import AuditEvent
from isocenter.runtime.audit_records import decoded, encoded

_EXPIRED = 1000  # records that go in one transaction
_NAMES = 100_000  # that are remembered
_TIDYING = 8  # records that are added for each page of a full shard that is put in order
_NO_MERGE = 2  # changes; fewer say that there was nothing to merge

_Tallies = Counter[tuple[int, int, int, int, int]]  # by the key of the table


@dataclass(slots=True)
class _Draft:
    """A record before it is written."""

    id: bytes
    event: AuditEvent
    place: Place
    position: Position
    doc: bytes
    row: int = 0
    columns: tuple[int, int, int] = (0, 0, 0)


class Writing:
    """The writer's side of one file."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._numbers: dict[str, int] = {}  # of names; they never change

    def append(self, entries: Sequence[Entry]) -> None:
        """See `AuditIndex`. Raises `Unprocessable`."""
        events: dict[bytes, AuditEvent] = {}
        places: dict[bytes, Place] = {}
        for entry in entries:
            key = digest(entry.event.id)
            events.setdefault(key, entry.event)
            places[key] = entry.place
        with self._transaction():
            known = rows_of(self._db, list(events))
            self._move((places[key], row) for key, row in known.items())
            new = [
                _draft(key, event, places[key])
                for key, event in events.items()
                if key not in known
            ]  # fmt: skip
            self._add(sorted(new, key=lambda draft: draft.position))
            self._tidy(len(entries) // _TIDYING + 1)

    def expire(self, chain: str, through: int, since: int) -> int:
        """Remove some of the records of a chain between these numbers; how many: none when all are
        gone."""
        with self._transaction():
            found = self._db.execute(
                "SELECT row, shard, action, outcome, principal, doc"
                " FROM docs JOIN records USING (row)"
                " WHERE chain = (SELECT number FROM names WHERE name = ?)"
                " AND sequence BETWEEN ? AND ? ORDER BY chain, sequence LIMIT ?",
                (chain, since, through, _EXPIRED),
            ).fetchall()
            self._remove(sorted(found))
        return len(found)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with schema.transaction(self._db):
                yield
        except BaseException:
            self._numbers.clear()  # some may have been given in vain
            raise

    def _number(self, name: str) -> int:
        """The number of a name."""
        number = self._numbers.get(name)
        if number is None:
            sought = self._db.execute("SELECT number FROM names WHERE name = ?", (name,))
            if found := sought.fetchone():
                (number,) = found
            else:
                made = self._db.execute("INSERT INTO names(name) VALUES (?)", (name,))
                number = made.lastrowid or 0
            if len(self._numbers) >= _NAMES:
                self._numbers.clear()
            self._numbers[name] = number
        return number

    # --- adding ----------------------------------------------------------------------------------

    def _move(self, moved: Iterable[tuple[Place, int]]) -> None:
        self._db.executemany(
            "UPDATE docs SET chain = ?, sequence = ? WHERE row = ?",
            [(self._number(place.chain), place.sequence, row) for place, row in moved],
        )

    def _add(self, drafts: Sequence[_Draft]) -> None:
        """Records that are not held, in the order of time."""
        self._give_rows(drafts)
        for one in drafts:
            one.columns = self._columns(one.event)
        self._db.executemany(
            "INSERT INTO ids(id, row) VALUES (?,?)", sorted((one.id, one.row) for one in drafts)
        )
        self._db.executemany(
            "INSERT INTO records(row, moment, action, outcome, principal) VALUES (?,?,?,?,?)",
            [(one.row, one.position.moment, *one.columns) for one in drafts],
        )
        done = 0
        while done < len(drafts):
            number, room = self._open_shard()
            self._fill(number, drafts[done : done + room])
            done += room
        tallies: _Tallies = Counter()
        for one in drafts:
            tallies.update(self._tallied(one.event, one.row, *one.columns))
        self._count(tallies)

    def _give_rows(self, drafts: Sequence[_Draft]) -> None:
        newest = self._last_row(EVER.high.bucket * ROOM)
        for bucket, group in groupby(drafts, key=lambda draft: draft.position.bucket):
            first, end = bucket * ROOM, (bucket + 1) * ROOM
            # Nearly always nothing is there yet that is as new.
            row = first if first > newest else max(first, self._last_row(end) + 1)
            for draft in group:
                if row == end:
                    raise Unprocessable(
                        f"there are {ROOM:,} audit records of the same moment already",
                        fix="set the clock of the process that makes them",
                    )
                draft.row = row
                row += 1

    def _last_row(self, end: int) -> int:
        """The last row that is held in front of this one."""
        query = "SELECT row FROM records WHERE row < ? ORDER BY row DESC LIMIT 1"
        found = self._db.execute(query, (end,)).fetchone()
        return found[0] if found else -1

    def _open_shard(self) -> tuple[int, int]:
        """The shard that is being filled, and how many more it takes."""
        newest = "SELECT number, taken FROM shards ORDER BY number DESC LIMIT 1"
        number, taken = self._db.execute(newest).fetchone() or (0, schema.SHARD)
        if taken < schema.SHARD:
            return number, schema.SHARD - taken
        return schema.make_shard(self._db), schema.SHARD

    def _fill(self, shard: int, drafts: Sequence[_Draft]) -> None:
        self._db.executemany(
            "INSERT INTO docs(row, chain, sequence, shard, doc) VALUES (?,?,?,?,?)",
            [
                (one.row, self._number(one.place.chain), one.place.sequence, shard, one.doc)
                for one in drafts
            ],
        )
        self._db.executemany(
            f"INSERT INTO text_{shard}(rowid, terms) VALUES (?,?)",  # noqa: S608 - a number of ours
            [(one.row, terms_of(one.event)) for one in drafts],
        )
        self._db.execute(
            "UPDATE shards SET low = iif(taken, min(low, ?1), ?1), high = max(high, ?2),"
            " taken = taken + ?3, held = held + ?3 WHERE number = ?4",
            (drafts[0].row, drafts[-1].row, len(drafts), shard),
        )

    def _columns(self, event: AuditEvent) -> tuple[int, int, int]:
        """Action, outcome and principal."""
        return (
            self._number(event.action.value),
            self._number(event.outcome.value),
            self._number(event.source.who),
        )

    def _tidy(self, pages: int) -> None:
        """Put a little of a shard that is full in order: a search looks for a term in one place
        then, instead of in a dozen. It costs less than what was added."""
        untidy = self._db.execute(
            "SELECT number FROM shards WHERE NOT tidy"
            " AND number < (SELECT max(number) FROM shards) ORDER BY number LIMIT 1"
        ).fetchone()
        if untidy:
            (shard,) = untidy
            before = self._db.total_changes
            merge = f"INSERT INTO text_{shard}(text_{shard}, rank) VALUES ('merge', ?)"  # noqa: S608 - as above
            self._db.execute(merge, (-pages,))
            if self._db.total_changes - before < _NO_MERGE:
                self._db.execute("UPDATE shards SET tidy = 1 WHERE number = ?", (shard,))

    # --- removing --------------------------------------------------------------------------------

    def _remove(self, found: Sequence[tuple[int, int, int, int, int, bytes]]) -> None:
        """Records that are held, in the order of their rows."""
        gone: dict[int, list[tuple[int, str]]] = defaultdict(list)
        ids: list[tuple[bytes]] = []
        tallies: _Tallies = Counter()
        for row, shard, action, outcome, principal, doc in found:
            event = decoded(doc)
            gone[shard].append((row, terms_of(event)))
            ids.append((digest(event.id),))
            tallies.subtract(self._tallied(event, row, action, outcome, principal))
        self._db.executemany("DELETE FROM ids WHERE id = ?", sorted(ids))
        for table in ("records", "docs"):
            delete = f"DELETE FROM {table} WHERE row = ?"  # noqa: S608 - ours
            self._db.executemany(delete, [(one[0],) for one in found])
        self._count(tallies)
        for shard, texts in gone.items():
            self._empty(shard, texts)

    def _empty(self, shard: int, texts: Sequence[tuple[int, str]]) -> None:
        (held,) = self._db.execute(
            "UPDATE shards SET held = held - ?, tidy = 0 WHERE number = ? RETURNING held",
            (len(texts), shard),
        ).fetchone()
        if held:
            delete = f"INSERT INTO text_{shard}(text_{shard}, rowid, terms) VALUES ('delete',?,?)"  # noqa: S608 - as above
            self._db.executemany(delete, texts)
        else:
            schema.drop_shard(self._db, shard)

    # --- counting --------------------------------------------------------------------------------

    def _tallied(
        self, event: AuditEvent, row: int, action: int, outcome: int, principal: int
    ) -> list[tuple[int, int, int, int, int]]:
        """The tallies that a record is counted in."""
        hour = row // ROWS_OF_HOUR
        day = hour - hour % schema.DAY
        names = [schema.BY_PRINCIPAL, *map(self._number, names_of(event))]
        return [
            (schema.EVERYTHING, hour, action, outcome, 0),
            *[(name, day, action, outcome, principal) for name in names],
        ]

    def _count(self, tallies: Mapping[tuple[int, int, int, int, int], int]) -> None:
        self._db.executemany(
            "INSERT INTO tallies(name, hour, action, outcome, principal, n) VALUES (?,?,?,?,?,?)"
            " ON CONFLICT DO UPDATE SET n = n + excluded.n",
            sorted((*key, n) for key, n in tallies.items()),
        )
        self._db.executemany(
            "DELETE FROM tallies WHERE name = ? AND hour = ? AND action = ? AND outcome = ?"
            " AND principal = ? AND n = 0",
            [key for key, n in tallies.items() if n < 0],
        )


def _draft(key: bytes, event: AuditEvent, place: Place) -> _Draft:
    try:
        return _Draft(key, event, place, Position.of_time(event.at), encoded(event))
    except (TypeError, OverflowError) as error:
        raise Unprocessable(
            f"an audit record cannot be kept: {error}",
            fix="its texts must be valid Unicode, and its time in a year from 1 to 9999",
        ) from error
