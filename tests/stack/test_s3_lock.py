"""A bucket with object lock: what is put there nobody removes before its time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from minio import Minio, S3Error

from isocenter.adapters.blobs.s3.blobs import S3Blobs
from isocenter.core.errors import IsocenterError
from support.buckets import SETTINGS, digest, prepared
from support.stack import ACCESS_KEY, SECRET_KEY, Stack

KEY = "audit/chains/audit-0/0000000000/0000000000000001/seal"
CONTENT = b"sealed"


async def test_what_is_sealed_in_a_locked_bucket_cannot_be_removed(stack: Stack, name: str) -> None:
    client = Minio(stack.minio.address, ACCESS_KEY, SECRET_KEY, secure=False)
    client.make_bucket(name, object_lock=True)
    url = f"s3://{stack.minio.address}/{name}"
    blobs = await S3Blobs.open(url, SETTINGS, lock_days=2)
    try:
        await blobs.put(KEY, [CONTENT], digest(CONTENT))
        await blobs.put(KEY, [CONTENT], digest(CONTENT))
        retention = client.get_object_retention(name, KEY)
        assert retention is not None
        assert retention.mode == "COMPLIANCE"
        left = retention.retain_until_date - datetime.now(UTC)
        assert timedelta(days=1, hours=23) < left <= timedelta(days=2)
        (version,) = client.list_objects(name, KEY, include_version=True)
        with pytest.raises(S3Error, match=r"WORM|[Ll]ock|protected"):
            client.remove_object(name, KEY, version_id=version.version_id)
        assert await blobs.get(KEY) == CONTENT
        await blobs.delete(KEY)  # hides it, as the retention of the trail wants it
        versions = client.list_objects(name, KEY, include_version=True)
        assert version.version_id in {one.version_id for one in versions}
    finally:
        await blobs.close()


async def test_a_bucket_without_a_lock_is_told(stack: Stack, name: str) -> None:
    url = f"s3://{stack.minio.address}/{name}"
    async with prepared(url):
        blobs = await S3Blobs.open(url, SETTINGS, lock_days=2)
        try:
            with pytest.raises(IsocenterError, match="lock"):
                await blobs.put(KEY, [CONTENT], digest(CONTENT))
        finally:
            await blobs.close()
