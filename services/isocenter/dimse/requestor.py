"""Associations that we request."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence

from pynetdicom.pdu_primitives import A_ASSOCIATE

from isocenter.dimse import negotiation
from isocenter.dimse.association import MAX_BUFFERED_BYTES, Association, Handler
from isocenter.dimse.contexts import ProposedContext, Rejected
from isocenter.dimse.errors import AssociationAborted, AssociationRejected, ConnectionFailed
from isocenter.dimse.limits import Timeouts
from isocenter.dimse.sides import RequestorLayer
from isocenter.dimse.tls import refusal
from isocenter.dimse.upper_layer import new_buffer

__all__ = [
    "AssociationAborted",
    "AssociationRejected",
    "ConnectionFailed",
    "ProposedContext",
    "Timeouts",
    "associate",
]

MAX_PDU = 128 * 1024


class _Requested(Association):
    """An association from our request on."""

    def __init__(
        self,
        *,
        calling_ae_title: str,
        called_ae_title: str,
        handlers: Mapping[int, Handler],
        timeouts: Timeouts,
        request: A_ASSOCIATE,
    ) -> None:
        super().__init__(
            handlers=handlers, timeouts=timeouts, max_buffered_bytes=MAX_BUFFERED_BYTES
        )
        self.calling_ae_title = calling_ae_title
        self.called_ae_title = called_ae_title
        self._primitive = request
        self.outcome: asyncio.Future[Rejected | None] = asyncio.get_running_loop().create_future()

    def associate_confirmation(self, body: bytes) -> None:
        """Accepted."""
        negotiated = negotiation.confirm(self._primitive, body)
        self.establish(negotiated)
        self._settle(None)

    def rejected(self, rejection: Rejected) -> None:
        """Rejected."""
        self._settle(rejection)

    def aborted(self, error: AssociationAborted) -> None:
        """Ended, perhaps before it began."""
        super().aborted(error)
        if not self.outcome.done():
            self.outcome.set_exception(error)

    def _settle(self, rejection: Rejected | None) -> None:
        if not self.outcome.done():
            self.outcome.set_result(rejection)


async def associate(
    host: str,
    port: int,
    *,
    calling_ae_title: str,
    called_ae_title: str,
    contexts: Sequence[ProposedContext],
    timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
    max_pdu: int = MAX_PDU,
    tls: ssl.SSLContext | None = None,
    tls_name: str = "",
    handlers: Mapping[int, Handler] | None = None,
) -> Association:
    """Establish an association, or raise `ConnectionFailed`, `AssociationRejected` or
    `AssociationAborted`. With TLS, the peer's certificate must be for `tls_name`, or else for
    `host`. `handlers` take requests of the peer (C-STORE sub-operations of a C-GET).

    The presentation contexts that were accepted may be none: see `Association.contexts`.
    """
    request, pdu = negotiation.request_pdu(calling_ae_title, called_ae_title, contexts, max_pdu)
    association = _Requested(
        calling_ae_title=calling_ae_title,
        called_ae_title=called_ae_title,
        handlers=handlers or {},
        timeouts=timeouts,
        request=request,
    )
    layer = RequestorLayer(
        association,
        timeouts=timeouts,
        max_length=max_pdu,
        buffer=new_buffer(),
        request=pdu,
    )
    association.attach(layer)
    peer = f"{called_ae_title} at {host}:{port}"
    await _connect(layer, (host, port), timeouts, tls, tls_name, peer)
    rejection = await _outcome(association, timeouts, peer, encrypted=tls is not None)
    if rejection is not None:
        raise AssociationRejected(peer, rejection.result, rejection.source, rejection.reason)
    return association


async def _outcome(
    association: _Requested, timeouts: Timeouts, peer: str, *, encrypted: bool
) -> Rejected | None:
    try:
        async with asyncio.timeout(timeouts.artim):
            return await association.outcome
    except TimeoutError as error:
        await association.abort()
        raise ConnectionFailed(
            f"{peer} does not answer the association request within {timeouts.artim} s",
            fix="check that a DICOM service listens there",
        ) from error
    except AssociationAborted as error:
        # A peer that finds fault with our certificate ends a connection of TLS 1.3 only now.
        asks = "takes our certificate, or wants one" if encrypted else "wants TLS there"
        raise AssociationAborted(error.message, fix=f"check whether the peer {asks}") from error
    except asyncio.CancelledError:
        await association.abort()
        raise


async def _connect(
    layer: RequestorLayer,
    address: tuple[str, int],
    timeouts: Timeouts,
    tls: ssl.SSLContext | None,
    tls_name: str,
    peer: str,
) -> None:
    loop = asyncio.get_running_loop()
    layer.associate_request()
    name = None if tls is None else tls_name or address[0]
    try:
        async with asyncio.timeout(timeouts.connect):
            await loop.create_connection(lambda: layer, *address, ssl=tls, server_hostname=name)
    except (OSError, TimeoutError) as error:
        reason, fix = refusal(error) if tls is not None else ("", "")
        reason = reason or str(error) or f"no answer within {timeouts.connect} s"
        raise ConnectionFailed(
            f"no connection to {peer}: {reason}",
            fix=fix or "check the address and that the peer runs",
        ) from error
