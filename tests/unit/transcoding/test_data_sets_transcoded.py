"""Data sets in another transfer syntax: the same pixels, the same attributes, as a stream."""

from __future__ import annotations

import subprocess
import zlib
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array

from isocenter.core.errors import OutOfResources, Unprocessable, Unsupported
from isocenter.core.part10 import file_meta
from isocenter.transcoding.service import TranscodingService
from isocenter.transcoding.settings import TranscodingSettings
from support.datasets import ct_image, encoded, nested, with_odd_padding, with_private_elements
from support.pixel_files import Stored, chunked, frames, path, stored

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
JPEG_LS = "1.2.840.10008.1.2.4.80"
RLE = "1.2.840.10008.1.2.5"


@pytest.fixture
async def service() -> AsyncIterator[TranscodingService]:
    service = TranscodingService(TranscodingSettings(threads=2))
    yield service
    await service.close()


async def transcoded(
    service: TranscodingService, data: bytes, source: str, target: str, chunk: int = 10_000
) -> bytes:
    stream = service.data_set(chunked(data, chunk), source, target)
    return b"".join([part async for part in stream])


def reread(data: bytes, syntax: str, was: Stored | None = None) -> pydicom.Dataset:
    meta = file_meta(was.sop_class if was else "1.2", was.instance if was else "1.3", syntax)
    return pydicom.dcmread(BytesIO(meta + data))


# Chosen so that each codec, byte order, cell size and way to split frames occurs.
FILES = [
    "CT_small.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "image_dfl.dcm",
    "rtdose_expb.dcm",
    "SC_rgb_small_odd_big_endian.dcm",
    "SC_rgb_rle_16bit_2frame.dcm",
    "SC_rgb_rle_32bit.dcm",
    "SC_rgb_small_odd_jpeg.dcm",
    "SC_rgb_dcmtk_+eb+cy+s2.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "JPEGLSNearLossless_16.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_jp2klossless.dcm",
    "rtdose_rle.dcm",
    "693_J2KI.dcm",
    "GDCMJ2K_TextGBR.dcm",
    "examples_jpeg2k.dcm",
]


@pytest.mark.parametrize("target", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED])
@pytest.mark.parametrize("name", FILES)
async def test_pixels_are_the_same_in_the_target(
    service: TranscodingService, name: str, target: str
):
    file = path(name)
    was = stored(file)
    if was.transfer_syntax == target:
        assert target not in service.targets(was.transfer_syntax)
        return
    image = reread(
        await transcoded(service, was.data_set, was.transfer_syntax, target), target, was
    )
    np.testing.assert_array_equal(pixel_array(image), pixel_array(pydicom.dcmread(file)))
    original = pydicom.dcmread(file)
    assert image.SOPInstanceUID == original.SOPInstanceUID
    left = {element.tag for element in original if element.tag.element and element.tag < 0x7FE00000}
    assert {element.tag for element in image if element.tag < 0x7FE00000} == left


async def test_what_dcmtk_decodes_from_jpeg_ls_equals_ours(
    service: TranscodingService, tmp_path: Path
):
    file, native = path("JPEGLSNearLossless_08.dcm"), tmp_path / "native.dcm"
    subprocess.run(["dcmdjpls", file, native], check=True, capture_output=True)
    was = stored(file)
    ours = reread(await transcoded(service, was.data_set, was.transfer_syntax, EXPLICIT), EXPLICIT)
    assert ours.PixelData == pydicom.dcmread(native).PixelData


