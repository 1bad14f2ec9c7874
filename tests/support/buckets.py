"""Buckets for tests of the S3 adapter."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from isocenter.adapters.blobs.s3.blobs import S3Blobs
from isocenter.adapters.blobs.s3.upkeep import S3Upkeep
from isocenter.adapters.settings import S3Settings
from support.stack import ACCESS_KEY, SECRET_KEY

SETTINGS = S3Settings(access_key=ACCESS_KEY, secret_key=SECRET_KEY)


@asynccontextmanager
async def opened(url: str, settings: S3Settings = SETTINGS) -> AsyncIterator[S3Blobs]:
    """The blobs of a bucket."""
    store = await S3Blobs.open(url, settings)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def upkeep(url: str, settings: S3Settings = SETTINGS) -> AsyncIterator[S3Upkeep]:
    """Who looks after a bucket."""
    found = await S3Upkeep.open(url, settings)
    try:
        yield found
    finally:
        await found.close()


@asynccontextmanager
async def prepared(url: str, settings: S3Settings = SETTINGS) -> AsyncIterator[S3Blobs]:
    """The blobs of a bucket that was made for them."""
    async with upkeep(url, settings) as keeper:
        await keeper.prepare()
    async with opened(url, settings) as store:
        yield store


def digest(content: bytes) -> str:
    """SHA-256, as keys and `put` have it."""
    return hashlib.sha256(content).hexdigest()


async def put(blobs: S3Blobs, key: str, content: bytes) -> None:
    """Create a blob."""
    await blobs.put(key, [content], digest(content))
