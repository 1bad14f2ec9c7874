"""Entries of an index and searches in it, to draw from, and how a test asks."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from isocenter.core.attributes import ORDERS, SITES
from isocenter.core.matching import JsonAttributes, Key, Level, Order, Search
from isocenter.core.ports import IndexEntry, StudyIndex
from isocenter.core.scope import EVERYTHING, NOTHING, Every, Scope, Some, Without, has, like
from support.index_oracle import VRS, entry


async def answers(index: StudyIndex, search: Search) -> list[JsonAttributes]:
    return [match.attributes async for batch in index.search(search) for match in batch]


def key(tag: str, *values: str) -> Key:
    return Key(tag, VRS[tag], values)


def studies(*keys: Key, **more: object) -> Search:
    return Search(Level.STUDY, keys, **more)  # type: ignore[arg-type]


NAMES = ["SMITH^JOHN", "Smith^Jöhn^^Dr", "Müller", "MULLER^Eva",
         "Yamada^Tarou=山田^太郎=やまだ^たろう",
         "García López^José", "smithson^Al", "O'Neil", "X"]  # fmt: skip
VALUES = {
    "00100010": NAMES,
    "00100020": ["ID1", "ID2", "id1", "ID[1]", "ID1 "],
    "00100021": ["SITE A", "SITE B"],
    "00100040": ["M", "F", "O"],
    "00100030": ["19700101", "19801231"],
    "00080020": ["20240101", "20240215", "20250101", "bad"],
    "00080030": ["10", "1030", "103045.123", "235959"],
    "00080050": ["ACC1", "ACC2", "ACC10"],
    "00080060": ["CT", "MR", "PR"],
    "00080090": NAMES[:4],
    "00081030": ["Chest CT", "HEAD", "Head 50%"],
    "00200011": [1, 2, 10],
    "00200013": [1, 2, 3],
    "0008103E": ["Axial", "Sag"],
    "00080008": [["ORIGINAL", "PRIMARY"], "DERIVED"],
    "00080023": ["20240101", "20250601"],
    "0008002A": ["20240101120000", "20240101140000+0200", "20250601"],
    SITES.tag: ["north", "south"],
}
KEYS = {
    "00100010": ["smith^john", "SMITH*", "*SON*", "mull?r*", "山田*", "Smith^*", "gar*", "smith",
                 "miller", "jon smyth", "Yamada^Tarou=山田^太郎", "*", "="],
    "00100020": ["ID1", "ID*", "id1", "ID[1]", "*1*", "??1"],
    "00100021": ["SITE A", "*B"],
    "00100040": ["M", "F"],
    "00100030": ["19700101", "19700101-19751231", "-19801231"],
    "00080020": ["20240101", "20240101-20240301", "20240216-", "-20240101", "20240101-20240101"],
    "00080030": ["10", "1000-1030", "103045.123", "-1030", "2359-", "2300-1015"],
    "00080050": ["ACC1", "ACC1*", "ACC?"],
    "00080061": ["CT", "MR"],
    "00080060": ["CT", "P*"],
    "00080090": ["muller", "smith*"],
    "00081030": ["Head*", "*CT", "Head 50%"],
    "00200011": ["1", "+10"],
    "00200013": ["2"],
    "0008103E": ["Axial", "A*"],
    "00080008": ["PRIMARY", "*AL", "*R*", "DERIVED"],
    "00080023": ["20240101-20241231", "20240101"],
    "0008002A": ["20240101", "20240101120000", "2024-"],
    "0020000D": ["1.2.1", "1.2.3"],
    "0020000E": ["1.2.1.1", "1.2.2.2"],
    "00080018": ["1.2.1.1.1", "1.2.2.1.2"],
}  # fmt: skip
VR_OF = {**VRS, "00080061": "CS"}


@st.composite
def entries(draw: st.DrawFn) -> list[IndexEntry]:
    found = []
    for _ in range(draw(st.integers(1, 14))):
        study = f"1.2.{draw(st.integers(1, 4))}"
        series = f"{study}.{draw(st.integers(1, 2))}"
        attributes = {
            f"t{tag}": draw(st.sampled_from(values))
            for tag, values in VALUES.items()
            if draw(st.booleans())
        }
        found.append(
            entry(
                study, series, f"{series}.{draw(st.integers(1, 3))}",
                digest=draw(st.sampled_from("abc")) * 64,
                current=draw(st.integers(0, 5)) > 0,
                partition=draw(st.sampled_from(["main", "main", "other"])),
                **attributes,
            )
        )  # fmt: skip
    return list({(e.name, e.digest): e for e in found}.values())


_LEAVES = [
    has(SITES.tag, "LO", ["north"]),
    has(SITES.tag, "LO", ["south", "east"]),
    has("00080061", "CS", ["CT"]),
    has("00100020", "LO", ["ID1", "id1"]),
    like("00100020", "LO", ["*1*"]),
    like("00100020", "LO", ["ID[1]", "?D2"]),
    has("00100021", "LO", ["SITE A"]),
    has("0020000D", "UI", ["1.2.1", "1.2.3"]),
    has("0020000D", "UI", [f"1.2.{number}" for number in range(2, 200)]),
    has("00100020", "LO", [f"ID{number}" for number in range(2, 200)]),
    EVERYTHING,
    NOTHING,
]


def scopes() -> st.SearchStrategy[Scope]:
    def larger(part: st.SearchStrategy[Scope]) -> st.SearchStrategy[Scope]:
        parts = st.lists(part, max_size=3).map(tuple)
        return parts.map(Every) | parts.map(Some) | part.map(Without)

    return st.recursive(st.sampled_from(_LEAVES), larger, max_leaves=5)


@st.composite
def searches(draw: st.DrawFn) -> Search:
    tags = draw(st.lists(st.sampled_from(sorted(KEYS)), max_size=3, unique=True))
    keys = []
    for tag in tags:
        many = draw(st.integers(0, 4)) == 0
        values = draw(st.lists(st.sampled_from(KEYS[tag]), min_size=1, max_size=2 if many else 1))
        keys.append(Key(tag, VR_OF[tag], tuple(values)))
    level = draw(st.sampled_from(list(Level)))
    tags = draw(st.lists(st.sampled_from(ORDERS), max_size=3, unique=True))
    orders = tuple(Order(tag, draw(st.booleans())) for tag in tags)
    return Search(
        level,
        tuple(keys),
        order=orders if level is Level.STUDY else (),
        partition=draw(st.sampled_from(["main", "other"])),
        include=tuple(draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=2))),
        include_all=draw(st.booleans()),
        limit=draw(st.sampled_from([None, 0, 1, 3])),
        offset=draw(st.sampled_from([0, 0, 1])),
        fuzzy=draw(st.booleans()),
        every_value=draw(st.booleans()),
        scope=draw(st.none() | scopes()),
    )


SMALL = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,  # every example has a scratch index of its own
        HealthCheck.too_slow,
        HealthCheck.differing_executors,  # every adapter runs the suite
    ],
)
