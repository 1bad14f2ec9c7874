"""Who calls over gRPC."""

from __future__ import annotations

from contextvars import ContextVar

import grpc.aio

from isocenter.core.access import SYSTEM
from isocenter.core.access_api import Asker
from isocenter.core.events import Source
from isocenter.runtime import purposes
from isocenter.runtime.shown_certificates import ShownCertificate, shown

Context = grpc.aio.ServicerContext[object, object]

ADMITTED: ContextVar[Asker] = ContextVar("admitted")
"""Of the call that is being answered; given by `rpc_admission`, on the port of programs."""


def asker_of(context: Context) -> Asker:
    """Who calls; on the port of roles, the installation itself. Raises `Invalid`, as below."""
    admitted = ADMITTED.get(None)
    return admitted or Asker(SYSTEM, source_of(context))


def source_of(context: Context, user: str = "") -> Source:
    """Address, certificate with mutual TLS, and the purpose of the call's metadata. Raises
    `Invalid` for a purpose that cannot be recorded."""
    certificate = certificate_of(context)
    subject = certificate.label if certificate else ""
    purpose = dict(context.invocation_metadata() or ()).get(purposes.FIELD, "")
    if isinstance(purpose, bytes):
        purpose = purpose.decode(errors="replace")
    return Source(
        protocol="gRPC",
        host=host_of(context),
        user=user,
        tls_subject=subject,
        known=bool(subject or user),
        purpose=purposes.checked(purpose),
    )


def host_of(context: Context) -> str:
    """The address of who calls, without the port."""
    kind, _, rest = context.peer().partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else ""


def certificate_of(context: Context) -> ShownCertificate | None:
    """That of who calls, with mutual TLS."""
    (pem,) = context.auth_context().get("x509_pem_cert", (None,))
    return shown(bytes(pem)) if pem else None
