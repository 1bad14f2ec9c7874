"""Lets roles alone call the gRPC port of roles: by the names in their certificates.

A role is believed in whose name it calls. A certificate of the same CA is not enough for that: a
program may have one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from fnmatch import fnmatchcase

from isocenter.core.errors import Refused
from isocenter.runtime.rpc_callers import Context, certificate_of
from isocenter.runtime.rpc_handlers import Doorkeeper
from isocenter.runtime.shown_certificates import ShownCertificate, shown
from isocenter.runtime.tls_files import WatchedFiles

logger = logging.getLogger(__name__)


class RolesOnly(Doorkeeper):
    """The doorkeeper."""

    def __init__(self, names: Sequence[str], own: WatchedFiles) -> None:
        """`names`: patterns; none: what `own`, the files of this process, name."""
        self._names = tuple(names)
        self._own = own

    async def admit(self, method: str, context: Context) -> AbstractContextManager[object]:
        """Raises `Refused`."""
        certificate = certificate_of(context)
        if certificate is None or not self._is_role(certificate):
            who = certificate.label if certificate else "nobody"
            logger.warning("not a role", extra={"certificate": who, "method": method})
            raise Refused(
                f"only roles call here, and the certificate of {who} is not one of theirs",
                fix="programs call the port web.grpc_port; roles are named in rpc.callers",
            )
        return nullcontext()

    def _is_role(self, certificate: ShownCertificate) -> bool:
        if not self._names:
            return not set(shown(self._own.pem.certificate).names).isdisjoint(certificate.names)
        return any(fnmatchcase(name, one) for name in certificate.names for one in self._names)
