"""What is wrong with a segment whose lines are not those that were sealed, and from where on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from isocenter.audit.chain import digest_of
from isocenter.audit.seals import Seal

_HEAD = re.compile(rb'\{"prev":"([0-9a-f]{64})","seq":([1-9][0-9]{0,18}),"record":\{')


@dataclass(frozen=True, slots=True)
class _Line:
    number: int  # as it says
    previous: str
    digest: str


def diagnosis(seal: Seal, lines: Sequence[bytes]) -> str:
    """One sentence about the first thing that is wrong."""
    wanted = seal.first
    before: _Line | None = None
    for at, line in enumerate(lines):
        found = _read(line)
        if found is None:
            return f"record {wanted} was changed"
        if found.number != wanted:
            return _out_of_order(wanted, found.number, lines[at + 1 :])
        expected = before.digest if before else seal.previous
        if found.previous != expected:
            return _broken(seal, before, found, lines[at + 1 :])
        before, wanted = found, wanted + 1
    if before is None:
        return f"all records from {seal.first} to {seal.last} are missing"
    if wanted <= seal.last:
        return f"the records from {wanted} to {seal.last} are missing at the end"
    if wanted > seal.last + 1:
        return f"{wanted - seal.last - 1} records were added behind record {seal.last}"
    if before.digest != seal.head:
        return f"record {seal.last} was changed"
    return "its records are those that were sealed, but not its file"


def _read(line: bytes) -> _Line | None:
    head = _HEAD.match(line)
    if head is None:
        return None
    return _Line(int(head[2]), head[1].decode(), digest_of(line).hex())


def _out_of_order(wanted: int, found: int, rest: Sequence[bytes]) -> str:
    if found < wanted:
        return f"record {found} stands again in the place of record {wanted}"
    if any((line := _read(one)) is not None and line.number == wanted for one in rest):
        return f"record {found} stands in the place of record {wanted}: they were reordered"
    if found == wanted + 1:
        return f"record {wanted} is missing"
    return f"the records from {wanted} to {found - 1} are missing"


def _broken(seal: Seal, before: _Line | None, found: _Line, rest: Sequence[bytes]) -> str:
    """Either the line was changed or the one before it: what follows the line tells which."""
    following = _read(rest[0]) if rest else None
    names = following.previous if following else seal.head
    if before is not None and names == found.digest:
        return f"record {before.number} was changed"
    return f"record {found.number} was changed"
