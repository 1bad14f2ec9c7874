"""Whether two indices say the same of a study: what each answers, and which versions it holds."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from isocenter.core.attributes import BY_TAG, Attributes
from isocenter.core.identity import InstanceName, ObjectName
from isocenter.core.matching import JsonAttributes, Key, Level, Search
from isocenter.core.ports import StudyIndex
from isocenter.indexing.reading import dumps

STUDY, SERIES, INSTANCE = "0020000D", "0020000E", "00080018"
STUDIES_AT_ONCE = 20

_LEVELS = (Level.PATIENT, Level.STUDY)  # whose attributes an answer at STUDY level has


@dataclass(slots=True)
class Facts:
    """What an index says of one study."""

    study: JsonAttributes = field(default_factory=dict)
    series: dict[str, JsonAttributes] = field(default_factory=dict)
    instances: dict[InstanceName, bytes] = field(default_factory=dict)  # digest of the answer
    versions: dict[ObjectName, tuple[bool, int, str, str]] = field(default_factory=dict)


async def studies_of(index: StudyIndex, partition: str) -> AsyncIterator[Sequence[str]]:
    """All Study Instance UIDs, a few at a time."""
    waiting: list[str] = []
    async for batch in index.search(Search(Level.STUDY, partition=partition)):
        waiting += [_uid(match.attributes, STUDY) for match in batch]
        while len(waiting) >= STUDIES_AT_ONCE:
            yield waiting[:STUDIES_AT_ONCE]
            waiting = waiting[STUDIES_AT_ONCE:]
    if waiting:
        yield waiting


async def found_among(index: StudyIndex, partition: str, studies: Sequence[str]) -> set[str]:
    """Those of these studies that searches find."""
    search = Search(Level.STUDY, _keys(studies), partition)
    return {_uid(m.attributes, STUDY) async for batch in index.search(search) for m in batch}


async def facts_of(
    index: StudyIndex, partition: str, studies: Sequence[str], table: Attributes
) -> Mapping[str, Facts]:
    """What an index says of each of these studies, in attributes of a table."""
    facts = {study: Facts() for study in studies}
    for level in (Level.STUDY, Level.SERIES, Level.INSTANCE):
        search = Search(level, _keys(studies), partition, include_all=True)
        async for batch in index.search(search):
            for match in batch:
                if of_study := facts.get(_uid(match.attributes, STUDY)):
                    _add(of_study, partition, level, match.attributes, table)
    names = [name for one in facts.values() for name in one.instances]
    for name, entries in (await index.versions(names)).items():
        facts[name.study].versions |= {
            ObjectName(name, e.digest): (e.current, e.size, e.sop_class, e.transfer_syntax)
            for e in entries
        }
    return facts


def _add(
    facts: Facts, partition: str, level: Level, answer: JsonAttributes, table: Attributes
) -> None:
    if level is Level.STUDY:
        facts.study = table.select(answer, _LEVELS)
    elif level is Level.SERIES:
        facts.series[_uid(answer, SERIES)] = table.select(answer, [level])
    else:
        uids = (_uid(answer, tag) for tag in (STUDY, SERIES, INSTANCE))
        own = table.select(answer, [level])
        text = dumps({tag: own[tag] for tag in sorted(own)})
        facts.instances[InstanceName(partition, *uids)] = hashlib.sha256(text).digest()


def difference(answers: Facts, made: Facts, aside: AbstractSet[ObjectName]) -> str:
    """How what is answered now differs from what was made of the objects; empty: it does not.
    Objects `aside` are not compared, nor what depends on them."""
    names = {one.name for one in aside}
    old, new = (
        ({n: a for n, a in facts.instances.items() if n not in names},
         {o: v for o, v in facts.versions.items() if o.name not in names})
        for facts in (answers, made)
    )  # fmt: skip
    (shown, held), (right, kept) = old, new
    if not right and not shown:
        return ""
    if not answers.study:
        return f"searches do not find it, though {_many(len(right))} of it {_be(len(right))} kept"
    if not made.study and not names:
        return f"searches find it, but none of its {_many(len(shown))} is kept"
    problems = [
        (len(right.keys() - shown.keys()), "kept, but not found"),
        (len(shown.keys() - right.keys()), "found, but not kept"),
        (sum(shown[n] != right[n] for n in shown.keys() & right.keys()), "with other attributes"),
    ]
    told = [f"{_many(count)} {what}" for count, what in problems if count]
    if not told and held != kept:
        told.append("other versions of its instances are held than are kept")
    if not names:
        told += _other_answers(answers, made)
    return "; ".join(told)


def _other_answers(answers: Facts, made: Facts) -> list[str]:
    other = _differing(answers.study, made.study)
    for series in answers.series.keys() & made.series.keys():
        other |= _differing(answers.series[series], made.series[series])
    return [f"the answer is wrong in {', '.join(sorted(other))}"] if other else []


def _differing(one: JsonAttributes, other: JsonAttributes) -> set[str]:
    return {
        BY_TAG[tag].keyword if tag in BY_TAG else tag
        for tag in one.keys() | other.keys()
        if one.get(tag) != other.get(tag)
    }


def _many(count: int) -> str:
    return f"{count:,} instance" + ("s" if count != 1 else "")


def _be(count: int) -> str:
    return "is" if count == 1 else "are"


def _keys(studies: Sequence[str]) -> tuple[Key, ...]:
    return (Key(STUDY, "UI", tuple(studies)),)


def _uid(attributes: JsonAttributes, tag: str) -> str:
    """Empty where it is missing, which equals no other one."""
    values = attributes.get(tag, {}).get("Value") or [""]
    return str(values[0])
