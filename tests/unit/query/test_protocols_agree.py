"""C-FIND and QIDO-RS give the same answers to the same question, and those of the reference."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.datadict import keyword_for_tag

from isocenter.adapters.index.sqlite import SqliteIndex
from isocenter.core.access import SYSTEM, Policy
from isocenter.core.errors import Invalid
from isocenter.core.matching import Key, Level, Search
from isocenter.core.ports import Match
from isocenter.gateway.contexts import STUDY_ROOT
from isocenter.gateway.extended import Matching
from isocenter.gateway.identifiers import read
from isocenter.query.service import QueryService
from isocenter.query.settings import QuerySettings
from isocenter.runtime.access.guard import PolicyGuard
from support.gateway_fakes import EXPLICIT, encode, identifier
from support.index_oracle import Oracle
from support.index_samples import KEYS, SMALL, VR_OF, entries
from support.web_fakes import FakeStorage, Web

RESOURCES = {Level.STUDY: "studies", Level.SERIES: "series", Level.INSTANCE: "instances"}
UIDS = ("0020000D", "0020000E", "00080018")
# No values of their VR: both protocols refuse them.
MALFORMED = {"00100030": "19801301", "00080020": "20240230", "00080030": "2460"}


@dataclass(frozen=True)
class Question:
    level: Level
    values: dict[str, tuple[str, ...]]  # of keys, by tag

    @property
    def malformed(self) -> bool:
        return any(MALFORMED.get(tag) in values for tag, values in self.values.items())


@st.composite
def questions(draw: st.DrawFn) -> Question:
    values: dict[str, tuple[str, ...]] = {}
    for tag in draw(st.lists(st.sampled_from(sorted(KEYS)), max_size=4, unique=True)):
        if tag in MALFORMED and draw(st.integers(0, 9)) == 0:
            values[tag] = (MALFORMED[tag],)
            continue
        # In an identifier only a UI has several values where its VM is 1.
        most = 3 if VR_OF[tag] == "UI" else 1
        values[tag] = tuple(draw(st.lists(st.sampled_from(KEYS[tag]), max_size=most)))
    return Question(draw(st.sampled_from(list(RESOURCES))), values)


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[SqliteIndex]:
    index = await SqliteIndex.open(tmp_path)
    yield index
    await index.close()


def names(attributes: dict[str, Any]) -> tuple[str, ...]:
    """The UIDs of an answer."""
    return tuple(attributes[tag]["Value"][0] for tag in UIDS if tag in attributes)


async def by_c_find(query: QueryService, question: Question) -> list[tuple[str, ...]] | None:
    keys = {keyword_for_tag(tag): "\\".join(values) for tag, values in question.values.items()}
    data_set = identifier(SpecificCharacterSet="ISO_IR 192", **keys)
    data_set.QueryRetrieveLevel = question.level.value
    asked = read(encode(data_set, EXPLICIT), EXPLICIT, STUDY_ROOT.levels)
    try:
        search = asked.search(Matching(), asked.moments(Matching()))
        found: list[Match] = [m async for batch in query.search(SYSTEM, search) for m in batch]
    except Invalid:
        return None
    return [names(match.attributes) for match in found]


async def by_qido(query: QueryService, question: Question) -> list[tuple[str, ...]] | None:
    parameters = {
        keyword_for_tag(tag): (",\\"[n % 2] if VR_OF[tag] == "UI" else "\\").join(values)
        for n, (tag, values) in enumerate(question.values.items())
    }
    asked = urlencode(parameters, quote_via=quote)
    answer = await Web(query=query).get(f"/dicomweb/{RESOURCES[question.level]}?{asked}")  # type: ignore[arg-type]
    if answer.status_code == 400:
        return None
    assert answer.status_code == 200
    assert answer.headers["x-total-count"] == str(len(answer.json()))
    return [names(attributes) for attributes in answer.json()]


@settings(parent=SMALL, max_examples=100)
@given(some=entries(), asked=st.lists(questions(), min_size=1, max_size=8))
async def test_c_find_qido_and_the_reference_give_the_same_answers(index, some, asked) -> None:
    scratch = await index.scratch()
    try:
        await scratch.upsert(some)
        query = QueryService(
            index=scratch,
            storage=FakeStorage(),  # type: ignore[arg-type]
            settings=QuerySettings(),
            guard=PolicyGuard(Policy),
        )
        for question in asked:
            by_find = await by_c_find(query, question)
            assert await by_qido(query, question) == by_find
            assert (by_find is None) is question.malformed
            if by_find is not None:
                keys = tuple(Key(tag, VR_OF[tag], v) for tag, v in question.values.items())
                expected = Oracle(some).search(Search(question.level, keys))
                assert by_find == [names(found) for found in expected]
    finally:
        await scratch.close()
