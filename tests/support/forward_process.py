"""Forwards what the embedded log below DIRECTORY holds to the collector at URL, in a process of its
own, until it is killed: `python forward_process.py DIRECTORY URL`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from isocenter.adapters.bus.log import LogBus
from isocenter.audit import forwarding
from isocenter.audit.forwarding import Forwarder
from isocenter.audit.keys import KeyFolder
from isocenter.audit.settings import Collector


async def main(directory: Path, url: str) -> None:
    """Many confirmations, so that a kill meets each of their steps."""
    forwarding._MOST = 50
    forwarder = Forwarder(
        bus=await LogBus.open(directory),
        collector=Collector(name="siem", url=url),
        keys=KeyFolder(directory / "keys", makes=True),
        site="",
    )
    await forwarder.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
