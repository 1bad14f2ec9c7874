"""What an index of some entries must answer, worked out plainly from the contracts in `core`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from isocenter.core.attributes import (
    BUILT_IN,
    SITES,
    Attributes,
    default_tags,
    merge,
    order_term,
)
from isocenter.core.identity import InstanceName, ObjectName
from isocenter.core.matching import JsonAttributes, Level, Search, matches, order_key
from isocenter.core.ports import IndexEntry
from isocenter.core.scope import EVERYTHING, holds

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
VRS = {
    "00080016": "UI", "00080018": "UI", "00080020": "DA", "00080030": "TM", "00080050": "SH",
    "00080060": "CS", "00080090": "PN", "0008103E": "LO", "00081030": "LO", "00100010": "PN",
    "00100020": "LO", "00100021": "LO", "00100030": "DA", "00100040": "CS", "0020000D": "UI",
    "0020000E": "UI", "00200010": "SH", "00200011": "IS", "00200013": "IS", "00280010": "US",
    "00080008": "CS", "00080023": "DA", "00080080": "LO", "00400275": "SQ", "00180015": "CS",
    "0008002A": "DT",
}  # fmt: skip


def element(vr: str, *values: Any) -> dict[str, Any]:
    """An attribute in the DICOM JSON Model; a name's component groups are separated by `=`."""
    if vr == "PN":
        groups = ("Alphabetic", "Ideographic", "Phonetic")
        values = tuple(
            {g: part for g, part in zip(groups, value.split("="), strict=False) if part}
            for value in values
        )
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def entry(
    study: str,
    series: str,
    instance: str,
    *,
    digest: str = "a" * 64,
    current: bool = True,
    partition: str = "main",
    decision: int = 0,
    trace: str = "",
    table: Attributes = BUILT_IN,
    **attributes: Any,
) -> IndexEntry:
    """An entry whose attributes are given as `t00100020="ID"` (a value or a list of them)."""
    name = InstanceName(partition, study, series, instance)
    found: JsonAttributes = {
        "0020000D": element("UI", study),
        "0020000E": element("UI", series),
        "00080018": element("UI", instance),
        "00080016": element("UI", CT),
    }
    for key, value in attributes.items():
        values = value if isinstance(value, list) else [value]
        row = table.get(key[1:])
        found[key[1:]] = element(row.vr if row else VRS[key[1:]], *values)
    searchable = table.extract(found)
    if SITES.tag in found:  # not of the object
        searchable[SITES.tag] = found[SITES.tag]
    return IndexEntry(
        name, digest, ObjectName(name, digest).key, 1000, CT, EXPLICIT_LITTLE,
        searchable, current, decision, trace,
    )  # fmt: skip


class Oracle:
    """A list of entries and what they mean."""

    def __init__(self, entries: Iterable[IndexEntry], table: Attributes = BUILT_IN) -> None:
        self._table = table
        versions = {(e.name, e.digest): e for e in entries}
        shown: dict[InstanceName, IndexEntry] = {}
        for (name, digest), e in sorted(versions.items(), key=lambda item: item[0]):
            if e.current and (name not in shown or digest < shown[name].digest):
                shown[name] = e
        self._shown = list(shown.values())

    def search(self, search: Search) -> Sequence[JsonAttributes]:
        """All answers in order, offset and limit applied."""
        keys = tuple(key for key in search.keys if self._table.searchable(key.tag, search.level))
        narrowed = replace(search, keys=keys)
        found = [a for a in self._entities(search) if matches(a, narrowed)]
        found.sort(key=lambda a: order_key(search.level, a))
        if search.order:
            found.sort(key=lambda a: str(a["0020000D"]["Value"][0]))
        for order in reversed(search.order):
            found.sort(key=lambda a: order_term(order.tag, a), reverse=order.descending)
        end = None if search.limit is None else search.offset + search.limit
        wanted = default_tags(search.level) | set(search.include)
        return [
            {t: v for t, v in a.items() if t in wanted or (search.include_all and t != SITES.tag)}
            for a in found[search.offset : end]
        ]

    def _entities(self, search: Search) -> list[JsonAttributes]:
        entries = [e for e in self._shown if e.name.partition == search.partition]
        by_study: dict[str, list[IndexEntry]] = defaultdict(list)
        for e in entries:
            by_study[e.name.study].append(e)
        studies = {uid: self._study(uid, some) for uid, some in by_study.items()}
        scope = search.scope or EVERYTHING
        seen = {uid for uid, study in studies.items() if holds(scope, study)}
        if search.level is Level.PATIENT:
            of_patients = {order_key(Level.PATIENT, studies[uid]) for uid in seen}
            everybody = _patients(list(studies.values()), by_study)
            return [one for one in everybody if order_key(Level.PATIENT, one) in of_patients]
        if search.level is Level.STUDY:
            return [studies[uid] for uid in seen]
        found = []
        for uid, some in by_study.items():
            if uid not in seen:
                continue
            for series in {e.name.series for e in some}:
                of_series = [e for e in some if e.name.series == series]
                above = {**studies[uid], **self._series(uid, series, of_series)}
                if search.level is Level.SERIES:
                    found.append(above)
                    continue
                found += [
                    {**above, **self._table.select(e.attributes, [Level.INSTANCE]),
                     "00080018": element("UI", e.name.instance)}
                    for e in of_series
                ]  # fmt: skip
        return found

    def _study(self, uid: str, entries: Sequence[IndexEntry]) -> JsonAttributes:
        doc = merge(self._table.select(e.attributes, [Level.PATIENT, Level.STUDY]) for e in entries)
        return {
            **doc,
            "0020000D": element("UI", uid),
            "00201206": element("IS", len({e.name.series for e in entries})),
            "00201208": element("IS", len(entries)),
        }

    def _series(self, study: str, uid: str, entries: Sequence[IndexEntry]) -> JsonAttributes:
        return {
            **merge(self._table.select(e.attributes, [Level.SERIES]) for e in entries),
            "0020000D": element("UI", study),
            "0020000E": element("UI", uid),
            "00201209": element("IS", len(entries)),
        }


def _patients(
    studies: Sequence[JsonAttributes], by_study: dict[str, list[IndexEntry]]
) -> list[JsonAttributes]:
    groups: dict[tuple[Any, ...], list[JsonAttributes]] = defaultdict(list)
    for study in studies:
        groups[order_key(Level.PATIENT, study)].append(study)
    counts = {"00201200": None, "00201202": "00201206", "00201204": "00201208"}
    return [
        {
            **merge(BUILT_IN.select(study, [Level.PATIENT]) for study in group),
            **{
                tag: element("IS", sum(s[of]["Value"][0] if of else 1 for s in group))
                for tag, of in counts.items()
            },
        }
        for group in groups.values()
    ]
