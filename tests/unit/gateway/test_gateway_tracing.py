"""What the gateway tells of its operations and associations."""

from __future__ import annotations

import asyncio

import pytest

from isocenter.core.errors import OutOfResources
from isocenter.gateway.settings import UnknownCallers
from isocenter.gateway.tracing import status_class
from isocenter.runtime.aes import KnownAE
from isocenter.runtime.instruments import ASSOCIATIONS, ASSOCIATIONS_OPEN, DIMSE_DURATION
from support.datasets import tiny
from support.live_gateway import CT, associate, at, dcmtk, in_thread, live
from support.telemetry import Recorder

EXPLICIT = "1.2.840.10008.1.2.1"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0x0000, "success"), (0xFE00, "cancel"), (0xB000, "warning"), (0x0107, "warning"),
        (0xA700, "failure"), (0x0110, "failure"), (0xC000, "failure"), (None, "aborted"),
    ],
)  # fmt: skip
def test_statuses_have_the_classes_of_the_standard(status: int | None, expected: str) -> None:
    assert status_class(status) == expected


async def test_an_operation_is_a_trace_and_is_measured_by_the_class_of_its_status() -> None:
    recorder = Recorder()
    async with live(telemetry=recorder.telemetry) as gateway:

        def store() -> list[int]:
            association = associate(gateway, (CT, [EXPLICIT]))
            statuses = [association.send_c_store(tiny()).Status]
            gateway.env.fake_ingest.error = OutOfResources("the disk is full")
            statuses.append(association.send_c_store(tiny()).Status)
            association.release()
            return statuses

        assert await in_thread(store) == [0x0000, 0xA700]
    assert recorder.values(DIMSE_DURATION) == {
        ("C-STORE", "TESTER", "success"): 1,
        ("C-STORE", "TESTER", "failure"): 1,
    }
    stored, refused = recorder.spans
    assert stored.parent is None
    assert stored.kind.name == "SERVER"
    assert dict(stored.attributes or {}) == {
        "dicom.calling_ae_title": "TESTER",
        "dicom.called_ae_title": "ISOCENTER",
        "dicom.sop_class": CT,
        "dicom.transfer_syntax": EXPLICIT,
        "dicom.status": "0x0000",
    }
    assert stored.status.is_ok
    assert not refused.status.is_ok
    assert stored.context.trace_id != refused.context.trace_id


async def test_an_operation_whose_association_is_aborted_is_told_so() -> None:
    recorder = Recorder()
    async with live(telemetry=recorder.telemetry) as gateway:
        asked = asyncio.Event()

        async def never(announcement, data_set):
            asked.set()
            async for _ in data_set:
                pass
            await asyncio.sleep(0.05)

        gateway.env.fake_ingest.store = never  # type: ignore[method-assign]

        def store_and_abort() -> None:
            association = associate(gateway, (CT, [EXPLICIT]))
            association.dimse_timeout = 0.01
            association.send_c_store(tiny())

        await in_thread(store_and_abort)
        await asyncio.wait_for(asked.wait(), 5)
        async with asyncio.timeout(5):
            while not recorder.values(DIMSE_DURATION):
                await asyncio.sleep(0.01)
    assert recorder.values(DIMSE_DURATION) == {("C-STORE", "TESTER", "aborted"): 1}


async def test_associations_are_counted_open_accepted_and_rejected() -> None:
    recorder = Recorder()
    settings = {"unknown_callers": UnknownCallers.LOOPBACK}
    async with live(telemetry=recorder.telemetry, **settings) as gateway:
        association = await in_thread(lambda: associate(gateway, (CT, [EXPLICIT])))
        assert recorder.values(ASSOCIATIONS_OPEN) == {(): 1}
        assert (await dcmtk("echoscu", *at(gateway, called="SOMEBODY"))).code != 0
        assert recorder.values(ASSOCIATIONS) == {
            ("unknown", "accepted"): 1,
            ("unknown", "rejected"): 1,
        }
        await in_thread(association.release)
        assert recorder.values(ASSOCIATIONS_OPEN) == {(): 0}


async def test_associations_of_those_that_the_settings_name_are_told_by_their_titles() -> None:
    recorder = Recorder()
    known = KnownAE(title="TESTER", host="127.0.0.1")
    async with live(telemetry=recorder.telemetry, known_aes=(known,)) as gateway:
        association = await in_thread(lambda: associate(gateway, (CT, [EXPLICIT])))
        await in_thread(association.release)
    assert recorder.values(ASSOCIATIONS) == {
        ("TESTER", "accepted"): 1,
        ("unknown", "accepted"): 0,
        ("unknown", "rejected"): 0,
    }
