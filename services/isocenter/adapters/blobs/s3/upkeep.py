"""Looking after the bucket: what a process needs of it, and making what is missing.

The bucket gets lifecycle rules that remove what killed processes leave behind: objects below
`staging/`, and multipart uploads that nobody completed. Where it keeps versions, others remove
those of what is removed in everyday work. Rules that are not ours stay as they are.
"""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Self

from minio import S3Error
from minio.commonconfig import ENABLED
from minio.versioningconfig import SUSPENDED, VersioningConfig

from isocenter.adapters.blobs import keys
from isocenter.adapters.blobs.s3.client import S3Client
from isocenter.adapters.blobs.s3.errors import code_of
from isocenter.adapters.blobs.s3.staging import STAGING
from isocenter.adapters.settings import S3Settings
from isocenter.core.errors import IsocenterError
from isocenter.core.identity import (
    ACCESS,
    AES,
    AUDIT,
    CONFLICTS,
    DELETED,
    DELETIONS,
    OBJECTS,
    OUTBOX,
    PACKS,
    SITES,
)
from isocenter.core.upkeep import Finding

OURS = frozenset(
    {OBJECTS, PACKS, CONFLICTS, OUTBOX, DELETIONS, DELETED, ACCESS, AES, AUDIT, SITES, STAGING}
)
# Removed in everyday work or for good, so old versions are worth nothing.
PASSING = (PACKS, OUTBOX, DELETIONS, DELETED, STAGING)
LOOKED_AT = 1000  # names at the top of the bucket: one answer
FOREIGN_NAMED = 3
CLOCK_SECONDS = 60  # from 15 minutes on, a store refuses requests

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_RULE = (
    "<Rule><ID>isocenter-{name}</ID><Status>Enabled</Status>"
    "<Filter><Prefix>{prefix}</Prefix></Filter>{what}</Rule>"
)
_AFTER_A_DAY = "<Expiration><Days>1</Days></Expiration>"
_VERSIONS_AFTER_A_DAY = (
    "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"
    "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>"
)
_UPLOADS_RULE = _RULE.format(
    name="uploads",
    prefix="",
    what="<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation>"
    "</AbortIncompleteMultipartUpload>",
)
_VALUES = re.compile(r"<(\w+)>([^<]+)</")  # of a rule: its leaves
_REFUSALS = frozenset({"InvalidArgument", "InvalidRequest", "MalformedXML", "NotImplemented"})

_ON, _OFF, _SUSPENDED, _UNKNOWN = "on", "off", "suspended", "not told"
_STATES = {ENABLED: _ON, SUSPENDED: _SUSPENDED}
_NOT_TOLD = frozenset({"AccessDenied", "MethodNotAllowed", "NotImplemented"})

_PREPARE = "make it with `isocenter check --prepare`"


class S3Upkeep:
    """An `Upkeep` of the bucket in the setting `blobs`."""

    def __init__(self, client: S3Client, versioning: bool | None) -> None:
        self._client = client
        self._versioning = versioning

    @classmethod
    async def open(cls, url: str, settings: S3Settings, **_: object) -> Self:
        """Nothing is asked yet."""
        return cls(S3Client.open(url, settings), settings.versioning)

    async def check(self) -> Sequence[Finding]:
        """Server, clock, keys, bucket, what does not belong there, permissions, rules, versions
        and replication."""
        return await self._client.run("the bucket", _findings, self._client, self._versioning)

    async def prepare(self) -> Sequence[str]:
        """Make the bucket and its rules, unless they are there, and versioning as it is set."""
        return await self._client.run("the bucket", _prepare, self._client, self._versioning)

    async def close(self) -> None:
        """Release everything."""
        await self._client.close()


def _findings(client: S3Client, versioning: bool | None) -> Sequence[Finding]:
    found: list[Finding] = []
    try:
        for finding in _looks(client, versioning):
            found.append(finding)  # noqa: PERF402 (what came before an error is told too)
    except IsocenterError as error:
        found.append(Finding(f"blobs at {client.address.host}", error.message, error.fix))
    return found


def _looks(client: S3Client, versioning: bool | None) -> Iterator[Finding]:
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
    state = client.attempt(bucket, _versions, client)
    rules = client.attempt(bucket, _rules, client)
    yield _lifecycle(bucket, rules, state)
    yield _versioning(bucket, state, versioning)
    yield Finding(f"replication of bucket {bucket}", client.attempt(bucket, _replication, client))


def _lifecycle(bucket: str, rules: Sequence[str], state: str) -> Finding:
    what = f"lifecycle of bucket {bucket}"
    if missing := _missing(rules, state):
        names = ", ".join(missing)
        return Finding(what, f"no rule of it tidies {names}", _PREPARE, preparable=True)
    return Finding(what, f"tidies {', '.join(_wanted(state))}")


