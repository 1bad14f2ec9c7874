"""Associations that the gateway requests: C-MOVE sub-operations, results of Storage Commitment."""

from __future__ import annotations

from collections.abc import Sequence

from isocenter.dimse import requestor
from isocenter.dimse.association import Association
from isocenter.dimse.contexts import ProposedContext
from isocenter.dimse.tls import RequestorContexts
from isocenter.gateway.settings import GatewaySettings
from isocenter.runtime.aes import KnownAE


class Calls:
    """Calls peers of the directory, over TLS where it says so."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._tls: RequestorContexts | None = None

    async def associate(
        self, peer: KnownAE, contexts: Sequence[ProposedContext], *, calling_ae_title: str = ""
    ) -> Association:
        """As `requestor.associate`; called as `gateway.ae_title` unless a title is given. Raises
        `Invalid` too, if the files of TLS cannot be used."""
        settings = self._settings
        return await requestor.associate(
            peer.host,
            peer.port,
            calling_ae_title=calling_ae_title or settings.ae_title,
            called_ae_title=peer.title,
            contexts=contexts,
            timeouts=settings.timeouts,
            max_pdu=settings.max_pdu,
            tls=self._contexts() if peer.tls else None,
            tls_name=peer.tls_name,
        )

    @property
    def _contexts(self) -> RequestorContexts:
        """Read when a peer is called over TLS for the first time."""
        if self._tls is None:
            self._tls = RequestorContexts(self._settings.caller_tls)
        return self._tls
