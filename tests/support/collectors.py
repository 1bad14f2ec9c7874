"""A syslog collector for tests, over TLS, TCP or UDP, with whatever collectors do when they are
not well. Each connection has a thread: a message counts as received when it was read from its
socket, and one that was not read dies with the collector."""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from isocenter.runtime.tls_files import Tls
from support.ports import free_ports

_ID = re.compile(rb'\[isocenter@32473 id="((?:[^"\\\]]|\\.)*)"')
_MARK = b"\xef\xbb\xbf"


class SyslogCollector:
    """One address; it may listen, stop listening, and listen again."""

    def __init__(
        self, kind: str = "tcp", tls: Tls | None = None, *, ask: bool = False, buffer: int = 0
    ) -> None:
        """`kind`: tls, tcp or udp; `ask` for a certificate of the CA of `tls`; `buffer`: bytes that
        its system takes before it reads, about."""
        self.kind = kind
        self.messages: list[bytes] = []
        self._distinct: set[str] = set()
        self.connections = 0
        self.reading = threading.Event()  # cleared: it hangs
        self.reading.set()
        self.seconds_a_read = 0.0
        self.bytes_a_read = 64 * 1024
        self.break_after = 0  # messages of a connection, the rest of which is not read; 0: none
        self.keeps_what_it_reads = True  # False: it may be killed before it has kept it
        self.says_goodbye = True  # closes TLS as RFC 5425 4.4 wants it
        self.at_end = threading.Event()  # it has read one to its end
        self.may_end = threading.Event()  # cleared: it leaves its side open when ours is closed
        self.may_end.set()
        self._buffer = buffer
        self._context = _context(tls, ask) if tls is not None else None
        [self.port] = free_ports(1)
        self._listener: socket.socket | None = None
        self._open: list[_Connection] = []
        self._arrived = threading.Condition()

    @property
    def url(self) -> str:
        """As the settings name it."""
        return f"syslog+{self.kind}://127.0.0.1:{self.port}"

    @property
    def ids(self) -> list[str]:
        """Of the messages, as they came."""
        return [id_of(one) for one in list(self.messages)]

    def start(self) -> None:
        """Listen."""
        datagrams = self.kind == "udp"
        listener = socket.socket(type=socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer)
        listener.bind(("127.0.0.1", self.port))
        if not datagrams:
            listener.listen()
        self._listener = listener
        work = self._datagrams if datagrams else self._connections
        threading.Thread(target=work, args=(listener,), daemon=True).start()

    def stop(self) -> None:
        """As SIGKILL does it."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut()
        self.may_end.set()

    def cut(self) -> None:
        """Break every connection, and listen on."""
        for one in list(self._open):
            one.cut()

    def wait(self, enough: int, seconds: float = 30) -> None:
        """Until there are so many different messages."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self._distinct) >= enough, seconds):
                raise AssertionError(f"{len(self._distinct)} of {enough} messages in {seconds} s")

    def wait_for_connection(self, seconds: float = 30) -> None:
        """Until there is one."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: self._open, seconds), "nobody connected"

    def _received(self, messages: list[bytes]) -> None:
        with self._arrived:
            self.messages += messages
            self._distinct.update(map(id_of, messages))
            self._arrived.notify_all()

    def _datagrams(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while message := listener.recv(70_000):
                self._received([message])

    def _connections(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                made = _Connection(listener.accept()[0])
                with self._arrived:
                    self.connections += 1
                    self._open.append(made)
                    self._arrived.notify_all()
                threading.Thread(target=self._serve, args=(made,), daemon=True).start()

    def _serve(self, connection: _Connection) -> None:
        try:
            if self._context is not None:
                connection.encrypt(self._context)
            self._read(connection)
            self.at_end.set()
            self.may_end.wait()
            if self.says_goodbye and isinstance(connection.socket, ssl.SSLSocket):
                connection.socket.unwrap()
        except (OSError, ValueError):
            pass  # what it is told of the other side is no matter
        finally:
            connection.socket.close()
            self._open.remove(connection)

    def _read(self, connection: _Connection) -> None:
        held, count = b"", 0
        while True:
            while not self.reading.wait(0.01):
                connection.go_on()
            data = connection.socket.recv(self.bytes_a_read)
            if not data or not self.keeps_what_it_reads:
                connection.go_on()
            if not data:
                return
            messages, held = unframed(held + data)
            if self.break_after and count + len(messages) >= self.break_after:
                self._received(messages[: self.break_after - count])
                raise ConnectionAbortedError
            count += len(messages)
            self._received(messages)
            if self.seconds_a_read:
                time.sleep(self.seconds_a_read)


class _Connection:
    """One that was accepted, and may be cut."""

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self._is_cut = False

    def encrypt(self, context: ssl.SSLContext) -> None:
        """Speak TLS from now on."""
        self.socket = context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )
        self.socket.do_handshake()

    def cut(self) -> None:
        """Its thread closes it at once, and the system tells the other side what it tells of
        programs that are killed: a reset, if anything was unread."""
        self._is_cut = True
        with suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_RD)

    def go_on(self) -> None:
        """Unless it was cut."""
        if self._is_cut:
            raise ConnectionAbortedError


def _context(tls: Tls, ask: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    if ask:
        context.load_verify_locations(tls.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def unframed(data: bytes) -> tuple[list[bytes], bytes]:
    """The messages that are there in full, and the beginning of the next."""
    found = []
    while True:
        count, space, rest = data.partition(b" ")
        if not space or len(rest) < int(count):
            return found, data
        found.append(rest[: int(count)])
        data = rest[int(count) :]


def id_of(message: bytes) -> str:
    """The id in its structured data."""
    match = _ID.search(message)
    assert match, message
    return re.sub(rb"\\(.)", rb"\1", match[1]).decode()


def text_of(message: bytes) -> bytes:
    """What follows the header."""
    return message.partition(_MARK)[2]


@contextmanager
def collecting(
    kind: str = "tcp", tls: Tls | None = None, *, ask: bool = False, buffer: int = 0
) -> Iterator[SyslogCollector]:
    """A collector that listens."""
    collector = SyslogCollector(kind, tls, ask=ask, buffer=buffer)
    collector.start()
    try:
        yield collector
    finally:
        collector.stop()
