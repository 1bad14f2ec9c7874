"""Who may associate, and who they are for ingest and the audit trail."""

from __future__ import annotations

import ipaddress

from isocenter.core.events import Source
from isocenter.dimse.association import Association
from isocenter.gateway.settings import GatewaySettings, UnknownCallers
from isocenter.runtime.addresses import ip_of
from isocenter.runtime.aes import Directory, KnownAE


class Callers:
    """Peers, as the directory sees them."""

    def __init__(self, settings: GatewaySettings, directory: Directory) -> None:
        self._policy = settings.unknown_callers
        self._directory = directory

    def known(self, title: str, host: str) -> KnownAE | None:
        """The AE of the directory that a peer is, by its title and, where one is given, its
        address; None if it is a stranger.

        A host given by name is not compared: names are resolved for what we call, not for who
        calls.
        """
        known = self._directory.named(title)
        return known if known is not None and _comes_from(known, host) else None

    def is_known(self, title: str, host: str) -> bool:
        """Whether a peer is one of the directory."""
        return self.known(title, host) is not None

    def may_call(self, title: str, host: str) -> bool:
        """Whether a peer may associate."""
        if self._policy is UnknownCallers.ALWAYS or self.is_known(title, host):
            return True
        if self._policy is not UnknownCallers.LOOPBACK:
            return False
        address = ip_of(host)
        return address is not None and address.is_loopback

    def source(self, association: Association) -> Source:
        """The peer of an association, as events and audit records name it."""
        return Source(
            protocol="DIMSE",
            host=association.peer_host,
            ae_title=association.calling_ae_title,
            called_ae_title=association.called_ae_title,
            tls_subject=association.tls_subject,
            known=self.is_known(association.calling_ae_title, association.peer_host),
        )


def _comes_from(known: KnownAE, host: str) -> bool:
    try:
        expected = ipaddress.ip_address(known.host)
    except ValueError:
        return True  # empty, or a name
    return expected == ip_of(host)
