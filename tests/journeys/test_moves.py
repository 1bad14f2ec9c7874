"""C-MOVE of a running installation: several associations, what is passed on and what is transcoded,
and C-CANCEL."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from isocenter.core.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    TRANSFER_SYNTAXES,
)
from isocenter.dimse.messages import Request
from support.clients import dcmtk, storescp
from support.datasets import ct_image
from support.files import data_set_bytes
from support.footprint import store
from support.harness import Isocenter, wait_until
from support.moves import Destination, destination, requester
from support.waiting import until

COUNT = 40
FILES = (
    "MR_small_bigendian.dcm", "image_dfl.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm", "MR_small_implicit.dcm",
)  # fmt: skip
UNCOMPRESSED = frozenset(
    {EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN}
)


def kept(isocenter: Isocenter, template: Dataset, count: int) -> str:
    """Store so many of it; the study, once it is found."""
    template.StudyInstanceUID = generate_uid()
    store(isocenter, template, count)
    study = str(template.StudyInstanceUID)
    path = f"/studies/{study}/instances?limit={count + 1}"
    wait_until(lambda: len(isocenter.search(path)) == count, what="stored instances are found")
    return study


@pytest.mark.parametrize(
    ("accepts", "passed"),
    [
        ("+xa", frozenset(TRANSFER_SYNTAXES)),
        ("+x=", UNCOMPRESSED),
        ("+xi", frozenset({IMPLICIT_VR_LITTLE_ENDIAN})),
    ],
    ids=["all", "uncompressed", "implicit"],
)
def test_what_the_destination_takes_is_passed_on_and_the_rest_is_transcoded(
    isocenter: Isocenter, tmp_path: Path, accepts: str, passed: frozenset[str]
) -> None:
    for name in FILES:
        image = pydicom.dcmread(get_testdata_file(name))
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        study = kept(isocenter, image, 1)
        with storescp(tmp_path / name, "+B", accepts, port=isocenter.destination_port):
            outcome = dcmtk(
                "movescu", isocenter, "-S", "-aem", "DESTINATION",
                "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}",
            )  # fmt: skip
        assert outcome.code == 0, outcome.text
        [file] = (tmp_path / name).iterdir()
        got, syntax = pydicom.dcmread(file), image.file_meta.TransferSyntaxUID
        assert got.SOPInstanceUID == image.SOPInstanceUID
        assert (got.pixel_array == image.pixel_array).all()
        if syntax in passed:
            assert got.file_meta.TransferSyntaxUID == syntax
            [original] = isocenter.objects.contents(study, str(image.SOPInstanceUID)).values()
            assert original.endswith(data_set_bytes(file))
        else:
            least = IMPLICIT_VR_LITTLE_ENDIAN if accepts == "+xi" else EXPLICIT_VR_LITTLE_ENDIAN
            assert got.file_meta.TransferSyntaxUID == least


def test_several_associations_deliver_and_a_cancel_ends_them(isocenter: Isocenter) -> None:
    asyncio.run(_moved_and_cancelled(isocenter, kept(isocenter, ct_image(64, 64), COUNT)))


async def _moved_and_cancelled(isocenter: Isocenter, study: str) -> None:
    together = asyncio.Event()

    async def both(request: Request) -> int:
        """The first objects are done when there are two associations."""
        del request
        if dest.server and dest.server.associations == 2:
            together.set()
        await asyncio.wait_for(together.wait(), 20)
        return 0

    async def never(request: Request) -> int:
        await request.association.closed.wait()
        return 0x0110

    dest: Destination
    async with (
        requester(isocenter.dicom_port) as asking,
        destination(both, number=isocenter.destination_port) as dest,
    ):
        final = await (await asking.ask("move", study, destination="SEVERAL")).final()
        assert (final.status, final.completed, final.failed) == (0x0000, COUNT, 0)
        assert len(set(dest.received)) == len(dest.received) == COUNT
        assert dest.most == 2
        dest.answer, dest.received = never, []
        asked = await asking.ask("move", study, destination="SEVERAL")
        await until(lambda: dest.server and dest.server.associations == 2)
        await until(lambda: len(dest.tried) == COUNT + 2)
        final, seconds = await asked.cancel()
        assert seconds < 1
        assert (final.status, final.completed, final.failed) == (0xFE00, 0, 2)
        assert final.remaining == COUNT - 2
        await until(lambda: dest.server and not dest.server.associations)
        assert dest.received == []
