"""What associations want of their sockets beyond reading and writing."""

from __future__ import annotations

import array
import asyncio
import fcntl
import socket
import struct
import termios
from contextlib import suppress

# Linux only: acknowledge at once, or a peer with Nagle's algorithm waits 40 ms for us.
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
_DROP = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time
# Bytes that the system may go on sending after the end: the last PDU, which says why it is.
_LEFT_TO_SEND = 16 * 1024


def socket_of(transport: asyncio.Transport) -> socket.socket | None:
    """The socket of a transport, which sends at once; to be detached at the end. The transport's
    own stand-in would build a socket for every call."""
    stand_in = transport.get_extra_info("socket")
    if stand_in is None:
        return None
    own = socket.socket(fileno=stand_in.fileno())
    own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return own


def acknowledge(own: socket.socket) -> None:
    """Tell the peer at once what has arrived."""
    if _QUICKACK is not None:
        own.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)


def unsent(transport: asyncio.Transport, own: socket.socket | None) -> int:
    """Bytes that were written and that the peer's host has not acknowledged."""
    queued = array.array("i", [0])
    if own is not None:
        with suppress(OSError):  # a system that does not tell
            fcntl.ioctl(own, termios.TIOCOUTQ, queued)
    return transport.get_write_buffer_size() + queued[0]


def abort(transport: asyncio.Transport, own: socket.socket | None) -> None:
    """Close at once. What the peer has not read is dropped where it is much: the system would go on
    sending it."""
    if own is not None and unsent(transport, own) > _LEFT_TO_SEND:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DROP)
    transport.abort()
