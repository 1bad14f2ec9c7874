"""Demo studies: made once below the data directory, loaded once, over DICOM like any scanner's."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from isocenter.cli.common import err
from isocenter.cli.send import send
from isocenter.core.errors import Invalid, Unavailable
from isocenter.runtime import listen
from isocenter.settings import Settings

FOLDER = "demo"
LOADED = "loaded"
EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - called, not bound


async def load_demo(settings: Settings) -> None:
    """Make the studies and store them with C-STORE into the running gateway, if not done yet."""
    folder = settings.data / FOLDER
    marker = folder / LOADED
    if marker.exists():
        return
    err.print("making the demo studies (once, it takes about ten seconds)...")
    await asyncio.to_thread(_make, folder)
    if await send([folder], _own_gateway(settings), calling="DEMO", parallel=2) != 0:
        raise Unavailable("the demo studies could not be loaded", fix="look at the reasons above")
    marker.touch()


def _own_gateway(settings: Settings) -> str:
    """Our gateway as a peer; one that listens on every address is called on the loopback. Raises
    `Invalid` if it takes TLS only."""
    gateway = settings.gateway
    if gateway.tls_only:
        raise Invalid(
            "the demo studies come over the plain port, and there is none with gateway.tls_only",
            fix="load them once without gateway.tls_only",
        )
    host = listen.LOOPBACK if gateway.host in EVERY_ADDRESS else gateway.host
    shown = f"[{host}]" if ":" in host else host
    return f"dicom://{gateway.ae_title}@{shown}:{gateway.port}"


def _make(folder: Path) -> None:
    from isocenter.demo import generate

    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    generate(unfinished)
    unfinished.rename(folder)
