"""The one tree of errors.

Adapters wrap library errors in these; each protocol edge holds one table from `Code` to its own
form (DIMSE status, HTTP status, gRPC status). A message says what is wrong and where, `fix` what
to do about it. Neither ever holds a patient's name, ID or other attribute values.
"""

from __future__ import annotations

from enum import Enum
from math import ceil


class Code(Enum):
    """What kind of failure it is, from the caller's point of view."""

    INVALID = "invalid"  # the request is malformed: the same request can never succeed
    MISMATCH = "mismatch"  # the object contradicts what was announced about it
    UNPROCESSABLE = "unprocessable"  # the object cannot be understood
    NOT_FOUND = "not-found"
    WITHHELD = "withheld"  # it is there, which the caller may not know
    CONFLICT = "conflict"  # it contradicts what is already kept
    UNAUTHENTICATED = "unauthenticated"  # it is not known who the caller is
    REFUSED = "refused"  # the caller is not allowed to
    UNSUPPORTED = "unsupported"  # well-formed, but nothing here can do it
    OUT_OF_RESOURCES = "out-of-resources"  # disk, memory or a limit: later may succeed
    TOO_MANY = "too-many"  # the caller asks for more than one caller may: later may succeed
    UNAVAILABLE = "unavailable"  # something this depends on is down: later may succeed
    CORRUPTED = "corrupted"  # what was kept is no longer what was given
    CANCELLED = "cancelled"
    DEADLINE = "deadline"
    INTERNAL = "internal"


class IsocenterError(Exception):
    """Base of every error that crosses a layer."""

    code = Code.INTERNAL

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}; {self.fix}" if self.fix else self.message


class Invalid(IsocenterError):
    """The request is malformed."""

    code = Code.INVALID


class Mismatch(IsocenterError):
    """The data set contradicts the command or the address it was sent to."""

    code = Code.MISMATCH


class Unprocessable(IsocenterError):
    """The data set cannot be read, or is not a storable composite instance."""

    code = Code.UNPROCESSABLE


class NotFound(IsocenterError):
    """Nothing is kept under this name."""

    code = Code.NOT_FOUND


class Withheld(NotFound):
    """Something is kept under this name, but the caller may not know that. The message is for
    services, which record it; as a text it says what is said where there is nothing."""

    code = Code.WITHHELD

    def __str__(self) -> str:
        return "nothing is kept under this name"


class Conflict(IsocenterError):
    """Another object is kept under this name and the policy keeps only one."""

    code = Code.CONFLICT


class Unauthenticated(IsocenterError):
    """It is not known who the caller is, and has to be."""

    code = Code.UNAUTHENTICATED


class Refused(IsocenterError):
    """The caller may not do this."""

    code = Code.REFUSED


class Unsupported(IsocenterError):
    """Understood, but nothing here can do it."""

    code = Code.UNSUPPORTED


class OutOfResources(IsocenterError):
    """No room: the disk reserve is reached or a limit is exceeded."""

    code = Code.OUT_OF_RESOURCES


class TooMany(IsocenterError):
    """The caller asks for more than one caller may have. `seconds`: when to try again."""

    code = Code.TOO_MANY

    def __init__(self, message: str, *, fix: str = "", seconds: float = 1) -> None:
        super().__init__(message, fix=fix)
        self.seconds = max(1, ceil(seconds))


class Unavailable(IsocenterError):
    """Something this depends on does not answer; the caller may try again."""

    code = Code.UNAVAILABLE


class Corrupted(IsocenterError):
    """A kept object no longer has the digest in its name, or a record cannot be read back."""

    code = Code.CORRUPTED


class Cancelled(IsocenterError):
    """The caller withdrew the request."""

    code = Code.CANCELLED


class DeadlineExceeded(IsocenterError):
    """It took longer than the caller allowed."""

    code = Code.DEADLINE


BY_CODE: dict[Code, type[IsocenterError]] = {
    kind.code: kind
    for kind in (
        Invalid, Mismatch, Unprocessable, NotFound, Withheld, Conflict, Unauthenticated, Refused,
        Unsupported, OutOfResources, TooMany, Unavailable, Corrupted, Cancelled,
        DeadlineExceeded, IsocenterError,
    )
}  # fmt: skip


def what_of(error: BaseException) -> str:
    """What may be told of any error: the text of ours; of others the kind alone, since their text
    may hold anything of a data set."""
    return str(error) if isinstance(error, IsocenterError) else type(error).__name__
