"""What one write transaction of the SQLite index does: versions, contexts, levels, counts.

Nothing here searches; the cost of an instance does not depend on how many others there are.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from isocenter.adapters.index import schema
from isocenter.adapters.index.added import mark, numbers_of
from isocenter.adapters.index.levels import (
    INSTANCE_UID,
    SERIES_UID,
    STUDY_UID,
    Context,
    Settlement,
    TouchedSeries,
    TouchedStudy,
)
from isocenter.core.attributes import Attributes
from isocenter.core.identity import InstanceName, ObjectName
from isocenter.core.matching import (
    JsonAttributes,
    Level,
    number,
)
from isocenter.core.ports import IndexEntry, StudyCount

_Version = tuple[int, str, int, int, int, bytes]  # id, digest, current, shown, context, doc
_ABOVE_INSTANCE = (Level.PATIENT, Level.STUDY, Level.SERIES)


class Transaction:
    """Changes to the index, all or none; the caller begins and commits."""

    def __init__(self, connection: sqlite3.Connection, attributes: Attributes) -> None:
        self._db = connection
        self._attributes = attributes
        self._numbers = numbers_of(connection, attributes)
        self._partitions: dict[str, int] = {}
        self._studies: dict[tuple[str, str], TouchedStudy] = {}
        self._series: dict[tuple[str, str, str], TouchedSeries] = {}
        self._levels = Settlement(connection, attributes, self._numbers)

    def upsert(self, entries: Sequence[IndexEntry]) -> Sequence[StudyCount]:
        """Add or replace versions; the new counts of the studies touched."""
        for entry in entries:
            self._put(entry)
        return self._settle()

    def refill(self, entries: Sequence[IndexEntry]) -> None:
        """Give versions that are held other attributes."""
        for entry in entries:
            self._refill(entry)
        self._settle()
        self._levels.forget_unused(self._series.values())

    def remove(self, objects: Sequence[ObjectName]) -> Sequence[StudyCount]:
        """Forget versions; the new counts of the studies touched."""
        for version in objects:
            series = self._find_series(version.name)
            if series is None:
                continue
            rows = self._versions(series, version.name.instance)
            kept = [row for row in rows if row[1] != version.digest]
            if len(kept) == len(rows):
                continue
            self._db.execute(
                "DELETE FROM versions WHERE uid = ? AND series = ? AND digest = ?",
                (version.name.instance, series.id, version.digest),
            )
            self._show(series, [row for row in rows if row[1] == version.digest], kept)
        return self._settle()

    def _settle(self) -> Sequence[StudyCount]:
        return self._levels.settle(self._series.values(), list(self._studies.values()))

    # --- instances -------------------------------------------------------------------------------

    def _put(self, entry: IndexEntry) -> None:
        name = entry.name
        series = self._find_series(name) or self._new_series(name)
        own = self._own(entry)
        context = self._context(series, entry)
        rows = self._versions(series, name.instance)
        old = [row for row in rows if row[1] == entry.digest]
        if old and self._decision(old[0][0]) > entry.decision:
            return
        series.study.trace = entry.trace or series.study.trace
        shown = entry.current and not rows
        key = None if entry.key == ObjectName(name, entry.digest).key else entry.key
        cursor = self._db.execute(
            "INSERT INTO versions(series, uid, digest, number, current, decision, shown, context,"
            " size, sop_class, transfer_syntax, key, doc) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
            " ON CONFLICT(uid, series, digest) DO UPDATE SET number = excluded.number,"
            " current = excluded.current, decision = excluded.decision, shown = 0,"
            " context = excluded.context,"
            " size = excluded.size, sop_class = excluded.sop_class,"
            " transfer_syntax = excluded.transfer_syntax, key = excluded.key, doc = excluded.doc"
            " RETURNING id",
            (series.id, name.instance, entry.digest, number(own.get("00200013")), entry.current,
             entry.decision, shown, context.id, entry.size, entry.sop_class,
             entry.transfer_syntax, key, orjson.dumps(own)),
        )  # fmt: skip
        (row_id,) = cursor.fetchone()
        if shown:
            context.used += 1
            series.shares.update(self._levels.shares_of(series.study.partition_id, own))
            self._count(series, 1)
        elif rows:
            kept = [row for row in rows if row[1] != entry.digest]
            new = (row_id, entry.digest, int(entry.current), 0, context.id, orjson.dumps(own))
            self._show(series, old, [*kept, new])

    def _refill(self, entry: IndexEntry) -> None:
        series = self._find_series(entry.name)
        rows = self._versions(series, entry.name.instance) if series else []
        old = [row for row in rows if row[1] == entry.digest]
        if series is None or not old:
            return
        ((row_id, digest, current, _, former, blob),) = old
        own = orjson.dumps(self._own(entry))
        context = self._context(series, entry)
        if (context.id, own) == (former, blob):
            return
        self._db.execute(
            "UPDATE versions SET shown = 0, context = ?, doc = ? WHERE id = ?",
            (context.id, own, row_id),
        )
        kept = [row for row in rows if row[1] != digest]
        # The same context may mean something else to this table.
        series.stale = series.study.stale = True
        self._show(series, old, [*kept, (row_id, digest, current, 0, context.id, own)])

    def _own(self, entry: IndexEntry) -> JsonAttributes:
        """The document of a version."""
        name = entry.name
        own = self._attributes.select(entry.attributes, (Level.INSTANCE,))
        own[STUDY_UID] = {"vr": "UI", "Value": [name.study]}
        own[SERIES_UID] = {"vr": "UI", "Value": [name.series]}
        own[INSTANCE_UID] = {"vr": "UI", "Value": [name.instance]}
        mark(own, self._numbers)
        return own

    def _versions(self, series: TouchedSeries, uid: str) -> list[_Version]:
        """Every version of an instance."""
        return self._db.execute(
            "SELECT id, digest, current, shown, context, doc FROM versions"
            " WHERE uid = ? AND series = ?",
            (uid, series.id),
        ).fetchall()

    def _decision(self, row_id: int) -> int:
        (found,) = self._db.execute(
            "SELECT decision FROM versions WHERE id = ?", (row_id,)
        ).fetchone()
        return int(found)

    def _show(
        self,
        series: TouchedSeries,
        gone: Iterable[_Version],
        rows: Sequence[_Version],
    ) -> None:
        """Choose the version that answers: of the current ones the smallest digest, so that the
        choice does not depend on the order of arrival."""
        before = [row for row in (*gone, *rows) if row[3]]
        after = min((row for row in rows if row[2]), key=lambda row: row[1], default=None)
        partition = series.study.partition_id
        for row in before:
            self._context_of(series, row[4]).used -= 1
            series.shares.subtract(self._levels.shares_of(partition, orjson.loads(row[5])))
            self._db.execute("UPDATE versions SET shown = 0 WHERE id = ?", (row[0],))
        if after:
            self._context_of(series, after[4]).used += 1
            series.shares.update(self._levels.shares_of(partition, orjson.loads(after[5])))
            self._db.execute("UPDATE versions SET shown = 1 WHERE id = ?", (after[0],))
        self._count(series, (after is not None) - len(before))

    @staticmethod
    def _count(series: TouchedSeries, difference: int) -> None:
        series.study.series -= series.instances > 0
        series.instances += difference
        series.study.series += series.instances > 0
        series.study.instances += difference

    # --- rows ------------------------------------------------------------------------------------

    def _partition(self, name: str) -> int:
        if name not in self._partitions:
            self._db.execute("INSERT OR IGNORE INTO partitions(name) VALUES (?)", (name,))
            found = self._db.execute("SELECT id FROM partitions WHERE name = ?", (name,))
            self._partitions[name] = found.fetchone()[0]
        return self._partitions[name]

    def _find_study(self, partition: str, uid: str) -> TouchedStudy | None:
        study = self._studies.get((partition, uid))
        if study is None:
            partition_id = self._partition(partition)
            row = self._db.execute(
                "SELECT id, instances, doc, series, patient FROM studies"
                " WHERE uid = ? AND partition = ?",
                (uid, partition_id),
            ).fetchone()
            if row:
                study = TouchedStudy(
                    row[0], uid, row[1], orjson.loads(row[2]), partition=partition,
                    partition_id=partition_id, series=row[3], patient=row[4],
                )  # fmt: skip
                self._studies[partition, uid] = study
                self._levels.leave_patient(study)
        return study

    def _find_series(self, name: InstanceName) -> TouchedSeries | None:
        series = self._series.get((name.partition, name.study, name.series))
        if series is None and (study := self._find_study(name.partition, name.study)):
            row = self._db.execute(
                "SELECT id, instances, doc FROM series WHERE uid = ? AND study = ?",
                (name.series, study.id),
            ).fetchone()
            if row:
                series = TouchedSeries(
                    row[0], name.series, row[1], orjson.loads(row[2]), study=study
                )
                self._series[name.partition, name.study, name.series] = series
        return series

    def _new_series(self, name: InstanceName) -> TouchedSeries:
        study = self._find_study(name.partition, name.study)
        if study is None:
            partition_id = self._partition(name.partition)
            hidden = schema.HIDDEN + name.partition + schema.SEPARATOR + name.study
            row = self._db.execute(
                "INSERT INTO studies(sort, partition, uid) VALUES (?, ?, ?) RETURNING id",
                (hidden, partition_id, name.study),
            ).fetchone()
            study = TouchedStudy(
                row[0], name.study, 0, {}, partition=name.partition, partition_id=partition_id
            )
            self._studies[name.partition, name.study] = study
        row = self._db.execute(
            "INSERT INTO series(study, uid) VALUES (?, ?) RETURNING id", (study.id, name.series)
        ).fetchone()
        series = TouchedSeries(row[0], name.series, 0, {}, study=study)
        self._series[name.partition, name.study, name.series] = series
        return series

    def _context(self, series: TouchedSeries, entry: IndexEntry) -> Context:
        attributes = self._attributes.select(entry.attributes, _ABOVE_INSTANCE)
        blob = orjson.dumps(attributes, option=orjson.OPT_SORT_KEYS)
        context = series.by_blob.get(blob)
        if context is None:
            digest = hashlib.blake2b(blob, digest_size=16).digest()
            self._db.execute(
                "INSERT OR IGNORE INTO contexts(study, series, digest, doc) VALUES (?, ?, ?, ?)",
                (series.study.id, series.id, digest, blob),
            )
            (found,) = self._db.execute(
                "SELECT id FROM contexts WHERE series = ? AND digest = ?", (series.id, digest)
            ).fetchone()
            context = series.by_blob[blob] = self._context_of(series, found)
        return context

    def _context_of(self, series: TouchedSeries, context_id: int) -> Context:
        if context_id not in series.contexts:
            used, doc = self._db.execute(
                "SELECT used, doc FROM contexts WHERE id = ?", (context_id,)
            ).fetchone()
            series.contexts[context_id] = Context(context_id, used, used, orjson.loads(doc))
        return series.contexts[context_id]


def versions(
    connection: sqlite3.Connection, names: Sequence[InstanceName]
) -> Mapping[InstanceName, Sequence[IndexEntry]]:
    """All versions held under these names, without attributes."""
    found: dict[InstanceName, Sequence[IndexEntry]] = {}
    for name in dict.fromkeys(names):
        rows: list[tuple[Any, ...]] = connection.execute(
            "SELECT v.digest, v.key, v.size, v.sop_class, v.transfer_syntax, v.current, v.decision"
            " FROM versions v JOIN series e ON e.id = v.series JOIN studies s ON s.id = e.study"
            " JOIN partitions p ON p.id = s.partition"
            " WHERE v.uid = ? AND e.uid = ? AND s.uid = ? AND p.name = ? ORDER BY v.digest",
            (name.instance, name.series, name.study, name.partition),
        ).fetchall()
        if rows:
            found[name] = [_entry(name, row) for row in rows]
    return found


def _entry(name: InstanceName, row: tuple[Any, ...]) -> IndexEntry:
    digest, key, size, sop_class, transfer_syntax, current, decision = row
    key = key or ObjectName(name, digest).key
    return IndexEntry(
        name, digest, key, size, sop_class, transfer_syntax, {}, bool(current), decision
    )
