"""The query role: answers searches, holds nothing."""

from __future__ import annotations

from collections.abc import Sequence

import grpc.aio

from isocenter.core.apis import Query
from isocenter.query import rpc
from isocenter.runtime.role import Env, Role


class QueryRole(Role):
    """Answers calls only."""

    name = "query"

    def __init__(self, query: Query) -> None:
        self.query = query

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        """Offer the search to other processes."""
        return rpc.add_to(server, self.query)


async def build(env: Env) -> QueryRole:
    """The role over the service of this process."""
    return QueryRole(await env.query())
