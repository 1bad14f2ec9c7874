"""The header of a new instance that has some of the frames of another one (PS3.4 Y.3.3).

What says something of each frame says it of those that are left; what would be wrong without the
others goes, or the extraction is refused. The same frames of the same object make the same header.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from itertools import accumulate, pairwise

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.tag import BaseTag
from pydicom.valuerep import DT, format_number_as_ds

from isocenter.core.errors import Unsupported
from isocenter.core.frame_selection import FrameRange, NotTimed
from isocenter.core.transfer_syntax import TransferSyntax

# Of a concatenation, which the new instance is none of; of what was left out; of what was signed.
_DROPPED = (
    "ConcatenationUID", "InConcatenationNumber", "InConcatenationTotalNumber",
    "ConcatenationFrameOffsetNumber", "SOPInstanceUIDOfConcatenationSource",
    "PixelDataProviderURL", "InstanceCreationDate", "InstanceCreationTime",
    "StartTrim", "StopTrim", "EffectiveDuration", "MaskSubtractionSequence",
    "MACParametersSequence", "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
)  # fmt: skip
# One value for each frame.
_VECTORS = (
    "EnergyWindowVector", "DetectorVector", "PhaseVector", "RotationVector", "RRIntervalVector",
    "TimeSlotVector", "SliceVector", "AngularViewVector", "TimeSliceVector",
)  # fmt: skip
# Values that count from frame to frame, or from the first one, which may not be there any more.
_RELATIVE = (
    "PositionerPrimaryAngleIncrement", "PositionerSecondaryAngleIncrement",
    "TableVerticalIncrement", "TableLateralIncrement", "TableLongitudinalIncrement",
    "GridFrameOffsetVector",
)  # fmt: skip
_NUMBERS = (
    "RepresentativeFrameNumber", "FrameNumbersOfInterest", "FrameOfInterestDescription",
    "FrameOfInterestType",
)  # fmt: skip
_PER_FRAME = "PerFrameFunctionalGroupsSequence"
_OVERLAY_FRAMES = 0x0015  # Number of Frames in Overlay (60xx,0015)
_CURVES, _OVERLAYS = range(0x5000, 0x5020, 2), range(0x6000, 0x6020, 2)


def parse(header: bytes, syntax: TransferSyntax) -> Dataset:
    """The elements before Pixel Data."""
    return read_dataset(BytesIO(header), syntax.implicit_vr, syntax.little_endian)


def encode(header: Dataset, syntax: TransferSyntax) -> bytes:
    """The same as bytes."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = syntax.implicit_vr, syntax.little_endian
    write_dataset(buffer, header)
    return buffer.getvalue()


def frame_count(header: Dataset) -> int:
    """How many frames there are. Raises `Unsupported` for what is no multi-frame image."""
    if not header.get("NumberOfFrames") or not header.get("Rows"):
        raise Unsupported("only multi-frame images have frames to extract")
    return int(header.NumberOfFrames)


def frame_times(header: Dataset, count: int) -> Sequence[float]:
    """Seconds of each frame after Content Time (PS3.4 Y.3.2.1.3). Raises `NotTimed`."""
    delay = float(header.get("FrameDelay") or 0) / 1000
    vector = header.get("FrameTimeVector")
    if vector is not None and len(vector) == count:
        return [delay + time / 1000 for time in accumulate([0.0, *map(float, vector[1:])])]
    if header.get("FrameTime"):
        return [delay + float(header.FrameTime) / 1000 * place for place in range(count)]
    return _reference_times(header, count)


def _reference_times(header: Dataset, count: int) -> Sequence[float]:
    taken = [
        DT(str(content.FrameReferenceDateTime))
        for group in header.get(_PER_FRAME) or ()
        for content in group.get("FrameContentSequence") or ()
        if content.get("FrameReferenceDateTime")
    ]
    if len(taken) != count or not header.get("ContentTime"):
        raise NotTimed("nothing says when the frames of this instance were taken")
    day = header.get("ContentDate") or taken[0].strftime("%Y%m%d")
    start = DT(f"{day}{header.ContentTime}")
    return [(_naive(time) - _naive(start)).total_seconds() for time in taken]


def _naive(time: datetime) -> datetime:
    """Content Time has no zone of its own: all are of the same one."""
    return time.replace(tzinfo=None)


@dataclass(frozen=True, slots=True)
class Extraction:
    """Some frames of an instance."""

    source: str  # its SOP Instance UID
    digest: str  # of what it is as it is kept, with its corrections
    asked: FrameRange
    frames: tuple[int, ...]
    count: int  # how many the source has

    @property
    def instance(self) -> str:
        """The SOP Instance UID of the new instance (PS3.5 B.2): another one for other frames."""
        what = f"{self.digest} {self.asked.kind.value} {self.asked.values} {self.frames}"
        return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, what).int}"


