"""Demo studies: made once below the data directory, loaded once, over DICOM like any scanner's."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from isocenter.cli.common import err
from isocenter.cli.send import send
from isocenter.core.errors import Unavailable
from isocenter.settings import Settings

FOLDER = "demo"
LOADED = "loaded"


async def load_demo(settings: Settings) -> None:
    """Make the studies and store them with C-STORE into the running gateway, if not done yet."""
    folder = settings.data / FOLDER
    marker = folder / LOADED
    if marker.exists():
        return
    err.print("making the demo studies (once, it takes about ten seconds)...")
    await asyncio.to_thread(_make, folder)
    gateway = settings.gateway
    peer = f"dicom://{gateway.ae_title}@127.0.0.1:{gateway.port}"
    if await send([folder], peer, calling="DEMO", parallel=2) != 0:
        raise Unavailable("the demo studies could not be loaded", fix="look at the reasons above")
    marker.touch()


def _make(folder: Path) -> None:
    from isocenter.demo import generate

    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    generate(unfinished)
    unfinished.rename(folder)
