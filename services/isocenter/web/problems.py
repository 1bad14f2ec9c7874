"""Problem documents (RFC 9457): the one form of every HTTP error, and the table from error codes
to HTTP statuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus

import orjson

from isocenter.core.errors import Code, IsocenterError, TooMany

Headers = Sequence[tuple[bytes, bytes]]

STATUSES: Mapping[Code, int] = {
    Code.INVALID: 400,
    Code.MISMATCH: 409,
    Code.UNPROCESSABLE: 422,
    Code.NOT_FOUND: 404,
    Code.WITHHELD: 404,
    Code.CONFLICT: 409,
    Code.UNAUTHENTICATED: 401,
    Code.REFUSED: 403,
    Code.UNSUPPORTED: 406,  # what is kept cannot be given in a form that was asked for
    Code.OUT_OF_RESOURCES: 507,
    Code.TOO_MANY: 429,  # RFC 6585 4
    Code.UNAVAILABLE: 503,
    Code.CORRUPTED: 500,
    Code.CANCELLED: 503,
    Code.DEADLINE: 504,
    Code.INTERNAL: 500,
}

# RFC 6750 3; browsers are sent to a page to sign in where they open one.
_CHALLENGE = ((b"www-authenticate", b'Bearer realm="isocenter"'),)
_RETRY_AFTER = ((b"retry-after", b"5"),)

_FIELDS: Mapping[int, Headers] = {401: _CHALLENGE, 503: _RETRY_AFTER}


class Problem(Exception):
    """An answer that is an error of HTTP itself: no route, method, media type, size."""

    def __init__(self, status: int, detail: str, headers: Headers = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


def as_problem(error: Exception) -> Problem:
    """Any error as a problem; of an unexpected one nothing is told but that it happened."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, IsocenterError) and error.code is not Code.INTERNAL:
        status = STATUSES[error.code]
        again = retry_after(error) if isinstance(error, TooMany) else ()
        return Problem(status, str(error), again or _FIELDS.get(status, ()))
    return Problem(500, "an error inside the server; its log has more under this request's id")


def retry_after(error: TooMany) -> Headers:
    """When the same may be asked again (RFC 9110 10.2.3)."""
    return ((b"retry-after", b"%d" % error.seconds),)


def document(problem: Problem, request_id: str) -> bytes:
    """The body, `application/problem+json`."""
    return orjson.dumps(
        {
            "type": "about:blank",
            "title": HTTPStatus(problem.status).phrase,
            "status": problem.status,
            "detail": problem.detail,
            "instance": f"urn:request:{request_id}",
        }
    )


Telling = Callable[[Problem, str], tuple[Headers, bytes]]
"""A form of errors: of a problem and the request's id, header fields and the body."""


def in_document(problem: Problem, request_id: str) -> tuple[Headers, bytes]:
    """The form of errors: header fields and the body."""
    return [(b"content-type", b"application/problem+json")], document(problem, request_id)


def warning(root: str, text: str) -> tuple[bytes, bytes]:
    """A Warning header field of the service at this root (PS3.18 8.3.4.4.1); `text` is ASCII."""
    return b"warning", f"299 {root}: {text}".encode("ascii")


def shown(text: str) -> str:
    """What a client sent, fit for an error text: short, and printable ASCII."""
    return ascii(text if len(text) <= 64 else text[:61] + "...")
