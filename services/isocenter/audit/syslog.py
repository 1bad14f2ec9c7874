"""Syslog: messages (RFC 5424) as PS3.15 A.6 and A.7 want them, and the ways that they go.

TLS (RFC 5425) and TCP (RFC 6587 3.4.1) count octets. Syslog knows no answers. Two things tell that
messages have arrived, and `confirm` asks for them:

- The collector's machine has them: its kernel has acknowledged every byte. Linux tells how many are
  not (`SIOCOUTQ`); where that cannot be asked, it is enough that our own kernel took all of them.
- Its program has read them: we end the connection, and it ends its side, which it can do only once
  it has come to the end. With TLS it has to say so (`close_notify`, RFC 5425 4.4); some end TCP
  alone, which is enough from those that have never done better. Then the next connection is made:
  a collector that ended because it was killed does not take one.

UDP (RFC 5426) tells nothing but that nobody listens, and that only where the machine is there.

Everything here blocks, and belongs to one thread; only `abort` may be called from another.
"""

from __future__ import annotations

import errno
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from isocenter.audit.connections import Connection, TlsConnection
from isocenter.audit.settings import Collector, Confirm, Transport
from isocenter.core.errors import IsocenterError, Unavailable
from isocenter.runtime.tls_files import CallerTls, WatchedFiles

NOTICE, WARNING = 5, 4  # severities
AUDIT_MESSAGE = "DICOM+RFC3881"  # MSGID of what follows PS3.15 A.5
MOST_OF_UDP = 65_507  # bytes: what a datagram of IPv4 carries

_FACILITY = 10  # security and authorization
_APPLICATION = "isocenter"
# 32473 stands for whoever has no private enterprise number of its own (RFC 5612).
_STRUCTURED = "isocenter@32473"
_MARK = b"\xef\xbb\xbf"  # says that the text is UTF-8
_LONGEST_HOST = 255

_CONNECT_SECONDS = 5.0  # each address, and then TLS
_PATIENCE_SECONDS = 10.0  # without taking a single byte
_END_SECONDS = 30.0  # for reading what its kernel has taken
_LOOK_SECONDS = (0.0005, 0.02)  # between two looks at what is acknowledged: first, longest
_UDP_BURST, _UDP_PAUSE = 32, 0.005  # nobody says how much a receiver can take at once


@dataclass(frozen=True, slots=True)
class Origin:
    """Who sends."""

    host: str  # HOSTNAME of RFC 5424: printable ASCII, "-" for nothing
    process: int

    @classmethod
    def named(cls, host: str, process: int) -> Origin:
        """From a host name, whatever it is made of."""
        printable = "".join(char for char in host if "!" <= char <= "~")
        return cls(printable[:_LONGEST_HOST] or "-", process)


@dataclass(frozen=True, slots=True)
class Message:
    """One message."""

    severity: int
    at: datetime
    kind: str  # MSGID
    id: str  # told in the structured data: the same when it is sent again
    text: bytes  # UTF-8

    def encoded(self, origin: Origin, most: int = 0) -> bytes:
        """As RFC 5424 has it. What is longer than `most` bytes, unless that is 0, is cut at its
        end; the structured data says how long it was."""
        moment = self.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        head = (
            f"<{_FACILITY * 8 + self.severity}>1 {moment} {origin.host} {_APPLICATION}"
            f' {origin.process} {self.kind} [{_STRUCTURED} id="{_escaped(self.id)}"'
        )
        whole = b"%b] %b%b" % (head.encode(), _MARK, self.text)
        if not most or len(whole) <= most:
            return whole
        start = b"%b] %b" % (f'{head} cut-from="{len(whole)}"'.encode(), _MARK)
        return start + self.text[: most - len(start)].decode(errors="ignore").encode()


