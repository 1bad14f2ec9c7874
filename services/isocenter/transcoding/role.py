"""The transcoding role: answers calls, nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import grpc.aio

from isocenter.core.apis import Transcoding
from isocenter.runtime.role import Env, Role
from isocenter.transcoding import rpc


class TranscodingRole(Role):
    """Codecs for other processes."""

    name = "transcoding"

    def __init__(self, service: Transcoding) -> None:
        self._service = service

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        """Register the service."""
        return rpc.add_to(server, self._service)


async def build(env: Env) -> Role:
    """The role with the service of this process."""
    return TranscodingRole(await env.transcoding())
