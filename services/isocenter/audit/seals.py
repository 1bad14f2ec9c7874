"""What closes a segment: its seal, signed, and the keys that sign, each introduced by the one
before it.

Both are files of two lines: a JSON object on one line, and the Ed25519 signature (RFC 8032) of
exactly these bytes in Base64. Keys of the object store:

- `audit/chains/{chain}/{million}/{first}/seal`: the seal of the segment that begins with record
  `first`; whoever writes it first has sealed it. `million` is the number of whole millions in it.
- `audit/chains/{chain}/{million}/{first}/{digest}.jsonl.gz`: its lines (`audit.chain`), compressed;
  the seal holds the digest, so what an unfinished attempt left behind counts for nothing.
- `audit/chains/{chain}/{million}/{first}/stamp.tsr`: a time stamp of the seal (RFC 3161).
- `audit/chains/{chain}/{million}/{first}/expired`: says, signed too, that the lines are gone as the
  retention wants it; the seal stays.
- `audit/keys/{number}`: a public key, and which one introduced it.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, TypeVar

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from isocenter.core.errors import Corrupted

CHAINS = "audit/chains/"
KEYS = "audit/keys/"
NOTHING = "0" * 64  # the digest of the seal before the first one
_MILLION = 1_000_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seal:
    """What is promised of a segment; fields are only ever added."""

    chain: str
    first: int  # number of its first record, from 1
    last: int
    previous: str  # digest of the record before the first
    head: str  # digest of the last record
    root: str  # of the Merkle tree over the records
    since: str  # time of its earliest record, ISO 8601 in UTC
    until: str  # of its latest
    sealed_at: str
    previous_seal: str  # SHA-256 of the file of the seal before it
    records: str  # SHA-256 of the file of the lines
    size: int  # of that file, bytes
    key: str  # which signed: `Key.id`

    @property
    def folder(self) -> str:
        """What the keys of the segment begin with."""
        return folder_of(self.chain, self.first)

    @property
    def lines_key(self) -> str:
        """The key of its lines."""
        return f"{self.folder}{self.records}.jsonl.gz"

    @property
    def count(self) -> int:
        """How many records it has."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Expiry:
    """Says that the lines of a segment were removed."""

    chain: str
    first: int
    last: int
    seal: str  # SHA-256 of the file of its seal
    at: str
    reason: str
    key: str


@dataclass(frozen=True, slots=True)
class Key:
    """A public key, as the object store has it."""

    number: int  # from 1, in the order of introduction
    public: str  # the 32 bytes of RFC 8032, Base64
    since: str
    introduced_by: str  # `id` of the key that signed this; its own, if none vouches for it

    @property
    def id(self) -> str:
        """SHA-256 of the 32 bytes."""
        return key_id(base64.b64decode(self.public))


@dataclass(frozen=True, slots=True)
class Signed:
    """A file of two lines."""

    body: bytes
    signature: bytes

    @property
    def file(self) -> bytes:
        """Its bytes."""
        return self.body + b"\n" + base64.b64encode(self.signature) + b"\n"

    @property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return sha256(self.file).hexdigest()

    @classmethod
    def by(cls, private: Ed25519PrivateKey, what: Seal | Expiry | Key) -> Signed:
        """Sign something."""
        body = orjson.dumps(asdict(what))
        return cls(body, private.sign(body))

    @classmethod
    def read(cls, name: str, file: bytes) -> Signed:
        """From its bytes. Raises `Corrupted`; the signature is not checked."""
        try:
            body, signature, rest = file.split(b"\n")
            signed = cls(body, base64.b64decode(signature, validate=True))
        except (ValueError, binascii.Error) as error:
            raise Corrupted(f"{name} is no signed file", fix="it was changed") from error
        if rest or signed.file != file:
            raise Corrupted(f"{name} is no signed file", fix="it was changed")
        return signed

    def is_by(self, public: str) -> bool:
        """Whether the key (32 bytes in Base64) made the signature."""
        try:
            key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True))
            key.verify(self.signature, self.body)
        except (InvalidSignature, ValueError):
            return False
        return True

    def content(self, name: str, kind: type[T]) -> T:
        """What was signed; fields of later versions are left out. Raises `Corrupted`."""
        try:
            fields: dict[str, Any] = orjson.loads(self.body)
            known = kind.__dataclass_fields__  # type: ignore[attr-defined]
            content = kind(**{key: value for key, value in fields.items() if key in known})
            for key, field in known.items():
                if not isinstance(getattr(content, key), int if field.type == "int" else str):
                    raise TypeError(key)
        except (TypeError, ValueError, AttributeError) as error:
            what = kind.__name__.lower()
            raise Corrupted(f"{name} is no {what}", fix="it was changed") from error
        return content


def key_id(public: bytes) -> str:
    """What a key is called."""
    return sha256(public).hexdigest()


def folder_of(chain: str, first: int) -> str:
    """What the keys of a segment begin with."""
    return f"{CHAINS}{chain}/{first // _MILLION:010}/{first:016}/"


def million_of(chain: str, million: int) -> str:
    """What the keys of the segments that begin in a million begin with."""
    return f"{CHAINS}{chain}/{million:010}/"


def key_key(number: int) -> str:
    """The key of a public key in the object store."""
    return f"{KEYS}{number:06}"