def _versioning(bucket: str, state: str, wanted: bool | None) -> Finding:
    what = f"versioning of bucket {bucket}"
    if wanted is None or wanted == (state == _ON):
        return Finding(what, state)
    if state == _UNKNOWN:
        return Finding(
            what,
            f"{state}, and [s3] versioning is set",
            "allow s3:GetBucketVersioning and s3:PutBucketVersioning, or leave it unset",
        )
    told = f"{state}, and [s3] versioning is {'true' if wanted else 'false'}"
    return Finding(what, told, "change it with `isocenter check --prepare`", preparable=True)


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
    """What is in the bucket and not of this version. Beside what is, it may be of a later one: who
    goes back to this version must not be kept from it."""
    what = f"content of bucket {client.bucket}"
    top = [one.object_name for one in islice(client.minio.list_objects(client.bucket), LOOKED_AT)]
    foreign = sorted(str(name) for name in top if name and name not in OURS)
    if not foreign:
        return Finding(what, "nothing that is not of Isocenter")
    named = ", ".join(map(repr, foreign[:FOREIGN_NAMED]))
    if OURS & set(top):
        return Finding(what, f"of Isocenter, and what this version does not know: {named}")
    return Finding(
        what, f"something else seems to use it: {named}", "name a bucket of its own in blobs"
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


def _wanted(state: str) -> Mapping[str, str]:
    """What is tidied -> the rule that does it."""
    rules = {STAGING: _RULE.format(name="staging", prefix=STAGING, what=_AFTER_A_DAY)}
    if state in (_ON, _SUSPENDED):
        for prefix in PASSING:
            name = f"versions-{prefix.removesuffix('/')}"
            rule = _RULE.format(name=name, prefix=prefix, what=_VERSIONS_AFTER_A_DAY)
            rules[f"old versions of {prefix}"] = rule
    return rules


def _missing(rules: Sequence[str], state: str) -> Sequence[str]:
    """What no rule tidies: each must have what ours has, in whatever order a store tells it."""
    return [
        what
        for what, wanted in _wanted(state).items()
        if not any(set(_VALUES.findall(wanted)) <= set(_VALUES.findall(rule)) for rule in rules)
    ]


def _versions(client: S3Client) -> str:
    """Whether the bucket keeps versions, as far as we may know."""
    try:
        return _STATES.get(client.minio.get_bucket_versioning(client.bucket).status or "", _OFF)
    except S3Error as error:
        if code_of(error) in _NOT_TOLD:
            return _UNKNOWN
        raise


def _replication(client: S3Client) -> str:
    """Where else the store keeps what is in the bucket, as far as we may know."""
    try:
        found = client.minio.get_bucket_replication(client.bucket)
    except S3Error as error:
        if code_of(error) in _NOT_TOLD:
            return _UNKNOWN
        raise
    rules = [rule for rule in found.rules if rule.status == ENABLED] if found else []
    places = sorted({rule.destination.bucket_arn for rule in rules if rule.destination})
    return f"to {', '.join(places)}" if places else "none"


def _prepare(client: S3Client, versioning: bool | None) -> Sequence[str]:
    made = _make_bucket(client)
    state = _versions(client)
    if versioning is not None and versioning != (state == _ON):
        state = _ON if versioning else _SUSPENDED
        status = ENABLED if versioning else SUSPENDED
        client.minio.set_bucket_versioning(client.bucket, VersioningConfig(status))
        made.append(f"versioning of bucket {client.bucket}: {state}")
    rules = _rules(client)
    missing = _missing(rules, state)
    if missing:
        others = [rule for rule in rules if "<ID>isocenter-" not in rule]
        wanted = [*others, *_wanted(state).values()]
        try:
            _set_rules(client, [*wanted, _UPLOADS_RULE])
        except S3Error as error:
            if code_of(error) not in _REFUSALS:
                raise
            # MinIO has no rule for uploads: it removes them after a day without being told.
            _set_rules(client, wanted)
        names = ", ".join(missing)
        made.append(f"lifecycle rules of bucket {client.bucket}: {names} expire after a day")
    return made


def _make_bucket(client: S3Client) -> list[str]:
    if client.minio.bucket_exists(client.bucket):
        return []
    try:
        client.minio.make_bucket(client.bucket)
    except S3Error as error:
        if code_of(error) != "BucketAlreadyOwnedByYou":  # by another `prepare` just now
            raise
        return []
    return [f"bucket {client.bucket}"]


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
