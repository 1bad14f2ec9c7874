"""The server under test as a hostile client meets it: raw requests on a socket, answers read by a
strict parser, and what must hold of every answer."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h11
import httpx

from support.harness import Isocenter

SECONDS = 10.0  # within which every answer begins and ends
MARK = b"QZMARKZQ"  # in every value of a patient that is sent: no error may tell it
PROBLEM = "application/problem+json"

# Statuses of answers that are problem documents in any case: the parser's, and methods.
_EVERYWHERE = frozenset({405, 431})
_UNEXPECTED = re.compile(r"^\S+ (error|critical) |Traceback|Exception|never retrieved|Error:")


class Violation(AssertionError):
    """What must not be."""


@dataclass(frozen=True)
class Answer:
    """An answer that came as HTTP/1.1 has it."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes
    closes: bool  # whether the server says that it closes the connection

    def get(self, name: str) -> str:
        """A header field, empty if absent."""
        return ", ".join(value for key, value in self.fields if key == name)


@dataclass
class Ledger:
    """What was sent and answered."""

    requests: Counter[str] = field(default_factory=Counter)  # by kind
    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0  # broken requests whose connection was closed
    seconds: float = 0.0  # the longest
    slowest: str = ""  # the beginning of that request

    @property
    def total(self) -> int:
        """Requests."""
        return sum(self.requests.values())


class Connection:
    """One connection, by h11's rules for answers."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)

    def send(self, data: bytes) -> None:
        """All of it; the server may have answered and closed before."""
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return

    def end(self) -> None:
        """Nothing more comes from here."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def expect(self, method: str) -> None:
        """The next answer is one to this method, which says how it is framed."""
        self._parser.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        self._parser.send(h11.EndOfMessage())

    def answer(self, *, may_break: bool = False) -> Answer | None:
        """The next answer, None if the connection ends before it. Raises `Violation` for what is
        no answer, for one that ends early unless it `may_break`, and for one that is late."""
        response: h11.Response | None = None
        body = bytearray()
        while True:
            try:
                event = self._parser.next_event()
                if event is h11.NEED_DATA:
                    self._parser.receive_data(self._receive())
                    continue
            except h11.RemoteProtocolError as error:
                if response is None and not self._parser.trailing_data[0]:
                    return None  # closed
                if may_break and response is not None:
                    return None
                raise Violation(f"an answer is not HTTP/1.1: {error}") from error
            match event:
                case h11.Response():
                    response = event
                case h11.Data(data=data):
                    body += data
                case h11.EndOfMessage():
                    assert response is not None
                    return self._finished(response, bytes(body))
                case h11.ConnectionClosed():
                    return None

    def _finished(self, response: h11.Response, body: bytes) -> Answer:
        fields = tuple((name.decode(), value.decode("latin-1")) for name, value in response.headers)
        closes = self._parser.their_state is not h11.DONE
        if not closes:
            self._parser.start_next_cycle()
        return Answer(response.status_code, fields, body, closes)

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(1 << 18)
        except TimeoutError as error:
            raise Violation(f"no answer within {SECONDS} s") from error
        except ConnectionResetError:
            return b""

    def ended(self) -> bool:
        """Whether the server closes now, sending nothing more."""
        return self._receive() == b""

    def close(self) -> None:
        """Go away."""
        self._socket.close()


