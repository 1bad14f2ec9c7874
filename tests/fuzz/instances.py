"""DICOM objects whose patient is marked, and what can go wrong with their bytes."""

from __future__ import annotations

import itertools
import random
import struct
from functools import cache
from io import BytesIO

from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from fuzz.target import MARK
from isocenter.core.part10 import parse_meta
from support.datasets import ct_image
from support.objects import nested

NAME = f"{MARK.decode()}^NAME"
_ROOT = f"1.2.826.0.1.3680043.8.498.{random.SystemRandom().randrange(10**11, 10**12)}"
_numbers = itertools.count(10**9)  # all of one length: what is drawn must not depend on them

# Tags whose values steer how an object is read, by their bytes in little endian.
_STEERING = [
    struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    for tag in (
        0x00020010, 0x00080005, 0x00080016, 0x00080018, 0x0020000D, 0x0020000E, 0x00280002,
        0x00280004, 0x00280006, 0x00280008, 0x00280010, 0x00280011, 0x00280100, 0x00280101,
        0x00280102, 0x00280103, 0x00281050, 0x00281051, 0x00281052, 0x00281053, 0x7FE00010,
        0x00420011, 0x00420012, 0x00200013, 0x00100010,
    )
]  # fmt: skip
_ODD_VALUES = [b"\x00\x00", b"\xff\xff", b"\x01\x00", b"\x07\x00", b"0 ", b"-1", b"1e", b"\\\\",
               b"NaN ", b"9999999999", b"\x1b$B", b"\xc3\x28"]  # fmt: skip


def new_uid() -> str:
    """Of this run alone."""
    return f"{_ROOT}.{next(_numbers)}"


def image(frames: int = 1, *, study: str = "", series: str = "", edge: int = 8) -> Dataset:
    """A small image of a marked patient."""
    made = ct_image(
        edge, edge, study=study or new_uid(), series=series or new_uid(), instance=new_uid(),
        patient_id=MARK.decode(),
    )  # fmt: skip
    made.PatientName = NAME
    if frames > 1:
        made.NumberOfFrames = frames
        made.PixelData = made.PixelData * frames
    return made


def document(data: bytes = b"%PDF-1.7\n%%EOF\n") -> Dataset:
    """An Encapsulated PDF of a marked patient."""
    made = image()
    made.SOPClassUID = EncapsulatedPDFStorage
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "SamplesPerPixel"):
        delattr(made, keyword)
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.add_new("EncapsulatedDocument", "OB", data)
    return made


def as_file(instance: Dataset, syntax: str = "") -> bytes:
    """As a Part 10 file."""
    if syntax:
        instance.file_meta.TransferSyntaxUID = UID(syntax)
    out = BytesIO()
    meta = instance.file_meta.TransferSyntaxUID
    instance.save_as(
        out, enforce_file_format=True, implicit_vr=meta.is_implicit_VR,
        little_endian=meta.is_little_endian,
    )  # fmt: skip
    return out.getvalue()


def data_set_of(file: bytes) -> bytes:
    """Of a Part 10 file, without File Meta Information."""
    meta = parse_meta(file)
    assert meta is not None
    return file[meta.length :]


@cache
def templates() -> tuple[bytes, ...]:
    """Files in several transfer syntaxes, which `anew` gives other UIDs."""
    found = [as_file(image()), as_file(image(3)), as_file(document())]
    for syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian):
        found.append(as_file(image(), syntax))  # noqa: PERF401 - one of two kinds
    for syntax in (JPEGLSLossless, JPEG2000Lossless, RLELossless):
        compressed = image(2, edge=64)
        compressed.compress(syntax, generate_instance_uid=False)
        found.append(as_file(compressed))
    broken = image()
    broken.file_meta.TransferSyntaxUID = UID(JPEGBaseline8Bit)
    broken.add_new("PixelData", "OB", _item(b"") + _item(b"\xff\xd8\xff\xd9"))
    broken["PixelData"].is_undefined_length = True
    found.append(as_file(broken))
    return tuple(found)


def _item(data: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(data)) + data


def anew(template: bytes) -> tuple[bytes, str]:
    """The same with UIDs of its own; its study."""
    instance = dcmread(BytesIO(template))
    instance.SOPInstanceUID = instance.file_meta.MediaStorageSOPInstanceUID = UID(new_uid())
    instance.StudyInstanceUID, instance.SeriesInstanceUID = new_uid(), new_uid()
    return as_file(instance), str(instance.StudyInstanceUID)


def place(draw: st.DrawFn, size: int) -> int:
    """Somewhere in so many bytes."""
    return draw(st.integers(0, 2**20)) % (size + 1)


@st.composite
def mutants(draw: st.DrawFn) -> tuple[bytes, str]:
    """A file with something wrong in it, and the study it is of if that is still told."""
    content, study = anew(draw(st.sampled_from(templates())))
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        _mutate(draw, data)
    return bytes(data), study


def _mutate(draw: st.DrawFn, data: bytearray) -> None:
    at = place(draw, len(data))
    found = data.find(draw(st.sampled_from(_STEERING)), 132)
    within = draw(st.integers(-1, 14))
    if within >= 0 and found >= 0:
        at = found + within
    match draw(st.sampled_from(_MUTATIONS)):
        case "cut":
            del data[at:]
        case "remove":
            del data[at : at + draw(st.integers(1, 64))]
        case "flip":
            data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        case "value":
            value = draw(st.sampled_from(_ODD_VALUES))
            data[at : at + len(value)] = value
        case "length":
            length = draw(st.sampled_from([0, 1, 0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF, 3, 0xFFFF]))
            data[at : at + 4] = struct.pack("<I", length)
        case "repeat":
            data[at:at] = data[at : at + draw(st.integers(1, 300))]
        case "nest":
            depth = draw(st.sampled_from([1, 63, 64, 65, 300]))
            at = max(at, data.find(b"\x28\x00\x02\x00US"))
            data[at:at] = nested(depth, undefined=draw(st.booleans()))
        case _:
            data[at:at] = draw(st.binary(min_size=1, max_size=40))


_MUTATIONS = ["cut", "remove", "flip", "flip", "value", "value", "value", "length", "repeat",
              "nest", "insert"]  # fmt: skip
