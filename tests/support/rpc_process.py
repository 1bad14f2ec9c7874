"""A query service in a process of its own, to be frozen by a test: prints its port and serves."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # it is a program, not a test

from support.rpc_copies import Copy


async def main() -> None:
    copy = Copy()

    async def search(caller, search):
        yield [copy.role.service.MATCH]
        await asyncio.Event().wait()

    copy.role.service.search = search
    await copy.start()
    print(copy.port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
