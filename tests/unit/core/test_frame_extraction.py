"""Headers of new instances of some frames (PS3.4 Y.3.3)."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from isocenter.core.errors import Unsupported
from isocenter.core.frame_extraction import (
    Extraction,
    encode,
    extract,
    frame_count,
    frame_times,
    parse,
)
from isocenter.core.frame_selection import FrameRange, Kind, NotTimed
from isocenter.core.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    lookup,
)

SOURCE = "1.2.3"


def cine(count: int = 6, **attributes: object) -> Dataset:
    """A header of a multi-frame image."""
    data_set = Dataset()
    data_set.SOPInstanceUID = SOURCE
    data_set.Rows, data_set.Columns, data_set.BitsAllocated = 8, 8, 8
    data_set.NumberOfFrames = count
    for keyword, value in attributes.items():
        setattr(data_set, keyword, value)
    return data_set


def extracted(header: Dataset, *frames: int) -> Dataset:
    """The header of a new instance of these frames."""
    what = Extraction(
        SOURCE, "digest", FrameRange(Kind.SIMPLE, frames), frames, frame_count(header)
    )
    extract(header, what)
    assert header.SOPInstanceUID == what.instance
    return header


def test_it_says_what_it_is_and_of_what() -> None:
    new = extracted(cine(), 2, 5)
    assert new.NumberOfFrames == 2
    [item] = new.FrameExtractionSequence
    assert (item.MultiFrameSourceSOPInstanceUID, item.SimpleFrameList) == (SOURCE, [2, 5])
    [equipment] = new.ContributingEquipmentSequence
    [purpose] = equipment.PurposeOfReferenceCodeSequence
    assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("109105", "DCM")
    again = extracted(new, 1)
    assert [len(item.dir()) for item in again.FrameExtractionSequence] == [2, 2]
    assert len(again.ContributingEquipmentSequence) == 2


def test_other_frames_are_another_instance_and_the_same_ones_the_same() -> None:
    uids = [extracted(cine(), *frames).SOPInstanceUID for frames in ((1, 2), (1, 2), (1, 3))]
    assert len(set(uids)) == 2
    assert uids[0] == uids[1] != SOURCE


@pytest.mark.parametrize(
    ("before", "frames", "after"),
    [
        ({"FrameTime": 40}, (1, 2, 3), {"FrameTime": 40}),
        ({"FrameTime": 40}, (2, 4, 6), {"FrameTime": 80, "FrameDelay": 40}),
        ({"FrameTime": 40, "FrameDelay": 100}, (3,), {"FrameTime": 40, "FrameDelay": 180}),
        ({"FrameTime": 40, "FrameIncrementPointer": 0x00181063}, (1, 2, 5),
         {"FrameTimeVector": [0, 40, 120], "FrameIncrementPointer": 0x00181065}),
        ({"FrameTimeVector": [0, 10, 20, 30, 40, 50], "FrameIncrementPointer": 0x00181065},
         (2, 4, 5), {"FrameTimeVector": [0, 50, 40], "FrameDelay": 10,
                     "FrameIncrementPointer": 0x00181065}),
    ],
)  # fmt: skip
def test_frames_keep_their_times(before, frames, after) -> None:
    times = frame_times(cine(**before), 6)
    new = extracted(cine(**before), *frames)
    timing = ("FrameTime", "FrameTimeVector", "FrameDelay", "FrameIncrementPointer")
    assert {keyword: new[keyword].value for keyword in timing if keyword in new} == after
    assert frame_times(new, len(frames)) == pytest.approx([times[frame - 1] for frame in frames])


def test_times_of_frames_that_are_told_by_their_functional_groups() -> None:
    groups = []
    for seconds in (1, 3, 6):
        content, group = Dataset(), Dataset()
        content.FrameReferenceDateTime = f"2026010112000{seconds}.5+0100"
        group.FrameContentSequence = [content]
        groups.append(group)
    header = cine(3, PerFrameFunctionalGroupsSequence=groups, ContentTime="120000")
    assert frame_times(header, 3) == [1.5, 3.5, 6.5]
    with pytest.raises(NotTimed):
        frame_times(header, 4)
    with pytest.raises(NotTimed):
        frame_times(cine(), 6)


def test_what_is_said_of_each_frame_is_said_of_those_that_are_left() -> None:
    header = cine(
        4,
        FrameIncrementPointer=[0x00540010, 0x00540080, 0x00281199],
        EnergyWindowVector=[1, 1, 2, 2],
        SliceVector=[1, 2, 1, 2],
        RepresentativeFrameNumber=3,
        FrameNumbersOfInterest=[2, 3],
    )
    header.add_new(0x00281199, "UI", [f"1.{number}" for number in range(4)])
    new = extracted(header, 1, 3, 4)
    assert (new.EnergyWindowVector, new.SliceVector) == ([1, 2, 2], [1, 1, 2])
    assert list(new[0x00281199].value) == ["1.0", "1.2", "1.3"]
    assert new.RepresentativeFrameNumber == 2
    assert "FrameNumbersOfInterest" not in new
    assert "RepresentativeFrameNumber" not in extracted(cine(RepresentativeFrameNumber=3), 1)


def test_what_would_be_wrong_is_not_there() -> None:
    mask = Dataset()
    mask.MaskOperation = "AVG_SUB"
    header = cine(
        MaskSubtractionSequence=[mask],
        RecommendedViewingMode="SUB",
        ConcatenationUID="1.2",
        InstanceCreationDate="20260101",
        PixelDataProviderURL="http://elsewhere",
    )
    private = header.private_block(0x0029, "SOMEBODY", create=True)
    private.add_new(1, "LO", "something of frame 4")
    header.add_new(0x60000010, "US", 8)
    header.add_new(0x60020010, "US", 8)
    header.add_new(0x60020015, "IS", 6)
    new = extracted(header, 1)
    assert new.RecommendedViewingMode == "NAT"
    for keyword in ("MaskSubtractionSequence", "ConcatenationUID", "InstanceCreationDate"):
        assert keyword not in new
    assert not [tag for tag in new if tag.tag.is_private]
    assert 0x60000010 in new
    assert 0x60020010 not in new


@pytest.mark.parametrize(
    "attributes",
    [
        {"GridFrameOffsetVector": [0, 1, 2, 3, 4, 5]},
        {"PositionerPrimaryAngleIncrement": [0, 1, 2, 3, 4, 5]},
        {"DimensionOrganizationType": "TILED_FULL"},
        {"BitsAllocated": 1, "Rows": 3, "Columns": 5},
    ],
)
def test_frames_that_mean_nothing_alone_are_refused(attributes) -> None:
    with pytest.raises(Unsupported):
        extracted(cine(**attributes), 1)


@pytest.mark.parametrize("attributes", [{}, {"NumberOfFrames": 4}, {"Rows": 4}])
def test_what_is_no_multi_frame_image_has_no_frames(attributes) -> None:
    header = Dataset()
    for keyword, value in attributes.items():
        setattr(header, keyword, value)
    with pytest.raises(Unsupported):
        frame_count(header)


@pytest.mark.parametrize(
    "syntax", [IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN]
)
def test_functional_groups_are_those_of_the_frames_that_are_left(syntax: str) -> None:
    known = lookup(syntax)
    source = cine(3, SpecificCharacterSet="ISO_IR 192", PatientName="山田^太郎")
    source.PerFrameFunctionalGroupsSequence = [_group(number) for number in (1, 2, 3)]
    header = parse(encode(source, known), known)
    new = parse(encode(extracted(header, 1, 3), known), known)
    assert list(new.PerFrameFunctionalGroupsSequence) == [_group(1), _group(3)]
    assert str(new.PatientName) == "山田^太郎"


def _group(number: int) -> Dataset:
    """What is said of one frame; what a private attribute means nobody knows."""
    content, group = Dataset(), Dataset()
    content.DimensionIndexValues = [1, number]
    group.FrameContentSequence = [content]
    return group


def test_private_attributes_of_frames_go_too() -> None:
    group = _group(1)
    group.FrameContentSequence[0].private_block(0x0029, "X", create=True).add_new(1, "LO", "y")
    new = extracted(cine(2, PerFrameFunctionalGroupsSequence=[group, _group(2)]), 1)
    assert list(new.PerFrameFunctionalGroupsSequence) == [_group(1)]
