"""Presentation contexts: as proposed, as offered, as accepted (PS3.8 7.1.1.13, PS3.7 D.3.3.4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from isocenter.core.access import Caller
from isocenter.dimse.budget import Budget


@dataclass(frozen=True, slots=True)
class PresentationContext:
    """An accepted presentation context; the roles are ours."""

    id: int
    abstract_syntax: str
    transfer_syntax: str
    scu: bool
    scp: bool


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """What we propose as requestor, with the roles we want to have. `scp` asks for SCP/SCU role
    selection (C-GET receives its objects as SCP of their SOP classes)."""

    abstract_syntax: str
    transfer_syntaxes: Sequence[str]
    scu: bool = True
    scp: bool = False


@dataclass(frozen=True, slots=True)
class OfferedContext:
    """What a requestor proposes to us, with the roles that it wants to have."""

    id: int
    abstract_syntax: str
    transfer_syntaxes: Sequence[str]
    scu: bool = True
    scp: bool = False


@dataclass(frozen=True, slots=True)
class UserIdentity:
    """User Identity Negotiation (PS3.7 D.3.3.7)."""

    kind: int  # 1 username, 2 username and passcode, 3 Kerberos, 4 SAML, 5 JSON Web Token
    primary: bytes = field(repr=False)
    secondary: bytes = field(default=b"", repr=False)
    response_requested: bool = False  # a positive one, if the claim is verified


@dataclass(frozen=True, slots=True)
class CommonExtended:
    """What a requestor says of a SOP class that the acceptor may not know: SOP Class Common
    Extended Negotiation (PS3.7 D.3.3.6)."""

    service_class: str
    related_general: tuple[str, ...] = ()  # SOP classes that it specialises


@dataclass(frozen=True, slots=True)
class AssociationOffer:
    """An association request, to be admitted or not."""

    calling_ae_title: str
    called_ae_title: str
    peer_host: str
    peer_port: int
    contexts: Sequence[OfferedContext]
    user_identity: UserIdentity | None = None
    tls_subject: str = ""  # of the client certificate, RFC 4514; empty without one
    tls_fingerprint: str = ""  # SHA-256 of that certificate, lower-case hexadecimal
    implementation_class_uid: str = ""
    implementation_version: str = ""
    extended: Mapping[str, bytes] = field(default_factory=dict)
    """SOP class -> proposed service class application information (PS3.7 D.3.3.5)."""
    common: Mapping[str, CommonExtended] = field(default_factory=dict)
    """By SOP class."""


def _nothing() -> None:
    """What is to be done when an association ends, where nothing is."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Admitted, with what is supported."""

    contexts: Mapping[str, Sequence[str]]
    """Abstract syntax -> transfer syntaxes, best first. The others are not accepted."""
    roles: Collection[str] = field(default_factory=frozenset)
    """Abstract syntaxes for which the requestor may have the SCP role (C-GET)."""
    refused: Collection[str] = field(default_factory=frozenset)
    """Abstract syntaxes that are supported, but not for this requestor: user-rejection."""
    user: str = ""
    """Who the requestor is, where its user identity was verified."""
    user_now: Callable[[], Awaitable[Caller]] | None = field(default=None, compare=False)
    """The same for the policy, at the time of asking; None where nothing was verified. Raises
    `Unauthenticated` once they are not let in any more."""
    identity_response: bytes | None = None
    """Server response of a verified user identity (PS3.7 D.3.3.7.2); None: no such item."""
    max_operations: int = 1
    """Operations that the requestor may have outstanding, if it asks for more than one."""
    budget: Budget | None = field(default=None, compare=False)
    """What bounds the bytes in flight, besides the bound of each association."""
    on_end: Callable[[], None] = field(default=_nothing, compare=False)
    """Called once, when the association has ended."""
    extended: Mapping[str, bytes] = field(default_factory=dict)
    """SOP class -> the answer to its service class application information; only where proposed."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Not admitted; the fields are those of PS3.8 table 9-21."""

    result: int
    source: int
    reason: int
    why: str = field(default="", compare=False)  # more than the peer is told


Admission = Accepted | Rejected

NO_REASON_GIVEN = Rejected(1, 1, 1)
APPLICATION_CONTEXT_NOT_SUPPORTED = Rejected(1, 1, 2)
CALLING_AE_TITLE_NOT_RECOGNIZED = Rejected(1, 1, 3)
CALLED_AE_TITLE_NOT_RECOGNIZED = Rejected(1, 1, 7)
# Authorization failed, by the user identity (PS3.7 D.3.3.7): by the ACSE, no reason given.
USER_IDENTITY_REFUSED = Rejected(1, 2, 1)
PROTOCOL_VERSION_NOT_SUPPORTED = Rejected(1, 2, 2)
TEMPORARY_CONGESTION = Rejected(2, 3, 1)
LOCAL_LIMIT_EXCEEDED = Rejected(2, 3, 2)
