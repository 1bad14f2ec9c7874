"""The errors of the S3 SDK and of its HTTP library: which may pass, and in the words of
`core.errors`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree.ElementTree import ParseError

import urllib3
from minio import InvalidResponseError, S3Error, ServerError
from minio.error import MinioException
from urllib3.exceptions import (
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    SSLError,
)
from urllib3.exceptions import TimeoutError as TimedOut

from isocenter.core.errors import (
    Corrupted,
    IsocenterError,
    NotFound,
    OutOfResources,
    Unavailable,
)

# The SDK raises the last two for answers that are not those of S3.
LIBRARY_ERRORS = (MinioException, HTTPError, ParseError, ValueError)

_BROKEN_STATUSES = frozenset({429, 500, 502, 503, 504})
_BROKEN_CODES = frozenset(
    {
        "BadDigest",
        "ConditionalRequestConflict",
        "IncompleteBody",
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "SlowDown",
        "XAmzContentSHA256Mismatch",
    }
)


def code_of(error: Exception) -> str:
    """The error's code in the words of S3; empty if it has none."""
    if not isinstance(error, S3Error):
        return ""
    # The answer to a HEAD has no body, and the SDK can only guess from its status.
    return error.response.headers.get("x-minio-error-code") or error.code or ""


def told(value: str | None) -> str:
    """What an answer must tell. One that broke off in its head is taken for a short one."""
    if not value:
        raise ProtocolError("the answer broke off before it told everything")
    return value


def refusal(response: urllib3.BaseHTTPResponse) -> Exception:
    """The error in an answer, as the SDK raises it."""
    if tells_error(response):
        return S3Error.fromxml(response)
    return ServerError("refused without a reason", response.status)


def tells_error(response: urllib3.BaseHTTPResponse) -> bool:
    """Whether the content is an error; its status may be 200 even so."""
    return b"<Error" in response.data.lstrip()[:100]


def _status_of(error: Exception) -> int:
    match error:
        case S3Error():
            return int(error.response.status)
        case ServerError():
            return int(error.status_code)
        case InvalidResponseError():  # of a proxy, for instance; the status is in the text only
            found = re.search(r"Response code: (\d+)", str(error))
            return int(found[1]) if found else 0
    return 0


def passes(error: Exception) -> bool:
    """Whether the same request may succeed in a moment."""
    if isinstance(error, HTTPError | ParseError):  # broken connections, and answers cut short
        return not isinstance(error, SSLError)
    return _status_of(error) in _BROKEN_STATUSES or code_of(error) in _BROKEN_CODES


Words = tuple[type[IsocenterError], str, str]  # with places for what, host, bucket and code

_KEYS_FIX = "correct [s3] access_key and secret_key, or what they are allowed to do"
_BUSY: Words = (
    Unavailable,
    "the object store at {host} cannot serve now ({code})",
    "look at its log; try again later",
)
_FULL: Words = (
    OutOfResources,
    "no room for {what} in the object store ({code})",
    "make room in it",
)
_REGION: Words = (
    Unavailable,
    "the bucket {bucket} is in another region ({code})",
    "correct [s3] region",
)
_DAMAGED: Words = (
    Corrupted,
    "{what} arrived at the object store with other bytes than were sent",
    "send it again; if it happens again, test the memory and the network",
)

_BY_CODE: Mapping[str, Words] = {
    "NoSuchKey": (NotFound, "nothing is kept under {what}", ""),
    "NoSuchBucket": (
        Unavailable,
        "blobs: the bucket {bucket} does not exist",
        "make it with `isocenter check --prepare`, or correct blobs",
    ),
    "AccessDenied": (
        Unavailable,
        "the object store does not allow [s3] access_key to do this with the bucket {bucket}",
        _KEYS_FIX,
    ),
    "InvalidAccessKeyId": (
        Unavailable,
        "the object store does not know [s3] access_key",
        _KEYS_FIX,
    ),
    "SignatureDoesNotMatch": (
        Unavailable,
        "[s3] secret_key is not the secret of access_key",
        _KEYS_FIX,
    ),
    "RequestTimeTooSkewed": (
        Unavailable,
        "the clocks of this machine and of the object store at {host} differ",
        "set both by NTP",
    ),
    "InternalError": _BUSY,
    "BadDigest": _DAMAGED,
    "XAmzContentSHA256Mismatch": _DAMAGED,
    "XMinioStorageFull": _FULL,
    "XMinioAdminBucketQuotaExceeded": _FULL,
    "QuotaExceeded": _FULL,
    "AuthorizationHeaderMalformed": _REGION,
    "PermanentRedirect": _REGION,
}
_BY_STATUS: Mapping[int, Words] = {507: _FULL, **dict.fromkeys(_BROKEN_STATUSES, _BUSY)}
_BY_KIND: Mapping[type[Exception], Words] = {
    NameResolutionError: (
        Unavailable,
        "the host of the object store, {host}, has no address",
        "correct blobs, or the name service",
    ),
    NewConnectionError: (
        Unavailable,
        "no connection to the object store at {host}",
        "start it, or correct blobs",
    ),
    TimedOut: (
        Unavailable,
        "the object store at {host} does not answer in time",
        "look at its load and at the network",
    ),
    SSLError: (
        Unavailable,
        "no encrypted connection to the object store at {host}",
        "name the certificates to trust in [s3] ca_file, or set [s3] tls to what it serves",
    ),
    HTTPError: (
        Unavailable,
        "the object store at {host} broke the connection",
        "look at its log and at the network",
    ),
    Exception: (
        Unavailable,
        "what answers at {host} answers as no S3 store does ({code})",
        "correct blobs",
    ),
}


def translated(error: Exception, what: str, host: str, bucket: str) -> IsocenterError:
    """A library's error in the words of `core.errors`."""
    status = _status_of(error)
    code = code_of(error) or (f"HTTP status {status}" if status else type(error).__name__)
    kind, message, fix = (
        _BY_CODE.get(code)
        or _BY_STATUS.get(status)
        or next(entry for kind, entry in _BY_KIND.items() if isinstance(error, kind))
    )
    text = message.format(what=what, host=host, bucket=bucket, code=code)
    return kind(text, fix=fix)
