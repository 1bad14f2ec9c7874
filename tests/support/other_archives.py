"""Servers of others that run on this machine: dcmtk's dcmqrscp and dcmrecv, and Orthanc."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.clients import run, tool
from support.harness import wait_until
from support.ports import free_ports

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

ORTHANC_PLUGINS = Path("/usr/share/orthanc/plugins")


@dataclass(frozen=True)
class OtherArchive:
    """An archive that listens on loopback."""

    ae_title: str
    port: int
    web: str = ""  # DICOMweb root

    @property
    def peer(self) -> str:
        """Its address on the command line."""
        return f"dicom://{self.ae_title}@127.0.0.1:{self.port}"

    def store(self, folder: Path) -> None:
        """Send a folder with dcmtk's storescu."""
        done = run(
            "storescu", "+sd", "+r", "-R", "-aec", self.ae_title, "127.0.0.1", self.port, folder,
            env={"TCP_NODELAY": "1"},
        )  # fmt: skip
        assert done.code == 0, done.text


@contextmanager
def dcmqrscp(
    folder: Path,
    destinations: dict[str, int] | None = None,
    *,
    title: str = "QR",
    port: int = 0,
) -> Iterator[OtherArchive]:
    """dcmtk's archive, which keeps what it gets in `folder/kept`; `destinations`: ports by AE
    title."""
    port = port or free_ports(1)[0]
    (folder / "kept").mkdir(parents=True)
    hosts = "".join(
        f"h{number} = ({ae_title}, 127.0.0.1, {its})\n"
        for number, (ae_title, its) in enumerate((destinations or {}).items())
    )
    configuration = folder / "dcmqrscp.cfg"
    configuration.write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 131072\nMaxAssociations = 16\n"
        f"HostTable BEGIN\n{hosts}HostTable END\n"
        "VendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\n{title} {folder / 'kept'} RW (500, 1024mb) ANY\nAETable END\n"
    )
    with _process([tool("dcmqrscp"), "-c", str(configuration)], folder, title, port):
        yield OtherArchive(title, port)


@contextmanager
def dcmrecv(folder: Path) -> Iterator[OtherArchive]:
    """The storage SCP that dcmsend belongs to, whatever it is called; it writes into
    `folder/kept`."""
    [port] = free_ports(1)
    (folder / "kept").mkdir(parents=True)
    configuration = folder / "dcmrecv.cfg"
    configuration.write_text(_RECEIVER_CONFIGURATION)
    profile = ("-xf", str(configuration), "Images")
    command = [tool("dcmrecv"), *profile, "-od", str(folder / "kept"), str(port)]
    with _process(command, folder, "DCMRECV", port):
        yield OtherArchive("DCMRECV", port)


@contextmanager
def orthanc(folder: Path, destinations: dict[str, int] | None = None) -> Iterator[OtherArchive]:
    """Orthanc with its DICOMweb plugin."""
    port, http = free_ports(2)
    folder.mkdir(parents=True)
    (folder / "orthanc.json").write_text(
        json.dumps(
            {
                "StorageDirectory": str(folder / "kept"),
                "IndexDirectory": str(folder / "kept"),
                "Plugins": [str(path) for path in ORTHANC_PLUGINS.glob("libOrthancDicomWeb.so*")],
                "HttpPort": http,
                "DicomPort": port,
                "DicomAet": "ORTHANC",
                "DefaultEncoding": "Utf8",
                "AuthenticationEnabled": False,
                "DicomAlwaysAllowGet": True,
                "DicomAlwaysAllowMove": True,
                "DicomAlwaysAllowFind": True,
                "DicomModalities": {
                    title: [title, "127.0.0.1", its] for title, its in (destinations or {}).items()
                },
                "DicomWeb": {"Enable": True, "Root": "/dicomweb/"},
            }
        )
    )
    program = shutil.which("Orthanc")
    assert program, "Orthanc is missing: install the Debian packages orthanc, orthanc-dicomweb"
    with _process([program, str(folder / "orthanc.json")], folder, "ORTHANC", port):
        yield OtherArchive("ORTHANC", port, f"http://127.0.0.1:{http}/dicomweb")


@contextmanager
def _process(command: Sequence[str], folder: Path, title: str, port: int) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        wait_until(lambda: run("echoscu", "-aec", title, "127.0.0.1", port).code == 0, 30, title)
        yield
    finally:
        process.kill()
        process.wait()
