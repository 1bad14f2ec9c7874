"""Small synthetic data sets, ordinary and awkward, as pydicom objects and as bytes."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)


def ct_image(
    rows: int = 512,
    columns: int = 512,
    *,
    study: str = "",
    series: str = "",
    instance: str = "",
    number: int = 1,
    patient_id: str = "P1",
) -> Dataset:
    """A CT image of 16 bits in Explicit VR Little Endian; the same arguments, the same pixels."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = instance or generate_uid()
    image.StudyInstanceUID = study or generate_uid()
    image.SeriesInstanceUID = series or generate_uid()
    image.PatientName = "PHANTOM^TEST"
    image.PatientID = patient_id
    image.PatientBirthDate = "19700101"
    image.PatientSex = "O"
    image.StudyDate = image.SeriesDate = image.ContentDate = "20260102"
    image.StudyTime = image.SeriesTime = image.ContentTime = "101112"
    image.AccessionNumber = "A1"
    image.StudyID = "1"
    image.ReferringPhysicianName = "REFERRER^ROSA"
    image.Modality = "CT"
    image.SeriesNumber = 1
    image.InstanceNumber = number
    image.FrameOfReferenceUID = image.SeriesInstanceUID
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.ImagePositionPatient = [0, 0, number]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.PixelSpacing = [1, 1]
    image.SliceThickness = 1
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows = rows
    image.Columns = columns
    image.BitsAllocated = 16
    image.BitsStored = 12
    image.HighBit = 11
    image.PixelRepresentation = 0
    image.WindowCenter = 2048
    image.WindowWidth = 4096
    image.RescaleIntercept = 0
    image.RescaleSlope = 1
    pixels = np.random.default_rng(number).integers(0, 4096, (rows, columns), dtype=np.uint16)
    image.add_new("PixelData", "OW", pixels.tobytes())
    return image


def tiny(study: str = "", series: str = "", instance: str = "", **values: object) -> Dataset:
    """The smallest storable instance, without pixels; `values` are attributes by keyword."""
    data_set = Dataset()
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data_set.SOPClassUID = CTImageStorage
    data_set.SOPInstanceUID = instance or generate_uid()
    data_set.StudyInstanceUID = study or generate_uid()
    data_set.SeriesInstanceUID = series or generate_uid()
    data_set.PatientID = "P1"
    data_set.Modality = "CT"
    for keyword, value in values.items():
        setattr(data_set, keyword, value)
    return data_set


def encoded(data_set: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> bytes:
    """The data set alone, without File Meta Information, in a native transfer syntax."""
    out = BytesIO()
    file = DicomIO(out)
    file.is_implicit_VR = transfer_syntax == ImplicitVRLittleEndian
    file.is_little_endian = transfer_syntax != ExplicitVRBigEndian
    write_dataset(file, data_set)
    return out.getvalue()


def write(data_set: Dataset, path: Path) -> Path:
    """Write a Part 10 file."""
    data_set.save_as(path, enforce_file_format=True)
    return path


def with_private_elements(data_set: Dataset | None = None) -> Dataset:
    """Adds a private block: known and unknown content, a sequence and 2,000 binary bytes."""
    data_set = data_set if data_set is not None else tiny()
    block = data_set.private_block(0x0009, "ISOCENTER TEST", create=True)
    block.add_new(0x01, "LO", "private text")
    block.add_new(0x02, "OB", bytes(range(250)) * 8)
    block.add_new(0x03, "UN", b"\1\2\3\4")
    item = Dataset()
    item.private_block(0x0009, "ISOCENTER TEST", create=True).add_new(0x01, "DS", "1.5")
    block.add_new(0x04, "SQ", Sequence([item]))
    return data_set


def raw_element(tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    """One element in Explicit VR Little Endian as given: any VR, padding and declared length."""
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    declared = len(value) if length is None else length
    if vr in {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV", "ZZ"}:
        return head + b"\0\0" + struct.pack("<I", declared) + value
    return head + struct.pack("<H", declared) + value


def with_odd_padding(data_set: Dataset | None = None) -> bytes:
    """Texts padded with NUL, UIDs padded with a space, and an odd length: all against PS3.5 6.2."""
    awkward = (
        raw_element(0x00081030, "LO", b"NUL padded\0\0"),
        raw_element(0x00081155, "UI", b"1.2.3 "),
        raw_element(0x00082111, "ST", b"odd"),
    )
    return _inserted(data_set, b"".join(awkward))


def with_unknown_vr(data_set: Dataset | None = None) -> bytes:
    """A VR that no edition knows (in the 32-bit form of PS3.5 6.2.2) in the header."""
    return _inserted(data_set, raw_element(0x00091001, "ZZ", b"what is this?!"))


def _inserted(data_set: Dataset | None, element: bytes) -> bytes:
    """The encoded data set with an element of group 0008 or 0009 at its place."""
    data_set = data_set if data_set is not None else tiny()
    tag = struct.unpack("<HH", element[:4])
    before, after = Dataset(), Dataset()
    for entry in data_set:
        target = before if (entry.tag.group, entry.tag.element) < tag else after
        target.add(entry)
    return encoded(before) + element + encoded(after)


def nested(depth: int, *, undefined_length: bool = False) -> bytes:
    """The encoded smallest instance with `depth` sequences in one another, in group 0040."""
    tag = 0x0040A730  # Content Sequence
    inside = b""
    for _ in range(depth):
        if undefined_length:
            item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + inside
            item += struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
            value = item + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
            inside = raw_element(tag, "SQ", value, 0xFFFFFFFF)
        else:
            item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inside)) + inside
            inside = raw_element(tag, "SQ", item)
    return encoded(tiny()) + inside


def truncated(data: bytes, missing: int = 1) -> bytes:
    """What is left when a sender stops before the last bytes."""
    return data[:-missing]
