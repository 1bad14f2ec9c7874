"""Whom to call, as whom, and over what: all that an association request needs but its contexts."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from isocenter.dimse import requestor
from isocenter.dimse.association import Association, Handler
from isocenter.dimse.contexts import ProposedContext
from isocenter.dimse.limits import Timeouts


@dataclass(frozen=True, slots=True)
class Target:
    """An AE to call."""

    ae_title: str
    host: str
    port: int
    calling_ae_title: str
    tls: Callable[[], ssl.SSLContext] | None = None
    timeouts: Timeouts = Timeouts()  # noqa: RUF009 - frozen

    async def associate(
        self,
        contexts: Sequence[ProposedContext],
        handlers: Mapping[int, Handler] | None = None,
    ) -> Association:
        """As `requestor.associate`."""
        return await requestor.associate(
            self.host,
            self.port,
            calling_ae_title=self.calling_ae_title,
            called_ae_title=self.ae_title,
            contexts=contexts,
            timeouts=self.timeouts,
            tls=self.tls() if self.tls is not None else None,
            handlers=handlers,
        )
