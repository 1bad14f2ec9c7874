"""C-ECHO (PS3.7 9.1.5, PS3.4 annex A)."""

from __future__ import annotations

from isocenter.dimse.messages import Request
from isocenter.gateway import statuses


async def c_echo(request: Request) -> None:
    """Answer that we are here."""
    await request.respond(statuses.SUCCESS)
