"""What codestreams say, of encoders that are not ours, and of headers written by the standards."""

from __future__ import annotations

from collections.abc import AsyncIterator

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocenter.core.errors import Unprocessable, Unsupported
from isocenter.web import image_media
from isocenter.web.image_media import (
    BITS_ALLOCATED,
    BITS_STORED,
    COLUMNS,
    NUMBER_OF_FRAMES,
    PHOTOMETRIC,
    PIXEL_REPRESENTATION,
    ROWS,
    SAMPLES,
    Described,
)
from isocenter.web.spool import Spool
from support.pixel_files import frames, path
from support.videos import mp4, mpeg2

UID = "1.2.840.10008.1.2."
GREY = np.arange(600, dtype=np.uint8).reshape(20, 30)
DEEP = (np.arange(600, dtype=np.uint16) * 6).reshape(20, 30)
RGB = np.random.default_rng(1).integers(0, 255, (20, 30, 3), dtype=np.uint8)


async def described(media: str, data: bytes) -> Described:
    async def once() -> AsyncIterator[bytes]:
        yield data

    with Spool() as spool:
        return image_media.read(media, spool.source(await spool.write(once())))


def jpeg_2000(data: np.ndarray, *, reversible: bool = True, boxes: bool = False) -> bytes:
    kind = "jp2" if boxes else "j2k"
    level = 0 if reversible else 30
    return bytes(imagecodecs.jpeg2k_encode(data, level, codecformat=kind, reversible=reversible))


def jpeg(data: np.ndarray, **how: object) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(data, 90, **how))


def jpeg_ls(data: np.ndarray, near: int = 0) -> bytes:
    return bytes(imagecodecs.jpegls_encode(data, near))


def htj2k(data: np.ndarray, *, reversible: bool = True) -> bytes:
    return bytes(
        imagecodecs.htj2k_encode(data, None if reversible else 0.01, reversible=reversible)
    )


