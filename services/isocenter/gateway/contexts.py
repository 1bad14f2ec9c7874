"""Which SOP classes and transfer syntaxes the gateway negotiates, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydicom.uid import UID

from isocenter.core.identity import is_uid
from isocenter.core.matching import Level
from isocenter.core.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    TRANSFER_SYNTAXES,
)
from isocenter.dimse.contexts import CommonExtended
from isocenter.dimse.sop_classes import STORAGE_SOP_CLASSES

VERIFICATION = "1.2.840.10008.1.1"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"  # Push Model (PS3.4 J.3)
STORAGE_SERVICE_CLASS = "1.2.840.10008.4.2"


@dataclass(frozen=True, slots=True)
class InformationModel:
    """A Query/Retrieve information model (PS3.4 C.6, Y.3, Z.3): its SOP classes, empty where it
    has none, and its levels."""

    name: str
    find: str = ""
    move: str = ""
    get: str = ""
    levels: tuple[Level, ...] = ()
    frames: bool = False  # has the FRAME level too


PATIENT_ROOT = InformationModel(
    "Patient Root",
    find="1.2.840.10008.5.1.4.1.2.1.1",
    move="1.2.840.10008.5.1.4.1.2.1.2",
    get="1.2.840.10008.5.1.4.1.2.1.3",
    levels=(Level.PATIENT, Level.STUDY, Level.SERIES, Level.INSTANCE),
)
STUDY_ROOT = InformationModel(
    "Study Root",
    find="1.2.840.10008.5.1.4.1.2.2.1",
    move="1.2.840.10008.5.1.4.1.2.2.2",
    get="1.2.840.10008.5.1.4.1.2.2.3",
    levels=(Level.STUDY, Level.SERIES, Level.INSTANCE),
)
PATIENT_STUDY_ONLY = InformationModel(
    "Patient/Study Only",
    find="1.2.840.10008.5.1.4.1.2.3.1",
    move="1.2.840.10008.5.1.4.1.2.3.2",
    get="1.2.840.10008.5.1.4.1.2.3.3",
    levels=(Level.PATIENT, Level.STUDY),
)
COMPOSITE_INSTANCE_ROOT = InformationModel(
    "Composite Instance Root",
    move="1.2.840.10008.5.1.4.1.2.4.2",
    get="1.2.840.10008.5.1.4.1.2.4.3",
    levels=(Level.INSTANCE,),
    frames=True,
)
WITHOUT_BULK_DATA = InformationModel(
    "Composite Instance Retrieve Without Bulk Data",
    get="1.2.840.10008.5.1.4.1.2.5.3",
    levels=(Level.INSTANCE,),
)
INFORMATION_MODELS = (
    PATIENT_ROOT,
    STUDY_ROOT,
    PATIENT_STUDY_ONLY,
    COMPOSITE_INSTANCE_ROOT,
    WITHOUT_BULK_DATA,
)

MODELS: Mapping[str, InformationModel] = {
    uid: model for model in INFORMATION_MODELS for uid in (model.find, model.move, model.get) if uid
}

# Of messages that carry an identifier, or no data set at all.
MESSAGE_TRANSFER_SYNTAXES: tuple[str, ...] = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
)

# What every storage SCP takes, or nearly every one, and nearly every object can be turned into.
FALLBACK_TRANSFER_SYNTAXES = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)


def is_storage(
    sop_class: str, common: CommonExtended | None = None, *, accept_unknown: bool
) -> bool:
    """Whether objects of this SOP class may be sent to us: one of the standard's, or one that by
    what the requestor says of it specialises one of these (PS3.7 D.3.3.6).

    With `accept_unknown` also those in no table of the standard: private, or younger than our
    tables."""
    if sop_class in STORAGE_SOP_CLASSES:
        return True
    if not is_uid(sop_class) or UID(sop_class).type:
        return False
    return accept_unknown or bool(general_class(common))


def general_class(common: CommonExtended | None) -> str:
    """The storage SOP class of ours that another one specialises; empty if there is none."""
    if common is None or common.service_class != STORAGE_SERVICE_CLASS:
        return ""
    return next((uid for uid in common.related_general if uid in STORAGE_SOP_CLASSES), "")


def transfer_syntaxes(sop_class: str, *, storage: bool) -> tuple[str, ...]:
    """What is accepted for an abstract syntax, one of `is_storage` or not; nothing if it is not
    supported."""
    if sop_class in (VERIFICATION, STORAGE_COMMITMENT) or sop_class in MODELS:
        return MESSAGE_TRANSFER_SYNTAXES
    return tuple(TRANSFER_SYNTAXES) if storage else ()
