"""Errors of associations, as `core.errors`."""

from __future__ import annotations

from isocenter.core.errors import Refused, Unavailable, Unprocessable

# PS3.8 table 9-21.
REJECT_RESULTS = {1: "permanently", 2: "for now"}
_TRANSIENT = 2
REJECT_REASONS = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognized",
    (1, 7): "called AE title not recognized",
    (2, 1): "no reason given",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}


class AssociationRejected(Refused):
    """The peer answered with A-ASSOCIATE-RJ; the fields are those of PS3.8 table 9-21."""

    def __init__(self, peer: str, result: int, source: int, reason: int) -> None:
        words = REJECT_REASONS.get((source, reason), f"source {source}, reason {reason}")
        how = REJECT_RESULTS.get(result, f"with result {result}")
        super().__init__(
            f"{peer} rejects the association {how}: {words}",
            fix="check the AE titles on both sides",
        )
        self.result = result
        self.transient = result == _TRANSIENT
        self.source = source
        self.reason = reason


class AssociationAborted(Unavailable):
    """The association ended before the operation did; the operation may be tried again."""


class ConnectionFailed(Unavailable):
    """No transport connection to the peer, or it does not answer the association request."""


class MalformedPdu(Unprocessable):
    """A PDU cannot be decoded, or breaks a bound; `reason` is of PS3.8 table 9-26."""

    def __init__(self, message: str, reason: int) -> None:
        super().__init__(message)
        self.reason = reason
