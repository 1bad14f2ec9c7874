"""Inclusion proofs: one record, the way from it to the root of its segment, the seal, the keys.

Whoever has a proof and knows the fingerprint of a key needs nothing else to believe the record:
`isocenter.audit.standalone --proof` checks it offline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from isocenter.audit.chain import digest_of, path_to, record_of, root_by
from isocenter.audit.keys import public_keys
from isocenter.audit.seals import Seal, Signed
from isocenter.audit.segments import Segments
from isocenter.core.audit import Place
from isocenter.core.errors import Corrupted, NotFound
from isocenter.core.events import AuditEvent
from isocenter.runtime.audit_records import decoded

FORMAT = "isocenter audit proof 1"


@dataclass(frozen=True, slots=True)
class Proof:
    """What proves one record."""

    place: Place
    line: bytes
    index: int  # of the record in its segment
    count: int  # records of the segment
    path: tuple[str, ...]
    seal: bytes  # files
    keys: tuple[bytes, ...]

    @property
    def event(self) -> AuditEvent:
        """The record."""
        return decoded(record_of(self.line))

    def text(self) -> bytes:
        """As a file."""
        fields: dict[str, Any] = {
            "format": FORMAT,
            "chain": self.place.chain,
            "sequence": self.place.sequence,
            "line": self.line.decode(),
            "index": self.index,
            "count": self.count,
            "path": self.path,
            "seal": self.seal.decode(),
            "keys": [key.decode() for key in self.keys],
        }
        return orjson.dumps(fields, option=orjson.OPT_INDENT_2) + b"\n"

    def holds(self) -> bool:
        """Whether the way from the record leads to the root that the seal names."""
        seal = Signed.read("the seal", self.seal).content("the seal", Seal)
        path = [bytes.fromhex(node) for node in self.path]
        root = root_by(digest_of(self.line), self.index, self.count, path)
        return root is not None and root.hex() == seal.root


async def prove(segments: Segments, place: Place) -> Proof:
    """The proof of the record in a place. Raises `NotFound` while it is not sealed and
    where its segment is gone, `Corrupted`."""
    sealed = await segments.holding(place.chain, place.sequence)
    if sealed is None:
        raise NotFound(
            f"record {place.sequence} of {place.chain} is not sealed yet",
            fix="ask again after audit.seal_seconds",
        )
    try:
        links = await segments.lines(sealed.seal)
    except NotFound as error:
        raise NotFound(
            f"the segment of record {place.sequence} of {place.chain} is gone",
            fix="isocenter audit verify tells whether retention removed it",
        ) from error
    index = place.sequence - sealed.seal.first
    proof = Proof(
        place=place,
        line=links.lines[index],
        index=index,
        count=sealed.seal.count,
        path=tuple(node.hex() for node in path_to(links.leaves, index)),
        seal=sealed.signed.file,
        keys=tuple([signed.file for _, signed in await public_keys(segments.blobs)]),
    )
    if not proof.holds():
        raise Corrupted(
            f"segment {sealed.seal.chain}/{sealed.seal.first} does not prove its records",
            fix="isocenter audit verify",
        )
    return proof
