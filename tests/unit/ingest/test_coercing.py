"""Ingest with coercion rules: what is kept beside an object, and when."""

from __future__ import annotations

import zlib
from dataclasses import replace

import pytest

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.core.apis import Announcement
from isocenter.core.errors import OutOfResources
from isocenter.core.events import TOPIC_INSTANCES, ConflictPolicy, InstanceStored, Source
from isocenter.core.identity import OverlayName
from isocenter.core.overlays import Overlay, decode_overlay
from isocenter.core.transfer_syntax import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
)
from isocenter.ingest.settings import IngestSettings
from isocenter.runtime.aes import KnownAE
from isocenter.runtime.event_codec import decode
from support.datasets import tiny
from support.gateway_fakes import encode
from support.objects import (
    INSTANCE,
    SERIES,
    STUDY,
    Archive,
    announcement,
    chunks,
    pixels,
    small,
)

ISSUER = 0x00100021
RULES = [{"attribute": "IssuerOfPatientID", "set_if_absent": "NORTH"}]
SENDER = Source("DIMSE", "192.0.2.1", "CT1", "ISOCENTER")


def known(rules: list[dict] = RULES, **more: str) -> KnownAE:
    return KnownAE(title="CT1", coercions=rules, **more)


def archive(*aes: KnownAE, blobs: MemoryBlobs | None = None, **settings: object) -> Archive:
    return Archive(IngestSettings(**settings), blobs=blobs, known=aes or (known(),))


def sent(source: Source = SENDER, **more: str) -> Announcement:
    return replace(announcement(**more), source=source)


async def overlays(kept: Archive) -> list[Overlay]:
    keys = [key for key in await kept.keys("objects/") if OverlayName.from_key(key)]
    return [decode_overlay(key, await kept.blobs.get(key)) for key in keys]


async def events(kept: Archive) -> list[InstanceStored]:
    found = [decode(delivery) async for delivery in kept.bus.replay(TOPIC_INSTANCES)]
    return [event for event in found if isinstance(event, InstanceStored)]


async def test_an_overlay_is_beside_the_object_and_named_by_the_event() -> None:
    kept = archive()
    stored = await kept.ingest.store(sent(), chunks(small(more=pixels(4, 4, bytes(32)))))
    assert stored.coerced == (ISSUER,)
    (overlay,) = await overlays(kept)
    assert overlay.attributes == {"00100021": {"vr": "LO", "Value": ["NORTH"]}}
    assert (overlay.source, overlay.system) == ("CT1", "ISOCENTER")
    (event,) = await events(kept)
    assert event.overlay == overlay.key
    assert overlay.header_length == event.header_length
    assert overlay.key.startswith(event.key.removesuffix(".dcm") + "/")


async def test_the_audit_trail_and_searches_of_it_know_the_patient_id_as_corrected() -> None:
    kept = archive(known([{"attribute": "PatientID", "prefix": "N-"}]))
    await kept.ingest.store(sent(), chunks(small()))
    (event,) = await events(kept)
    assert event.patient_id == "N-P1"


@pytest.mark.parametrize(
    ("source", "is_coerced"),
    [
        (replace(SENDER, ae_title=" CT1 "), True),
        (replace(SENDER, ae_title="CT2"), False),
        (replace(SENDER, known=False), False),  # only says that it is CT1
        (Source("DICOMweb", "192.0.2.7"), True),  # its address
        (Source("DICOMweb", "192.0.2.8"), False),
        (Source("CLI"), False),
    ],
)
async def test_the_rules_are_those_of_the_source(source, is_coerced) -> None:
    kept = archive(known(host="192.0.2.7"))
    stored = await kept.ingest.store(sent(source), chunks(small()))
    assert bool(stored.coerced) is is_coerced
    assert bool(await overlays(kept)) is is_coerced


async def test_nothing_to_correct_is_nothing_kept() -> None:
    kept = archive(known([{"attribute": "PatientID", "trim": True}]))
    stored = await kept.ingest.store(sent(), chunks(small()))
    assert stored.coerced == ()
    assert len(await kept.keys("objects/")) == 1


async def test_sources_without_rules_cost_no_look_at_what_is_kept() -> None:
    class Unlisted(MemoryBlobs):
        def list(self, *_: str) -> None:  # type: ignore[override]
            raise AssertionError("listed")

    kept = archive(KnownAE(title="CT1"), blobs=Unlisted())
    await kept.ingest.store(sent(), chunks(small()))


async def test_the_same_again_is_one_object_and_one_overlay() -> None:
    kept = archive()
    for _ in range(3):
        stored = await kept.ingest.store(sent(), chunks(small()))
        assert stored.coerced == (ISSUER,)
    assert len(await kept.keys("objects/")) == 2
    assert len({event.overlay for event in await events(kept)}) == 1


async def test_other_rules_make_another_overlay_which_is_the_last_one() -> None:
    blobs = MemoryBlobs()
    values = ("NORTH", "SOUTH", "NORTH")
    for value in values:
        rules = [{"attribute": "IssuerOfPatientID", "set_if_absent": value}]
        await archive(known(rules), blobs=blobs).ingest.store(sent(), chunks(small()))
    found = await overlays(archive(blobs=blobs))
    assert [one.attributes["00100021"]["Value"] for one in found] == [[one] for one in values]


async def test_what_is_corrected_is_no_other_object_where_others_are_rejected() -> None:
    kept = archive(conflict=ConflictPolicy.REJECT)
    for _ in range(2):
        assert (await kept.ingest.store(sent(), chunks(small()))).coerced


async def test_an_overlay_that_cannot_be_kept_is_no_success() -> None:
    class Full(MemoryBlobs):
        async def put(self, *_: object) -> None:
            raise OutOfResources("no room")

    kept = archive(blobs=Full())
    with pytest.raises(OutOfResources):
        await kept.ingest.store(sent(), chunks(small()))
    assert await kept.keys("objects/") == []
    assert await events(kept) == []


async def test_deflated_objects_are_kept_as_they_are() -> None:
    kept = archive()
    squeezer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    data = squeezer.compress(small()) + squeezer.flush()
    syntax = DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
    stored = await kept.ingest.store(sent(transfer_syntax=syntax), chunks(data))
    assert stored.coerced == ()
    assert await overlays(kept) == []


async def test_big_endian_objects_are_corrected_too() -> None:
    kept = archive()
    data_set = tiny(STUDY, SERIES, INSTANCE, PatientID="P1")
    data = encode(data_set, EXPLICIT_VR_BIG_ENDIAN)
    stored = await kept.ingest.store(sent(transfer_syntax=EXPLICIT_VR_BIG_ENDIAN), chunks(data))
    assert stored.coerced == (ISSUER,)
