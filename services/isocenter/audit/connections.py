"""Connections to collectors, plain or with TLS: they tell what has become of what was sent.

TLS is fed by hand. Of a socket that does it by itself one cannot tell the other side's proper end
from a fatal alert, and only the first says that everything was read.

Everything blocks, with a limit to each wait; only `abort` may be called from another thread.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import ssl
import struct
import termios
from contextlib import suppress

_CHUNK = 64 * 1024
_CANNOT_BE_ASKED = frozenset({errno.ENOTTY, errno.EINVAL, errno.EOPNOTSUPP})


class Connection:
    """TCP. All raise `OSError`."""

    def __init__(self, address: tuple[str, int], seconds: float) -> None:
        """Connect; each address of a name may take so long."""
        self._raw = socket.create_connection(address, seconds)
        self._raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._is_ended = False  # by the other side, as it should be

    def begin(self) -> None:
        """What comes before the first message."""

    def wait_for(self, seconds: float) -> None:
        """How long the other side may take nothing, or say nothing where it must."""
        self._raw.settimeout(seconds)

    def send(self, data: memoryview) -> None:
        """Give everything to the system, as quickly as the other side takes it."""
        while data:
            data = data[self._raw.send(data[:_CHUNK]) :]

    def look(self) -> None:
        """Raises if the other side has ended the connection. Does not wait."""
        seconds = self._raw.gettimeout()
        self._raw.setblocking(False)
        try:
            while data := self._raw.recv(_CHUNK):
                self._hear(data)
                if self._is_ended:
                    break
        except BlockingIOError:
            return
        finally:
            self._raw.settimeout(seconds)
        raise ConnectionResetError(errno.ECONNRESET, "it ended the connection")

    def finish(self) -> bool:
        """End our side, and wait until the other one, having read everything, ends its own. Answers
        whether it said so properly, which only TLS lets it do."""
        self._end()
        while not self._is_ended and (data := self._raw.recv(_CHUNK)):
            self._hear(data)
        number = self._raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number or self.unacknowledged:  # it ended before it had everything
            raise ConnectionResetError(number or errno.ECONNRESET, "it ended the connection")
        return self._is_ended

    @property
    def unacknowledged(self) -> int:
        """Bytes that the other side's kernel has not acknowledged; 0 where the system cannot tell
        (Linux can)."""
        try:
            # SIOCOUTQ has the number of TIOCOUTQ (linux/sockios.h).
            answer = fcntl.ioctl(self._raw.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
        except OSError as error:
            if error.errno in _CANNOT_BE_ASKED:
                return 0
            raise
        return int(struct.unpack("i", answer)[0])

    def abort(self) -> None:
        """Whoever waits finds the connection broken."""
        with suppress(OSError):
            self._raw.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of it."""
        self._raw.close()

    def _hear(self, data: bytes) -> None:
        """Whatever a collector says, it means nothing."""

    def _end(self) -> None:
        self._raw.shutdown(socket.SHUT_WR)


class TlsConnection(Connection):
    """TLS on it."""

    def __init__(
        self, address: tuple[str, int], seconds: float, context: ssl.SSLContext, host: str
    ) -> None:
        super().__init__(address, seconds)
        self._arrived, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._arrived, self._leaving, server_hostname=host)

    def begin(self) -> None:
        """The handshake."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                if not (data := self._raw.recv(_CHUNK)):
                    raise ConnectionResetError(
                        errno.ECONNRESET, "it ended the connection instead of speaking TLS"
                    ) from None
                self._arrived.write(data)
            except ssl.SSLError:
                with suppress(OSError):
                    self._flush()  # which tells the other side
                raise
            else:
                self._flush()
                return

    def send(self, data: memoryview) -> None:
        """See `Connection`."""
        while data:
            data = data[self._tls.write(data[:_CHUNK]) :]
            self._flush()

    def _hear(self, data: bytes) -> None:
        self._arrived.write(data)
        try:
            while self._tls.read(_CHUNK):
                pass
            self._is_ended = True  # properly
        except ssl.SSLZeroReturnError:  # the same, after our own end
            self._is_ended = True
        except ssl.SSLWantReadError:
            pass
        self._flush()

    def _end(self) -> None:
        # All that has arrived was heard: this says our end, and cannot take anything for its own.
        with suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        self._flush()

    def _flush(self) -> None:
        super().send(memoryview(self._leaving.read()))
