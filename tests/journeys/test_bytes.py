"""Objects come back as they came: every DICOM file of pydicom's package that may be stored."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pydicom
import pytest

from support.harness import Isocenter

FILES = Path(pydicom.__file__).parent / "data" / "test_files"

NO_UIDS = (
    "no SOP Class, SOP Instance, Study or Series Instance UID (PS3.3 C.12.1, C.7.2.1, C.7.3.1)"
)

CUT_OFF = "the data set ends in the middle of an element (PS3.5 7.1)"

# Files that the standard does not allow to be stored, and why. Directories (PS3.10 8) are no
# composite instances.
NOT_STORABLE = {
    "MR_truncated.dcm": CUT_OFF,
    "rtplan_truncated.dcm": CUT_OFF,
    "JPEGLSNearLossless_08.dcm": NO_UIDS,
    "JPEGLSNearLossless_16.dcm": NO_UIDS,
    "SC_rgb_jls_lossy_line.dcm": NO_UIDS,
    "SC_rgb_jls_lossy_sample.dcm": NO_UIDS,
    "UN_sequence.dcm": NO_UIDS,
    "empty_charset_LEI.dcm": NO_UIDS,
    "meta_missing_tsyntax.dcm": NO_UIDS,
    "nested_priv_SQ.dcm": NO_UIDS,
    "no_meta_group_length.dcm": NO_UIDS,
    "priv_SQ.dcm": NO_UIDS,
}


def _part10_files() -> list[Path]:
    found = []
    for path in sorted(FILES.rglob("*")):
        if path.is_file() and not path.name.startswith("DICOMDIR"):
            with path.open("rb") as file:
                if file.read(132)[128:] == b"DICM":
                    found.append(path)
    return found


def _data_set(path: Path) -> tuple[pydicom.FileDataset, bytes]:
    """The header, and the data set's bytes as they stand in the file."""
    with path.open("rb") as file:
        header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
    content = path.read_bytes()
    position = 132
    while position < len(content) and content[position : position + 2] == b"\x02\x00":
        vr = content[position + 4 : position + 6]
        if vr in (b"OB", b"UN"):
            length = int.from_bytes(content[position + 8 : position + 12], "little") + 12
        else:
            length = int.from_bytes(content[position + 6 : position + 8], "little") + 8
        position += length
    return header, content[position:]


def _store(isocenter: Isocenter, path: Path) -> httpx.Response:
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + path.read_bytes() + b"\r\n--b--\r\n"
    return httpx.post(
        f"{isocenter.dicomweb}/studies",
        content=body,
        headers={
            "Content-Type": 'multipart/related; type="application/dicom"; boundary=b',
            "Accept": "application/dicom+json",
        },
        timeout=60,
    )


@pytest.mark.parametrize("path", _part10_files(), ids=lambda path: str(path.relative_to(FILES)))
def test_a_stored_file_comes_back_byte_for_byte(isocenter: Isocenter, path: Path) -> None:
    answer = _store(isocenter, path)
    if path.name in NOT_STORABLE:
        assert answer.status_code == 409, answer.text
        return
    assert answer.status_code == 200, answer.text
    header, data_set = _data_set(path)
    address = (
        f"/studies/{header.StudyInstanceUID}/series/{header.SeriesInstanceUID}"
        f"/instances/{header.SOPInstanceUID}"
    )
    kept = isocenter.objects.contents(header.StudyInstanceUID, header.SOPInstanceUID)
    stored = list(kept.values())
    assert any(content.endswith(data_set) for content in stored)
    got = isocenter.get(address, accept="application/dicom; transfer-syntax=*")
    # Several files share one SOP Instance UID: the one that was stored first stays current.
    assert got in stored
    metadata = json.loads(isocenter.get(f"{address}/metadata"))
    assert metadata[0]["00080018"]["Value"] == [header.SOPInstanceUID]
