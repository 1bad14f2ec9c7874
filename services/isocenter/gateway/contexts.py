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
from isocenter.dimse.messages import CommandField
from isocenter.dimse.sop_classes import STORAGE_SOP_CLASSES

VERIFICATION = "1.2.840.10008.1.1"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"  # Push Model (PS3.4 J.3)


@dataclass(frozen=True, slots=True)
class InformationModel:
    """A Query/Retrieve information model (PS3.4 C.6): its SOP classes and levels."""

    name: str
    find: str
    move: str
    get: str
    levels: tuple[Level, ...]


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

MODELS: Mapping[str, InformationModel] = {
    uid: model
    for model in (PATIENT_ROOT, STUDY_ROOT, PATIENT_STUDY_ONLY)
    for uid in (model.find, model.move, model.get)
}

# The SOP classes of each service: it is asked for in their contexts alone (PS3.7 9.1.2 to 9.1.4).
QUERY_RETRIEVE: Mapping[int, frozenset[str]] = {
    CommandField.C_FIND: frozenset(model.find for model in MODELS.values()),
    CommandField.C_MOVE: frozenset(model.move for model in MODELS.values()),
    CommandField.C_GET: frozenset(model.get for model in MODELS.values()),
}

# Of messages that carry an identifier, or no data set at all.
MESSAGE_TRANSFER_SYNTAXES: tuple[str, ...] = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
)

# What every storage SCP takes, or nearly every one, and nearly every object can be turned into.
FALLBACK_TRANSFER_SYNTAXES = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)


def is_storage(sop_class: str, *, accept_unknown: bool) -> bool:
    """Whether objects of this SOP class may be sent to us. Unknown ones are those in no table of
    the standard: private, or younger than our tables."""
    if sop_class in STORAGE_SOP_CLASSES:
        return True
    return accept_unknown and is_uid(sop_class) and not UID(sop_class).type


def transfer_syntaxes(sop_class: str, *, accept_unknown: bool) -> tuple[str, ...]:
    """What is accepted for an abstract syntax; nothing if it is not supported."""
    if sop_class in (VERIFICATION, STORAGE_COMMITMENT) or sop_class in MODELS:
        return MESSAGE_TRANSFER_SYNTAXES
    if is_storage(sop_class, accept_unknown=accept_unknown):
        return tuple(TRANSFER_SYNTAXES)
    return ()
