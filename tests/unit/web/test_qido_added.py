"""QIDO-RS by attributes that an administrator has added."""

from __future__ import annotations

import pytest

from isocenter.core.added import added
from isocenter.core.attributes import Attributes
from support.web_fakes import Web, study

AGENT = added("ContrastBolusAgent", "SERIES")
SITE = added("0029xx10", "STUDY", "ACME 1.0", "IS")
STUDIES, SERIES = "/dicomweb/studies", "/dicomweb/series"
PRIVATE = "00291010=5&00290010=ACME+1.0"


@pytest.fixture
def web() -> Web:
    web = Web(attributes=Attributes([AGENT, SITE]))
    web.query.answers = [study(1) | {"0020000E": {"vr": "UI", "Value": ["1.2.1.1"]}}]
    return web


async def test_an_added_attribute_is_a_key_like_any_other(web: Web) -> None:
    answer = await web.get(SERIES + "?ContrastBolusAgent=Iod*")
    assert answer.status_code == 200
    (key,) = web.query.searches[0].keys
    assert (key.tag, key.vr, key.values) == (AGENT.tag, "LO", ("Iod*",))
    assert AGENT.tag in web.query.searches[0].include
    assert "warning" not in answer.headers
    assert web.audit.records[0][1]["detail"] == f"QIDO-RS series {AGENT.tag}"


@pytest.mark.parametrize("query", [PRIVATE, "00290010=ACME+1.0&00291010=5"])
async def test_a_private_one_is_named_with_its_creator_in_any_order(web: Web, query: str) -> None:
    answer = await web.get(f"{STUDIES}?{query}")
    keys = {key.tag: (key.vr, key.values) for key in web.query.searches[0].keys}
    assert keys == {"00291010": ("IS", ("5",)), "00290010": ("LO", ("ACME 1.0",))}
    assert set(web.query.searches[0].include) == {"00291010", "00290010"}
    assert "warning" not in answer.headers


@pytest.mark.parametrize(
    "query", ["00291010=five&00290010=ACME+1.0", "00291010=5*&00290010=ACME+1.0"]
)
async def test_a_value_that_is_none_of_its_vr_is_refused(web: Web, query: str) -> None:
    answer = await web.get(f"{STUDIES}?{query}")
    assert answer.status_code == 400
    assert "00291010" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "query", "ignored"),
    [
        (STUDIES, "ContrastBolusAgent=Iodine", "ContrastBolusAgent"),  # below the level
        (STUDIES, "00291010=5&00290010=OTHER", "00291010"),
        (STUDIES, "00291010=5", "00291010"),
        (STUDIES, "00291011=5&00290010=ACME+1.0", "00291011"),
    ],
)
async def test_what_was_not_added_is_ignored_with_a_warning(
    web: Web, path: str, query: str, ignored: str
) -> None:
    answer = await web.get(f"{path}?{query}")
    assert ignored in answer.headers["warning"]
    assert not any(key.values == ("5",) for key in web.query.searches[0].keys)


@pytest.mark.parametrize(
    ("path", "query", "named"),
    [
        (SERIES, "ContrastBolusAgent=Iodine", "ContrastBolusAgent"),
        (SERIES, "includefield=ContrastBolusAgent", "ContrastBolusAgent"),
        (STUDIES, PRIVATE, "0029xx10 ACME 1.0"),
        (SERIES, "includefield=all", "0029xx10 ACME 1.0, ContrastBolusAgent"),
    ],
)
async def test_while_an_attribute_is_being_filled_a_warning_says_so(
    web: Web, path: str, query: str, named: str
) -> None:
    web.query.lacking = [AGENT.tag, SITE.tag]
    answer = await web.get(f"{path}?{query}")
    assert answer.status_code == 200
    warning = answer.headers["warning"]
    assert warning.startswith("299 http://pacs.test/dicomweb: ")
    assert "being filled" in warning
    assert set(warning.rpartition(": ")[2].split(", ")) == set(named.split(", "))


@pytest.mark.parametrize("query", ["", "PatientID=P1", "includefield=StudyDescription"])
async def test_searches_by_other_attributes_have_no_such_warning(web: Web, query: str) -> None:
    web.query.lacking = [AGENT.tag, SITE.tag]
    assert "warning" not in (await web.get(f"{STUDIES}?{query}")).headers
