"""Association negotiation with pynetdicom's PDUs and rules (PS3.8 9.3.2, 9.3.3; PS3.7 D.3.3).

pynetdicom's types stay in this module; the rest sees `dimse.contexts`.
"""

from __future__ import annotations

import logging
import struct
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from pydicom.uid import UID
from pynetdicom import pdu as codec
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationVersionNameNotification,
    SCP_SCU_RoleSelectionNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import PresentationContext as NetContext
from pynetdicom.presentation import negotiate_as_acceptor, negotiate_as_requestor

import isocenter
from isocenter.core.errors import Invalid
from isocenter.core.identity import IMPLEMENTATION_CLASS_UID
from isocenter.dimse.contexts import (
    Accepted,
    AssociationOffer,
    OfferedContext,
    PresentationContext,
    ProposedContext,
    UserIdentity,
)
from isocenter.dimse.errors import MalformedPdu
from isocenter.dimse.pdu import MIN_MAX_LENGTH, OWN_MAX_LENGTH, PDU_HEADER, AbortReason, PduType

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
PROTOCOL_VERSION = 1  # bit 0, PS3.8 table 9-11
IMPLEMENTATION_VERSION = f"ISOCENTER {isocenter.__version__}"[:16]
MAX_CONTEXTS = 128
ACCEPTANCE, USER_REJECTION = 0, 1  # results of presentation contexts (PS3.8 table 9-18)
# Requests that are kept with their answers: a peer sends the same bytes again and again.
KEPT_REQUESTS = 64
MAX_KEPT_REQUEST = 64 * 1024  # bytes

# What pynetdicom raises on input that is not as it should be.
_DECODING_ERRORS = (
    AssertionError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError,
    struct.error,
)  # fmt: skip

