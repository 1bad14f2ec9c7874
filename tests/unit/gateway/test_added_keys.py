"""C-FIND by attributes that an administrator has added."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from isocenter.core.added import added
from isocenter.core.attributes import Attributes
from isocenter.core.matching import Level
from isocenter.gateway.c_find import CFind
from isocenter.gateway.contexts import MESSAGE_TRANSFER_SYNTAXES, STUDY_ROOT
from isocenter.gateway.extended import Matching
from isocenter.gateway.identifiers import read
from isocenter.gateway.settings import GatewaySettings
from support.gateway_fakes import EXPLICIT, FakeAudit, FakeQuery, FakeRequest, encode, series
from support.gateway_parts import callers_of, lanes_of

AGENT = added("ContrastBolusAgent", "SERIES")
SITE = added("0029xx10", "SERIES", "ACME 1.0", "LO")
COUNT = added("0029xx11", "SERIES", "ACME 1.0", "US")
TABLE = Attributes([AGENT, SITE, COUNT])


def asked(level: str = "SERIES", site: str = "North", creator: str = "ACME 1.0") -> Dataset:
    data_set = Dataset()
    data_set.QueryRetrieveLevel = level
    data_set.ContrastBolusAgent = "Iod*"
    block = data_set.private_block(0x0029, creator, create=True)
    block.add_new(0x10, "LO", site)
    block.add_new(0x11, "US", 7)
    return data_set


async def find(
    data_set: Dataset, audit: FakeAudit | None = None, lacking: tuple[str, ...] = ()
) -> FakeRequest:
    request = FakeRequest(STUDY_ROOT.find, encode(data_set, EXPLICIT))
    query = FakeQuery(series(1), lacking=list(lacking))
    await CFind(
        query=query,
        audit=audit or FakeAudit(),  # type: ignore[arg-type]
        callers=callers_of(GatewaySettings()),
        lanes=lanes_of(GatewaySettings()),
        ae_title="ISOCENTER",
        max_identifier=10_000,
        attributes=TABLE,
    )(request)  # type: ignore[arg-type]
    return request


@pytest.mark.parametrize("syntax", MESSAGE_TRANSFER_SYNTAXES)
def test_added_keys_are_read_in_every_encoding(syntax: str) -> None:
    identifier = read(encode(asked(), syntax), syntax, STUDY_ROOT.levels, TABLE)
    assert not identifier.unsupported
    assert identifier.added == {AGENT.tag, SITE.tag, COUNT.tag}
    keys = {
        key.tag: (key.vr, key.values)
        for key in identifier.search(Matching(), identifier.moments(Matching())).keys
    }
    assert keys[AGENT.tag] == ("LO", ("Iod*",))
    assert keys["00291010"] == ("LO", ("North",))
    assert keys["00291011"] == ("US", ("7",))
    assert keys["00290010"] == ("LO", ("ACME 1.0",))
    assert set(identifier.search(Matching(), identifier.moments(Matching())).include) >= {
        AGENT.tag,
        "00291010",
        "00291011",
    }


@pytest.mark.parametrize(("level", "creator"), [("STUDY", "ACME 1.0"), ("SERIES", "OTHER")])
def test_keys_below_the_level_and_of_other_creators_are_unsupported(
    level: str, creator: str
) -> None:
    data = encode(asked(level, creator=creator), EXPLICIT)
    identifier = read(data, EXPLICIT, STUDY_ROOT.levels, TABLE)
    assert identifier.level is Level(level)
    assert identifier.unsupported


async def test_answers_hold_every_key_with_its_creator() -> None:
    audit = FakeAudit()
    data_set = asked(site="")
    del data_set.ContrastBolusAgent
    data_set[0x00291011].value = None
    request = await find(data_set, audit)
    assert request.statuses == [0xFF00, 0x0000]
    answer = request.answers[0][1]
    assert answer[0x00290010].value == "ACME 1.0"
    assert answer[0x00291010].is_empty
    assert answer[0x00291010].VR == "LO"
    assert audit.records[0]["detail"] == "C-FIND SERIES"


async def test_a_key_that_is_being_filled_is_not_supported_yet() -> None:
    data_set = Dataset()
    data_set.QueryRetrieveLevel, data_set.ContrastBolusAgent = "SERIES", ""
    assert (await find(data_set)).statuses == [0xFF00, 0x0000]
    assert (await find(data_set, lacking=(AGENT.tag,))).statuses == [0xFF01, 0x0000]
    assert (await find(data_set, lacking=(SITE.tag,))).statuses == [0xFF00, 0x0000]
