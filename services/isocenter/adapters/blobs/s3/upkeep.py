"""Looking after the bucket: what a process needs of it, and making what is missing.

The bucket gets lifecycle rules that remove what killed processes leave behind: objects below
`staging/`, and multipart uploads that nobody completed. Rules of others stay as they are.
"""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Self

from minio import S3Error

from isocenter.adapters.blobs import keys
from isocenter.adapters.blobs.s3.client import S3Client
from isocenter.adapters.blobs.s3.errors import code_of
from isocenter.adapters.blobs.s3.staging import STAGING
from isocenter.adapters.settings import S3Settings
from isocenter.core.errors import IsocenterError
from isocenter.core.upkeep import Finding

OURS = frozenset({"objects/", "packs/", "conflicts/", "outbox/", STAGING})
LOOKED_AT = 1000  # names at the top of the bucket: one answer
FOREIGN_NAMED = 3
CLOCK_SECONDS = 60  # from 15 minutes on, a store refuses requests

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_STAGING_RULE = (
    f"<Rule><ID>isocenter-staging</ID><Status>Enabled</Status><Filter><Prefix>{STAGING}</Prefix>"
    "</Filter><Expiration><Days>1</Days></Expiration></Rule>"
)
_UPLOADS_RULE = (
    "<Rule><ID>isocenter-uploads</ID><Status>Enabled</Status><Filter><Prefix></Prefix></Filter>"
    "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation>"
    "</AbortIncompleteMultipartUpload></Rule>"
)
# What the staging rule must have, in whatever order a store tells it.
_STAGING_MARKS = ("isocenter-staging", ">Enabled<", f">{STAGING}<", "<Days>1</Days>")
_REFUSALS = frozenset({"InvalidArgument", "InvalidRequest", "MalformedXML", "NotImplemented"})

_PREPARE = "make it with `isocenter check --prepare`"


class S3Upkeep:
    """An `Upkeep` of the bucket in the setting `blobs`."""

    def __init__(self, client: S3Client) -> None:
        self._client = client

    @classmethod
    async def open(cls, url: str, settings: S3Settings, **_: object) -> Self:
        """Nothing is asked yet."""
        return cls(S3Client.open(url, settings))

    async def check(self) -> Sequence[Finding]:
        """Server, clock, keys, bucket, what does not belong there, permissions and rules."""
        return await self._client.run("the bucket", _findings, self._client)

    async def prepare(self) -> Sequence[str]:
        """Make the bucket and its rules, unless they are there."""
        return await self._client.run("the bucket", _prepare, self._client)

    async def close(self) -> None:
        """Release everything."""
        await self._client.close()


def _findings(client: S3Client) -> Sequence[Finding]:
    found: list[Finding] = []
    try:
        for finding in _looks(client):
            found.append(finding)  # noqa: PERF402 (what came before an error is told too)
    except IsocenterError as error:
        found.append(Finding(f"blobs at {client.address.host}", error.message, error.fix))
    return found


def _looks(client: S3Client) -> Iterator[Finding]:
    """Findings one after the other; raises what makes further ones useless."""
    bucket = client.bucket
    yield client.attempt(bucket, _server, client)
    if not client.attempt(bucket, client.minio.bucket_exists, bucket):
        yield Finding(f"bucket {bucket}", "does not exist", _PREPARE, preparable=True)
        return
    yield Finding(f"bucket {bucket}", "is there for [s3] access_key")
    yield client.attempt(bucket, _content, client)
    client.attempt("a probe", _probe, client)
    yield Finding(f"permissions in bucket {bucket}", "write, read, list and delete")
    if _is_tidied(client.attempt(bucket, _rules, client)):
        yield Finding(f"lifecycle of bucket {bucket}", f"tidies {STAGING}")
    else:
        state = f"no rule of it tidies {STAGING}"
        yield Finding(f"lifecycle of bucket {bucket}", state, _PREPARE, preparable=True)


def _server(client: S3Client) -> Finding:
    """That it answers at all, and its clock."""
    what = f"object store {client.address.url}"
    answer = client.http.request("GET", client.address.url)
    now, told = datetime.now(UTC), answer.headers.get("date")
    apart = abs((now - parsedate_to_datetime(told)).total_seconds()) if told else 0
    if apart > CLOCK_SECONDS:
        return Finding(what, f"its clock and ours are {apart:.0f} s apart", "set both by NTP")
    return Finding(what, f"{answer.headers.get('server', 'a server')} answers, its clock is right")


def _content(client: S3Client) -> Finding:
    """What is in the bucket and not ours."""
    what = f"content of bucket {client.bucket}"
    top = islice(client.minio.list_objects(client.bucket), LOOKED_AT)
    foreign = sorted(str(one.object_name) for one in top if one.object_name not in OURS)
    if not foreign:
        return Finding(what, "nothing that is not of Isocenter")
    return Finding(
        what,
        f"something else seems to use it: {', '.join(map(repr, foreign[:FOREIGN_NAMED]))}",
        "name a bucket of its own in blobs",
    )


def _probe(client: S3Client) -> None:
    """Raises whatever is not allowed."""
    key = f"{STAGING}probe-{uuid.uuid4().hex}"
    body = [b"probe"]
    client.send("PUT", key, body=body, digest=keys.sha256(body))
    try:
        client.minio.get_object(client.bucket, key).close()
        list(islice(client.minio.list_objects(client.bucket, key), 1))
    finally:
        client.send("DELETE", key)


def _rules(client: S3Client) -> Sequence[str]:
    """The lifecycle rules of the bucket, as text: nothing of others' rules gets lost that way."""
    try:
        answer = client.send("GET", "", query={"lifecycle": ""})
    except S3Error as error:
        if code_of(error) == "NoSuchLifecycleConfiguration":
            return []
        raise
    return re.findall(r"<Rule>.*?</Rule>", answer.data.decode(), re.DOTALL)


def _is_tidied(rules: Sequence[str]) -> bool:
    return any(all(mark in rule for mark in _STAGING_MARKS) for rule in rules)


def _prepare(client: S3Client) -> Sequence[str]:
    made: list[str] = []
    if not client.minio.bucket_exists(client.bucket):
        try:
            client.minio.make_bucket(client.bucket)
        except S3Error as error:
            if code_of(error) != "BucketAlreadyOwnedByYou":  # by another `prepare` just now
                raise
        else:
            made.append(f"bucket {client.bucket}")
    rules = _rules(client)
    if not _is_tidied(rules):
        others = [rule for rule in rules if "<ID>isocenter-" not in rule]
        try:
            _set_rules(client, [*others, _STAGING_RULE, _UPLOADS_RULE])
        except S3Error as error:
            if code_of(error) not in _REFUSALS:
                raise
            # MinIO has no rule for uploads: it removes them after a day without being told.
            _set_rules(client, [*others, _STAGING_RULE])
        made.append(f"lifecycle rule of bucket {client.bucket}: {STAGING} expires after a day")
    return made


def _set_rules(client: S3Client, rules: Sequence[str]) -> None:
    text = f'<LifecycleConfiguration xmlns="{_NAMESPACE}">{"".join(rules)}</LifecycleConfiguration>'
    body = text.encode()
    md5 = hashlib.md5(body, usedforsecurity=False).digest()  # S3 wants it here
    client.send(
        "PUT",
        "",
        query={"lifecycle": ""},
        headers={"Content-MD5": base64.b64encode(md5).decode()},
        body=[body],
        digest=keys.sha256([body]),
    )