# media type, data, transfer syntaxes, samples, bits, photometric interpretation, lossy method
IMAGES = {
    "jpeg": ("image/jpeg", jpeg(GREY), ("4.50", "4.51"), 1, 8, "MONOCHROME2", "ISO_10918_1"),
    "colour jpeg": (
        "image/jpeg", jpeg(RGB, subsampling="422"), ("4.50", "4.51"), 3, 8, "YBR_FULL_422",
        "ISO_10918_1",
    ),
    "jpeg of all colours": (
        "image/jpeg", jpeg(RGB, subsampling="444"), ("4.50", "4.51"), 3, 8, "YBR_FULL",
        "ISO_10918_1",
    ),
    "lossless jpeg": (
        # Its predictor is not the one of first order.
        "image/jpeg", bytes(imagecodecs.ljpeg_encode(DEEP, bitspersample=12)), ("4.57",), 1, 12,
        "MONOCHROME2", "",
    ),
    "jpeg-ls": ("image/jls", jpeg_ls(DEEP), ("4.80", "4.81"), 1, 16, "MONOCHROME2", ""),
    "old jpeg-ls": ("image/x-jls", jpeg_ls(GREY), ("4.80", "4.81"), 1, 8, "MONOCHROME2", ""),
    "lossy jpeg-ls": ("image/jls", jpeg_ls(GREY, 2), ("4.81",), 1, 8, "MONOCHROME2", "ISO_14495_1"),
    "jpeg 2000": ("image/jp2", jpeg_2000(DEEP), ("4.90", "4.91"), 1, 16, "MONOCHROME2", ""),
    "jpeg 2000 in boxes": (
        "image/jp2", jpeg_2000(RGB, boxes=True), ("4.90", "4.91"), 3, 8, "YBR_RCT", "",
    ),
    "lossy jpeg 2000": (
        "image/jp2", jpeg_2000(RGB, reversible=False), ("4.91",), 3, 8, "YBR_ICT", "ISO_15444_1",
    ),
    "jpeg 2000 part 2": ("image/jpx", jpeg_2000(GREY), ("4.92", "4.93"), 1, 8, "MONOCHROME2", ""),
    "htj2k": ("image/jphc", htj2k(DEEP), ("4.201", "4.202", "4.203"), 1, 16, "MONOCHROME2", ""),
    "lossy htj2k": (
        "image/jphc", htj2k(GREY, reversible=False), ("4.203",), 1, 8, "MONOCHROME2",
        "ISO_15444_15",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", IMAGES)
async def test_an_image_says_what_it_is(case: str) -> None:
    media, data, syntaxes, samples, bits, photometric, method = IMAGES[case]
    found = await described(media, data)
    assert found.transfer_syntaxes == tuple(UID + one for one in syntaxes)
    said = {tag: values[0] for tag, values in found.allowed.items()}
    assert (said[ROWS], said[COLUMNS], said[SAMPLES]) == (20, 30, samples)
    assert (said[BITS_STORED], said[BITS_ALLOCATED]) == (bits, 8 if bits == 8 else 16)
    assert (said[PHOTOMETRIC], found.method) == (photometric, method)


async def test_signed_samples_are_told_where_the_codestream_tells() -> None:
    data = jpeg_2000(DEEP.astype(np.int16))
    assert (await described("image/jp2", data)).allowed[PIXEL_REPRESENTATION] == (1,)
    assert (await described("image/jls", jpeg_ls(DEEP))).allowed[PIXEL_REPRESENTATION] == (0, 1)


async def test_the_codestream_is_found_in_its_boxes() -> None:
    data = jpeg_2000(RGB, boxes=True)
    found = await described("image/jp2", data)
    codestream = data[found.start :][: found.length if found.length >= 0 else None]
    assert codestream.startswith(b"\xff\x4f\xff\x51")
    assert codestream.endswith(b"\xff\xd9")
    decoded = imagecodecs.jpeg2k_decode(codestream)
    assert np.array_equal(decoded, RGB)


@pytest.mark.parametrize(
    ("media", "data"),
    [
        ("image/jls", jpeg(GREY)),
        ("image/jpeg", jpeg_ls(GREY)),
        ("image/jp2", htj2k(GREY)),
        ("image/jphc", jpeg_2000(GREY)),
        ("image/jp2", jpeg(GREY)),
        ("image/jxl", jpeg(GREY)),
        ("image/dicom-rle", jpeg(GREY)),
        ("video/mp4", mpeg2()),
        ("video/mpeg2", mp4()),
        ("image/jpeg", b""),
        ("image/jp2", jpeg_2000(GREY)[:50]),
        ("image/jpeg", jpeg(GREY)[:100]),
        ("video/mp4", mp4()[:200]),
    ],
)
async def test_data_of_another_kind_is_refused(media: str, data: bytes) -> None:
    with pytest.raises(Unprocessable):
        await described(media, data)


async def test_other_media_types_are_not_supported() -> None:
    for media in ("image/gif", "image/png", "application/pdf"):
        with pytest.raises(Unsupported):
            await described(media, b"GIF89a")


async def test_rle_says_how_many_bytes_a_pixel_has() -> None:
    import pydicom

    frame = frames(pydicom.dcmread(path("SC_rgb_rle_16bit.dcm")))[0]
    assert (await described("image/dicom-rle", frame)).segments == 6


async def test_jpeg_xl_is_told_by_its_beginning() -> None:
    data = bytes(imagecodecs.jpegxl_encode(GREY))
    assert UID + "4.110" in (await described("image/jxl", data)).transfer_syntaxes


# data, transfer syntax that is meant, bits, frames
VIDEOS = {
    "mpeg-2 high level": ("video/mpeg2", mpeg2(), "4.101", 8, 0),
    "mpeg-2 main level": ("video/mpeg", mpeg2(720, 576, profile_and_level=0x48), "4.100", 8, 0),
    "h.264": ("video/mp4", mp4(), "4.102", 8, 25),
    "h.264, movie last": ("video/mp4", mp4(movie_last=True, frames=3), "4.102", 8, 3),
    "h.264 main": ("video/mp4", mp4(entry=b"avc3", profile=77, level=30), "4.102", 8, 25),
    "h.264 4.2": ("video/mp4", mp4(level=42), "4.104", 8, 25),
    "h.264 stereo": ("video/mp4", mp4(profile=128, level=42), "4.106", 8, 25),
    "h.265": ("video/mp4", mp4(entry=b"hvc1", profile=1, level=153), "4.107", 8, 25),
    "h.265 10": ("video/mp4", mp4(entry=b"hev1", profile=2, level=120), "4.108", 10, 25),
}


@pytest.mark.parametrize("case", VIDEOS)
async def test_a_video_says_what_it_is(case: str) -> None:
    media, data, syntax, bits, count = VIDEOS[case]
    found = await described(media, data)
    assert found.transfer_syntaxes[0] == UID + syntax
    said = {tag: values[0] for tag, values in found.allowed.items()}
    sizes = {"video/mp4": (480, 640), "video/mpeg2": (1080, 1920), "video/mpeg": (576, 720)}
    assert (said[ROWS], said[COLUMNS]) == sizes[media]
    assert (said[BITS_STORED], said.get(NUMBER_OF_FRAMES, 0)) == (bits, count)
    assert said[PHOTOMETRIC] == "YBR_PARTIAL_420"


@pytest.mark.parametrize(
    ("media", "data"),
    [
        ("video/mpeg2", mpeg2(profile_and_level=0x14)),
        ("video/mpeg2", mpeg2(chroma=2)),
        ("video/mpeg2", mpeg2(profile_and_level=0x43)),
        ("video/mpeg2", mpeg2().replace(b"\x00\x00\x01\xb5", b"\x00\x00\x01\xb8")),
        ("video/mp4", mp4(profile=110)),
        ("video/mp4", mp4(level=51)),
        ("video/mp4", mp4(entry=b"hvc1", profile=4, level=90)),
        ("video/mp4", mp4(entry=b"mp4v")),
    ],
)
async def test_videos_without_a_transfer_syntax_are_not_supported(media: str, data: bytes) -> None:
    with pytest.raises(Unsupported):
        await described(media, data)


async def test_frames_have_what_is_common_to_them() -> None:
    lossless = await described("image/jp2", jpeg_2000(GREY))
    lossy = await described("image/jp2", jpeg_2000(GREY, reversible=False))
    both = image_media.common([lossless, lossy])
    assert (both.transfer_syntaxes, both.method) == ((UID + "4.91",), "ISO_15444_1")
    other = await described("image/jp2", jpeg_2000(GREY[:10]))
    with pytest.raises(Unprocessable):
        image_media.common([lossless, other])


EVERY = [(case[0], case[1]) for case in (*IMAGES.values(), *VIDEOS.values())]


@given(
    which=st.sampled_from(EVERY),
    at=st.integers(0, 400),
    replaced=st.binary(max_size=6),
    cut=st.integers(0, 3),
)
@settings(max_examples=500, deadline=None)
async def test_damaged_headers_are_read_or_refused(
    which: tuple[str, bytes], at: int, replaced: bytes, cut: int
) -> None:
    media, data = which
    damaged = data[:at] + replaced + (data[at + len(replaced) :] if cut else b"")
    try:
        found = await described(media, damaged)
    except (Unprocessable, Unsupported):
        return
    assert found.transfer_syntaxes
