"""A bucket of an S3 store: where it is, and signed requests to it in threads, repeated if that
may help, with their errors translated.

What moves the content of objects is signed here, with the SDK's signer, and not sent by
`Minio.put_object`: the digest that a caller gives is then what the signature promises, and the
store checks the bytes that arrive against it. Nothing is hashed twice or joined on the way, and
the headers and query parameters that the SDK has no argument for (conditions, multipart uploads)
need no private method of it.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

import urllib3
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.credentials.providers import Provider
from minio.signer import sign_v4_s3
from minio.time import to_amz_date, utcnow
from urllib3.exceptions import ProtocolError

from isocenter.adapters.blobs.s3.errors import (
    LIBRARY_ERRORS,
    passes,
    refusal,
    tells_error,
    translated,
)
from isocenter.adapters.settings import S3Settings
from isocenter.core.errors import Invalid
from isocenter.core.ports import Buffer
from isocenter.runtime.threads import Threads

T = TypeVar("T")

TIMEOUT = urllib3.Timeout(connect=3, read=30)
PAUSES = (0.2, 0.8)  # before a request is repeated
REPEAT_SECONDS = 10  # after which it is not
# The connect timeout is also that of each piece of a body: a slow line has it for so many bytes.
PIECE = 256 * 1024
NOTHING = hashlib.sha256().hexdigest()

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a bucket is."""

    host: str  # with the port, if the URL has one
    bucket: str
    encrypted: bool

    @classmethod
    def of(cls, url: str, settings: S3Settings) -> Address:
        """The address in the setting `blobs`. Raises `Invalid`; the URL is not in the message,
        since it may hold a secret that should be elsewhere."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        bucket = parts.path.removeprefix("/").removesuffix("/")
        plain = not (parts.query or parts.fragment or "@" in parts.netloc)
        if not parts.hostname or port in (-1, 0) or not plain or not _BUCKET.fullmatch(bucket):
            raise Invalid(
                "blobs: the URL is not the host and the bucket of an S3 store",
                fix="write s3://host:port/bucket (3 to 63 of a-z, 0-9, '.' and '-' for the bucket),"
                " and the keys as [s3] access_key and secret_key",
            )
        return cls(parts.netloc, bucket, settings.encrypted([parts.hostname]))

    @property
    def url(self) -> str:
        """Of the server."""
        return f"{'https' if self.encrypted else 'http'}://{self.host}/"


class Connections(urllib3.PoolManager):
    """HTTP connections that notice when an answer breaks off in its head: the library would take
    what has come for all of it."""

    def urlopen(  # type: ignore[override]  # as the base class does
        self,
        method: str,
        url: str,
        redirect: bool = False,
        **how: Any,  # noqa: ANN401 (as the base class has it)
    ) -> urllib3.BaseHTTPResponse:
        """One request; redirects are answers like others: a signature is for one host."""
        del redirect
        response = super().urlopen(method, url, redirect=False, **how)
        ends = "content-length" in response.headers or "transfer-encoding" in response.headers
        if not ends and method != "HEAD" and response.status != 204:
            response.close()
            raise ProtocolError("the answer broke off in its head")
        return response


class Keys(Provider):
    """The keys of the settings, as they are now, for every request that is signed."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings

    def retrieve(self) -> Credentials:
        """Raises `Unavailable`."""
        settings = self._settings
        return Credentials(settings.secret("access_key"), settings.secret("secret_key"))


