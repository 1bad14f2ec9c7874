"""Where DICOM files come from: files, folders, ZIP archives and DICOMDIRs."""

from __future__ import annotations

import io
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pydicom
from pydicom.errors import InvalidDicomError

from isocenter.core.errors import NotFound, Unprocessable

PREAMBLE = 128
MAGIC = b"DICM"
CHUNK = 1 << 20

ZIP_START = b"PK\x03\x04"

# PS3.11: the file-set's directory is named so.
DICOMDIR = "DICOMDIR"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file to send or import: `archive` is the ZIP that holds it, if one does."""

    path: Path
    member: str = ""

    @property
    def label(self) -> str:
        """How a person finds it again."""
        return f"{self.path}:{self.member}" if self.member else str(self.path)

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """The file's bytes. Raises `Unprocessable` if they cannot be read."""
        try:
            if self.member:
                with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as file:
                    yield file
            else:
                with self.path.open("rb") as file:
                    _refuse_unopened_zip(file)
                    yield file
        except FileNotFoundError as error:
            raise Unprocessable(
                "the file is not there, though its DICOMDIR names it", fix="copy the medium again"
            ) from error
        except OSError as error:
            raise Unprocessable(f"the file cannot be read: {error.strerror or error}") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, LookupError) as error:
            raise Unprocessable(f"the archive is damaged: {error}") from error
        except (NotImplementedError, RuntimeError) as error:  # encrypted, or another compression
            raise Unprocessable(
                f"the archive cannot be unpacked: {error}", fix="unpack it and name the folder"
            ) from error

    def chunks(self) -> Iterator[bytes]:
        """The file's bytes in bounded pieces."""
        with self.open() as file:
            while chunk := file.read(CHUNK):
                yield chunk


def find_some(paths: Sequence[Path]) -> list[SourceFile]:
    """All that `find` finds. Raises `NotFound` if it is nothing."""
    files = list(find(paths))
    if not files:
        raise NotFound(
            f"no files in {', '.join(map(str, paths))}",
            fix="name DICOM files, folders, ZIP archives or DICOMDIRs",
        )
    return files


def find(paths: Sequence[Path]) -> Iterator[SourceFile]:
    """Every file to look at, in a stable order. Raises `NotFound` for a path that is not there.

    A folder with a DICOMDIR is read through it; other folders are walked.
    """
    for path in paths:
        if not path.exists():
            raise NotFound(f"{path} does not exist", fix="check the path")
        if path.is_dir():
            yield from _folder(path)
        else:
            yield from _file(path)


def _folder(folder: Path) -> Iterator[SourceFile]:
    directory = folder / DICOMDIR
    if directory.is_file():
        yield from _dicomdir(directory)
        return
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            yield from _file(path)


def _file(path: Path) -> Iterator[SourceFile]:
    if path.name.upper() == DICOMDIR:
        yield from _dicomdir(path)
    elif zipfile.is_zipfile(path) and not is_part10(path):
        yield from _zip(path)
    else:
        yield SourceFile(path)


def _zip(path: Path) -> Iterator[SourceFile]:
    with zipfile.ZipFile(path) as archive:
        for member in sorted(archive.namelist()):
            name = member.rsplit("/", 1)[-1]
            if name and not name.startswith(".") and name.upper() != DICOMDIR:
                yield SourceFile(path, member)


def _dicomdir(path: Path) -> Iterator[SourceFile]:
    """Files that the directory's records refer to (PS3.3 F.3.2.2, Referenced File ID)."""
    root = path.parent.resolve()
    for names in _file_ids(path):
        file = _insensitive(root, names)
        if not file.is_relative_to(root):
            raise Unprocessable(f"{path} refers to a file outside its folder")
        yield SourceFile(file)


def _file_ids(path: Path) -> list[list[str]]:
    try:
        # pydicom shows invalid values in its warnings; names in lower case are invalid, and common.
        with warnings.catch_warnings(action="ignore"):
            records = pydicom.dcmread(path).get("DirectoryRecordSequence", [])
            referenced = [record.get("ReferencedFileID") for record in records]
    except (InvalidDicomError, OSError, ValueError) as error:
        raise Unprocessable(
            f"{path} is not a readable DICOMDIR: {error}", fix="name its folders instead"
        ) from error
    return [[parts] if isinstance(parts, str) else list(parts) for parts in referenced if parts]


def _insensitive(root: Path, names: Sequence[str]) -> Path:
    """The file on disk: media are often copied with their names in lower case."""
    folder = root
    for name in names:
        exact = folder / name
        if not exact.exists() and folder.is_dir():
            same = [entry for entry in folder.iterdir() if entry.name.upper() == name.upper()]
            exact = same[0] if same else exact
        folder = exact
    return folder.resolve()


def _refuse_unopened_zip(file: IO[bytes]) -> None:
    """An archive without its directory, which is at its end, was not found to be one."""
    start = file.read(PREAMBLE + len(MAGIC))
    file.seek(0)
    if start.startswith(ZIP_START) and not start.endswith(MAGIC):
        raise Unprocessable("the ZIP archive is cut off or damaged", fix="copy it again")


def is_part10(path: Path) -> bool:
    """Whether the file has the preamble and prefix of PS3.10 7.1."""
    with path.open("rb") as file:
        return _has_prefix(file)


def _has_prefix(file: IO[bytes]) -> bool:
    return io.BytesIO(file.read(PREAMBLE + len(MAGIC))).getvalue()[PREAMBLE:] == MAGIC
