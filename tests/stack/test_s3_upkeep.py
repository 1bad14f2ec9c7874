"""`check` and `check --prepare` of a bucket of MinIO."""

from __future__ import annotations

import asyncio

import pytest
from minio import Minio
from minio.commonconfig import ENABLED, Filter
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule
from minio.versioningconfig import VersioningConfig
from pydantic import SecretStr

from isocenter.adapters.blobs.s3.staging import STAGING
from support.buckets import SETTINGS, opened, put, upkeep
from support.ports import free_ports
from support.stack import ACCESS_KEY, SECRET_KEY, Stack


@pytest.fixture
def url(stack: Stack, name: str) -> str:
    return f"s3://{stack.minio.address}/{name}"


@pytest.fixture
def minio(stack: Stack) -> Minio:
    return Minio(stack.minio.address, ACCESS_KEY, SECRET_KEY, secure=False)


async def wrong(url: str, settings=SETTINGS) -> list[str]:
    """What is to be fixed."""
    async with upkeep(url, settings) as keeper:
        return [f"{one.what}: {one.state}; {one.fix}" for one in await keeper.check() if one.fix]


async def test_a_bucket_is_made_once_and_nothing_is_to_fix_then(url, name):
    async with upkeep(url) as keeper:
        (missing,) = [finding for finding in await keeper.check() if finding.fix]
        assert (missing.what, missing.preparable) == (f"bucket {name}", True)
        assert "--prepare" in missing.fix
        made = await keeper.prepare()
        assert [line.partition(" ")[0] for line in made] == ["bucket", "lifecycle"]
        assert await keeper.prepare() == []
        assert [finding for finding in await keeper.check() if finding.fix] == []
    async with opened(url) as blobs:
        assert [info async for info in blobs.list(STAGING)] == []  # the probe is gone


async def test_several_may_prepare_at_once(url):
    async with upkeep(url) as one, upkeep(url) as other:
        await asyncio.gather(*(keeper.prepare() for keeper in (one, other) * 3))
    assert await wrong(url) == []


async def test_staging_expires_and_the_rules_of_others_stay(url, minio, name):
    minio.make_bucket(name)
    theirs = Rule(ENABLED, Filter(prefix="x/"), rule_id="theirs", expiration=Expiration(days=30))
    minio.set_bucket_lifecycle(name, LifecycleConfig([theirs]))
    assert any("no rule of it tidies staging/" in line for line in await wrong(url))
    async with upkeep(url) as keeper:
        await keeper.prepare()
    rules = {rule.rule_id: rule for rule in minio.get_bucket_lifecycle(name).rules}
    assert rules["theirs"] == theirs
    assert rules["isocenter-staging"].rule_filter.prefix == STAGING
    assert rules["isocenter-staging"].expiration.days == 1


async def test_a_bucket_of_something_else_is_told(url):
    async with upkeep(url) as keeper:
        await keeper.prepare()
    async with opened(url) as blobs:
        await put(blobs, "backups/1", b"")
    (line,) = await wrong(url)
    assert "something else seems to use it: 'backups/'" in line
    assert "in blobs" in line


async def test_what_a_later_version_added_to_the_bucket_is_nothing_wrong(url):
    async with upkeep(url) as keeper:
        await keeper.prepare()
        async with opened(url) as blobs:
            await put(blobs, "objects/main/1", b"")
            assert await wrong(url) == []
            await put(blobs, "later/1", b"")
        assert await wrong(url) == []
        (content,) = [one for one in await keeper.check() if one.what.startswith("content")]
    assert content.state == "of Isocenter, and what this version does not know: 'later/'"


async def test_a_server_that_is_away_is_a_finding():
    (port,) = free_ports(1)
    (line,) = await wrong(f"s3://127.0.0.1:{port}/none")
    assert f"no connection to the object store at 127.0.0.1:{port}" in line


async def test_wrong_keys_are_a_finding(url):
    secret = SETTINGS.model_copy(update={"secret_key": SecretStr("not-the-secret")})
    (line,) = await wrong(url, secret)
    assert "[s3] secret_key is not the secret" in line
    assert "not-the-secret" not in line


VERSIONED = SETTINGS.model_copy(update={"versioning": True})


async def test_versions_are_kept_as_the_setting_says_and_those_of_passing_things_are_tidied(
    url: str, minio: Minio, name: str
) -> None:
    async with upkeep(url) as keeper:
        await keeper.prepare()
        states = {finding.what: finding.state for finding in await keeper.check()}
    assert states[f"versioning of bucket {name}"] == "off"
    assert states[f"replication of bucket {name}"] == "none"
    (line,) = await wrong(url, VERSIONED)
    assert "versioning is true; change it with `isocenter check --prepare`" in line
    async with upkeep(url, VERSIONED) as keeper:
        made = await keeper.prepare()
        assert made[0] == f"versioning of bucket {name}: on"
        assert await keeper.prepare() == []
    assert minio.get_bucket_versioning(name).status == "Enabled"
    assert await wrong(url) == await wrong(url, VERSIONED) == []
    rules = {rule.rule_id: rule for rule in minio.get_bucket_lifecycle(name).rules}
    for prefix in ("packs", "outbox", "staging"):
        rule = rules[f"isocenter-versions-{prefix}"]
        assert rule.rule_filter.prefix == f"{prefix}/"
        assert rule.noncurrent_version_expiration.noncurrent_days == 1
        assert rule.expiration.expired_object_delete_marker
    unversioned = SETTINGS.model_copy(update={"versioning": False})
    async with upkeep(url, unversioned) as keeper:
        await keeper.prepare()
    assert minio.get_bucket_versioning(name).status == "Suspended"


async def test_versions_that_somebody_else_turned_on_are_tidied_too(
    url: str, minio: Minio, name: str
) -> None:
    async with upkeep(url) as keeper:
        await keeper.prepare()
    minio.set_bucket_versioning(name, VersioningConfig(ENABLED))
    (line,) = await wrong(url)
    assert "no rule of it tidies old versions of packs/" in line
    async with upkeep(url) as keeper:
        await keeper.prepare()
    assert await wrong(url) == []


async def test_a_deleted_object_can_be_had_back_from_its_version(
    url: str, minio: Minio, name: str
) -> None:
    async with upkeep(url, VERSIONED) as keeper:
        await keeper.prepare()
    async with opened(url) as blobs:
        await put(blobs, "objects/main/1", b"content")
        await put(blobs, "objects/main/1", b"content")
        await blobs.delete("objects/main/1")
        assert [info async for info in blobs.list("objects/")] == []
        versions = list(minio.list_objects(name, "objects/", recursive=True, include_version=True))
        (marker,) = [one for one in versions if one.is_delete_marker]
        assert len(versions) == 2, "what is there already was written again"
        minio.remove_object(name, "objects/main/1", version_id=marker.version_id)
        assert await blobs.get("objects/main/1") == b"content"
