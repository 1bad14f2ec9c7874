"""Associations to a C-MOVE destination: what is proposed, how many there are, when it gives up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isocenter.core.apis import StoredInstance
from isocenter.dimse.sop_classes import STORAGE_SOP_CLASSES
from isocenter.gateway.c_move import DestinationRoute, Originator
from isocenter.gateway.calls import Calls
from isocenter.gateway.settings import GatewaySettings
from isocenter.runtime.aes import KnownAE
from support.gateway_fakes import EXPLICIT, IMPLICIT, FakeAssociation, FakeTranscoding, series

J2K = "1.2.840.10008.1.2.4.90"
SLICE = series(1)[0].stored
CT = "1.2.840.10008.5.1.4.1.1.2"


def stored(sop_class: str, syntax: str) -> StoredInstance:
    return replace(SLICE, sop_class=sop_class, transfer_syntax=syntax)


class Destination:
    """Stands for `requestor.associate`: accepts everything that is proposed."""

    def __init__(self) -> None:
        self.associations: list[FakeAssociation] = []
        self.proposals: list[list[tuple[str, str]]] = []
        self.asked: list[dict] = []

    async def __call__(self, host, port, *, contexts, **fields) -> FakeAssociation:
        proposed = [(one.abstract_syntax, one.transfer_syntaxes[0]) for one in contexts]
        self.associations.append(FakeAssociation(*proposed))
        self.proposals.append(proposed)
        self.asked.append({"host": host, "port": port, **fields})
        return self.associations[-1]


@pytest.fixture
def destination(monkeypatch) -> Destination:
    fake = Destination()
    monkeypatch.setattr("isocenter.gateway.calls.requestor.associate", fake)
    return fake


def route(instances: list[StoredInstance]) -> DestinationRoute:
    return DestinationRoute(
        KnownAE(title="DEST", host="192.0.2.1", port=104),
        instances,
        calls=Calls(GatewaySettings()),
        transcoding=FakeTranscoding(),
        originator=Originator("CALLER", 7),
    )


async def test_what_is_stored_and_its_uncompressed_forms_are_proposed(destination):
    instances = [stored(CT, J2K), stored(CT, EXPLICIT), stored(CT, J2K)]
    way = route(instances)
    associations = [await way.association(position) for position in range(3)]
    assert associations == [destination.associations[0]] * 3
    assert destination.proposals == [[(CT, J2K), (CT, EXPLICIT), (CT, IMPLICIT)]]
    assert set(way.contexts()) == {(CT, J2K), (CT, EXPLICIT), (CT, IMPLICIT)}
    [asked] = destination.asked
    assert (asked["host"], asked["port"], asked["called_ae_title"]) == ("192.0.2.1", 104, "DEST")
    assert asked["calling_ae_title"] == "ISOCENTER"


async def test_more_contexts_than_one_association_has_take_several(destination):
    instances = [stored(sop_class, J2K) for sop_class in sorted(STORAGE_SOP_CLASSES)[:100]]
    way = route(instances)
    for position, instance in enumerate(instances):
        await way.association(position)
        assert (instance.sop_class, J2K) in way.contexts()
    await way.close()
    assert [len(proposed) for proposed in destination.proposals] == [126, 126, 48]
    assert all(one.closed.is_set() for one in destination.associations)


async def test_a_lost_association_is_made_anew(destination):
    way = route([stored(CT, EXPLICIT)] * 3)
    (await way.association(0)).closed.set()
    assert await way.association(1) is await way.association(2) is destination.associations[1]
    assert len(destination.associations) == 2
