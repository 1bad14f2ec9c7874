"""SOP Class Extended Negotiation as acceptor (PS3.7 D.3.3.5): what is answered, byte by byte, and
what an answer means for a request. Sections are PS3.4's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from isocenter.dimse.association import Association
from isocenter.gateway.contexts import MODELS

# Table B.3-2: level of support 2 (all attributes are kept, private ones too), reserved, level of
# digital signature support 3 (what came is kept bit for bit, so signatures stay valid), reserved,
# element coercion 0 (none), reserved. A statement, the same whatever the requestor proposes. What
# is coerced (1) goes out with other values than were signed: level 1.
STORAGE = bytes((2, 0, 3, 0, 0, 0))
STORAGE_COERCING = bytes((2, 0, 1, 0, 1, 0))

RELATIONAL = "relational queries"
RELATIONAL_RETRIEVE = "relational retrieve"
COMBINED = "combined date-time matching"
FUZZY = "fuzzy semantic matching of person names"
ZONED = "timezone query adjustment"
CONVERSION = "enhanced multi-frame image conversion"
EMPTY_VALUE = "empty value matching"
EVERY_VALUE = "multiple value matching"

# Table C.5-2, of which all bytes but the first are optional.
FIND: Mapping[str, bool] = {
    RELATIONAL: True,
    COMBINED: True,
    FUZZY: True,
    ZONED: True,
    CONVERSION: False,
    EMPTY_VALUE: False,
    EVERY_VALUE: True,
}
# Tables C.5-3 and C.5-4.
RETRIEVE: Mapping[str, bool] = {
    RELATIONAL_RETRIEVE: True,
    CONVERSION: False,
}
# Of the models of instances alone (Y.4.1.2.2, Z.4.2.2.2): they have no level above.
RETRIEVE_INSTANCES = {**RETRIEVE, RELATIONAL_RETRIEVE: False}


def _agreed(proposed: bytes, supported: Mapping[str, bool]) -> bytes:
    """1 where it is proposed and supported, as many bytes as proposed and known."""
    return bytes(
        asked == 1 and have for asked, have in zip(proposed, supported.values(), strict=False)
    )


def answer(sop_class: str, proposed: bytes, *, storage: bool, coerces: bool) -> bytes | None:
    """The answer to a proposal for a SOP class that is accepted; None where its service class has
    no extended negotiation, or the proposal says nothing. `coerces`: what is stored."""
    if storage:
        return STORAGE_COERCING if coerces else STORAGE
    model = MODELS.get(sop_class)
    if model is None:
        return None
    if not model.find:
        return _agreed(proposed, RETRIEVE_INSTANCES) or None
    return _agreed(proposed, FIND if sop_class == model.find else RETRIEVE) or None


@dataclass(frozen=True, slots=True)
class Matching:
    """How a C-FIND matches, as negotiated; without negotiation all are off. Relational queries
    are not among them: keys above the level always narrow (see `Identifier.search`)."""

    combined: bool = False  # dates and times as one (C.2.2.2.5.4)
    fuzzy: bool = False  # C.2.2.2.1.1
    zoned: bool = False  # in the identifier's time zone (C.2.2.2.1.3)
    every_value: bool = False  # C.2.2.2.8


def matching_of(association: Association, sop_class: str) -> Matching:
    """What was negotiated for queries of a SOP class."""
    information = association.extended.get(sop_class, b"")
    agreed = {field for field, yes in zip(FIND, information, strict=False) if yes}
    return Matching(
        combined=COMBINED in agreed,
        fuzzy=FUZZY in agreed,
        zoned=ZONED in agreed,
        every_value=EVERY_VALUE in agreed,
    )
