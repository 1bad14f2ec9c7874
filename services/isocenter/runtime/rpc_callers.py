"""Who calls over gRPC, as far as the connection tells."""

from __future__ import annotations

from dataclasses import dataclass

import grpc.aio

from isocenter.core.access import Caller
from isocenter.core.events import Source
from isocenter.runtime import purposes


@dataclass(frozen=True, slots=True)
class Asker:
    """Who calls: for the policy, and for the audit trail."""

    caller: Caller
    source: Source


Context = grpc.aio.ServicerContext[object, object]


def source_of(context: Context) -> Source:
    """Address, certificate with mutual TLS, and the purpose of the call's metadata. Raises
    `Invalid` for a purpose that cannot be recorded."""
    kind, _, rest = context.peer().partition(":")
    host = rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else ""
    names = context.auth_context().get("x509_common_name", ())
    subject = next((bytes(name).decode(errors="replace") for name in names), "")
    purpose = dict(context.invocation_metadata() or ()).get(purposes.FIELD, "")
    if isinstance(purpose, bytes):
        purpose = purpose.decode(errors="replace")
    return Source(
        protocol="gRPC",
        host=host,
        tls_subject=subject,
        known=bool(subject),
        purpose=purposes.checked(purpose),
    )
