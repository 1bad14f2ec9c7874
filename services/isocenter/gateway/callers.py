"""Who may associate, and who they are for ingest and the audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from isocenter.core.access import DEVICE, Caller, Kind, Right
from isocenter.core.events import Source
from isocenter.dimse.association import Association
from isocenter.gateway.settings import GatewaySettings, UnknownCallers
from isocenter.runtime.addresses import ip_of
from isocenter.runtime.aes import Directory, KnownAE, Verb

# What a verb of the directory takes. Retrieves are resolved by searches.
_RIGHTS: Mapping[Verb, frozenset[Right]] = {
    Verb.ECHO: frozenset(),
    Verb.STORE: frozenset({Right.STORE}),
    Verb.FIND: frozenset({Right.SEARCH}),
    Verb.MOVE: frozenset({Right.SEARCH, Right.READ, Right.DOWNLOAD}),
    Verb.GET: frozenset({Right.SEARCH, Right.READ, Right.DOWNLOAD}),
    Verb.COMMIT: frozenset(),
}


def caller_of(title: str, known: KnownAE | None) -> Caller:
    """An AE, as the policy names it. What it may do is what the directory says, if it is known
    there; the policy says with which studies."""
    if known is None:
        return Caller(Kind.AE, title, (DEVICE,))
    rights = frozenset[Right]().union(*(_RIGHTS[verb] for verb in known.verbs))
    sites = (known.site,) if known.site else ()
    return Caller(Kind.AE, title, (DEVICE,), sites=sites, only=rights)


class Peer(Protocol):
    """Who calls, as an association request and an association tell."""

    @property
    def calling_ae_title(self) -> str: ...

    @property
    def peer_host(self) -> str: ...

    @property
    def tls_subject(self) -> str: ...

    @property
    def tls_fingerprint(self) -> str: ...


class Callers:
    """Peers, as the directory sees them now."""

    def __init__(self, settings: GatewaySettings, directory: Directory) -> None:
        self._policy = settings.unknown_callers
        self._directory = directory

    def known(self, peer: Peer) -> KnownAE | None:
        """The AE of the directory that a peer is: by its title, and by the address and the
        certificate that the directory has for it. None for everyone else."""
        ae = self._directory.named(peer.calling_ae_title)
        if ae is None or not ae.is_at(peer.peer_host):
            return None
        return ae if ae.has_shown(peer.tls_subject, peer.tls_fingerprint) else None

    def what_is_wrong(self, peer: Peer) -> str:
        """Why a peer is not known: for us, not for the peer."""
        ae = self._directory.named(peer.calling_ae_title)
        if ae is None:
            return "caller not in the AE directory"
        if not ae.is_at(peer.peer_host):
            return "the address is not the one that the AE directory has for this title"
        return "the certificate is not the one that the AE directory has for this title"

    def may_call(self, peer: Peer) -> bool:
        """Whether a peer may associate."""
        if self._policy is UnknownCallers.ALWAYS or self.known(peer) is not None:
            return True
        if self._policy is not UnknownCallers.LOOPBACK:
            return False
        address = ip_of(peer.peer_host)
        return address is not None and address.is_loopback

    @property
    def complete(self) -> bool:
        """Whether all who are known are known here."""
        return self._directory.complete

    def caller(self, association: Association) -> Caller:
        """The peer of an association, as the policy names it."""
        title = association.calling_ae_title.strip(" ")
        return caller_of(title, self.known(association))

    def source(self, association: Association) -> Source:
        """The peer of an association, as events and audit records name it."""
        return Source(
            protocol="DIMSE",
            host=association.peer_host,
            ae_title=association.calling_ae_title,
            called_ae_title=association.called_ae_title,
            user=association.user,
            tls_subject=association.tls_subject,
            known=self.known(association) is not None,
        )
