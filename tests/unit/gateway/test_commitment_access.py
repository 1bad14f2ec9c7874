"""Of what somebody may know nothing, no storage commitment tells."""

from __future__ import annotations

from datetime import timedelta

import pytest

from isocenter.core.access import DEVICE, OWN, Caller, Kind, Right
from isocenter.core.events import SopReference
from isocenter.gateway.commitment_check import Checker
from support.gateway_fakes import FakeQuery, FakeStorage, series
from support.policies import allow, deny, guard_of, study

CT = "1.2.840.10008.5.1.4.1.1.2"
HELD = [*series(1), *series(1, study="1.2.4")]
NORTH, SOUTH = (SopReference(CT, uid) for uid in ("1.2.3.1.1", "1.2.4.1.1"))
OWN_SITE = (allow(sites=(OWN,)),)


@pytest.mark.parametrize(
    ("rules", "committed"),
    [
        ((allow(),), [NORTH, SOUTH]),
        (OWN_SITE, [SOUTH]),
        ((allow(Right.STORE, sites=(OWN,)),), [SOUTH]),
        ((allow(Right.SEARCH, sites=(OWN,)),), [SOUTH]),
        ((allow(Right.READ),), []),
        ((*OWN_SITE, allow(Right.SEARCH)), [NORTH, SOUTH]),
        ((allow(), deny(sites=("south",))), [NORTH]),
    ],
)
async def test_what_is_committed_is_of_studies_that_an_ae_may_store_or_find(
    rules, committed
) -> None:
    known = study("1.2.3", sites=["north"]), study("1.2.4", sites=["south"])
    checker = Checker(
        query=FakeQuery(HELD), storage=FakeStorage(HELD), guard=guard_of(rules, *known),
        proof=timedelta(0),
    )  # fmt: skip
    caller = Caller(Kind.AE, "SOUTHERN", (DEVICE,), sites=("south",))
    found = await checker.check(caller, [NORTH, SOUTH])
    assert found.committed == committed
    assert set(found.failed.values()) <= {0x0112}
    assert len(found.failed) == 2 - len(committed)