def _escaped(value: str) -> str:
    """A value of structured data (RFC 5424 6.3.3)."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def framed(message: bytes) -> bytes:
    """With the count of its octets in front."""
    return b"%d %b" % (len(message), message)


class Sender(Protocol):
    """A way to one collector. All raise `Unavailable`; then `open` comes next, and what was not
    confirmed is to be sent again."""

    def open(self) -> None:
        """Reach the collector, anew if it was reached before."""
        ...

    def send(self, messages: Sequence[Message]) -> None:
        """Give messages to the system, as quickly as the collector takes them."""
        ...

    def watch(self) -> None:
        """See whether the collector is still there, as far as one can without sending."""
        ...

    def confirm(self) -> None:
        """Make sure that everything sent has arrived."""
        ...

    def abort(self) -> None:
        """End what is under way in another thread, soon."""
        ...

    def close(self) -> None:
        """Let go of the collector."""
        ...


def sender_to(collector: Collector, origin: Origin) -> Sender:
    """The way that the settings name."""
    if collector.transport is Transport.UDP:
        return DatagramSender(collector, origin)
    return StreamSender(collector, origin)


class StreamSender:
    """TLS or TCP."""

    def __init__(self, collector: Collector, origin: Origin) -> None:
        self._collector = collector
        self._origin = origin
        self._files: WatchedFiles | None = None
        self._connection: Connection | None = None
        self._is_proper = False  # how it ended the connection before

    def open(self) -> None:
        """Connect; with TLS the server's certificate is checked, its name too."""
        self.close()
        with _told(self._collector):
            self._connection = self._connected()
            self._connection.begin()
            self._connection.wait_for(_PATIENCE_SECONDS)

    def _connected(self) -> Connection:
        one = self._collector
        if one.transport is Transport.TCP:
            return Connection(one.address, _CONNECT_SECONDS)
        return TlsConnection(one.address, _CONNECT_SECONDS, self._context(), one.host)

    def _context(self) -> ssl.SSLContext:
        """Of the files as they are now."""
        if self._files is None:
            one = self._collector
            setting = f"audit.forward {one.name}: {{}}".format
            files = CallerTls(one.ca_file, one.certificate_file, one.key_file, setting)
            self._files = WatchedFiles(files)
        self._files.changed()
        return self._files.pem.context

    def send(self, messages: Sequence[Message]) -> None:
        """A collector that is slow is waited for; one that takes nothing at all is not."""
        self.watch()
        data = b"".join(framed(one.encoded(self._origin)) for one in messages)
        with _told(self._collector):
            self._held.send(memoryview(data))

    def watch(self) -> None:
        """A collector has nothing to say; if it ends the connection, something is wrong."""
        with _told(self._collector):
            self._held.look()

    def confirm(self) -> None:
        """The collector's machine has everything, and, if the settings want it, its program."""
        with _told(self._collector):
            self._acknowledged()
            self._held.look()  # an end that it made before we did says nothing
            if self._collector.confirm is Confirm.READ:
                self._read_to_the_end()
                self.open()

    def _acknowledged(self) -> None:
        held, pause = self._held, _LOOK_SECONDS[0]
        before, deadline = held.unacknowledged, time.monotonic() + _PATIENCE_SECONDS
        while (left := held.unacknowledged) > 0:
            if left < before:
                before, deadline = left, time.monotonic() + _PATIENCE_SECONDS
            if time.monotonic() > deadline:
                raise TimeoutError(f"it has not acknowledged {left} bytes")
            held.look()  # nobody acknowledges anything after a reset
            time.sleep(pause)
            pause = min(pause * 2, _LOOK_SECONDS[1])

    def _read_to_the_end(self) -> None:
        self._held.wait_for(_END_SECONDS)
        try:
            before, self._is_proper = self._is_proper, self._held.finish()
        except TimeoutError:
            raise TimeoutError("it has not read to the end of what it was sent") from None
        if before and not self._is_proper:
            raise ConnectionResetError(
                errno.ECONNRESET, "it ended the connection without saying so"
            )

    @property
    def _held(self) -> Connection:
        if self._connection is None:
            raise ConnectionAbortedError(errno.ECONNABORTED, "there is no connection")
        return self._connection

    def abort(self) -> None:
        """Whoever waits at the connection finds it broken."""
        if (held := self._connection) is not None:
            held.abort()

    def close(self) -> None:
        """End the connection."""
        held, self._connection = self._connection, None
        if held is not None:
            held.close()


class DatagramSender:
    """UDP: a datagram for each message (RFC 5426 3.1)."""

    def __init__(self, collector: Collector, origin: Origin) -> None:
        self._collector = collector
        self._origin = origin
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Find the address. Nobody is asked there."""
        self.close()
        with _told(self._collector):
            found = socket.getaddrinfo(*self._collector.address, type=socket.SOCK_DGRAM)
            family, kind, protocol, _, address = found[0]
            self._socket = socket.socket(family, kind, protocol)
            self._socket.connect(address)

    def send(self, messages: Sequence[Message]) -> None:
        """Not more at once than a receiver is likely to keep."""
        for start in range(0, len(messages), _UDP_BURST):
            self.watch()
            with _told(self._collector):
                for one in messages[start : start + _UDP_BURST]:
                    self._held.send(one.encoded(self._origin, MOST_OF_UDP))
            time.sleep(_UDP_PAUSE)

    def watch(self) -> None:
        """See whether the collector's machine said that nobody listens."""
        with _told(self._collector):
            if number := self._held.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(number, "nobody takes datagrams there")

    def confirm(self) -> None:
        """All that one can know."""
        self.watch()

    @property
    def _held(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionAbortedError(errno.ECONNABORTED, "there is no socket")
        return self._socket

    def abort(self) -> None:
        """Nothing waits for long."""

    def close(self) -> None:
        """Close the socket."""
        held, self._socket = self._socket, None
        if held is not None:
            held.close()


_FIXES: Sequence[tuple[type[OSError], str]] = (
    (
        ssl.SSLCertVerificationError,
        "give the collector a certificate for this name, of a CA that ca_file holds",
    ),
    (
        ssl.SSLError,
        "see whether it speaks TLS on this port, and which client certificates it takes",
    ),
    (socket.gaierror, "check its name"),
    (TimeoutError, "see whether the collector works, and whether a firewall is in between"),
    (OSError, "see whether the collector runs, and whether it listens there"),
)


@contextmanager
def _told(collector: Collector) -> Iterator[None]:
    """The system's errors as ours."""
    try:
        yield
    except IsocenterError:
        raise
    except OSError as error:
        fix = next(fix for kind, fix in _FIXES if isinstance(error, kind))
        why = getattr(error, "verify_message", "") or error.strerror or str(error)
        raise Unavailable(f"{collector.url}: {why}", fix=fix) from error
