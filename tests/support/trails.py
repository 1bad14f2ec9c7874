"""Small audit trails, made with the code that makes the real ones, in a folder that can be tampered
with: as the embedded store has it, or as a plain copy of the keys."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from isocenter.adapters.blobs.files import FileBlobs
from isocenter.audit.chain import BEGINNING, digest_of, line_of, path_to, record_of, root_of
from isocenter.audit.seals import (
    CHAINS,
    KEYS,
    NOTHING,
    Expiry,
    Key,
    Seal,
    Signed,
    key_id,
    key_key,
)
from isocenter.audit.segments import Segments, packed
from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome, Source
from isocenter.runtime.audit_records import encoded, time_text

BEGIN = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
SIZES = {"audit-0": (100, 100, 100, 100, 1, 99), "instances-3": (64, 7, 64)}  # of segments
KEY_COUNT = 3  # each seals two segments of a chain, the last all others
EXPIRED = 0  # which segment of `audit-0` retention removed
STAMPED = 2  # which one has a time stamp


class Signer:
    """A private key."""

    def __init__(self) -> None:
        self.private = Ed25519PrivateKey.generate()

    @cached_property
    def public(self) -> bytes:
        """The 32 bytes of its public key."""
        return self.private.public_key().public_bytes_raw()

    @property
    def id(self) -> str:
        """Its fingerprint."""
        return key_id(self.public)

    def key(self, number: int, introducer: Signer | None = None) -> Signed:
        """The file of the public key; without an introducer it is signed by itself."""
        by = introducer or self
        public = base64.b64encode(self.public).decode()
        return Signed.by(by.private, Key(number, public, time_text(BEGIN), by.id))


@dataclass(frozen=True)
class Before:
    """What a segment follows."""

    last: int = 0
    head: str = BEGINNING
    seal: str = NOTHING


@dataclass(frozen=True)
class Segment:
    """A segment that is not written yet."""

    seal: Seal
    signed: Signed
    content: bytes  # of the file of its lines

    @property
    def end(self) -> Before:
        """What the next one follows."""
        return Before(self.seal.last, self.seal.head, self.signed.digest)


def segment(
    chain: str, before: Before, records: Sequence[bytes], by: Signer, at: datetime
) -> Segment:
    """A segment of these records; everything that its seal says is right."""
    lines, head = [], before.head
    for sequence, record in enumerate(records, before.last + 1):
        lines.append(line_of(head, sequence, record))
        head = digest_of(lines[-1]).hex()
    content = packed(lines)
    seal = Seal(
        chain=chain,
        first=before.last + 1,
        last=before.last + len(records),
        previous=before.head,
        head=head,
        root=root_of([digest_of(line) for line in lines]).hex(),
        since=time_text(at),
        until=time_text(at + timedelta(minutes=5)),
        sealed_at=time_text(at + timedelta(minutes=6)),
        previous_seal=before.seal,
        records=sha256(content).hexdigest(),
        size=len(content),
        key=by.id,
    )
    return Segment(seal, Signed.by(by.private, seal), content)


def records(
    chain: str, first: int, count: int, at: datetime, who: str = "eva", detail: str = "QIDO-RS"
) -> list[bytes]:
    """Records as a hospital makes them; no two are the same."""
    source = Source("DICOMweb", "192.0.2.7", user=who)
    return [
        encoded(
            AuditEvent(
                AuditAction.QUERY,
                AuditOutcome.SUCCESS,
                source,
                at,
                f"{chain}/{number}",
                patient_ids=(f"P-{number % 50:04}",),
                studies=(f"1.2.840.99.{number % 50}",),
                detail=detail,
            )
        )
        for number in range(first, first + count)
    ]


@dataclass(frozen=True)
class KeptTrail:
    """A trail in a folder."""

    folder: Path
    signers: Sequence[Signer]  # of its keys, in their order
    embedded: bool

    def path(self, key: str) -> Path:
        """The file of a key of the object store."""
        above, _, name = key.rpartition("/")
        return self.folder / (f"{above}@{name}" if self.embedded else key)

    def read(self, key: str) -> bytes:
        """What is kept there."""
        return self.path(key).read_bytes()

    def write(self, key: str, content: bytes) -> None:
        """Keep something there, whatever was."""
        self.path(key).parent.mkdir(parents=True, exist_ok=True)
        self.path(key).write_bytes(content)

    def remove(self, *keys: str) -> None:
        """Keep these no more."""
        for key in keys:
            self.path(key).unlink()

    def keys(self, prefix: str = "audit/") -> list[str]:
        """All keys that begin so, sorted."""
        files = (path for path in (self.folder / "audit").rglob("*") if path.is_file())
        found = (path.relative_to(self.folder).as_posix().replace("@", "/") for path in files)
        return sorted(key for key in found if key.startswith(prefix))

    def signed(self, chain: str) -> list[Signed]:
        """The seals of a chain."""
        keys = self.keys(f"{CHAINS}{chain}/")
        return [Signed.read(key, self.read(key)) for key in keys if key.endswith("/seal")]

    def seals(self, chain: str) -> list[Seal]:
        """What they say."""
        return [signed.content("the seal", Seal) for signed in self.signed(chain)]

    def lines(self, seal: Seal) -> list[bytes]:
        """The lines of a segment."""
        return gzip.decompress(self.read(seal.lines_key)).splitlines()

    def put_lines(self, seal: Seal, lines: Iterable[bytes]) -> None:
        """Other lines in the file of a segment; its seal stays as it is."""
        self.write(seal.lines_key, packed(list(lines)))

    def put(self, made: Segment) -> None:
        """A segment in the place of the one that was there."""
        self.remove(*self.keys(made.seal.folder))
        self.write(made.seal.lines_key, made.content)
        self.write(f"{made.seal.folder}seal", made.signed.file)

    def heads(self) -> str:
        """What was published of the trail after each of its seals: lines of JSON."""
        lines = []
        for chain in SIZES:
            for seal, signed in zip(self.seals(chain), self.signed(chain), strict=True):
                head = {"chain": chain, "last": seal.last, "head": seal.head, "seal": signed.digest}
                lines.append(json.dumps({"at": seal.sealed_at, "heads": [head]}))
        return "\n".join(lines) + "\n"

    def proof(self, chain: str, sequence: int) -> dict[str, Any]:
        """The inclusion proof of a record."""
        seals = zip(self.seals(chain), self.signed(chain), strict=True)
        seal, signed = next(one for one in seals if one[0].first <= sequence <= one[0].last)
        lines, index = self.lines(seal), sequence - seal.first
        return {
            "format": "isocenter audit proof 1",
            "chain": chain,
            "sequence": sequence,
            "line": lines[index].decode(),
            "index": index,
            "count": seal.count,
            "path": [node.hex() for node in path_to([digest_of(one) for one in lines], index)],
            "seal": signed.file.decode(),
            "keys": [self.read(key).decode() for key in self.keys(KEYS)],
        }

    def copy(self, folder: Path, *, embedded: bool) -> KeptTrail:
        """The same in another folder, in one of the two forms."""
        copied = replace(self, folder=folder, embedded=embedded)
        for key in self.keys():
            copied.write(key, self.read(key))
        return copied


async def make(
    folder: Path, sizes: Mapping[str, Sequence[int]] = SIZES, detail: str = "QIDO-RS"
) -> KeptTrail:
    """A trail in an embedded store: chains of segments of these sizes. The first segment of
    `audit-0` expired, the third has a time stamp."""
    signers = [Signer() for _ in range(KEY_COUNT)]
    blobs = await FileBlobs.open(folder)
    try:
        segments = Segments(blobs)
        for number, signer in enumerate(signers, 1):
            introducer = signers[number - 2] if number > 1 else None
            await segments.put(key_key(number), signer.key(number, introducer).file)
        for chain, counts in sizes.items():
            before = Before()
            for number, count in enumerate(counts):
                at = BEGIN + timedelta(hours=number)
                by = signers[min(number // 2, KEY_COUNT - 1)]
                said = records(chain, before.last + 1, count, at, detail=detail)
                made = segment(chain, before, said, by, at)
                await segments.write(made.seal, made.signed, made.content)
                if (chain, number) == ("audit-0", STAMPED):
                    await segments.put(f"{made.seal.folder}stamp.tsr", stamp_of(made.signed))
                if (chain, number) == ("audit-0", EXPIRED):
                    removal = expiry(made.seal, made.signed, signers[-1])
                    await segments.put(f"{made.seal.folder}expired", removal.file)
                    await blobs.delete(made.seal.lines_key)
                before = made.end
    finally:
        await blobs.close()
    return KeptTrail(folder, signers, embedded=True)


def expiry(seal: Seal, signed: Signed, by: Signer) -> Signed:
    """What says that the lines of a segment were removed."""
    at = time_text(BEGIN + timedelta(days=90))
    said = Expiry(seal.chain, seal.first, seal.last, signed.digest, at, "older than 89 days", by.id)
    return Signed.by(by.private, said)


def stamp_of(signed: Signed) -> bytes:
    """As much of a time stamp as somebody sees who knows no authority: the digest is in it
    (RFC 3161 2.4.2, messageImprint)."""
    return b"\x30\x82\x01\x00 before " + sha256(signed.file).digest() + b" behind"


def same_records(trail: KeptTrail, seal: Seal) -> list[bytes]:
    """The records of a segment."""
    return [record_of(line) for line in trail.lines(seal)]
