"""The private keys that sign seals, as files, and the public ones in the object store.

The folder holds PEM files (PKCS #8). The last by name signs; the others stay, so that the one
before can introduce its successor. To rotate is to add a file with a name behind the others.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from isocenter.audit.seals import KEYS, Key, Signed, key_id, key_key
from isocenter.audit.settings import AuditSettings
from isocenter.core.errors import Conflict, Corrupted, Invalid, Unavailable
from isocenter.core.ports import BlobStore
from isocenter.runtime.audit_records import time_text
from isocenter.runtime.streams import generator

_FIRST = "000001.pem"
_PUBLIC_LENGTH = 32  # bytes of a public key (RFC 8032 5.1.5)
_FOLDER = "audit-keys"


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that can sign."""

    file: Path
    private: Ed25519PrivateKey

    @property
    def public(self) -> str:
        """The 32 bytes of the public key, Base64."""
        return base64.b64encode(self.private.public_key().public_bytes_raw()).decode()

    @property
    def id(self) -> str:
        """What it is called."""
        return key_id(self.private.public_key().public_bytes_raw())


@dataclass(frozen=True, slots=True)
class KeyFolder:
    """Where the private keys are."""

    path: Path
    makes: bool  # whether the first key is made where there is none

    def all(self) -> Sequence[PrivateKey]:
        """Every key, the one that signs last. Raises `Invalid`, `Unavailable`."""
        try:
            files = sorted(self.path.glob("*.pem")) if self.path.is_dir() else []
            if not files and self.makes:
                return [self.add()]
            keys = [_read(file) for file in files]
        except OSError as error:
            raise Unavailable(
                f"the keys of the audit trail in {self.path} cannot be read: {error.strerror}",
                fix="check the folder and its permissions",
            ) from error
        if not keys:
            raise Unavailable(
                f"no key (*.pem) to seal the audit trail with is in {self.path}",
                fix="put an Ed25519 key there: openssl genpkey -algorithm ed25519",
            )
        return keys

    def add(self) -> PrivateKey:
        """Make a key that signs from now on; durable on return."""
        held = sorted(file.stem for file in self.path.glob("*.pem"))
        if held and not held[-1].isdigit():
            raise Invalid(
                f"{self.path} holds keys with names of somebody else's choice",
                fix="add the new key where these come from, with a name behind theirs",
            )
        name = f"{int(held[-1]) + 1:06}.pem" if held else _FIRST
        private = Ed25519PrivateKey.generate()
        text = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = self.path / name
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:  # another process was faster
            return _read(file)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        return PrivateKey(file, private)


def _read(file: Path) -> PrivateKey:
    try:
        private = load_pem_private_key(file.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise Invalid(
            f"{file} is no private key without a passphrase",
            fix="make one: openssl genpkey -algorithm ed25519",
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise Invalid(f"{file} is no Ed25519 key", fix="openssl genpkey -algorithm ed25519")
    return PrivateKey(file, private)


def key_folder(settings: AuditSettings, data: Path) -> KeyFolder:
    """Where the settings say that the private keys are."""
    if settings.keys is not None:
        return KeyFolder(settings.keys, makes=False)
    return KeyFolder(data / _FOLDER, makes=True)


async def key_files(blobs: BlobStore) -> Sequence[tuple[str, bytes]]:
    """The files of the public keys with their keys in the object store, in order."""
    async with aclosing(generator(blobs.list(KEYS))) as infos:
        return [(info.key, await blobs.get(info.key)) async for info in infos]


def key_of(name: str, file: bytes) -> tuple[Key, Signed]:
    """The public key in a file. Raises `Corrupted`; who signed it is not checked."""
    signed = Signed.read(name, file)
    key = signed.content(name, Key)
    try:
        public = base64.b64decode(key.public, validate=True)
    except ValueError:
        public = b""
    if len(public) != _PUBLIC_LENGTH or name != key_key(key.number):
        raise Corrupted(f"{name} is not the public key that belongs there", fix="it was changed")
    return key, signed


async def public_keys(blobs: BlobStore) -> Sequence[tuple[Key, Signed]]:
    """What the object store has, in the order of their numbers. Raises `Corrupted`."""
    return [key_of(name, file) for name, file in await key_files(blobs)]


async def signing_key(folder: KeyFolder, blobs: BlobStore) -> PrivateKey:
    """The key that signs now; it is in the object store on return, introduced by the one before
    it if that is in the folder. Raises `Unavailable`, `Invalid`, `Conflict`."""
    held = folder.all()
    current = held[-1]
    known = [key for key, _ in await public_keys(blobs)]
    if any(key.id == current.id for key in known):
        return current
    by_id = {key.id: key for key in held}
    introducer = by_id.get(known[-1].id, current) if known else current
    number = known[-1].number + 1 if known else 1
    key = Key(number, current.public, time_text(datetime.now(UTC)), introducer.id)
    signed = Signed.by(introducer.private, key)
    try:
        await blobs.put(key_key(number), [signed.file], sha256(signed.file).hexdigest())
        made = Signed.read(key_key(number), await blobs.get(key_key(number)))
    except Corrupted as error:
        raise Conflict("another process added a key of the audit trail", fix="try again") from error
    if made != signed:
        raise Conflict("another process added a key of the audit trail", fix="try again")
    return current
