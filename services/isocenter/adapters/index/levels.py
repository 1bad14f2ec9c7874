"""What the levels of the SQLite index answer after a transaction: merged attributes, counts,
order and terms of the series, studies and patients it touched, each written once.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import orjson

from isocenter.adapters.index import schema
from isocenter.adapters.index.added import Numbers, mark, registered
from isocenter.core.attributes import BUILT_IN, ORDERS, Attributes, merge, order_term
from isocenter.core.matching import (
    JsonAttributes,
    Level,
    number,
    order_key,
    study_order,
)
from isocenter.core.ports import StudyCount

_OF_STUDY = (Level.PATIENT, Level.STUDY)
STUDY_UID, SERIES_UID, INSTANCE_UID = "0020000D", "0020000E", "00080018"


@dataclass(slots=True)
class Context:
    id: int
    used_before: int
    used: int
    doc: JsonAttributes


@dataclass(slots=True)
class Touched:
    """A study or series that the transaction touches."""

    id: int
    uid: str
    instances: int
    doc: JsonAttributes
    fresh: list[JsonAttributes] = field(default_factory=list)  # contexts that appeared
    stale: bool = False  # a context vanished: merge all that are left


@dataclass(slots=True, kw_only=True)
class TouchedStudy(Touched):
    partition: str
    partition_id: int
    series: int = 0
    patient: int | None = None
    trace: str = ""  # of an entry that this transaction adds


@dataclass(slots=True, kw_only=True)
class TouchedSeries(Touched):
    study: TouchedStudy
    contexts: dict[int, Context] = field(default_factory=dict)
    shares: Counter[tuple[int, str]] = field(default_factory=Counter)  # changes
    by_blob: dict[bytes, Context] = field(default_factory=dict)


@dataclass(slots=True)
class _Patient:
    """Changes to one patient."""

    studies: int = 0
    series: int = 0
    instances: int = 0
    fresh: list[JsonAttributes] = field(default_factory=list)
    stale: bool = False


class Settlement:
    """The end of a transaction."""

    def __init__(
        self, connection: sqlite3.Connection, attributes: Attributes, numbers: Numbers
    ) -> None:
        self._db = connection
        self._attributes = attributes
        self._numbers = numbers
        self._patients: dict[int, _Patient] = {}

    def settle(
        self, touched_series: Iterable[TouchedSeries], studies: Sequence[TouchedStudy]
    ) -> Sequence[StudyCount]:
        """Write all levels; the new counts of the studies."""
        all_series = list(touched_series)
        for series in all_series:
            self._settle_contexts(series)
        for series in all_series:
            self._settle_series(series)
        for study in studies:
            self._settle_study(study)
        for patient_id, patient in self._patients.items():
            self._settle_patient(patient_id, patient)
        return [
            StudyCount(study.partition, study.uid, study.series, study.instances)
            for study in studies
        ]

    def _settle_contexts(self, series: TouchedSeries) -> None:
        for context in series.contexts.values():
            if context.used == context.used_before:
                continue
            for level in (series, series.study):
                if not context.used_before:
                    level.fresh.append(context.doc)
                if not context.used:
                    level.stale = True
            self._db.execute(
                "UPDATE contexts SET used = ? WHERE id = ?", (context.used, context.id)
            )

    def forget_unused(self, touched_series: Iterable[TouchedSeries]) -> None:
        """Delete the contexts of these series that no version names any more."""
        self._db.executemany(
            "DELETE FROM contexts WHERE id = ?1 AND NOT EXISTS"
            " (SELECT 1 FROM versions WHERE series = ?2 AND context = ?1)",
            [
                (context.id, series.id)
                for series in touched_series
                for context in series.contexts.values()
                if not context.used
            ],
        )

    def _merged(self, level: Touched, column: str, levels: Sequence[Level]) -> JsonAttributes:
        """What a level answers now, without counts and UIDs."""
        select = self._attributes.select
        if level.stale:
            rows = self._db.execute(
                f"SELECT doc FROM contexts WHERE {column} = ? AND used > 0",  # noqa: S608 - ours
                (level.id,),
            )
            return merge(select(orjson.loads(doc), levels) for (doc,) in rows)
        # What is there may be of another table.
        kept = select(_uncounted(level.doc), levels)
        return merge([kept, *(select(doc, levels) for doc in level.fresh)])

    def _settle_series(self, series: TouchedSeries) -> None:
        study = series.study
        self._write_shares(series)
        if not series.instances and not self._exists("versions", "series", series.id):
            self._write_terms(Level.SERIES, study.partition_id, series.id, series.doc, {})
            self._db.execute("DELETE FROM contexts WHERE series = ?", (series.id,))
            self._db.execute("DELETE FROM series WHERE id = ?", (series.id,))
            return
        doc = self._merged(series, "series", (Level.SERIES,)) if series.instances else {}
        mark(doc, self._numbers)
        self._write_terms(Level.SERIES, study.partition_id, series.id, series.doc, doc)
        doc[STUDY_UID] = {"vr": "UI", "Value": [study.uid]}
        doc[SERIES_UID] = {"vr": "UI", "Value": [series.uid]}
        doc["00201209"] = {"vr": "IS", "Value": [series.instances]}
        self._db.execute(
            "UPDATE series SET number = ?, instances = ?, doc = ? WHERE id = ?",
            (number(doc.get("00200011")), series.instances, orjson.dumps(doc), series.id),
        )

    def _write_shares(self, series: TouchedSeries) -> None:
        changes = [(*share, series.id, n) for share, n in sorted(series.shares.items()) if n]
        self._db.executemany(
            "INSERT INTO shares(field, value, series, n) VALUES (?, ?, ?, ?)"
            " ON CONFLICT(field, value, series) DO UPDATE SET n = n + excluded.n",
            changes,
        )
        self._db.executemany(
            "DELETE FROM shares WHERE field = ? AND value = ? AND series = ? AND n = 0",
            [change[:3] for change in changes if change[3] < 0],
        )

    def _settle_study(self, study: TouchedStudy) -> None:
        if not study.instances and not self._exists("series", "study", study.id):
            self._write_terms(Level.STUDY, study.partition_id, study.id, study.doc, {})
            self._db.execute("DELETE FROM studies WHERE id = ?", (study.id,))
            self._moved(study.patient)
            return
        former = study.patient
        doc = self._merged(study, "study", _OF_STUDY)
        doc[STUDY_UID] = {"vr": "UI", "Value": [study.uid]}
        prefix = study.partition + schema.SEPARATOR
        if study.instances:
            sort = prefix + study_order(doc)
            study.patient = self._join_patient(study, doc)
        else:
            doc, sort, study.patient = {}, schema.HIDDEN + prefix + study.uid, None
        if study.patient != former:
            self._moved(former)
        mark(doc, self._numbers)
        self._write_terms(Level.STUDY, study.partition_id, study.id, study.doc, doc)
        self._write_orders(study, doc)
        doc["00201206"] = {"vr": "IS", "Value": [study.series]}
        doc["00201208"] = {"vr": "IS", "Value": [study.instances]}
        if study.trace:
            doc[schema.TRACE] = {"Value": [study.trace]}
        self._db.execute(
            "UPDATE studies SET sort = ?, patient = ?, series = ?, instances = ?, doc = ?"
            " WHERE id = ?",
            (sort, study.patient, study.series, study.instances, orjson.dumps(doc), study.id),
        )

    def _write_orders(self, study: TouchedStudy, doc: JsonAttributes) -> None:
        """Apart from the rest, as most transactions add to a study that keeps its place."""
        before, after = ([order_term(tag, each) for tag in ORDERS] for each in (study.doc, doc))
        if before != after:
            assignments = ", ".join(f"{column} = ?" for column in schema.ORDER_COLUMNS)
            self._db.execute(
                f"UPDATE studies SET {assignments} WHERE id = ?",  # noqa: S608 - names are ours
                (*after, study.id),
            )

    def _exists(self, table: str, column: str, value: int) -> bool:
        found = self._db.execute(
            f"SELECT 1 FROM {table} WHERE {column} = ? LIMIT 1",  # noqa: S608 - names are ours
            (value,),
        )
        return found.fetchone() is not None

    # --- patients --------------------------------------------------------------------------------

    def leave_patient(self, study: TouchedStudy) -> None:
        """Take a study's counts off its patient; `_join_patient` adds the new ones."""
        if study.patient is not None:
            patient = self._patients.setdefault(study.patient, _Patient())
            patient.studies -= 1
            patient.series -= study.series
            patient.instances -= study.instances

    def _moved(self, former: int | None) -> None:
        if former is not None:
            self._patients[former].stale = True

    def _join_patient(self, study: TouchedStudy, doc: JsonAttributes) -> int:
        of_patient = self._attributes.select(doc, (Level.PATIENT,))
        sort = schema.SEPARATOR.join((study.partition, *order_key(Level.PATIENT, of_patient)))
        row = self._db.execute("SELECT id FROM patients WHERE sort = ?", (sort,)).fetchone()
        if row is None:
            row = self._db.execute(
                "INSERT INTO patients(sort, partition) VALUES (?, ?) RETURNING id",
                (sort, study.partition_id),
            ).fetchone()
        patient_id: int = row[0]
        patient = self._patients.setdefault(patient_id, _Patient())
        patient.studies += 1
        patient.series += study.series
        patient.instances += study.instances
        if study.patient != patient_id or study.fresh:
            patient.fresh.append(of_patient)
        patient.stale |= study.stale
        return patient_id

    def _settle_patient(self, patient_id: int, change: _Patient) -> None:
        partition, studies, series, instances, blob = self._db.execute(
            "SELECT partition, studies, series, instances, doc FROM patients WHERE id = ?",
            (patient_id,),
        ).fetchone()
        old = orjson.loads(blob)
        counts = (studies + change.studies, series + change.series, instances + change.instances)
        if not counts[0]:
            self._write_terms(Level.PATIENT, partition, patient_id, old, {})
            self._db.execute("DELETE FROM patients WHERE id = ?", (patient_id,))
            return
        if change.stale:
            rows = self._db.execute("SELECT doc FROM studies WHERE patient = ?", (patient_id,))
            docs = (_uncounted(orjson.loads(blob)) for (blob,) in rows)
            doc = merge(self._attributes.select(each, (Level.PATIENT,)) for each in docs)
        else:
            doc = merge([_uncounted(old), *change.fresh])
        self._write_terms(Level.PATIENT, partition, patient_id, old, doc)
        for tag, count in zip(("00201200", "00201202", "00201204"), counts, strict=True):
            doc[tag] = {"vr": "IS", "Value": [count]}
        self._db.execute(
            "UPDATE patients SET studies = ?, series = ?, instances = ?, doc = ? WHERE id = ?",
            (*counts, orjson.dumps(doc), patient_id),
        )

    # --- terms -----------------------------------------------------------------------------------

    def _write_terms(
        self, level: Level, partition: int, row: int, old: JsonAttributes, new: JsonAttributes
    ) -> None:
        before, after = (self._terms(level, partition, doc) for doc in (old, new))
        if before == after:
            return
        self._db.executemany(
            "DELETE FROM terms WHERE field = ? AND value = ? AND row = ?",
            [(*term, row) for term in before - after],
        )
        self._db.executemany(
            "INSERT OR IGNORE INTO terms(field, value, row) VALUES (?, ?, ?)",
            [(*term, row) for term in sorted(after - before)],
        )

    def _terms(self, level: Level, partition: int, doc: JsonAttributes) -> set[tuple[int, str]]:
        levels = _OF_STUDY if level is Level.STUDY else (level,)
        rows = [row for at in levels for row in self._attributes.of_level(at)]
        return schema.fields(partition, level, rows, doc, registered(doc, self._numbers))

    def shares_of(self, partition: int, doc: JsonAttributes) -> set[tuple[int, str]]:
        """Field and term of what an instance's own attributes add to `shares`."""
        rows = self._attributes.of_level(Level.INSTANCE)
        numbers = registered(doc, self._numbers)
        return schema.fields(partition, Level.INSTANCE, rows, doc, numbers)


_NOT_MERGED = {schema.TRACE, schema.ADDED} | {
    row.tag for level in Level for row in BUILT_IN.of_level(level) if not row.matched
}


def _uncounted(doc: JsonAttributes) -> JsonAttributes:
    return {tag: element for tag, element in doc.items() if tag not in _NOT_MERGED}