async def test_dcmtk_reads_every_form_without_complaint(
    service: TranscodingService, tmp_path: Path
):
    was = stored(path("SC_rgb_rle_2frame.dcm"))
    for target in service.targets(was.transfer_syntax):
        file = tmp_path / f"{target}.dcm"
        data = await transcoded(service, was.data_set, was.transfer_syntax, target)
        file.write_bytes(file_meta(was.sop_class, was.instance, target) + data)
        done = subprocess.run(["dcmdump", file], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("between", [IMPLICIT, BIG_ENDIAN, DEFLATED])
async def test_there_and_back_gives_the_same_bytes(service: TranscodingService, between: str):
    data = encoded(ct_image(64, 48))
    there = await transcoded(service, data, EXPLICIT, between)
    assert there != data
    assert await transcoded(service, there, between, EXPLICIT) == data


async def test_private_elements_keep_their_values(service: TranscodingService):
    data = encoded(with_private_elements())
    image = reread(await transcoded(service, data, EXPLICIT, IMPLICIT), IMPLICIT)
    assert image[0x00091002].value == bytes(range(250)) * 8
    assert bytes(image[0x00091001].value) == b"private text"


async def test_values_against_the_standard_stay_what_they_are(service: TranscodingService):
    there = await transcoded(service, with_odd_padding(), EXPLICIT, IMPLICIT)
    assert b"NUL padded\0\0" in there
    assert b"1.2.3 " in there


@pytest.mark.parametrize("undefined", [True, False])
async def test_nested_sequences_are_rewritten_and_get_defined_lengths(
    service: TranscodingService, undefined: bool
):
    data = nested(20, undefined_length=undefined)
    there = await transcoded(service, data, EXPLICIT, IMPLICIT)
    back = await transcoded(service, there, IMPLICIT, EXPLICIT)
    sequences = nested(20)
    first = b"\x40\x00\x30\xa7SQ"  # what stands before it holds a UID of any length
    assert back[back.index(first) :] == sequences[sequences.index(first) :]


async def test_chunks_of_any_size_give_the_same_answer(service: TranscodingService):
    was = stored(path("rtdose_rle.dcm"))
    whole = await transcoded(service, was.data_set, RLE, EXPLICIT, chunk=10**9)
    assert await transcoded(service, was.data_set, RLE, EXPLICIT, chunk=977) == whole


async def test_frames_of_several_fragments_are_put_together(service: TranscodingService):
    image = pydicom.dcmread(path("examples_ybr_color.dcm"))
    first = pixel_array(image, index=1)
    for with_table in (True, False):
        image.PixelData = encapsulate(frames(image), fragments_per_frame=3, has_bot=with_table)
        out = BytesIO()
        image.save_as(out)
        data = out.getvalue()
        start = 128 + 4 + 12 + image.file_meta.FileMetaInformationGroupLength
        syntax = str(image.file_meta.TransferSyntaxUID)
        after = reread(await transcoded(service, data[start:], syntax, EXPLICIT), EXPLICIT)
        assert after.NumberOfFrames == 30
        assert after.PhotometricInterpretation == "RGB"
        np.testing.assert_array_equal(pixel_array(after, index=1), first)
        image = pydicom.dcmread(path("examples_ybr_color.dcm"))


async def test_lossy_compression_is_remembered_and_group_lengths_are_left_out(
    service: TranscodingService,
):
    was = stored(path("SC_rgb_dcmtk_+eb+cy+s2.dcm"))
    image = reread(await transcoded(service, was.data_set, was.transfer_syntax, EXPLICIT), EXPLICIT)
    assert image.LossyImageCompression == "01"
    assert not [element for element in image if element.tag.element == 0]


async def test_a_deflated_target_is_a_raw_deflate_stream(service: TranscodingService):
    data = encoded(ct_image(16, 16))
    deflated = await transcoded(service, data, EXPLICIT, DEFLATED)
    assert zlib.decompress(deflated, wbits=-15) == data


@pytest.mark.parametrize("kept", [0.5, 0.97, 0.999])
@pytest.mark.parametrize("name", ["CT_small.dcm", "rtdose_rle.dcm", "SC_rgb_jpeg_gdcm.dcm"])
async def test_data_sets_that_are_cut_off_are_unprocessable(
    service: TranscodingService, name: str, kept: float
):
    was = stored(path(name))
    data = was.data_set[: int(len(was.data_set) * kept)]
    with pytest.raises(Unprocessable):
        await transcoded(service, data, was.transfer_syntax, IMPLICIT)


async def test_too_few_frames_are_unprocessable(service: TranscodingService):
    was = stored(path("rtdose_rle.dcm"))
    lying = was.data_set.replace(b"IS\x02\x0015", b"IS\x02\x0018")
    with pytest.raises(Unprocessable, match="Number of Frames"):
        await transcoded(service, lying, RLE, EXPLICIT)


async def test_a_header_beyond_the_limit_is_refused():
    service = TranscodingService(TranscodingSettings(threads=1, max_header=1024 * 1024))
    image = ct_image(16, 16)
    image.add_new(0x00420011, "OB", bytes(3_000_000))
    with pytest.raises(OutOfResources, match="max_header"):
        await transcoded(service, encoded(image), EXPLICIT, IMPLICIT)
    await service.close()


async def test_targets_are_native_syntaxes_and_none_for_video(service: TranscodingService):
    assert service.targets(JPEG_LS)[:2] == (EXPLICIT, IMPLICIT)
    assert EXPLICIT not in service.targets(EXPLICIT)
    assert service.targets("1.2.840.10008.1.2.4.102") == ()
    with pytest.raises(Unsupported):
        await transcoded(service, b"", "1.2.840.10008.1.2.4.102", EXPLICIT)
    with pytest.raises(Unsupported):
        await transcoded(service, b"", EXPLICIT, JPEG_LS)


async def test_native_pixel_data_streams_in_bounded_pieces(service: TranscodingService):
    data = encoded(ct_image(2000, 1500))
    stream = service.data_set(chunked(data, 64 * 1024), EXPLICIT, IMPLICIT)
    assert max([len(part) async for part in stream]) <= 512 * 1024
