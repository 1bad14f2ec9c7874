"""The DICOM port under test as a hostile peer meets it: many streams at once, and what must hold
of whatever comes back."""

from __future__ import annotations

import asyncio
import struct
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from fuzz.dimse_streams import ABORT, RELEASE_RQ, Stream
from fuzz.target import MARK, Violation

AT_ONCE = 128
SECONDS = 20.0  # within which a connection ends: more than all timeouts of the port together
_PIECE = 1 << 16

# PS3.8 table 9-26: reasons by source. With the source service-user they are not significant.
_ABORTS = {0: {0}, 2: {0, 1, 2, 4, 5, 6}}
# PS3.8 table 9-21: results and reasons by source.
_REJECTS = {(1, 1, 1), (1, 1, 2), (1, 1, 3), (1, 1, 7), (1, 2, 1), (1, 2, 2), (2, 3, 1), (2, 3, 2)}
_AC, _RJ, _DATA, _RELEASE_RP, _ABORT = 2, 3, 4, 6, 7
_REQUESTS = {0x0001, 0x0100}  # sub-operations of a C-GET, results of Storage Commitment


@dataclass
class Ledger:
    """What was sent and what came back."""

    kinds: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0  # the longest that the port took to end
    slowest: int = -1  # the number of that stream


class Port:
    """A listening DICOM port."""

    def __init__(self, host: str, number: int) -> None:
        self._host, self._number = host, number
        self.ledger = Ledger()

    async def send_all(self, streams: Iterator[tuple[int, Stream]]) -> None:
        """Every stream, many at once. Raises `Violation` with the number of the first that got
        what it should not."""

        async def work() -> None:
            for number, stream in streams:
                try:
                    await self.send(number, stream)
                except Violation as violation:
                    sent = b"".join(stream.pieces)
                    raise Violation(
                        f"stream {number} ({stream.kind}, {stream.ending}): {violation}"
                        f"\nafter {len(sent)} bytes {sent[-600:].hex()}"
                    ) from violation

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())

    async def send(self, number: int, stream: Stream) -> bytes:
        """One stream on a connection of its own; what came back. Raises `Violation`."""
        began = time.monotonic()
        self.ledger.kinds[stream.kind.partition(":")[0]] += 1
        reader, writer = await asyncio.open_connection(self._host, self._number)
        try:
            for piece in stream.pieces:
                writer.write(piece)
                await asyncio.sleep(0)
            writer.write({"release": RELEASE_RQ, "abort": ABORT}.get(stream.ending, b""))
            if stream.ending == "reset":
                writer.transport.abort()
            if stream.ending in ("close", "reset"):
                self.ledger.outcomes["left"] += 1
                return b""
            if stream.ending == "end":
                writer.write_eof()
            came = await self._until_it_ends(reader)
        except OSError as error:
            if stream.aborted is not None:
                raise Violation(f"reset, without an A-ABORT: {error}") from error
            self.ledger.outcomes["reset by the port"] += 1
            return b""
        finally:
            writer.close()
        took = time.monotonic() - began
        if took > self.ledger.seconds:
            self.ledger.seconds, self.ledger.slowest = took, number
        outcome = judged(came, whole=stream.ending in ("wait", "release"))
        self.ledger.outcomes[outcome] += 1
        if stream.aborted is not None and came[-10:] != ABORT[:6] + stream.aborted:
            raise Violation(f"no A-ABORT {stream.aborted.hex()}: {came[-40:].hex()}")
        return came

    async def _until_it_ends(self, reader: asyncio.StreamReader) -> bytes:
        """All that comes until the port closes, or has answered a release."""
        came = bytearray()
        try:
            async with asyncio.timeout(SECONDS):
                while part := await reader.read(_PIECE):
                    came += part
                    if came[-10:] == b"\x06" + RELEASE_RQ[1:]:
                        break
        except TimeoutError as error:
            raise Violation(f"not ended within {SECONDS} s: {came[-200:].hex()}") from error
        return bytes(came)


