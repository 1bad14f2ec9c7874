"""Where DICOM files come from: files, folders, ZIP archives and DICOMDIRs."""

from __future__ import annotations

import io
import zipfile
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
        """The file's bytes. Raises `Unprocessable` if the archive cannot be read."""
        if not self.member:
            with self.path.open("rb") as file:
                yield file
            return
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as file:
                yield file
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise Unprocessable(f"{self.label} cannot be unpacked: {error}") from error

    def chunks(self) -> Iterator[bytes]:
        """The file's bytes in bounded pieces."""
        with self.open() as file:
            while chunk := file.read(CHUNK):
                yield chunk


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
    try:
        records = pydicom.dcmread(path).get("DirectoryRecordSequence", [])
    except (InvalidDicomError, OSError, ValueError) as error:
        raise Unprocessable(
            f"{path} is not a readable DICOMDIR: {error}", fix="name its folders instead"
        ) from error
    root = path.parent.resolve()
    for record in records:
        parts = record.get("ReferencedFileID")
        if not parts:
            continue
        names = [parts] if isinstance(parts, str) else list(parts)
        file = _insensitive(root, names)
        if not file.is_relative_to(root):
            raise Unprocessable(f"{path} refers to a file outside its folder")
        yield SourceFile(file)


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


def is_part10(path: Path) -> bool:
    """Whether the file has the preamble and prefix of PS3.10 7.1."""
    with path.open("rb") as file:
        return _has_prefix(file)


def _has_prefix(file: IO[bytes]) -> bool:
    return io.BytesIO(file.read(PREAMBLE + len(MAGIC))).getvalue()[PREAMBLE:] == MAGIC
