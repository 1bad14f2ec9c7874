"""User information of association requests and answers (PS3.7 annex D.3.3), read and made with
pynetdicom's items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydicom.uid import UID
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    AsynchronousOperationsWindowNegotiation,
    ImplementationVersionNameNotification,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)

import isocenter
from isocenter.core.identity import IMPLEMENTATION_CLASS_UID
from isocenter.dimse.contexts import CommonExtended, UserIdentity

IMPLEMENTATION_VERSION = f"ISOCENTER {isocenter.__version__}"[:16]


def roles(primitive: A_ASSOCIATE) -> dict[UID, tuple[bool | None, bool | None]]:
    """SOP class -> whether the requestor has the roles of SCU and SCP (D.3.3.4)."""
    return {
        item.sop_class_uid: (bool(item.scu_role), bool(item.scp_role))
        for item in primitive.user_information
        if isinstance(item, SCP_SCU_RoleSelectionNegotiation) and item.sop_class_uid
    }


def identity(primitive: A_ASSOCIATE) -> UserIdentity | None:
    """Who the requestor says it is (D.3.3.7), if it does; of no type where there are several,
    since there may be one only."""
    claims = [
        item for item in primitive.user_information if isinstance(item, UserIdentityNegotiation)
    ]
    if not claims:
        return None
    if len(claims) > 1:
        return UserIdentity(0, b"")
    return UserIdentity(
        claims[0].user_identity_type or 0,
        claims[0].primary_field or b"",
        claims[0].secondary_field or b"",
        claims[0].positive_response_requested,
    )


def operations(primitive: A_ASSOCIATE) -> int | None:
    """How many operations a requestor wants to have outstanding, 0: any number; None if it does
    not say (PS3.7 D.3.3.3)."""
    for item in primitive.user_information:
        if isinstance(item, AsynchronousOperationsWindowNegotiation):
            return int(item.maximum_number_operations_invoked)
    return None


def extended(primitive: A_ASSOCIATE) -> dict[str, bytes]:
    """SOP class -> service class application information (D.3.3.5); of several items for one,
    which D.3.3.5.1 forbids, the last."""
    return {
        str(item.sop_class_uid): item.service_class_application_information or b""
        for item in primitive.user_information
        if isinstance(item, SOPClassExtendedNegotiation)
    }


def common(primitive: A_ASSOCIATE) -> dict[str, CommonExtended]:
    """What is said of specialised SOP classes (D.3.3.6)."""
    return {
        str(item.sop_class_uid): CommonExtended(
            str(item.service_class_uid or ""),
            tuple(str(uid) for uid in item.related_general_sop_class_identification),
        )
        for item in primitive.user_information
        if isinstance(item, SOPClassCommonExtendedNegotiation)
    }


def implementation(primitive: A_ASSOCIATE) -> tuple[str, str]:
    """Implementation Class UID and Version Name (D.3.3.2), empty where they are missing."""
    version = ""
    for item in primitive.user_information:
        if isinstance(item, ImplementationVersionNameNotification):
            version = str(item.implementation_version_name or "")
    try:
        return str(primitive.implementation_class_uid), version
    except ValueError:  # absent, though PS3.7 D.3.3.2 demands it
        return "", version


def extended_items(answers: Mapping[str, bytes]) -> list[SOPClassExtendedNegotiation]:
    """Service class application information, by SOP class."""
    items = []
    for sop_class, information in answers.items():
        item = SOPClassExtendedNegotiation()
        item.sop_class_uid = sop_class
        item.service_class_application_information = information
        items.append(item)
    return items


def set_user_information(
    primitive: A_ASSOCIATE,
    max_length: int,
    items: Sequence[SCP_SCU_RoleSelectionNegotiation | SOPClassExtendedNegotiation],
) -> None:
    """What every request and answer has, and these items."""
    primitive.maximum_length_received = max_length
    primitive.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION
    primitive.user_information.append(version)
    primitive.user_information.extend(items)


def identity_item(response: bytes) -> UserIdentityNegotiation:
    """The server response to a user identity (D.3.3.7.2)."""
    item = UserIdentityNegotiation()
    item.server_response = response
    return item


def window_item(operations: int) -> AsynchronousOperationsWindowNegotiation:
    """An acceptor's answer (D.3.3.3): as of the requestor, what it may invoke, and what it is asked
    to perform. Of us it never sees more than one at a time."""
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = operations
    window.maximum_number_operations_performed = 1
    return window