logging.getLogger("pynetdicom").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """A decoded A-ASSOCIATE-RQ."""

    offer: AssociationOffer
    max_length: int  # of P-DATA-TF PDUs that the requestor takes; bytes
    version_supported: bool
    application_context: str
    primitive: A_ASSOCIATE


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What both sides agreed on."""

    contexts: Mapping[int, PresentationContext]
    max_length: int  # of P-DATA-TF PDUs that the peer takes; bytes


def _out_length(announced: int | None) -> int:
    """The length to keep to when sending: 0 is no maximum (PS3.8 D.1)."""
    if not announced:
        return OWN_MAX_LENGTH
    if announced < MIN_MAX_LENGTH:
        raise MalformedPdu(
            f"a maximum length of {announced} bytes leaves no room for data",
            AbortReason.INVALID_PDU_PARAMETER_VALUE,
        )
    return min(announced, OWN_MAX_LENGTH)


def _decode(
    kind: PduType, body: bytes, pdu: codec.A_ASSOCIATE_RQ | codec.A_ASSOCIATE_AC
) -> A_ASSOCIATE:
    try:
        pdu.decode(PDU_HEADER.pack(kind, len(body)) + body)
        return pdu.to_primitive()
    except _DECODING_ERRORS as error:
        raise MalformedPdu(
            f"an A-ASSOCIATE PDU of type {kind:02X}H cannot be decoded: {type(error).__name__}",
            AbortReason.INVALID_PDU_PARAMETER_VALUE,
        ) from error


def _roles(primitive: A_ASSOCIATE) -> dict[UID, tuple[bool | None, bool | None]]:
    return {
        item.sop_class_uid: (bool(item.scu_role), bool(item.scp_role))
        for item in primitive.user_information
        if isinstance(item, SCP_SCU_RoleSelectionNegotiation) and item.sop_class_uid
    }


def _identity(primitive: A_ASSOCIATE) -> UserIdentity | None:
    """The user identity; of no type where there are several, since there may be one only (PS3.7
    D.3.3.7)."""
    items = [
        item for item in primitive.user_information if isinstance(item, UserIdentityNegotiation)
    ]
    if not items:
        return None
    if len(items) > 1:
        return UserIdentity(0, b"")
    return UserIdentity(
        items[0].user_identity_type or 0,
        items[0].primary_field or b"",
        items[0].secondary_field or b"",
        items[0].positive_response_requested,
    )


def _implementation(primitive: A_ASSOCIATE) -> tuple[str, str]:
    version = ""
    for item in primitive.user_information:
        if isinstance(item, ImplementationVersionNameNotification):
            version = str(item.implementation_version_name or "")
    try:
        return str(primitive.implementation_class_uid), version
    except ValueError:  # absent, though PS3.7 D.3.3.2 demands it
        return "", version


def _offered(
    context: NetContext, roles: Mapping[UID, tuple[bool | None, bool | None]]
) -> OfferedContext:
    abstract_syntax = UID(context.abstract_syntax or "")
    scu, scp = roles.get(abstract_syntax, (True, False))
    return OfferedContext(
        context.context_id or 0,
        str(abstract_syntax),
        tuple(str(syntax) for syntax in context.transfer_syntax),
        bool(scu),
        bool(scp),
    )


def decode_request(
    body: bytes, peer: tuple[str, int], tls_subject: str = "", tls_fingerprint: str = ""
) -> AssociateRequest:
    """An A-ASSOCIATE-RQ (PS3.8 9.3.2). Raises `MalformedPdu`."""
    pdu = codec.A_ASSOCIATE_RQ()
    primitive = _decode(PduType.A_ASSOCIATE_RQ, body, pdu)
    proposed = primitive.presentation_context_definition_list
    if not all(context.abstract_syntax and context.transfer_syntax for context in proposed):
        raise MalformedPdu(
            "a proposed presentation context lacks its abstract or transfer syntax",
            AbortReason.INVALID_PDU_PARAMETER_VALUE,
        )
    roles = _roles(primitive)
    class_uid, version = _implementation(primitive)
    offer = AssociationOffer(
        calling_ae_title=primitive.calling_ae_title.strip(" "),
        called_ae_title=primitive.called_ae_title.strip(" "),
        peer_host=peer[0],
        peer_port=peer[1],
        contexts=tuple(_offered(context, roles) for context in proposed),
        user_identity=_identity(primitive),
        tls_subject=tls_subject,
        tls_fingerprint=tls_fingerprint,
        implementation_class_uid=class_uid,
        implementation_version=version,
    )
    return AssociateRequest(
        offer=offer,
        max_length=_out_length(primitive.maximum_length_received),
        version_supported=bool(pdu.protocol_version & PROTOCOL_VERSION),
        application_context=str(primitive.application_context_name or ""),
        primitive=primitive,
    )


@lru_cache(maxsize=1024)
def _supported(abstract_syntax: str, syntaxes: tuple[str, ...], *, roles: bool) -> NetContext:
    """A supported context. Kept, since pynetdicom checks every UID of it when it is built."""
    context = NetContext()
    context.abstract_syntax = abstract_syntax
    for syntax in syntaxes:
        context.add_transfer_syntax(syntax)
    if roles:
        context.scu_role = context.scp_role = True
    return context


def accept(
    request: AssociateRequest, accepted: Accepted, max_length: int
) -> tuple[Negotiated, bytes]:
    """Negotiate as acceptor: what was agreed on, and the A-ASSOCIATE-AC PDU."""
    supported = [
        _supported(abstract_syntax, tuple(syntaxes), roles=abstract_syntax in accepted.roles)
        for abstract_syntax, syntaxes in accepted.contexts.items()
        if syntaxes
    ]
    roles = _roles(request.primitive)
    results, replies = negotiate_as_acceptor(
        request.primitive.presentation_context_definition_list, supported, roles
    )
    for context in results:
        if context.abstract_syntax in accepted.refused:
            context.result = USER_REJECTION
    primitive = A_ASSOCIATE()
    primitive.application_context_name = APPLICATION_CONTEXT
    primitive.calling_ae_title = request.primitive.calling_ae_title
    primitive.called_ae_title = request.primitive.called_ae_title
    primitive.result, primitive.result_source = ACCEPTANCE, 1
    primitive.presentation_context_definition_results_list = results
    _set_user_information(primitive, max_length, replies)
    if accepted.identity_response is not None:
        identity = UserIdentityNegotiation()
        identity.server_response = accepted.identity_response
        primitive.user_information.append(identity)
    return Negotiated(_accepted(results), request.max_length), _encode(
        codec.A_ASSOCIATE_AC, primitive
    )


@dataclass(slots=True)
class _Kept:
    """A request, and the latest answer to it."""

    request: AssociateRequest
    accepted: Accepted | None = None
    answer: tuple[Negotiated, bytes] | None = None


class Acceptor:
    """Decodes and answers association requests. Both take pynetdicom tens of milliseconds for
    128 presentation contexts, so what came before is answered from memory; never a request with
    a user identity, which may hold a passcode."""

    def __init__(self, max_length: int) -> None:
        self._max_length = max_length
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    def decode(
        self, body: bytes, peer: tuple[str, int], tls_subject: str, tls_fingerprint: str
    ) -> AssociateRequest:
        """As `decode_request`."""
        if (kept := self._kept.get(body)) is None:
            request = decode_request(body, peer, tls_subject, tls_fingerprint)
            if len(body) <= MAX_KEPT_REQUEST and request.offer.user_identity is None:
                self._kept[body] = _Kept(request)
                if len(self._kept) > KEPT_REQUESTS:
                    self._kept.popitem(last=False)
            return request
        self._kept.move_to_end(body)
        host, port = peer
        offer = replace(
            kept.request.offer,
            peer_host=host,
            peer_port=port,
            tls_subject=tls_subject,
            tls_fingerprint=tls_fingerprint,
        )
        return replace(kept.request, offer=offer)

    def accept(
        self, body: bytes, request: AssociateRequest, accepted: Accepted
    ) -> tuple[Negotiated, bytes]:
        """As the function `accept`, for the request decoded from `body`."""
        kept = self._kept.get(body)
        if kept is not None and kept.answer is not None and kept.accepted == accepted:
            return kept.answer
        answer = accept(request, accepted, self._max_length)
        if kept is not None:
            kept.accepted, kept.answer = accepted, answer
        return answer


def request_pdu(
    calling_ae_title: str,
    called_ae_title: str,
    contexts: Sequence[ProposedContext],
    max_length: int,
) -> tuple[A_ASSOCIATE, bytes]:
    """The A-ASSOCIATE-RQ PDU, and the primitive for `confirm`. Raises `Invalid`."""
    if not 1 <= len(contexts) <= MAX_CONTEXTS:
        raise Invalid(
            f"{len(contexts)} presentation contexts cannot be proposed",
            fix=f"propose 1 to {MAX_CONTEXTS} on one association (PS3.8 9.3.2.2)",
        )
    primitive = A_ASSOCIATE()
    roles: dict[str, SCP_SCU_RoleSelectionNegotiation] = {}
    try:
        primitive.application_context_name = APPLICATION_CONTEXT
        primitive.calling_ae_title = calling_ae_title
        primitive.called_ae_title = called_ae_title
        for position, proposed in enumerate(contexts):
            context = NetContext()
            context.context_id = 2 * position + 1
            context.abstract_syntax = proposed.abstract_syntax
            for syntax in proposed.transfer_syntaxes:
                context.add_transfer_syntax(syntax)
            if proposed.scp or not proposed.scu:
                context.scu_role, context.scp_role = proposed.scu, proposed.scp
                role = SCP_SCU_RoleSelectionNegotiation()
                role.sop_class_uid = proposed.abstract_syntax
                role.scu_role, role.scp_role = proposed.scu, proposed.scp
                roles[proposed.abstract_syntax] = role
            primitive.presentation_context_definition_list.append(context)
        _set_user_information(primitive, max_length, list(roles.values()))
        return primitive, _encode(codec.A_ASSOCIATE_RQ, primitive)
    except _DECODING_ERRORS as error:
        raise Invalid(
            f"the association request cannot be encoded: {error}",
            fix="check AE titles and UIDs",
        ) from error


def confirm(request: A_ASSOCIATE, body: bytes) -> Negotiated:
    """Negotiate as requestor, from an A-ASSOCIATE-AC. Raises `MalformedPdu`."""
    primitive = _decode(PduType.A_ASSOCIATE_AC, body, codec.A_ASSOCIATE_AC())
    try:
        results = negotiate_as_requestor(
            request.presentation_context_definition_list,
            primitive.presentation_context_definition_results_list,
            _roles(primitive),
        )
        return Negotiated(_accepted(results), _out_length(primitive.maximum_length_received))
    except _DECODING_ERRORS as error:
        raise MalformedPdu(
            f"an A-ASSOCIATE-AC makes no sense: {type(error).__name__}",
            AbortReason.INVALID_PDU_PARAMETER_VALUE,
        ) from error


def _set_user_information(
    primitive: A_ASSOCIATE, max_length: int, roles: Sequence[SCP_SCU_RoleSelectionNegotiation]
) -> None:
    primitive.maximum_length_received = max_length
    primitive.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION
    primitive.user_information.append(version)
    primitive.user_information.extend(roles)


def _encode(
    kind: type[codec.A_ASSOCIATE_RQ | codec.A_ASSOCIATE_AC], primitive: A_ASSOCIATE
) -> bytes:
    pdu = kind()
    pdu.from_primitive(primitive)
    encoded: bytes = pdu.encode()
    return encoded


def _accepted(results: Sequence[NetContext]) -> dict[int, PresentationContext]:
    return {
        context.context_id: PresentationContext(
            context.context_id,
            str(context.abstract_syntax),
            str(context.transfer_syntax[0]),
            bool(context.as_scu),
            bool(context.as_scp),
        )
        for context in results
        if context.result == ACCEPTANCE and context.context_id is not None
    }