def extract(header: Dataset, what: Extraction) -> None:
    """Make a header that of the new instance. Raises `Unsupported` where the frames mean nothing
    without the others."""
    _check(header)
    _drop(header)
    _without_private(header)
    if _PER_FRAME in header:
        groups = header[_PER_FRAME].value
        header[_PER_FRAME].value = [groups[frame - 1] for frame in what.frames]
    pointers = header.get("FrameIncrementPointer") or ()
    pointed = (pointers,) if isinstance(pointers, BaseTag) else pointers
    for vector in (*_VECTORS, *pointed):
        _pick(header, vector, what)
    _renumber(header, what)
    _retime(header, what)
    header.NumberOfFrames = len(what.frames)
    header.SOPInstanceUID = what.instance
    _append(header, "FrameExtractionSequence", _extraction_item(what))
    _append(header, "ContributingEquipmentSequence", _equipment_item())


def _check(header: Dataset) -> None:
    for keyword in _RELATIVE:
        if keyword in header and header[keyword].VM > 1:
            raise Unsupported(f"{keyword} cannot be told of single frames")
    if header.get("DimensionOrganizationType") == "TILED_FULL":
        raise Unsupported("the places of the frames are told by their order (TILED_FULL)")
    size = header.Rows * header.Columns * header.get("SamplesPerPixel", 1)
    if header.get("BitsAllocated") == 1 and size % 8:
        raise Unsupported("its frames of single bits do not end at bytes")


def _drop(header: Dataset) -> None:
    if header.pop("MaskSubtractionSequence", None) is not None:
        header.RecommendedViewingMode = "NAT"
    for keyword in _DROPPED:
        header.pop(keyword, None)
    several = {group for group in _OVERLAYS if (group, _OVERLAY_FRAMES) in header}
    for tag in list(header.keys()):
        if tag.group in _CURVES or tag.group in several:
            del header[tag]


def _without_private(data_set: Dataset) -> None:
    """What private attributes mean for the new instance is not known (PS3.4 Y.3.3)."""
    for tag in list(data_set.keys()):
        if tag.is_private:
            del data_set[tag]
        elif _is_sequence(data_set.get_item(tag)):
            for item in data_set[tag].value:
                _without_private(item)


def _is_sequence(element: DataElement | RawDataElement) -> bool:
    try:
        return (element.VR or dictionary_VR(element.tag)) == "SQ"
    except KeyError:  # of a later edition
        return False


def _pick(header: Dataset, of: str | BaseTag, what: Extraction) -> None:
    """Leave the values of the frames that are left."""
    if of not in header:
        return
    element = header[of]
    if what.count == element.VM and element.keyword != "FrameTimeVector":
        values = element.value if element.VM > 1 else [element.value]
        element.value = [values[frame - 1] for frame in what.frames]


def _renumber(header: Dataset, what: Extraction) -> None:
    """Numbers of frames that something else is said of."""
    new = {frame: place for place, frame in enumerate(what.frames, 1)}
    representative = new.get(header.get("RepresentativeFrameNumber", 0))
    for keyword in _NUMBERS:
        header.pop(keyword, None)
    if representative is not None:
        header.RepresentativeFrameNumber = representative


def _retime(header: Dataset, what: Extraction) -> None:
    """The first frame is later after Content Time now, and the others after the one before."""
    if "FrameTime" not in header and "FrameTimeVector" not in header:
        return
    times = [time * 1000 for time in frame_times(header, what.count)]
    taken = [times[frame - 1] for frame in what.frames]
    if what.frames[0] > 1:
        header.FrameDelay = _ds(taken[0])
    steps = {b - a for a, b in pairwise(what.frames)}
    if "FrameTimeVector" not in header and len(steps) <= 1:
        header.FrameTime = _ds(float(header.FrameTime) * next(iter(steps), 1))
        return
    header.FrameTimeVector = [_ds(0.0), *(_ds(b - a) for a, b in pairwise(taken))]
    if header.pop("FrameTime", None) is not None and header.get("FrameIncrementPointer"):
        header.FrameIncrementPointer = 0x00181065  # Frame Time Vector


def _ds(value: float) -> str:
    return format_number_as_ds(round(value, 6))


def _append(header: Dataset, keyword: str, item: Dataset) -> None:
    before = header[keyword].value if keyword in header else []
    setattr(header, keyword, [*before, item])


def _extraction_item(what: Extraction) -> Dataset:
    """The Frame Extraction Module (PS3.3 C.12.3)."""
    item = Dataset()
    item.MultiFrameSourceSOPInstanceUID = what.source
    tag = int(what.asked.kind.value, 16)
    vr = dictionary_VR(tag)
    values = [value if vr == "FD" else int(value) for value in what.asked.values]
    item.add_new(tag, vr, values)
    return item


def _equipment_item() -> Dataset:
    purpose = Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = "109105", "DCM"
    purpose.CodeMeaning = "Frame Extracting Equipment"
    item = Dataset()
    item.Manufacturer = "Isocenter"
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item
