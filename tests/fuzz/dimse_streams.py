"""Byte streams that a DICOM port may get and no peer should send (PS3.8 9.3, PS3.7 6.3 and E)."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from fuzz.target import MARK
from isocenter.dimse.contexts import ProposedContext
from isocenter.dimse.messages import CommandField, encode_command
from isocenter.dimse.negotiation import request_pdu
from support.dimse_peers import CT, FIND, GET, IMPLICIT, MOVE, VERIFICATION, p_data, pdv

COMMITMENT = "1.2.840.10008.1.20.1"
CONTEXTS = {VERIFICATION: 1, CT: 3, FIND: 5, MOVE: 7, GET: 9, COMMITMENT: 11}
ASSOCIATE_RQ = request_pdu(
    "FUZZER",
    "ISOCENTER",
    [ProposedContext(uid, (IMPLICIT,), scp=uid == CT) for uid in CONTEXTS],
    16384,
)[1]
ASSOCIATE_AC = b"\x02" + ASSOCIATE_RQ[1:]
ASSOCIATE_RJ = bytes.fromhex("03000000000400010101")
RELEASE_RQ = bytes.fromhex("05000000000400000000")
RELEASE_RP = bytes.fromhex("06000000000400000000")
ABORT = bytes.fromhex("07000000000400000000")
USER_ABORT = bytes(4)

_EXTREMES = (0, 1, 2, 3, 5, 6, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 1 << 20)
# How a client ends: it says no more and waits, asks for release, aborts, closes its direction,
# closes, or resets.
ENDINGS = ("wait", "release", "abort", "end", "end", "end", "end", "end", "close", "reset")
_NOT_DICOM = (
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes.fromhex("16030100c8010000c40303") + bytes(200),
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", b"\r\n\r\n\0\r\nQUIT\n" + bytes(20),
    b"SSH-2.0-x\r\n", b"\0" * 600, b"\xff" * 600,
)  # fmt: skip


@dataclass(frozen=True)
class Stream:
    """What a client sends, in pieces, and how it ends."""

    kind: str
    pieces: tuple[bytes, ...]
    ending: str
    aborted: bytes | None = None
    """What the A-ABORT must say that ends the connection, where that is known."""


def provider(reason: int) -> bytes:
    """What an A-ABORT of the service provider says."""
    return bytes([0, 0, 2, reason])


def command(field: int, uid: str, message_id: int = 1, **more: object) -> bytes:
    """A command set of a request."""
    data = field not in (CommandField.C_ECHO, CommandField.C_CANCEL)
    fields = {
        "field": field, "message_id": message_id, "affected_sop_class": uid, "priority": 0,
        "data_set_type": 1 if data else 0x0101, **more,
    }  # fmt: skip
    return encode_command(fields)


def element(tag: int, value: bytes, length: int | None = None) -> bytes:
    """An element in Implicit VR Little Endian, whose length may lie."""
    size = len(value) if length is None else length
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, size & 0xFFFFFFFF) + value


ECHO = p_data(pdv(1, 3, command(CommandField.C_ECHO, VERIFICATION)))
STORE_COMMAND = command(CommandField.C_STORE, CT, affected_sop_instance="1.2.3.4")
REQUESTS: dict[int, bytes] = {
    1: command(CommandField.C_ECHO, VERIFICATION),
    3: STORE_COMMAND,
    5: command(CommandField.C_FIND, FIND),
    7: command(CommandField.C_MOVE, MOVE, move_destination="NOWHERE"),
    9: command(CommandField.C_GET, GET),
    11: encode_command(
        {
            "field": CommandField.N_ACTION, "message_id": 1, "requested_sop_class": COMMITMENT,
            "requested_sop_instance": "1.2.840.10008.1.20.1.1", "action_type_id": 1,
            "data_set_type": 1,
        }
    ),
}  # fmt: skip
IDENTIFIER = (
    element(0x00080052, b"STUDY ") + element(0x00100010, MARK + b"*") + element(0x0020000D, b"")
)
_TRANSACTION = (
    element(0x00081195, b"1.2.3.4\0")
    + element(0x00081199, element(0xFFFEE000, element(0x00081150, CT.encode() + b"\0")))
)  # fmt: skip

# On an association, once each: what is sent, and the A-ABORT that the standard has for it.
WRONG: dict[str, tuple[bytes, bytes]] = {
    "context not accepted": (p_data(pdv(99, 3, REQUESTS[1])), provider(6)),
    "even context": (p_data(pdv(2, 3, REQUESTS[1])), provider(6)),
    "context zero": (p_data(pdv(0, 3, REQUESTS[1])), provider(6)),
    "data set first": (p_data(pdv(3, 2, b"data")), provider(5)),
    "data after a command without": (ECHO + p_data(pdv(1, 2, b"x")), provider(5)),
    "command in a data set": (
        p_data(pdv(3, 3, STORE_COMMAND), pdv(3, 0, b"d"), pdv(3, 3, REQUESTS[1])), provider(5),
    ),
    "two commands interleaved": (
        p_data(pdv(3, 1, STORE_COMMAND[:20]), pdv(1, 3, REQUESTS[1])), provider(5),
    ),
    "data set on another context": (
        p_data(pdv(3, 3, STORE_COMMAND)) + p_data(pdv(5, 2, b"d")), provider(5),
    ),
    "command without end": (p_data(pdv(1, 1, bytes(9000))) * 2, provider(5)),
    "command is garbage": (p_data(pdv(1, 3, b"\xff" * 30)), USER_ABORT),
    "no command field": (p_data(pdv(1, 3, element(0x00000110, b"\1\0"))), USER_ABORT),
    "empty command": (p_data(pdv(1, 3, b"")), USER_ABORT),
    "element longer than its command": (
        p_data(pdv(1, 3, element(0x00000100, b"\x30\0", 90))), USER_ABORT,
    ),
    "a number of one byte": (p_data(pdv(1, 3, element(0x00000100, b"\x30"))), USER_ABORT),
    "PDV longer than its PDU": (struct.pack(">BxIIBB", 4, 8, 100, 3, 0) + b"ab", provider(6)),
    "PDV without a header": (struct.pack(">BxIIBB", 4, 8, 1, 3, 0) + b"ab", provider(6)),
    "PDV of length zero": (struct.pack(">BxIIBB", 4, 6, 0, 3, 0), provider(6)),
    "bytes after the last PDV": (p_data(pdv(1, 3, REQUESTS[1]), b"abc"), provider(6)),
    "P-DATA-TF without PDV": (struct.pack(">BxI", 4, 0), provider(6)),
    "P-DATA-TF over the maximum": (struct.pack(">BxI", 4, 1 << 24), provider(6)),
    "P-DATA-TF of 4 GB": (struct.pack(">BxI", 4, 0xFFFFFFFF), provider(6)),
    "unknown PDU": (b"\x08" + RELEASE_RQ[1:], provider(1)),
    "PDU of type zero": (b"\x00" + RELEASE_RQ[1:], provider(1)),
    "A-RELEASE-RQ too long": (struct.pack(">BxI", 5, 5) + bytes(5), provider(6)),
    "A-ABORT too short": (struct.pack(">BxI", 7, 2) + bytes(2), provider(6)),
    "second A-ASSOCIATE-RQ": (ASSOCIATE_RQ, provider(2)),
    "A-ASSOCIATE-AC": (ASSOCIATE_AC, provider(2)),
    "A-ASSOCIATE-RJ": (ASSOCIATE_RJ, provider(2)),
    "A-RELEASE-RP": (RELEASE_RP, provider(2)),
    "release in a data set": (
        p_data(pdv(3, 3, STORE_COMMAND), pdv(3, 0, b"d")) + RELEASE_RQ, provider(2),
    ),
}  # fmt: skip


def mutated(chance: random.Random, data: bytes, times: int = 3) -> bytes:
    """With some bytes changed, removed, repeated, or lengths made extreme."""
    made = bytearray(data)
    for _ in range(chance.randint(1, times)):
        if not made:
            break
        at = chance.randrange(len(made))
        size = chance.choice((1, 1, 2, 4, 8, 30))
        match chance.randrange(7):
            case 0:
                made[at] = chance.randrange(256)
            case 1:
                made[at] ^= 1 << chance.randrange(8)
            case 2:
                del made[at : at + size]
            case 3:
                made[at:at] = made[at : at + size]
            case 4:
                made[at:at] = chance.randbytes(size)
            case 5:
                value = chance.choice(_EXTREMES) & 0xFFFFFFFF
                made[at : at + 4] = struct.pack(chance.choice("<>") + "I", value)
            case _:
                value = chance.choice(_EXTREMES) & 0xFFFF
                made[at : at + 2] = struct.pack(chance.choice("<>") + "H", value)
    return bytes(made)


def reframed(pdu: bytes) -> bytes:
    """With the length that it has."""
    return pdu[:2] + struct.pack(">I", len(pdu) - 6) + pdu[6:]


def _wrong(chance: random.Random) -> Stream:
    name = chance.choice(tuple(WRONG))
    data, told = WRONG[name]
    before = ECHO * chance.choice((0, 0, 1, 3))
    return Stream(f"wrong: {name}", (ASSOCIATE_RQ + before + data,), "wait", told)


def _request(chance: random.Random) -> Stream:
    """An association request with something wrong in it."""
    made = bytearray(ASSOCIATE_RQ)
    match chance.randrange(7):
        case 0:  # protocol version
            made[6:8] = struct.pack(">H", chance.choice((0, 2, 4, 0xFFFE)))
        case 1:  # AE titles
            title = chance.choice(
                (b"\0" * 16, b" " * 16, b"\xff" * 16, b"ISOCENTER\\X     ", b"\x1b[0m" * 4,
                 b"\n" * 16, chance.randbytes(16))
            )  # fmt: skip
            at = chance.choice((10, 26))
            made[at : at + 16] = title
        case 2:  # context IDs
            items = [at for at in range(74, len(made) - 8) if made[at : at + 2] == b"\x20\0"]
            for at in items:
                made[at + 4] = chance.choice((0, 1, 2, 3, 254, 255))
        case 3:  # unknown items
            kind, size = chance.randrange(256), chance.choice((0, 1, 40, 5000))
            made += struct.pack(">BxH", kind, size) + chance.randbytes(size)
        case 4:  # many contexts
            item = bytes(made[bytes(made).index(b"\x20\0", 74) :][:60])
            made += item * chance.choice((1, 130, 1000))
        case 5:  # cut
            del made[chance.randrange(6, len(made)) :]
        case _:
            made = bytearray(mutated(chance, bytes(made), 6))
    data = bytes(made)
    if chance.randrange(8):
        data = reframed(data)
    return Stream("association request", (data + ECHO,), chance.choice(ENDINGS))


def _framing(chance: random.Random) -> Stream:
    """A right message in odd PDUs."""
    context = chance.choice(tuple(REQUESTS))
    items = [(1, byte) for byte in _cut(chance, REQUESTS[context])]
    if context != 1:
        items += [(0, part) for part in _cut(chance, IDENTIFIER)]
    last = {0: max((n for n, one in enumerate(items) if one[0] == 0), default=-1),
            1: max(n for n, one in enumerate(items) if one[0] == 1)}  # fmt: skip
    odd = chance.choice((0, 0, 0, 4, 0x80))
    pdvs = [
        pdv(context, kind | odd | (2 if last[kind] == n else 0), part)
        for n, (kind, part) in enumerate(items)
    ]
    if not chance.randrange(4):
        pdvs.insert(chance.randrange(len(pdvs) + 1), chance.choice(pdvs))
    if not chance.randrange(6):
        chance.shuffle(pdvs)
    data = p_data(*pdvs) if chance.randrange(2) else b"".join(p_data(one) for one in pdvs)
    return Stream("framing", (ASSOCIATE_RQ + data,), chance.choice(ENDINGS))


def _cut(chance: random.Random, data: bytes) -> list[bytes]:
    size = chance.choice((1, 7, 50, 16000))
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return [b"", *parts, b""] if not chance.randrange(5) else parts


def _lengths(chance: random.Random) -> Stream:
    """Lengths of PDUs and PDVs that lie."""
    kind = chance.choice((0, 1, 2, 3, 4, 4, 4, 5, 6, 7, 8, 255))
    body = chance.randbytes(chance.choice((0, 3, 4, 6, 100, 20_000)))
    length = chance.choice((*_EXTREMES, len(body))) & 0xFFFFFFFF
    if kind == 4 and chance.randrange(2):
        body = struct.pack(">IBB", chance.choice(_EXTREMES), chance.randrange(13), 3) + body
    data = struct.pack(">BBI", kind, chance.randrange(2), length) + body
    before = ASSOCIATE_RQ * chance.randrange(2)
    return Stream("lengths", (before + data,), chance.choice(ENDINGS))


def _commands(chance: random.Random) -> Stream:
    """Command sets with elements that are missing, twice there, too long, or of no request."""
    sent = b""
    for _ in range(chance.choice((1, 1, 2, 6))):
        context = chance.choice(tuple(REQUESTS))
        made = REQUESTS[context]
        parts = _elements(made)
        match chance.randrange(8):
            case 0:
                del parts[chance.randrange(len(parts))]
            case 1:
                parts.insert(chance.randrange(len(parts)), chance.choice(parts))
            case 2:
                chance.shuffle(parts)
            case 3:
                tag = chance.choice((2, 3, 0x600, 0x902, 0x1000, 0x1001, 0x1005, 0x1030, 0x5555))
                parts.append(element(tag, chance.randbytes(chance.choice((1, 70, 9000)))))
            case 4:
                parts.append(element(0x00000800, struct.pack("<H", chance.choice((0, 1, 0x0101)))))
            case 5:  # another service, a response to no request, or none at all
                field = chance.choice(
                    (*CommandField, *(0x8000 | one for one in CommandField), 0, 0x7777, 0xFFFF)
                )
                parts.append(element(0x00000100, struct.pack("<H", field)))
            case 6:  # C-CANCEL of nothing
                fields = {"field": CommandField.C_CANCEL, "data_set_type": 0x0101,
                          "message_id_being_responded_to": chance.randrange(65536)}  # fmt: skip
                parts = [encode_command(fields)]
            case _:
                parts = [mutated(chance, made)]
        sent += p_data(pdv(context, 3, b"".join(parts)))
        if chance.randrange(3):
            sent += p_data(pdv(context, 2, IDENTIFIER))
    return Stream("commands", (ASSOCIATE_RQ + sent,), chance.choice(ENDINGS))


def _elements(command_set: bytes) -> list[bytes]:
    parts, at = [], 0
    while at < len(command_set):
        (length,) = struct.unpack_from("<I", command_set, at + 4)
        parts.append(command_set[at : at + 8 + length])
        at += 8 + length
    return parts


def _data_sets(chance: random.Random) -> Stream:
    """Identifiers, action information and objects that are none."""
    context = chance.choice((3, 5, 5, 7, 9, 11))
    right = _TRANSACTION if context == 11 else IDENTIFIER
    match chance.randrange(8):
        case 0:
            data = chance.randbytes(chance.choice((0, 1, 7, 8, 100, 3000)))
        case 1:
            data = right[: chance.randrange(len(right))]
        case 2:
            data = right + _nested(chance.choice((10, 100, 2000)))
        case 3:
            data = right + element(0x00081199, b"", 0xFFFFFFFF) * chance.choice((1, 50, 3000))
        case 4:
            item = element(0xFFFEE000, b"", 0xFFFFFFFF)
            data = right + (element(0x0040A730, b"", 0xFFFFFFFF) + item) * chance.choice((30, 1500))
        case 5:
            data = right + element(chance.randrange(1 << 32), chance.randbytes(20), chance.choice(
                (*_EXTREMES, 20)))  # fmt: skip
        case 6:
            level = chance.choice((b"STUDY ", b"IMAGE ", b"PATIENT ", b"", b"\xff\xff", b"*"))
            uids = b"\\".join(b"1.2.%d" % n for n in range(chance.choice((1, 900))))
            name = chance.choice(
                (b"*" * 600, b"?" * 65, b"\x1b$B", MARK + b"^*", b"a\\b\\c", b"\0")
            )
            data = (
                element(0x00080005, chance.choice((b"ISO_IR 999", b"ISO 2022 IR 87", b"\\\\", b"")))
                + element(0x00080020, chance.choice((b"20260101-", b"-", b"x", b"99999999")))
                + element(0x00080052, level) + element(0x00100010, name)
                + element(0x0020000D, uids)
            )  # fmt: skip
        case _:
            data = mutated(chance, right, 5)
    request = p_data(pdv(context, 3, REQUESTS[context]))
    pdus = [p_data(pdv(context, 0, data[at : at + 16000])) for at in range(0, len(data), 16000)]
    end = p_data(pdv(context, 2, b""))
    sent = ASSOCIATE_RQ + request + b"".join(pdus) + end
    return Stream("data sets", (sent,), chance.choice(("release", *ENDINGS)))


def _nested(depth: int) -> bytes:
    """Sequences in one another, with the lengths that they have."""
    inside = b""
    for _ in range(depth):
        inside = element(0x0040A730, element(0xFFFEE000, inside))
    return inside


_LETTERS = (
    ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, ECHO, RELEASE_RQ, RELEASE_RP, ABORT,
    b"\x09" + RELEASE_RQ[1:], p_data(pdv(5, 3, REQUESTS[5])), p_data(pdv(5, 2, IDENTIFIER)),
    p_data(pdv(9, 3, REQUESTS[9]), pdv(9, 2, IDENTIFIER)), p_data(pdv(3, 3, STORE_COMMAND)),
)  # fmt: skip


def _sequences(chance: random.Random) -> Stream:
    """Right PDUs in any order: each of them in every state."""
    pdus = [chance.choice(_LETTERS) for _ in range(chance.randint(1, 8))]
    if chance.randrange(4):
        pdus.insert(0, ASSOCIATE_RQ)
    return Stream("sequences", tuple(pdus), chance.choice(ENDINGS))


def _garbage(chance: random.Random) -> Stream:
    data = chance.choice((*_NOT_DICOM, chance.randbytes(chance.choice((1, 6, 100, 4000)))))
    before = ASSOCIATE_RQ * chance.randrange(2)
    return Stream("garbage", (before + data,), chance.choice(ENDINGS))


_MAKERS: dict[Callable[[random.Random], Stream], int] = {
    _wrong: 10, _request: 12, _framing: 10, _lengths: 10, _commands: 16, _data_sets: 12,
    _sequences: 12, _garbage: 3,
}  # fmt: skip


def stream(seed: int, number: int, recorded: Sequence[bytes]) -> Stream:
    """The stream of a number; the same for the same seed and recordings."""
    chance = random.Random(f"{seed}-{number}")
    if not chance.randrange(6):
        data = mutated(chance, chance.choice(recorded), 5)
        made = Stream("recorded", (data,), chance.choice(ENDINGS))
    else:
        (maker,) = chance.choices(tuple(_MAKERS), tuple(_MAKERS.values()))
        made = maker(chance)
    return made if made.aborted is not None else _delivered(chance, made)


def _delivered(chance: random.Random, made: Stream) -> Stream:
    """Perhaps without its end, and in other pieces."""
    data = b"".join(made.pieces)
    if not chance.randrange(8):
        data = data[: chance.randrange(len(data) + 1)]
    elif chance.randrange(4):
        return made
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.choice((0, 1, 4, 20))))
    ends = [*cuts, len(data)]
    pieces = tuple(data[a:b] for a, b in zip([0, *cuts], ends, strict=True))
    return replace(made, pieces=pieces)