def judged(came: bytes, *, whole: bool) -> str:
    """How the port ended a connection. Raises `Violation` for bytes that PS3.8 and PS3.7 do not
    allow; `whole`: the client did not leave, so nothing may be cut."""
    kinds: list[int] = []
    contexts: set[int] = set()
    commands = bytearray()
    at = 0
    while at < len(came):
        if len(came) - at < 6 or len(came) - at - 6 < struct.unpack_from(">I", came, at + 2)[0]:
            if whole:
                raise Violation(f"a PDU is cut: {came[at : at + 40].hex()}")
            break
        kind, length = struct.unpack_from(">BxI", came, at)
        body = came[at + 6 : at + 6 + length]
        at += 6 + length
        _follows(kinds, kind)
        kinds.append(kind)
        if kind == _AC:
            contexts = _accepted(body)
        elif kind == _RJ and tuple(body[1:]) not in _REJECTS:
            raise Violation(f"an A-ASSOCIATE-RJ says {body.hex()}")
        elif kind == _ABORT and body[3] not in _ABORTS.get(body[2], ()):
            raise Violation(f"an A-ABORT says {body.hex()}")
        elif kind == _DATA:
            _judge_data(body, contexts, commands)
    names = {_AC: "nothing", _DATA: "answered", _RJ: "rejected", _RELEASE_RP: "released"}
    return {**names, _ABORT: "aborted"}[kinds[-1]] if kinds else "silently closed"


def _follows(kinds: list[int], kind: int) -> None:
    """Whether an acceptor may send this after that."""
    before = kinds[-1] if kinds else 0
    allowed = {
        0: (_AC, _RJ, _ABORT), _AC: (_DATA, _RELEASE_RP, _ABORT), _RJ: (_ABORT,),
        _DATA: (_DATA, _RELEASE_RP, _ABORT), _RELEASE_RP: (_ABORT,), _ABORT: (),
    }  # fmt: skip
    if kind not in allowed[before]:
        raise Violation(f"a PDU of type {kind:02X}H after {before:02X}H")


def _accepted(body: bytes) -> set[int]:
    """The presentation contexts that an A-ASSOCIATE-AC accepts (PS3.8 9.3.3)."""
    found, at = set(), 68
    while at < len(body):
        kind, length = struct.unpack_from(">BxH", body, at)
        if kind == 0x21 and body[at + 6] == 0:
            found.add(body[at + 4])
        at += 4 + length
    if at != len(body):
        raise Violation(f"an A-ASSOCIATE-AC is not whole: {body.hex()}")
    return found


def _judge_data(body: bytes, contexts: set[int], commands: bytearray) -> None:
    at = 0
    while at < len(body):
        length, context, control = struct.unpack_from(">IBB", body, at)
        value = body[at + 6 : at + 4 + length]
        at += 4 + length
        if context not in contexts or control > 3 or at > len(body):
            raise Violation(f"a PDV of context {context}, control {control}, {length} bytes")
        if control & 1:
            commands += value
        if control == 3:
            _judge_command(bytes(commands))
            commands.clear()


def _judge_command(command: bytes) -> None:
    fields: dict[int, bytes] = {}
    at = 0
    while at < len(command):
        group, element, length = struct.unpack_from("<HHI", command, at)
        if group or element in fields or element < max(fields, default=0):
            raise Violation(f"a command set in disorder: {command.hex()}")
        fields[element] = command[at + 8 : at + 8 + length]
        at += 8 + length
    (field,) = struct.unpack("<H", fields[0x0100])
    if field in _REQUESTS:
        return
    if not field & 0x8000 or 0x0900 not in fields:
        raise Violation(f"a response with Command Field {field:04X}H: {command.hex()}")
    if MARK in command:
        raise Violation(f"a response tells a value of an object: {command!r}")
    comment = fields.get(0x0902, b"")
    if len(comment) > 64 or b"\\" in comment:
        raise Violation(f"an Error Comment is no LO: {comment!r}")
