"""The peer: Orthanc with its DICOMweb plugin, as fast as its settings allow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.certificate import Certificate
from bench.machine import ORTHANC_DICOMWEB, Unusable, find
from bench.server import HOST, Server, free_ports, nodelay, running

NAME = "orthanc"
AE_TITLE = "ORTHANC"
DURABILITY = (
    "object: fdatasync of the file (SyncStorageArea, its default); index: SQLite, not synced for"
    " each object"
)


@contextmanager
def start(
    folder: Path, destination: tuple[str, int], *, nagle: bool, tls: Certificate | None = None
) -> Iterator[Server]:
    """`destination` is the AE title and port of the C-MOVE destination.

    `nagle`: as installed, without the variable that makes dcmtk set TCP_NODELAY.
    `tls`: DICOM is spoken over TLS.
    """
    folder.mkdir()
    dicom, http = free_ports(2)
    configuration = _configuration(folder, destination, (dicom, http), tls)
    (folder / "orthanc.json").write_text(json.dumps(configuration, indent=2))
    program = find("Orthanc")
    if program is None:
        raise Unusable("Orthanc is missing. Type: apt-get install orthanc orthanc-dicomweb")
    url = f"http://{HOST}:{http}"
    with running(
        [program, str(folder / "orthanc.json")],
        log=folder / "log",
        port=dicom,
        url=f"{url}/system",
        env=nodelay(nagle=nagle),
    ) as process:
        yield Server(NAME, AE_TITLE, dicom, f"{url}/dicomweb", process, tls=tls is not None)


def _configuration(
    folder: Path, destination: tuple[str, int], ports: tuple[int, int], tls: Certificate | None
) -> Mapping[str, object]:
    """`ports`: of DICOM and HTTP."""
    title, port = destination
    dicom, http = ports
    configuration: dict[str, object] = {
        "Name": "bench",
        "StorageDirectory": str(folder / "data"),
        "IndexDirectory": str(folder / "data"),
        "Plugins": [str(ORTHANC_DICOMWEB)],
        "HttpPort": http,
        "DicomPort": dicom,
        "DicomAet": AE_TITLE,
        "AuthenticationEnabled": False,
        # Its own best: nothing is hashed, compressed or logged, PDUs are large, sockets are quick.
        "StoreMD5ForAttachments": False,
        "StorageCompression": False,
        # Its default, and what makes the comparison one of equal promises for objects.
        "SyncStorageArea": True,
        "HttpCompressionEnabled": False,
        "MaximumPduLength": 131072,
        "MaximumStorageCacheSize": 512,
        "TcpNoDelay": True,
        "KeepAlive": True,
        "HttpThreadsCount": 50,
        "DicomThreadsCount": 8,
        "SaveJobs": False,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomModalities": {title: [title, HOST, port]},
        "DicomWeb": {
            "Enable": True,
            "Root": "/dicomweb/",
            # All attributes, as we answer: the quicker modes leave some out.
            "StudiesMetadata": "Full",
            "SeriesMetadata": "Full",
        },
    }
    if tls is not None:
        configuration |= {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(tls.certificate),
            "DicomTlsPrivateKey": str(tls.key),
            "DicomTlsRemoteCertificateRequired": False,
            "DicomTlsTrustedCertificates": str(tls.certificate),
        }
    return configuration
