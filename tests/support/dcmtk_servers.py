"""dcmtk's other servers: dcmrecv, and dcmqrscp, an archive of its own."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from support.live_gateway import dcmtk, wait_for
from support.ports import free_ports

ARCHIVE = "QRSCP"

_ARCHIVE_CONFIGURATION = """
NetworkTCPPort = {port}
MaxPDUSize = 16384
MaxAssociations = 16
HostTable BEGIN
isocenter = (ISOCENTER, 127.0.0.1, {isocenter})
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
{title} {folder} RW (200, 1024mb) ANY
AETable END
"""

# Without one it takes no objects at all.
_RECEIVER_CONFIGURATION = """
[[TransferSyntaxes]]
[Any]
TransferSyntax1 = JPEG2000LosslessOnly
TransferSyntax2 = LittleEndianExplicit
TransferSyntax3 = BigEndianExplicit
TransferSyntax4 = LittleEndianImplicit
[[PresentationContexts]]
[Images]
PresentationContext1 = VerificationSOPClass\\Any
PresentationContext2 = CTImageStorage\\Any
PresentationContext3 = MRImageStorage\\Any
[[Profiles]]
[Images]
PresentationContexts = Images
"""


@asynccontextmanager
async def dcmrecv(folder: Path) -> AsyncIterator[int]:
    """The storage SCP that dcmsend belongs to, writing into `folder/kept`; its port."""
    [port] = free_ports(1)
    kept, configuration = folder / "kept", folder / "dcmrecv.cfg"
    kept.mkdir(parents=True)
    configuration.write_text(_RECEIVER_CONFIGURATION)
    profile = ("-xf", str(configuration), "Images")
    async with _running("dcmrecv", *profile, "-od", str(kept), str(port), port=port):
        yield port


@asynccontextmanager
async def dcmqrscp(
    folder: Path, isocenter: int = 0, *, title: str = ARCHIVE, port: int = 0
) -> AsyncIterator[int]:
    """An archive that moves to ISOCENTER at a port and keeps what it gets in
    `folder/kept`; its own port."""
    port = port or free_ports(1)[0]
    kept, configuration = folder / "kept", folder / "dcmqrscp.cfg"
    kept.mkdir(parents=True)
    configuration.write_text(
        _ARCHIVE_CONFIGURATION.format(port=port, isocenter=isocenter, title=title, folder=kept)
    )
    async with _running("dcmqrscp", "-c", str(configuration), port=port, title=title):
        yield port


@asynccontextmanager
async def _running(
    name: str, *arguments: str, port: int, title: str = ARCHIVE
) -> AsyncIterator[None]:
    path = shutil.which(name)
    assert path, f"{name} is missing: install the Debian package dcmtk"
    process = await asyncio.create_subprocess_exec(
        path, *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await wait_for(lambda: dcmtk("echoscu", "-aec", title, "127.0.0.1", port))
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
