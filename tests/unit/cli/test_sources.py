"""Files to send are found in folders, archives and DICOMDIRs, and nothing outside of them."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage, generate_uid

from isocenter.cli.sources import find, find_some
from isocenter.core.errors import NotFound, Unprocessable


@pytest.fixture
def ct() -> bytes:
    return Path(get_testdata_file("CT_small.dcm")).read_bytes()


def _labels(*paths: Path) -> list[str]:
    return [file.label.rsplit("/", 1)[-1] for file in find(paths)]


def test_folders_are_walked_in_order_and_hidden_files_left_out(tmp_path: Path, ct: bytes) -> None:
    for name in ("b/2", "a/1", "a/.hidden", "c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(ct)
    assert _labels(tmp_path) == ["1", "2", "c"]


def test_archives_are_read_without_unpacking(tmp_path: Path, ct: bytes) -> None:
    archive = tmp_path / "studies.zip"
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("folder/one.dcm", ct)
        writer.writestr("DICOMDIR", b"")
    (file,) = find([archive])
    assert file.label == f"{archive}:folder/one.dcm"
    assert b"".join(file.chunks()) == ct


def test_a_damaged_archive_member_is_an_error_of_that_file(tmp_path: Path, ct: bytes) -> None:
    archive = tmp_path / "damaged.zip"
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("one.dcm", ct)
    content = bytearray(archive.read_bytes())
    content[len(ct) // 2] ^= 0xFF
    archive.write_bytes(content)
    (file,) = find([archive])
    with pytest.raises(Unprocessable, match=r"one\.dcm"):
        b"".join(file.chunks())


def _spoilt(archive: Path, ct: bytes) -> None:
    """Deflated data that end nowhere."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr("one.dcm", ct)
    content = bytearray(archive.read_bytes())
    content[100:1000] = b"\xff" * 900
    archive.write_bytes(content)


def _encrypted(archive: Path, ct: bytes) -> None:
    """The flag is enough."""
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("one.dcm", ct)
    content = bytearray(archive.read_bytes())
    content[6] |= 1
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)


def _cut(archive: Path, ct: bytes) -> None:
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("one.dcm", ct)
    archive.write_bytes(archive.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_spoilt, "the archive is damaged"),
        (_encrypted, "encrypted.*unpack it and name the folder"),
        (_cut, "ZIP archive is cut off or damaged"),
    ],
)
def test_what_is_wrong_with_an_archive_is_said_of_its_members_alone(
    tmp_path: Path, ct: bytes, spoil: Callable[[Path, bytes], None], told: str
) -> None:
    spoil(tmp_path / "x.zip", ct)
    (file,) = find([tmp_path])
    with pytest.raises(Unprocessable, match=told):
        b"".join(file.chunks())


def _directory(path: Path, parts: list[str]) -> None:
    record = Dataset()
    record.DirectoryRecordType = "IMAGE"
    record.ReferencedFileID = parts
    directory = Dataset()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    directory.DirectoryRecordSequence = [record]
    directory.save_as(path, enforce_file_format=True)


def test_a_dicomdir_leads_to_its_files_whatever_the_case_of_their_names(
    tmp_path: Path, ct: bytes
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "im1").write_bytes(ct)
    (tmp_path / "unlisted").write_bytes(ct)
    _directory(tmp_path / "DICOMDIR", ["IMAGES", "IM1"])
    assert [file.path for file in find([tmp_path])] == [(tmp_path / "images" / "im1").resolve()]


def test_a_file_that_a_dicomdir_names_and_that_is_not_there_is_an_error_of_that_file(
    tmp_path: Path,
) -> None:
    _directory(tmp_path / "DICOMDIR", ["IMAGES", "IM1"])
    (file,) = find([tmp_path])
    assert file.label.endswith("IMAGES/IM1")
    with pytest.raises(Unprocessable, match=r"not there, though its DICOMDIR names it"):
        b"".join(file.chunks())


def test_names_in_lower_case_are_read_without_a_warning(tmp_path: Path, ct: bytes) -> None:
    with warnings.catch_warnings(action="ignore"):
        _directory(tmp_path / "DICOMDIR", ["im1"])
    (tmp_path / "im1").write_bytes(ct)
    with warnings.catch_warnings(action="error"):
        assert _labels(tmp_path) == ["im1"]


def test_nothing_found_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no files in .*name DICOM files"):
        find_some([tmp_path])


def test_a_dicomdir_cannot_lead_outside_its_folder(tmp_path: Path) -> None:
    medium = tmp_path / "medium"
    medium.mkdir()
    (tmp_path / "SECRET").write_text("x")
    _directory(medium / "DICOMDIR", ["..", "SECRET"])
    with pytest.raises(Unprocessable, match="outside"):
        list(find([medium]))


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="absent"):
        list(find([tmp_path / "absent"]))
