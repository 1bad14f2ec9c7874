"""Checks that every blob store makes before a key or a range reaches its backend."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from isocenter.core.errors import Corrupted, Invalid
from isocenter.core.identity import KEY_COMPONENT
from isocenter.core.ports import Buffer

_KEY = re.compile(f"(?:{KEY_COMPONENT.pattern}/)+{KEY_COMPONENT.pattern}")


def components(key: str) -> list[str]:
    """The components of a key, at least two. Raises `Invalid` for anything else."""
    if not _KEY.fullmatch(key):
        raise Invalid(
            f"{key!r} is not a key of the blob store",
            fix="use two or more components of letters, digits, '.', '_' and '-', with '/' between",
        )
    return key.split("/")


def prefix_components(prefix: str) -> list[str]:
    """The components of a listing prefix, at least one. Raises `Invalid` for anything else."""
    parts = prefix.removesuffix("/").split("/")
    if not prefix.endswith("/") or not all(KEY_COMPONENT.fullmatch(part) for part in parts):
        raise Invalid(
            f"{prefix!r} is not a prefix of keys of the blob store",
            fix="use whole components and end with '/'",
        )
    return parts


def check_range(offset: int, length: int | None) -> None:
    """Raises `Invalid` for a negative offset or length."""
    if offset < 0 or (length is not None and length < 0):
        raise Invalid(
            f"the range of {length} bytes from {offset} is negative", fix="ask from 0 upwards"
        )


def sha256(data: Iterable[Buffer]) -> str:
    """Digest of the concatenated buffers, lower-case hexadecimal."""
    hasher = hashlib.sha256()
    for part in data:
        hasher.update(part)
    return hasher.hexdigest()


def check_digest(key: str, expected: str, actual: str) -> None:
    """Raises `Corrupted` unless the bytes that arrived are the ones that were meant."""
    if actual != expected:
        raise Corrupted(
            f"what arrived for {key} has the digest {actual}, not {expected}",
            fix="send it again; if it happens again, test the memory and the network",
        )


def check_kept(key: str, expected: str, actual: str) -> None:
    """Raises `Corrupted` unless what is read is what was kept."""
    if actual != expected:
        raise Corrupted(
            f"{key} now has the digest {actual}", fix="restore the object from a copy or its source"
        )


def check_size(key: str, kept: int, actual: int) -> None:
    """Raises `Corrupted` unless what is kept under a key is as long as what has it now."""
    if kept != actual:
        raise Corrupted(
            f"{key} is kept with {kept} bytes, but has {actual}",
            fix="run `isocenter verify`, remove the damaged file and send the object again",
        )
