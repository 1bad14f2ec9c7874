"""Who may associate, and who they are for ingest and the audit trail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from isocenter.core.access import NOBODY, Caller
from isocenter.core.events import Source
from isocenter.dimse.association import Association
from isocenter.gateway.settings import GatewaySettings, UnknownCallers
from isocenter.runtime.addresses import is_loopback
from isocenter.runtime.aes import OF_STRANGERS, STRANGER, Directory, KnownAE, Verb


class Peer(Protocol):
    """Who calls, as an association request and an association tell."""

    @property
    def calling_ae_title(self) -> str: ...

    @property
    def called_ae_title(self) -> str: ...

    @property
    def peer_host(self) -> str: ...

    @property
    def tls_subject(self) -> str: ...

    @property
    def tls_fingerprint(self) -> str: ...


class Callers:
    """Peers, as the directory sees them now."""

    def __init__(
        self,
        settings: GatewaySettings,
        directory: Directory,
        by_address: Callable[[str], Caller],
    ) -> None:
        """`by_address`: who calls from an address, `NOBODY` where that says nothing."""
        self._policy = settings.unknown_callers
        self._directory = directory
        self._by_address = by_address

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
        """Whether a peer may associate. A title of the directory is that AE's alone: who has only
        the title may not call, whoever else may."""
        if self.known(peer) is not None:
            return True
        if self._directory.named(peer.calling_ae_title) is not None:
            return False
        if self._policy is not UnknownCallers.LOOPBACK:
            return self._policy is UnknownCallers.ALWAYS
        return is_loopback(peer.peer_host)

    def verbs(self, peer: Peer, *, signed_in: bool) -> frozenset[Verb]:
        """What a peer may ask. Whoever signed in, or is trusted where they are, may ask for all
        that the AE may; the policy says what they get."""
        known = self.known(peer)
        if known is not None:
            return frozenset(known.verbs)
        if not self.may_call(peer):
            return frozenset()
        trusted = signed_in or self._by_address(peer.peer_host) is not NOBODY
        return frozenset(Verb) if trusted else OF_STRANGERS

    @property
    def complete(self) -> bool:
        """Whether all who are known are known here."""
        return self._directory.complete

    async def caller(self, association: Association) -> Caller:
        """Who asks on an association, for the policy: whoever signed in, as far as the AE may ask
        for it, else the AE. Raises `Unauthenticated` once whoever signed in is not let in any
        more."""
        known = self.known(association)
        if association.user_now is None:
            return known.caller if known else self._stranger(association.peer_host)
        user = await association.user_now()
        return _within(user, known.caller) if known else user

    def sender(self, source: Source) -> Caller:
        """The AE that asked for what is carried out later."""
        known = self._directory.sender(source)
        return known.caller if known else self._stranger(source.host)

    def _stranger(self, host: str) -> Caller:
        local = self._by_address(host)
        return STRANGER if local is NOBODY else local

    def source(self, association: Association) -> Source:
        """The peer of an association, as events and audit records name it."""
        return replace(self.source_of(association), user=association.user)

    def source_of(self, peer: Peer) -> Source:
        """The same of a peer that has none yet."""
        return Source(
            protocol="DIMSE",
            host=peer.peer_host,
            ae_title=peer.calling_ae_title,
            called_ae_title=peer.called_ae_title,
            tls_subject=peer.tls_subject,
            known=self.known(peer) is not None,
        )


def _within(user: Caller, ae: Caller) -> Caller:
    only = ae.rights if user.only is None else ae.rights & user.only
    return replace(user, only=only)
