"""What the upper layer tells the service user above it (PS3.8 7)."""

from __future__ import annotations

from typing import Protocol

from isocenter.dimse.contexts import Rejected
from isocenter.dimse.errors import AssociationAborted


class ServiceUser(Protocol):
    """Takes the indications and confirmations."""

    def connected(self) -> None:
        """The transport connection is open."""
        ...

    def data_indication(self, context_id: int, control: int, fragment: memoryview) -> None:
        """A fragment, valid during the call. May raise `MalformedPdu`."""
        ...

    def release_indication(self) -> None:
        """The peer wants to release; answer with `release_response`."""
        ...

    def release_confirmation(self) -> None:
        """The peer answers our release. Where both asked for it, our answer is still to come."""
        ...

    def aborted(self, error: AssociationAborted) -> None:
        """The association ended without release, through either side or the network."""
        ...

    def ended(self) -> None:
        """There is no association any more, however it ended. Called once."""
        ...

    def disconnected(self) -> None:
        """The transport connection is closed. Called once."""
        ...

    @property
    def incomplete(self) -> bool:
        """Whether the rest of a message is still to come."""
        ...

    def awaits_peer(self) -> bool:
        """Whether it is the peer's turn, so that its silence counts."""
        ...


class AcceptingUser(ServiceUser, Protocol):
    """Of an association that the peer requests."""

    def associate_indication(self, body: bytes) -> None:
        """A-ASSOCIATE-RQ; answer with `accept` or `reject`. May raise `MalformedPdu`."""
        ...


class RequestingUser(ServiceUser, Protocol):
    """Of an association that we request."""

    def associate_confirmation(self, body: bytes) -> None:
        """A-ASSOCIATE-AC. May raise `MalformedPdu`."""
        ...

    def rejected(self, rejection: Rejected) -> None:
        """A-ASSOCIATE-RJ."""
        ...