class S3Client:
    """Requests to one bucket. `minio` and `send` block and raise the library's errors: they are
    for what is called through `run`, or through `attempt` in a thread."""

    def __init__(self, address: Address, settings: S3Settings) -> None:
        self.address = address
        self.bucket = address.bucket
        self.http = Connections(
            maxsize=settings.connections,
            timeout=TIMEOUT,
            retries=False,
            ca_certs=str(settings.ca_file) if settings.ca_file else None,
        )
        self._keys = Keys(settings)
        self.minio = Minio(
            address.host,
            credentials=self._keys,
            secure=address.encrypted,
            region=settings.region,
            http_client=self.http,
        )
        self._region = settings.region
        # Of a key in the bucket, as the SDK addresses it: some stores have buckets in host names.
        sample = urlsplit(self.minio.get_presigned_url("GET", self.bucket, "k"))
        self._root = sample._replace(query="", path=sample.path.removesuffix("k"))
        self._threads = Threads(settings.connections, "s3")

    @classmethod
    def open(cls, url: str, settings: S3Settings) -> S3Client:
        """Nothing is asked: the store may be away. Raises `Invalid`."""
        address = Address.of(url, settings)
        if not settings.has("access_key") or not settings.has("secret_key"):
            raise Invalid(
                "[s3] access_key or secret_key is empty",
                fix="set both, as ISOCENTER_S3__ACCESS_KEY and ISOCENTER_S3__SECRET_KEY, or name"
                " files that hold them",
            )
        try:
            return cls(address, settings)
        except ValueError as error:  # of the SDK, for a region or a host that cannot be
            raise Invalid(
                f"[s3] region or the host in blobs cannot be used: {error}",
                fix="correct them; most stores that are not AWS take the region us-east-1",
            ) from error

    async def run(self, what: str, call: Callable[..., T], *args: object) -> T:
        """A blocking call in a thread, as `attempt`."""
        return await self._threads.run(self.attempt, what, call, *args)

    def attempt(self, what: str, call: Callable[..., T], *args: object) -> T:
        """What the call answers; repeated while that may help, so it must do no harm."""
        end = time.monotonic() + REPEAT_SECONDS
        pauses = iter(PAUSES)
        while True:
            try:
                return call(*args)
            except LIBRARY_ERRORS as error:
                pause = next(pauses, None)
                if pause is None or not passes(error) or time.monotonic() + pause > end:
                    raise translated(error, what, self.address.host, self.bucket) from error
            time.sleep(pause)

    def send(
        self,
        method: str,
        key: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Sequence[Buffer] = (),
        digest: str = NOTHING,
    ) -> urllib3.BaseHTTPResponse:
        """One request about a key (empty: the bucket). The store refuses a body of another
        `digest`."""
        named = "&".join(f"{name}={quote(value, '')}" for name, value in (query or {}).items())
        url = self._root._replace(path=self._root.path + key, query=named)
        response = self.http.urlopen(
            method,
            urlunsplit(url),
            body=_pieces(body) if body else None,
            headers=self._signed(method, url, {**(headers or {}), **_length(body)}, digest),
        )
        # An answer that takes long begins with 200, before the store knows how it ends.
        if response.status not in (200, 204) or tells_error(response):
            raise refusal(response)
        return response

    async def close(self) -> None:
        """Wait for the calls under way and drop the connections."""
        await self._threads.close()
        self.http.clear()

    def _signed(
        self, method: str, url: SplitResult, headers: Mapping[str, str], digest: str
    ) -> Mapping[str, str]:
        now = utcnow()
        signed = sign_v4_s3(
            method=method,
            url=url,
            region=self._region,
            headers={
                **headers,
                "Host": url.netloc,
                "x-amz-content-sha256": digest,
                "x-amz-date": to_amz_date(now),
            },
            credentials=self._keys.retrieve(),
            content_sha256=digest,
            date=now,
        )
        return cast(Mapping[str, str], signed)


def _pieces(body: Sequence[Buffer]) -> Iterator[memoryview]:
    for buffer in body:
        view = memoryview(buffer).cast("B")
        for start in range(0, len(view), PIECE):
            yield view[start : start + PIECE]


def _length(body: Sequence[Buffer]) -> Mapping[str, str]:
    if not body:
        return {}
    return {"Content-Length": str(size_of(body)), "Content-Type": "application/octet-stream"}


def size_of(data: Sequence[Buffer]) -> int:
    """Bytes of all buffers."""
    return sum(memoryview(buffer).nbytes for buffer in data)
