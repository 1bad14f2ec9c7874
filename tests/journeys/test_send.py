"""`isocenter send` to a running installation: what is taken, what is refused, and the summary."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from support.clients import storescp
from support.files import Series, data_set_bytes, find_instances, write_series
from support.harness import Isocenter, wait_until
from support.ports import free_ports

PROTOCOLS = pytest.mark.parametrize("protocol", ["dicom", "http"])


def peer(isocenter: Isocenter, protocol: str) -> str:
    """The installation as a destination."""
    if protocol == "http":
        return isocenter.dicomweb
    return f"dicom://{isocenter.ae_title}@{isocenter.host}:{isocenter.dicom_port}"


def send(to: str, *paths: Path, parallel: int = 1, more: Sequence[str] = ()) -> tuple[int, str]:
    """Exit code and what was told, in one line."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "isocenter", "send", *paths, "--to", to),
            *("--parallel", str(parallel)),
            *more,
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, " ".join(done.stderr.split())


def findable(isocenter: Isocenter, series: Series) -> bool:
    return wait_until(
        lambda: sorted(find_instances(isocenter, series.study)) == sorted(series.files)
    )


def test_the_peer_commits_to_what_was_just_sent(isocenter: Isocenter, tmp_path: Path) -> None:
    series = write_series(tmp_path / "sent", count=20)
    code, told = send(peer(isocenter, "dicom"), series.folder, more=["--commit"])
    assert code == 0, told
    assert "committed: 20 instances" in told
    code, told = send(peer(isocenter, "http"), series.folder, more=["--commit"])
    assert code == 1
    assert "DICOMweb has no Storage Commitment" in told


@PROTOCOLS
def test_a_folder_is_sent_over_several_associations_or_requests(
    isocenter: Isocenter, tmp_path: Path, protocol: str
) -> None:
    series = write_series(tmp_path / "sent", count=60)
    code, told = send(peer(isocenter, protocol), series.folder, parallel=2)
    assert code == 0, told
    assert "sent: 60 instances" in told
    assert findable(isocenter, series)


@PROTOCOLS
def test_what_is_refused_is_named_with_its_reason_and_the_rest_arrives(
    isocenter: Isocenter, tmp_path: Path, protocol: str
) -> None:
    series = write_series(tmp_path / "sent", count=4)
    unnamed = pydicom.dcmread(series.folder / "00001.dcm")
    del unnamed.SOPInstanceUID  # the sender itself sees this
    unnamed.save_as(series.folder / "unnamed.dcm")
    no_study = pydicom.dcmread(series.folder / "00001.dcm")
    no_study.SOPInstanceUID = no_study.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    no_study.StudyInstanceUID = ""  # only the peer refuses this
    no_study.save_as(series.folder / "no-study.dcm")
    code, told = send(peer(isocenter, protocol), series.folder)
    assert code == 1
    assert "sent: 4 instances" in told, told
    assert "refused: 2" in told
    assert "SOP Instance UID (0008,0018) is missing" in told
    assert "unnamed.dcm" in told
    assert re.search(r"1 x (status|failure reason) 0x[0-9A-F]{4}.*no-study\.dcm", told), told
    assert findable(isocenter, series)


@PROTOCOLS
def test_compressed_files_in_an_archive_arrive_as_they_are(
    isocenter: Isocenter, tmp_path: Path, protocol: str
) -> None:
    """Several SOP classes and transfer syntaxes at once."""
    files = [Path(get_testdata_file(n)) for n in ("MR_small_RLE.dcm", "JPEG2000.dcm")]
    archive = tmp_path / f"{protocol}.zip"
    with zipfile.ZipFile(archive, "w") as writer:
        for file in files:
            writer.write(file, f"folder/{file.name}")
    code, told = send(peer(isocenter, protocol), archive)
    assert code == 0, told
    for file in files:
        sent = pydicom.dcmread(file)
        # Other tests store other contents under the same UIDs into this installation.
        kept = isocenter.objects.contents(sent.StudyInstanceUID, sent.SOPInstanceUID).values()
        assert any(version.endswith(data_set_bytes(file)) for version in kept)


def test_another_archive_takes_what_we_send(tmp_path: Path) -> None:
    series = write_series(tmp_path / "sent", count=3)
    port = free_ports(1)[0]
    with storescp(tmp_path / "received", port=port):
        code, told = send(f"dicom://ANYONE@127.0.0.1:{port}", series.folder)
    assert code == 0, told
    received = {pydicom.dcmread(f).SOPInstanceUID for f in (tmp_path / "received").iterdir()}
    assert received == set(series.files)


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("dicom://ISOCENTER@127.0.0.1:{port}", "error: "),
        ("http://127.0.0.1:{port}/dicomweb", "does not answer"),
        ("ftp://127.0.0.1:{port}", "write dicom://AE_TITLE@host:port"),
    ],
)
def test_a_peer_that_is_not_there_is_told_in_a_sentence(
    tmp_path: Path, to: str, expected: str
) -> None:
    series = write_series(tmp_path / "sent", count=1)
    code, told = send(to.format(port=free_ports(1)[0]), series.folder)
    assert code == 1
    assert expected in told
