"""Python programs of the tests as processes that are always ended."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


@asynccontextmanager
async def python(program: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process whose output is a pipe; killed when the context is left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), *arguments, stdout=asyncio.subprocess.PIPE, limit=2**24
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def lines_until_killed(process: asyncio.subprocess.Process, enough: int) -> list[str]:
    """Kill it with SIGKILL after `enough` lines; all the lines that it printed."""
    assert process.stdout is not None
    lines = [await process.stdout.readline() for _ in range(enough)]
    process.send_signal(signal.SIGKILL)
    lines += (await process.stdout.read()).splitlines()
    await process.wait()
    return [line.decode().strip() for line in lines if line]
