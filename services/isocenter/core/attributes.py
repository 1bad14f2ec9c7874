"""The searchable attributes of each level, and how a level's values follow from its instances.

One table: the required and optional keys of PS3.4 C.6.1.1 and C.6.2.1, what PS3.18 tables 10.6.1-5
and 10.6.3-3 to 10.6.3-5 ask a search to match and to answer with, and the attributes that an
administrator adds (`core.added`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

from isocenter.core.matching import JsonAttributes, Level
from isocenter.core.private import blocks_in, element_in, unblocked, values_as
from isocenter.core.terms import INTEGERS, terms


class Derivation(Enum):
    """Where the value of a level comes from."""

    VALUE = "value"  # one of the instances' values, the best in the order of `_rank`
    SET = "set"  # the distinct values of another attribute of all instances
    COUNT = "count"  # counted by the index; answered, never matched


@dataclass(frozen=True, slots=True)
class Attribute:
    """One row of the table."""

    tag: str  # eight upper-case hexadecimal digits; of a private one, its name in `core.private`
    keyword: str
    vr: str
    level: Level
    default: bool = False  # answered without being asked for
    derivation: Derivation = Derivation.VALUE
    of: str = ""  # SET: the tag of the instances' attribute
    items: tuple[str, ...] = ()  # SQ: the tags kept of each item
    creator: str = ""  # of a private one
    added: bool = False  # by an administrator

    @property
    def matched(self) -> bool:
        """Whether a key of this attribute narrows a search."""
        return self.derivation is not Derivation.COUNT


_P, _ST, _SE, _I = Level.PATIENT, Level.STUDY, Level.SERIES, Level.INSTANCE
_SET, _COUNT = Derivation.SET, Derivation.COUNT

TABLE: tuple[Attribute, ...] = (
    Attribute("00100010", "PatientName", "PN", _P, True),
    Attribute("00100020", "PatientID", "LO", _P, True),
    Attribute("00100021", "IssuerOfPatientID", "LO", _P, True),
    Attribute("00100030", "PatientBirthDate", "DA", _P, True),
    Attribute("00100032", "PatientBirthTime", "TM", _P),
    Attribute("00100040", "PatientSex", "CS", _P, True),
    Attribute("00101000", "OtherPatientIDs", "LO", _P),
    Attribute("00101001", "OtherPatientNames", "PN", _P),
    Attribute("00102160", "EthnicGroup", "SH", _P),
    Attribute("00104000", "PatientComments", "LT", _P),
    Attribute("00201200", "NumberOfPatientRelatedStudies", "IS", _P, True, _COUNT),
    Attribute("00201202", "NumberOfPatientRelatedSeries", "IS", _P, True, _COUNT),
    Attribute("00201204", "NumberOfPatientRelatedInstances", "IS", _P, True, _COUNT),
    Attribute("0020000D", "StudyInstanceUID", "UI", _ST, True),
    Attribute("00080020", "StudyDate", "DA", _ST, True),
    Attribute("00080030", "StudyTime", "TM", _ST, True),
    Attribute("00080050", "AccessionNumber", "SH", _ST, True),
    Attribute("00080061", "ModalitiesInStudy", "CS", _ST, True, _SET, "00080060"),
    Attribute("00080062", "SOPClassesInStudy", "UI", _ST, False, _SET, "00080016"),
    Attribute("00080090", "ReferringPhysicianName", "PN", _ST, True),
    Attribute("00080201", "TimezoneOffsetFromUTC", "SH", _ST, True),
    Attribute("00081030", "StudyDescription", "LO", _ST, True),
    Attribute("00081048", "PhysiciansOfRecord", "PN", _ST),
    Attribute("00081060", "NameOfPhysiciansReadingStudy", "PN", _ST),
    Attribute("00081080", "AdmittingDiagnosesDescription", "LO", _ST),
    Attribute("00101010", "PatientAge", "AS", _ST),
    Attribute("00101020", "PatientSize", "DS", _ST),
    Attribute("00101030", "PatientWeight", "DS", _ST),
    Attribute("00102180", "Occupation", "SH", _ST),
    Attribute("001021B0", "AdditionalPatientHistory", "LT", _ST),
    Attribute("00200010", "StudyID", "SH", _ST, True),
    Attribute("00201206", "NumberOfStudyRelatedSeries", "IS", _ST, True, _COUNT),
    Attribute("00201208", "NumberOfStudyRelatedInstances", "IS", _ST, True, _COUNT),
    Attribute("00080060", "Modality", "CS", _SE, True),
    Attribute("0020000E", "SeriesInstanceUID", "UI", _SE, True),
    Attribute("00200011", "SeriesNumber", "IS", _SE, True),
    Attribute("00080021", "SeriesDate", "DA", _SE, True),
    Attribute("00080031", "SeriesTime", "TM", _SE, True),
    Attribute("00080070", "Manufacturer", "LO", _SE),
    Attribute("00080080", "InstitutionName", "LO", _SE),
    Attribute("00081010", "StationName", "SH", _SE),
    Attribute("0008103E", "SeriesDescription", "LO", _SE, True),
    Attribute("00081040", "InstitutionalDepartmentName", "LO", _SE),
    Attribute("00081050", "PerformingPhysicianName", "PN", _SE),
    Attribute("00081070", "OperatorsName", "PN", _SE),
    Attribute("00081090", "ManufacturerModelName", "LO", _SE),
    Attribute("00180015", "BodyPartExamined", "CS", _SE, True),
    Attribute("00181000", "DeviceSerialNumber", "LO", _SE),
    Attribute("00181030", "ProtocolName", "LO", _SE),
    Attribute("00185100", "PatientPosition", "CS", _SE),
    Attribute("00200052", "FrameOfReferenceUID", "UI", _SE),
    Attribute("00200060", "Laterality", "CS", _SE, True),
    Attribute("00201209", "NumberOfSeriesRelatedInstances", "IS", _SE, True, _COUNT),
    Attribute("00400244", "PerformedProcedureStepStartDate", "DA", _SE, True),
    Attribute("00400245", "PerformedProcedureStepStartTime", "TM", _SE, True),
    Attribute("00400253", "PerformedProcedureStepID", "SH", _SE),
    Attribute("00400254", "PerformedProcedureStepDescription", "LO", _SE),
    Attribute(
        "00400275", "RequestAttributesSequence", "SQ", _SE, True,
        items=("00400009", "00401001"),  # ScheduledProcedureStepID, RequestedProcedureID
    ),
    Attribute("00080016", "SOPClassUID", "UI", _I, True),
    Attribute("00080018", "SOPInstanceUID", "UI", _I, True),
    Attribute("00200013", "InstanceNumber", "IS", _I, True),
    Attribute("00080008", "ImageType", "CS", _I),
    Attribute("00080022", "AcquisitionDate", "DA", _I),
    Attribute("00080023", "ContentDate", "DA", _I),
    Attribute("0008002A", "AcquisitionDateTime", "DT", _I),
    Attribute("00080032", "AcquisitionTime", "TM", _I),
    Attribute("00080033", "ContentTime", "TM", _I),
    Attribute("00200012", "AcquisitionNumber", "IS", _I),
    Attribute("00280008", "NumberOfFrames", "IS", _I, True),
    Attribute("00280010", "Rows", "US", _I, True),
    Attribute("00280011", "Columns", "US", _I, True),
    Attribute("00280100", "BitsAllocated", "US", _I, True),
    Attribute("0040A491", "CompletionFlag", "CS", _I),
    Attribute("0040A493", "VerificationFlag", "CS", _I),
    Attribute("00420010", "DocumentTitle", "ST", _I),
)  # fmt: skip

BY_TAG = {row.tag: row for row in TABLE}
BY_KEYWORD = {row.keyword: row for row in TABLE}

# By which studies can be put in order, beside the usual one.
ORDERS = ("00080020", "00080030", "00080050", "00100010", "00100020")
_ORDER_LENGTH = 256  # of an order term, characters

DEPTH = {level: depth for depth, level in enumerate(Level)}  # PATIENT 0 ... INSTANCE 3

_SETS = tuple(row for row in TABLE if row.derivation is Derivation.SET)
_REAL = (int, float)
_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(INTEGERS, int), **dict.fromkeys(("IS", "DS", "FL", "FD"), _REAL),
    "PN": dict, "SQ": dict,
}  # fmt: skip
_SINGLE = frozenset({"DA", "TM", "DT"})  # all of the built-in ones are VM 1


# The sites that a study came from: nothing that objects or queries name, but kept beside the study
# (`core.sites`), held and matched by the index like the others.
SITES = Attribute("0009FF01", "Sites", "LO", _ST, derivation=_SET)


class Attributes:
    """The whole table: the built-in rows, and those that are added."""

    def __init__(self, added: Sequence[Attribute] = ()) -> None:
        self.added = tuple(added)
        rows = (*TABLE, *self.added, SITES)
        self._by_tag = {row.tag: row for row in rows}
        self._of_level = {level: tuple(r for r in rows if r.level is level) for level in Level}
        self._taken = tuple(row for row in rows if row.derivation is Derivation.VALUE)
        self._private = tuple(row for row in self.added if row.creator)

    def get(self, tag: str) -> Attribute | None:
        """The row with a tag as it stands in the table."""
        return self._by_tag.get(tag)

    def named(self, tag: str, creator: str = "") -> Attribute | None:
        """The row of an attribute as data sets and queries name it: a private one by its tag in the
        block of this creator."""
        in_a_block = creator and tag[4:6] != "00"
        row = self._by_tag.get(unblocked(tag, creator) if in_a_block else tag)
        return None if row is SITES else row

    def of_level(self, level: Level) -> tuple[Attribute, ...]:
        """The rows of one level."""
        return self._of_level[level]

    def searchable(self, tag: str, level: Level) -> Attribute | None:
        """The row by which a key narrows a search of `level`: one of this level or of one above."""
        row = self._by_tag.get(tag)
        return row if row and row.matched and DEPTH[row.level] <= DEPTH[level] else None

    def answered(self, level: Level, include: Iterable[str], *, everything: bool) -> frozenset[str]:
        """The tags with which an index answers a search of `level`: the default ones and those
        asked for, or all that the level has."""
        if not everything:
            return default_tags(level) | frozenset(include)
        asked = frozenset(include) & {SITES.tag}
        rows = (row for row in self._by_tag.values() if row is not SITES)
        return asked | frozenset(row.tag for row in rows if DEPTH[row.level] <= DEPTH[level])

    def extract(self, attributes: JsonAttributes) -> JsonAttributes:
        """The searchable attributes of a data set, in the VRs of the table, without empty ones.

        Values of another type than their VR has in the DICOM JSON Model are left out. Attributes
        that are sets at a higher level are added with this instance's values.
        """
        if self._private:
            blocks = blocks_in(attributes)
            own = {row.tag: element_in(attributes, blocks, row.tag) for row in self._private}
            attributes = attributes | {tag: found for tag, found in own.items() if found}
        found: JsonAttributes = {}
        for row in self._taken:
            element = attributes.get(row.tag)
            if element is not None and (values := _values(row, element)):
                found[row.tag] = {"vr": row.vr, "Value": values}
        for row in _SETS:
            if row.of in found:
                values = sorted({value for value in found[row.of]["Value"] if value})
                if values:
                    found[row.tag] = {"vr": row.vr, "Value": values}
        return found

    def select(self, attributes: JsonAttributes, levels: Iterable[Level]) -> JsonAttributes:
        """Those attributes of an extract that belong to these levels."""
        wanted = set(levels)
        return {
            tag: element
            for tag, element in attributes.items()
            if (row := self._by_tag.get(tag)) and row.level in wanted
        }


BUILT_IN = Attributes()
_UNITED = frozenset(row.tag for row in (*_SETS, SITES))


def order_term(tag: str, attributes: JsonAttributes) -> str:
    """By what an attribute sorts: its first term, cut off at a length; empty without any."""
    found = terms(BY_TAG[tag].vr, attributes.get(tag))
    return found[0][:_ORDER_LENGTH] if found else ""


@cache
def default_tags(level: Level) -> frozenset[str]:
    """What a search of `level` answers with unasked: the level's own default attributes, the UIDs
    that lead to it, and the patient's at STUDY level (PS3.18 table 10.6.3-3)."""
    tags = {row.tag for row in TABLE if row.level is level and row.default}
    if level is Level.STUDY:
        tags |= {row.tag for row in TABLE if row.level is _P and row.default and row.matched}
    if DEPTH[level] > DEPTH[_ST]:
        tags.add("0020000D")
    if level is _I:
        tags.add("0020000E")
    return frozenset(tags)


