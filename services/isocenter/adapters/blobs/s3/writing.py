"""Blocking writes of whole objects to a bucket, called in the threads of `S3Client`."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from minio import S3Error
from minio.commonconfig import ComposeSource, CopySource
from minio.datatypes import Object
from urllib3.exceptions import ProtocolError

from isocenter.adapters.blobs import keys
from isocenter.adapters.blobs.s3.client import S3Client, size_of
from isocenter.adapters.blobs.s3.errors import code_of, told
from isocenter.core.errors import Invalid, Unavailable
from isocenter.core.ports import BlobInfo, Buffer

# A key names its content: writing it again would change nothing but the time of the object.
UNLESS_KEPT = {"If-None-Match": "*"}
TRIES = 3
# What a store copies while it says nothing: not more than it can in the time that we wait.
COPIED_AT_ONCE = 256 * 1024 * 1024
MOST_PARTS = 10_000  # of one object, in every S3 store


def put(
    client: S3Client, key: str, data: Sequence[Buffer], digest: str, lock_days: int = 0
) -> None:
    """Create an object of the concatenated buffers by one request, unless the key is there.

    `lock_days`: how long nobody may remove it; raises `Invalid` where the bucket has no lock.
    """
    headers = {**UNLESS_KEPT, **(_locked(data, lock_days) if lock_days else {})}
    for _ in range(TRIES):
        try:
            client.send("PUT", key, headers=headers, body=data, digest=digest)
        except S3Error as error:
            code = code_of(error)
            if code in ("PreconditionFailed", "XAmzContentSHA256Mismatch"):
                keys.check_digest(key, digest, keys.sha256(data))
            if lock_days and code == "InvalidRequest":
                raise Invalid(
                    f"the bucket {client.bucket} has no object lock",
                    fix="make one with object lock for audit.store, or set audit.lock_days = 0",
                ) from error
            if code != "PreconditionFailed":
                raise
            if is_kept(client, key, size_of(data)):
                return
        else:
            return
    raise Unavailable(f"{key} is there and is not", fix="try again: it is being deleted")


def _locked(data: Sequence[Buffer], days: int) -> dict[str, str]:
    """Object lock of S3, in the mode that nobody can lift. The store asks for the older digest."""
    until = datetime.now(UTC) + timedelta(days=days)
    content = hashlib.md5(b"".join(data), usedforsecurity=False)
    return {
        "x-amz-object-lock-mode": "COMPLIANCE",
        "x-amz-object-lock-retain-until-date": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "Content-MD5": base64.b64encode(content.digest()).decode(),
    }


def copy(client: S3Client, source: str, key: str, size: int) -> None:
    """Let the store copy an object to a key, unless the key is there."""
    if is_kept(client, key, size):
        return
    if size <= COPIED_AT_ONCE:
        client.minio.copy_object(client.bucket, key, CopySource(client.bucket, source))
    else:
        step = max(COPIED_AT_ONCE, -(-size // MOST_PARTS))
        parts = [
            ComposeSource(client.bucket, source, offset=start, length=min(step, size - start))
            for start in range(0, size, step)
        ]
        client.minio.compose_object(client.bucket, key, parts)
    # The SDK takes every answer that begins with 200 for a success, and stores end some otherwise.
    if not is_kept(client, key, size):
        raise ProtocolError("the copy is not there")


def move(client: S3Client, source: str, key: str) -> None:
    """Let the store copy an object to a key, and remove it."""
    try:
        size = stat(client, source).size
    except S3Error as error:
        if code_of(error) != "NoSuchKey":
            raise
        stat(client, key)  # moved already, or nowhere
        return
    copy(client, source, key, size)
    client.send("DELETE", source)


def is_kept(client: S3Client, key: str, size: int) -> bool:
    """Whether the key is there already. Raises `Corrupted` if it is there with another size."""
    try:
        info = stat(client, key)
    except S3Error as error:
        if code_of(error) == "NoSuchKey":
            return False
        raise
    keys.check_size(key, info.size, size)
    return True


def stat(client: S3Client, key: str) -> BlobInfo:
    """What the store knows of an object."""
    found = client.minio.stat_object(client.bucket, key)
    told((found.metadata or {}).get("content-length"))  # without it, the SDK says 0
    return info_of(found)


def info_of(found: Object) -> BlobInfo:
    """The same for one object, whether it was listed or asked for."""
    if found.size is None or found.last_modified is None:
        raise ProtocolError("the answer broke off before it told everything")
    # A listing tells fractions of a second too, the answer about one object does not.
    modified_at = found.last_modified.astimezone(UTC).replace(microsecond=0)
    return BlobInfo(told(found.object_name), found.size, modified_at)
