"""Time stamps of seals (RFC 3161): somebody else vouches for when a seal was there.

What is stamped is the SHA-256 of the file of a seal; the answer is kept as it came, beside the seal
(`audit.seals`), so that `openssl ts -verify -data seal -in stamp.tsr` needs nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import httpx
from cryptography.x509 import Certificate, load_pem_x509_certificates
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from isocenter.audit.seals import CHAINS, million_of
from isocenter.audit.segments import Sealed, Segments
from isocenter.core.errors import Corrupted, Invalid, NotFound, Unavailable
from isocenter.runtime.streams import generator

_NAME = "stamp.tsr"
_QUERY, _REPLY = "application/timestamp-query", "application/timestamp-reply"  # RFC 3161 3.4
_SECONDS = 20.0
_LONGEST = 256 * 1024  # bytes of an answer
_CERTIFICATES, _LONG = 0xA0, 0x80  # DER: a tag, and the mark of a length of several bytes
_GRANTED = 0  # PKIStatus of RFC 3161 2.4.2


class TimeStamps:
    """Has seals stamped, each chain so often at most."""

    def __init__(self, *, url: str, ca: Path | None, hours: float, segments: Segments) -> None:
        self._url = url
        self._ca = ca
        self._every = timedelta(hours=hours)
        self._segments = segments
        self._last: dict[str, datetime] = {}  # of chains: when one was stamped

    async def publish(self, seals: Sequence[Sealed]) -> None:
        """Have those stamped whose chains are due. Raises `Unavailable`, `Invalid`, `Corrupted`;
        those that were stamped before that stay so."""
        for sealed in seals:
            chain = sealed.seal.chain
            if chain not in self._last:
                self._last[chain] = await self._newest(sealed)
            if datetime.now(UTC) - self._last[chain] >= self._every:
                token = await self._stamped(sealed.signed.file)
                await self._segments.put(f"{sealed.seal.folder}{_NAME}", token)
                self._last[chain] = datetime.now(UTC)

    async def _newest(self, sealed: Sealed) -> datetime:
        """When the last stamp among the last million records was kept."""
        blobs, at = self._segments.blobs, datetime.min.replace(tzinfo=UTC)
        million = million_of(sealed.seal.chain, sealed.seal.first // 1_000_000)
        async with aclosing(generator(blobs.list(million))) as infos:
            async for info in infos:
                if info.key.endswith(f"/{_NAME}"):
                    at = info.modified_at
        return at

    async def _stamped(self, file: bytes) -> bytes:
        """The answer of the authority, checked."""
        builder = TimestampRequestBuilder().data(file).hash_algorithm(HashAlgorithm.SHA256)
        request = builder.build()
        ca = await asyncio.to_thread(self._trusted)
        answer = await self._asked(request.as_bytes())
        try:
            response = _decoded(answer)
        except ValueError as error:
            raise self._failed("its answer is no time stamp") from error
        if response.status != _GRANTED:
            why = "; ".join(response.status_string) or f"status {response.status}"
            raise self._failed(f"it gives no time stamp: {why}")
        if problem := _mismatch(response, file):
            raise self._failed(problem)
        if response.tst_info.nonce != request.nonce:
            raise self._failed("it answered another request")
        if ca is not None and isinstance(checked := check_stamp(file, answer, ca), str):
            raise self._failed(checked)
        return answer

    def _trusted(self) -> bytes | None:
        try:
            return self._ca.read_bytes() if self._ca is not None else None
        except OSError as error:
            raise Invalid(
                f"audit.tsa_ca_file: {self._ca} cannot be read: {error.strerror}",
                fix="name a file that this user can read",
            ) from error

    async def _asked(self, request: bytes) -> bytes:
        headers = {"Content-Type": _QUERY, "Accept": _REPLY}
        answer = b""
        try:
            async with (
                asyncio.timeout(_SECONDS),
                httpx.AsyncClient(timeout=_SECONDS) as client,
                client.stream("POST", self._url, content=request, headers=headers) as response,
            ):
                async for chunk in response.aiter_bytes():
                    answer += chunk
                    if len(answer) > _LONGEST:
                        raise self._failed("its answer is too long for a time stamp")
                if not response.is_success:
                    raise self._failed(f"it answers {response.status_code}")
        except (httpx.HTTPError, TimeoutError) as error:
            raise self._failed(str(error) or "it does not answer") from error
        return answer

    def _failed(self, why: str) -> Unavailable:
        return Unavailable(f"time stamps from {self._url}: {why}", fix="see `audit.tsa_url`")


@dataclass(frozen=True, slots=True)
class Stamp:
    """A time stamp of a seal, looked at."""

    chain: str
    first: int  # record of the segment
    last: int
    at: datetime | None  # that the authority vouches for; None: nobody does
    problem: str = ""


async def check_stamps(segments: Segments, ca: bytes) -> AsyncIterator[Stamp]:
    """Every time stamp there is, checked against certificates (PEM). Raises `Invalid` for these."""
    await asyncio.to_thread(_certificates, ca)
    async with aclosing(generator(segments.blobs.list(CHAINS))) as infos:
        async for info in infos:
            if not info.key.endswith(f"/{_NAME}"):
                continue
            folder = info.key.removesuffix(_NAME)
            try:
                sealed = await segments.read_seal(f"{folder}seal")
            except (NotFound, Corrupted) as error:
                chain, _, first = folder.removeprefix(CHAINS).strip("/").split("/")
                yield Stamp(chain, int(first), int(first), None, f"its seal: {error.message}")
                continue
            token = await segments.blobs.get(info.key)
            found = await asyncio.to_thread(check_stamp, sealed.signed.file, token, ca)
            seal = sealed.seal
            if isinstance(found, str):
                yield Stamp(seal.chain, seal.first, seal.last, None, found)
            else:
                yield Stamp(seal.chain, seal.first, seal.last, found)


def check_stamp(sealed: bytes, token: bytes, ca: bytes) -> datetime | str:
    """When the file of a seal was there, as an authority of these certificates (PEM) vouches for;
    or what is wrong with the token. Raises `Invalid` for the certificates."""
    roots = _certificates(ca)
    try:
        response = _decoded(token)
    except ValueError:
        return "it is no time stamp"
    if problem := _mismatch(response, sealed):
        return problem
    builder = VerifierBuilder(roots=roots)
    try:
        builder.build().verify_message(response, sealed)
    except (VerificationError, ValueError) as error:
        return f"it is of no authority that is trusted: {error}"
    return response.tst_info.gen_time


def _decoded(token: bytes) -> TimeStampResponse:
    """Read a response. Raises `ValueError`."""
    with suppress(IndexError):  # a refusal has none
        token = _sorted(token)
    return decode_timestamp_response(token)


def _sorted(response: bytes) -> bytes:
    """With its certificates in the order of DER, which the library wants. CMS does not (RFC 5652
    5.1), authorities made with OpenSSL do not keep it, and nothing that is signed changes."""
    at = 0
    for number in (1, 1, 0, 3):  # token, its content, `SignedData`, certificates (if there are any)
        at, _ = _body(response, at)
        for _ in range(number):
            start, length = _body(response, at)
            at = start + length
    if response[at] != _CERTIFICATES:
        return response
    first, length = _body(response, at)
    end, found = first + length, []
    at = first
    while at < end:
        start, length = _body(response, at)
        found.append(response[at : start + length])
        at = start + length
    return response[:first] + b"".join(sorted(found)) + response[end:]


def _body(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of an element begins, and how long it is."""
    length, start = der[at + 1], at + 2
    if length & _LONG:
        count = length ^ _LONG
        length, start = int.from_bytes(der[start : start + count]), start + count
    return start, length


def _mismatch(response: TimeStampResponse, file: bytes) -> str:
    """Whether a time stamp is of a file; the problem, if not."""
    try:
        imprint = response.tst_info.message_imprint.message
    except ValueError:
        return "it holds no time stamp"
    return "" if imprint == sha256(file).digest() else "it is a time stamp of something else"


def _certificates(ca: bytes) -> list[Certificate]:
    try:
        return load_pem_x509_certificates(ca)
    except ValueError as error:
        raise Invalid(
            "the file of the time stamping authority's CA holds no certificates",
            fix="name a file in PEM format",
        ) from error