def merge(values: Iterable[JsonAttributes]) -> JsonAttributes:
    """The attributes of a series, study or patient from those of its instances.

    Commutative, associative and idempotent: sets are united; of other attributes the longest
    value wins, of equally long ones the smallest.
    """
    merged: JsonAttributes = {}
    for attributes in values:
        for tag, element in attributes.items():
            known = merged.get(tag)
            if known is None:
                merged[tag] = element
            elif known is not element and known != element:
                merged[tag] = _better(tag, known, element)
    return merged


def _better(tag: str, one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    if tag in _UNITED:
        united = sorted({*one.get("Value", ()), *other.get("Value", ())})
        return {"vr": one["vr"], "Value": united}
    return min(one, other, key=_rank)


def _rank(element: dict[str, Any]) -> tuple[int, str]:
    text = json.dumps(element, sort_keys=True, ensure_ascii=False)
    return -len(text), text


def _values(row: Attribute, element: dict[str, Any]) -> list[Any]:
    values = values_as(row.vr, element) if row.added else element.get("Value")
    if not isinstance(values, list):
        return []
    kind = _TYPES.get(row.vr, str)
    # bool is an int in Python, and never a value in the DICOM JSON Model.
    kept: list[Any] = [
        value for value in values if isinstance(value, kind) and not isinstance(value, bool)
    ]
    if row.vr == "SQ":
        kept = [
            {tag: item[tag] for tag in row.items if tag in item and item[tag].get("Value")}
            for item in kept
        ]
    kept = [value for value in kept if value not in ("", {})]
    return kept[:1] if row.vr in _SINGLE and not row.added else kept
