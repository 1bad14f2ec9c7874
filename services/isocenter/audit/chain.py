"""The chain of records: their lines, the digest of each, and the Merkle tree over a segment.

A line is the JSON of one record with the digest of the line before it and its number in front:
`{"prev":"<64 hex>","seq":1,"record":{...}}`. The digest of a line is SHA-256 of a zero byte and the
line, which makes it a leaf of the tree of RFC 9162 2.1 (then: RFC 6962): one digest serves both.
What is written here is read by `isocenter.audit.standalone` too, which shares no code with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from isocenter.core.errors import Corrupted

BEGINNING = "0" * 64  # what the first record of a chain names as the one before it
_LEAF, _NODE = b"\0", b"\1"


def line_of(previous: str, sequence: int, record: bytes) -> bytes:
    """The line of a record, without the newline behind it."""
    return b'{"prev":"%b","seq":%d,"record":%b}' % (previous.encode(), sequence, record)


def record_of(line: bytes) -> bytes:
    """The JSON of the record of a line."""
    return line[line.index(b'"record":') + 9 : -1]


def digest_of(line: bytes) -> bytes:
    """What the next record names, and the leaf of the tree."""
    return sha256(_LEAF + line).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The Merkle tree head of leaves, of which there is at least one."""
    level = list(leaves)
    while len(level) > 1:
        pairs = [
            sha256(_NODE + level[at] + level[at + 1]).digest() for at in range(0, len(level) - 1, 2)
        ]
        # Without a sibling a node goes up as it is: the same tree as that of the RFC.
        level = pairs if len(level) % 2 == 0 else [*pairs, level[-1]]
    return level[0]


def path_to(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The siblings from a leaf up to the root: its inclusion proof (RFC 9162 2.1.3.1)."""
    level, at, path = list(leaves), index, []
    while len(level) > 1:
        sibling = at ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        pairs = [
            sha256(_NODE + level[left] + level[left + 1]).digest()
            for left in range(0, len(level) - 1, 2)
        ]
        level, at = (pairs if len(level) % 2 == 0 else [*pairs, level[-1]]), at // 2
    return path


def root_by(leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes | None:
    """The root that an inclusion proof of a leaf leads to (RFC 9162 2.1.3.2); None if the proof
    has not the length that it must have."""
    node, at, last, left = leaf, index, count - 1, list(path)
    while last:
        if at % 2 or at < last:
            if not left:
                return None
            sibling = left.pop(0)
            pair = sibling + node if at % 2 else node + sibling
            node = sha256(_NODE + pair).digest()
        at, last = at // 2, last // 2
    return None if left else node


@dataclass(frozen=True, slots=True)
class Links:
    """The lines of a segment, read."""

    lines: Sequence[bytes]
    leaves: Sequence[bytes]
    root: str

    @property
    def head(self) -> str:
        """The digest of the last line."""
        return self.leaves[-1].hex()


def checked(lines: Sequence[bytes], first: int, previous: str) -> Links:
    """The links of the lines of a segment, each of which follows the one before it.

    Raises `Corrupted`, with the number of the first record that does not.
    """
    leaves: list[bytes] = []
    head = previous.encode()
    for sequence, line in enumerate(lines, first):
        if not line.startswith(b'{"prev":"%b","seq":%d,"record":{' % (head, sequence)):
            raise Corrupted(
                f"record {sequence} does not follow the one before it",
                fix="it, or the record before it, was changed, removed or moved",
            )
        leaf = sha256(_LEAF + line).digest()
        leaves.append(leaf)
        head = leaf.hex().encode()
    if not leaves:
        raise Corrupted(f"there is no record {first}", fix="the segment is empty")
    return Links(lines, leaves, root_of(leaves).hex())
