"""The two sides of an association in the upper layer: who accepts it, and who requests it."""

from __future__ import annotations

from isocenter.dimse.contexts import Rejected
from isocenter.dimse.limits import Timeouts
from isocenter.dimse.service_user import AcceptingUser, RequestingUser
from isocenter.dimse.states import Action, Event, State
from isocenter.dimse.upper_layer import UpperLayer
from isocenter.runtime.addresses import Address


class AcceptorLayer(UpperLayer):
    """A transport connection that the peer opened."""

    _opened = Event.EVT5
    _collision = State.STA10

    def __init__(
        self,
        user: AcceptingUser,
        *,
        timeouts: Timeouts,
        max_length: int,
        buffer: memoryview,
        peer: Address | None = None,
    ) -> None:
        """`peer`: who that is, if not whoever the transport connection is with."""
        super().__init__(user, timeouts=timeouts, max_length=max_length, buffer=buffer, peer=peer)
        self._accepting = user
        self._actions |= {
            Action.AE5: lambda _: self._start_artim(),
            Action.AE6: self._ae6,
            Action.AE7: self._write,
            Action.AE8: self._send_last,
        }

    def _ae6(self, body: bytes) -> None:
        self._stop_artim()
        self._accepting.associate_indication(body)


class RequestorLayer(UpperLayer):
    """A transport connection that we open."""

    _opened = Event.EVT2
    _collision = State.STA9

    def __init__(
        self,
        user: RequestingUser,
        *,
        timeouts: Timeouts,
        max_length: int,
        buffer: memoryview,
        request: bytes,
    ) -> None:
        """`request`: the A-ASSOCIATE-RQ."""
        super().__init__(user, timeouts=timeouts, max_length=max_length, buffer=buffer)
        self._requesting = user
        self._actions |= {
            Action.AE2: lambda _: self._write(request),
            Action.AE3: user.associate_confirmation,
            Action.AE4: self._ae4,
        }

    def associate_request(self) -> None:
        """A-ASSOCIATE request; who asks opens the transport connection with this protocol."""
        self._fire(Event.EVT1)

    def _ae4(self, body: bytes) -> None:
        self._requesting.rejected(Rejected(body[1], body[2], body[3]))
        self._close()