class Target:
    """A running installation, described by its own OpenAPI document."""

    def __init__(self, isocenter: Isocenter) -> None:
        self.isocenter = isocenter
        self.ledger = Ledger()
        self._connection: Connection | None = None
        self.judge: Any = None
        self.memory: dict[str, int] = {}
        self.sockets: dict[str, int] = {}
        self._began = 0.0

    def begin(self) -> None:
        """What it holds now is what it needs."""
        self.memory, self.sockets = self.resident(), self.descriptors()
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def connect(self) -> Connection:
        """A connection of its own."""
        return Connection(self.isocenter.host, self.isocenter.http_port)

    def ask(
        self,
        method: str,
        target: str,
        fields: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        kind: str,
        may_break: bool = False,
    ) -> Answer | None:
        """Ask on a connection that is kept; the answer has been judged. None only for an answer
        that `may_break`."""
        head = f"{method} {target} HTTP/1.1\r\n"
        given = {"Host": f"127.0.0.1:{self.isocenter.http_port}", **(fields or {})}
        if body is not None:
            given.setdefault("Content-Length", str(len(body)))
        head += "".join(f"{name}: {value}\r\n" for name, value in given.items())
        data = head.encode("latin-1") + b"\r\n" + (body or b"")
        connection = self._connection or self.connect()
        self._connection = None
        began = time.monotonic()
        self.ledger.requests[kind] += 1
        connection.expect(method)
        # The answer may come before the body has gone: it is read meanwhile.
        sending = threading.Thread(target=connection.send, args=(data,)) if body else None
        if sending:
            sending.start()
        else:
            connection.send(data)
        try:
            answer = connection.answer(may_break=may_break)
        except Violation as violation:
            raise Violation(f"{violation}\nto {head[:1000]!r}") from violation
        finally:
            if sending:
                sending.join(SECONDS)
        took = time.monotonic() - began
        if took > self.ledger.seconds:
            self.ledger.seconds, self.ledger.slowest = took, repr((head[:150], (body or b"")[:100]))
        if answer is None:
            if not may_break:
                raise Violation(f"the connection ended without an answer to {head[:1000]!r}")
            connection.close()
            self.ledger.unanswered += 1
            return None
        if answer.closes:
            if not connection.ended():
                raise Violation(f"more than the answer came to {head[:1000]!r}")
            connection.close()
        else:
            self._connection = connection
        self.check(answer, method, head)
        self.judge(method, target.partition("?")[0], answer)
        return answer

    def check(self, answer: Answer, method: str, what: str) -> None:
        """What holds of every answer. Raises `Violation`."""
        self.ledger.statuses[answer.status] += 1
        told = f"{answer.status} {answer.body[:500]!r} to {what[:1000]!r}"
        if answer.status >= 500:
            raise Violation(told)
        if answer.status < 400:
            return
        if MARK in answer.body or MARK.decode() in str(answer.fields):
            raise Violation(f"an error tells a value of an object: {told}")
        if answer.status == 409 and answer.get("content-type").startswith("application/dicom+"):
            return  # the Store Instances Response Module
        check = _ERRORS.get(answer.get("content-type"))
        if check is None:
            raise Violation(f"an error is no problem document: {told}")
        if method != "HEAD":
            check(answer, told)

    def usable(self) -> None:
        """Whether a well-formed request is answered, on a connection of its own."""
        connection = self.connect()
        connection.expect("GET")
        connection.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = connection.answer()
        connection.close()
        if answer is None or answer.status != 200:
            raise Violation("a well-formed request is not answered any more")

    def log(self) -> str:
        """What the processes have logged."""
        return self.isocenter.log.read_text(errors="replace")

    def resident(self) -> dict[str, int]:
        """Bytes of memory of every process."""
        return {name: _of_status(pid, "VmRSS") * 1024 for name, pid in self._processes()}

    def descriptors(self) -> dict[str, int]:
        """Open sockets of every process. (Files of databases come and go.)"""
        return {
            name: sum(_is_socket(one) for one in Path(f"/proc/{pid}/fd").iterdir())
            for name, pid in self._processes()
        }

    def _processes(self) -> list[tuple[str, int]]:
        names = [(name, one.pid) for name, one in self.isocenter.processes.items()]
        known = {pid for _, pid in names}
        return names + [(f"child-{pid}", pid) for pid in self.isocenter.pids() if pid not in known]


def store(isocenter: Isocenter, content: bytes) -> None:
    """By an ordinary client."""
    answer = httpx.post(
        f"{isocenter.dicomweb}/studies", content=content, timeout=60,
        headers={"Content-Type": "application/dicom", "Accept": "application/dicom+json"},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text


def unexpected(log: str) -> list[str]:
    """Lines of errors, and of what Python itself says."""
    return [line[:500] for line in log.splitlines() if _UNEXPECTED.search(line)]


def _check_outcome(answer: Answer, told: str) -> None:
    """Of FHIR."""
    if json.loads(answer.body).get("resourceType") != "OperationOutcome":
        raise Violation(f"an error of FHIR is no OperationOutcome: {told}")


def _check_page(answer: Answer, told: str) -> None:
    """For people."""
    if not answer.body.rstrip().endswith(b"</html>"):
        raise Violation(f"a page that tells an error is not whole: {told}")


def _check_problem(answer: Answer, told: str) -> None:
    try:
        document = json.loads(answer.body)
    except ValueError as error:
        raise Violation(f"a problem document is no JSON: {told}") from error
    whole = (
        isinstance(document, dict)
        and document.get("status") == answer.status
        and all(isinstance(document.get(name), str) for name in ("type", "title", "instance"))
        and isinstance(document.get("detail"), str)
        and document["detail"]
    )
    if not whole:
        raise Violation(f"a problem document is not whole (RFC 9457 3.1): {told}")
    if answer.status == 405 and not answer.get("allow"):
        raise Violation(f"405 without Allow (RFC 9110 15.5.6): {told}")


def _of_status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0


def _is_socket(path: Path) -> bool:
    try:
        return str(path.readlink()).startswith("socket:")
    except OSError:
        return False


# The forms of errors, by media type.
_ERRORS: Mapping[str, Callable[[Answer, str], None]] = {
    PROBLEM: _check_problem,
    "application/fhir+json": _check_outcome,
    "text/html; charset=utf-8": _check_page,
}
