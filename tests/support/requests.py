"""Single requests to an installation, and the statuses they are answered with."""

from __future__ import annotations

import urllib.error
from pathlib import Path

import httpx
import pydicom
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage, StudyRootQueryRetrieveInformationModelFind

from support.harness import Isocenter
from support.senders import STOW_HEADERS, stow_body

SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700


def c_store(cluster: Isocenter, path: Path, gateway: str = "gateway") -> int:
    """The status of one C-STORE."""
    ae = AE("ONCE")
    ae.dimse_timeout = 60
    ae.add_requested_context(CTImageStorage, pydicom.uid.ExplicitVRLittleEndian)
    association = ae.associate(cluster.host, cluster.ports[gateway], ae_title=cluster.ae_title)
    assert association.is_established
    try:
        return int(association.send_c_store(path).Status)
    finally:
        association.release()


def c_find(cluster: Isocenter, study: str) -> list[int]:
    """The statuses of a C-FIND at STUDY level."""
    ae = AE("ONCE")
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    association = ae.associate(cluster.host, cluster.dicom_port, ae_title=cluster.ae_title)
    assert association.is_established
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.StudyInstanceUID = "STUDY", study
    try:
        answers = association.send_c_find(identifier, StudyRootQueryRetrieveInformationModelFind)
        return [int(status.Status) for status, _ in answers]
    finally:
        association.release()


def stow(cluster: Isocenter, path: Path) -> httpx.Response:
    """The answer to one STOW-RS request."""
    url = f"{cluster.dicomweb}/studies"
    return httpx.post(url, content=stow_body(path), headers=STOW_HEADERS, timeout=60)


def status_of(cluster: Isocenter, path: str) -> int:
    """The status of a GET."""
    try:
        cluster.get(path)
    except urllib.error.HTTPError as error:
        return error.code
    return 200
