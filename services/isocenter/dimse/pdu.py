"""Framing of the upper layer protocol (PS3.8 9.3): PDUs out of a byte stream and into it.

Nothing is buffered that a peer merely announces: A-ASSOCIATE and the small PDUs are collected up
to a bound, P-DATA-TF is passed on as it arrives.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Protocol

from isocenter.core.ports import Buffer
from isocenter.dimse.errors import MalformedPdu


class PduType(IntEnum):
    """PS3.8 9.3.1."""

    A_ASSOCIATE_RQ = 0x01
    A_ASSOCIATE_AC = 0x02
    A_ASSOCIATE_RJ = 0x03
    P_DATA_TF = 0x04
    A_RELEASE_RQ = 0x05
    A_RELEASE_RP = 0x06
    A_ABORT = 0x07


_KINDS = {int(kind): kind for kind in PduType}


class AbortSource(IntEnum):
    """PS3.8 table 9-26."""

    SERVICE_USER = 0
    SERVICE_PROVIDER = 2


class AbortReason(IntEnum):
    """PS3.8 table 9-26; significant with the source service-provider."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PDU_PARAMETER = 4
    UNEXPECTED_PDU_PARAMETER = 5
    INVALID_PDU_PARAMETER_VALUE = 6


# 128 presentation contexts with dozens of transfer syntaxes each stay below 400 KiB.
MAX_ASSOCIATE_PDU = 512 * 1024
# What a peer may exceed the maximum length by: some count the headers, some do not.
MAX_LENGTH_SLACK = 1024
# Least maximum length that can carry a byte: PDV item header and message control header.
MIN_MAX_LENGTH = 7
# Length of our P-DATA-TF PDUs to a peer without a maximum.
OWN_MAX_LENGTH = 128 * 1024

PDU_HEADER = struct.Struct(">BxI")
_PDV_HEADER = struct.Struct(">IBB")
_DATA_HEADER = struct.Struct(">BxIIBB")
_PDV_OVERHEAD = 6  # of the maximum length, which counts all but the PDU header (PS3.8 D.1)

COMMAND = 0x01  # PS3.8 E.2, message control header
LAST = 0x02

# The fixed lengths of PDUs (PS3.8 9.3.4, 9.3.6 to 9.3.8).
_FOUR = (4, 4)
_FIXED = 68  # of A-ASSOCIATE-RQ and -AC before the variable items


class Sink(Protocol):
    """Who takes the PDUs."""

    def pdu_received(self, kind: PduType, body: bytes) -> None:
        """A whole PDU other than P-DATA-TF; `body` is what follows the PDU header."""
        ...

    def data_begins(self) -> None:
        """A P-DATA-TF PDU begins."""
        ...

    def fragment_received(self, context_id: int, control: int, fragment: memoryview) -> None:
        """Some bytes of a PDV, valid during the call; LAST in `control` only with its last."""
        ...


class Framer:
    """Cuts a byte stream into PDUs. Raises `MalformedPdu`, after which it must not be fed."""

    def __init__(self, sink: Sink, max_length: int) -> None:
        self._sink = sink
        self._bounds: dict[int, tuple[int, int]] = {
            PduType.A_ASSOCIATE_RQ: (_FIXED, MAX_ASSOCIATE_PDU),
            PduType.A_ASSOCIATE_AC: (_FIXED, MAX_ASSOCIATE_PDU),
            PduType.A_ASSOCIATE_RJ: _FOUR,
            PduType.P_DATA_TF: (_PDV_OVERHEAD, max_length + MAX_LENGTH_SLACK),
            PduType.A_RELEASE_RQ: _FOUR,
            PduType.A_RELEASE_RP: _FOUR,
            PduType.A_ABORT: _FOUR,
        }
        self._partial = bytearray()  # of a header, or of a PDU other than P-DATA-TF
        self._kind: PduType | None = None
        self._pdu_left = 0
        self._pdv_left = 0  # bytes of the value still to come
        self._in_pdv = False
        self._context_id = 0
        self._control = 0
        self.stopped = False

    @property
    def between(self) -> bool:
        """Whether the stream is at the beginning of a PDU."""
        return self._kind is None and not self._partial

    def feed(self, data: memoryview) -> None:
        """Take what arrived; none of it is kept but headers and short PDUs."""
        offset = 0
        while offset < len(data) and not self.stopped:
            if self._kind is None:
                offset = self._begin(data, offset)
            elif self._kind is not PduType.P_DATA_TF:
                offset = self._collect(data, offset)
            elif self._in_pdv:
                offset = self._pass_on(data, offset)
            else:
                offset = self._begin_pdv(data, offset)

    def _fill(self, data: memoryview, offset: int, size: int) -> int:
        """Fill the partial header or PDU up to `size` bytes; answers where it stopped."""
        end = min(len(data), offset + size - len(self._partial))
        self._partial += data[offset:end]
        return end

    def _begin(self, data: memoryview, offset: int) -> int:
        if not self._partial:
            self._known(data[offset])  # what is not DICOM at all is told by its first byte
        if not self._partial and len(data) - offset >= PDU_HEADER.size:
            kind, length = PDU_HEADER.unpack_from(data, offset)
            offset += PDU_HEADER.size
        else:
            offset = self._fill(data, offset, PDU_HEADER.size)
            if len(self._partial) < PDU_HEADER.size:
                return offset
            kind, length = PDU_HEADER.unpack(self._partial)
            self._partial.clear()
        least, most = self._bounds[kind]
        if not least <= length <= most:
            raise MalformedPdu(
                f"a PDU of type {kind:02X}H says it has {length} bytes, not {least} to {most}",
                AbortReason.INVALID_PDU_PARAMETER_VALUE,
            )
        self._kind = _KINDS[kind]
        self._pdu_left = length
        if self._kind is PduType.P_DATA_TF:
            self._sink.data_begins()
        return offset

    def _known(self, kind: int) -> None:
        if kind not in self._bounds:
            raise MalformedPdu(f"no PDU has the type {kind:02X}H", AbortReason.UNRECOGNIZED_PDU)

    def _collect(self, data: memoryview, offset: int) -> int:
        offset = self._fill(data, offset, self._pdu_left)
        if len(self._partial) == self._pdu_left and self._kind is not None:
            kind, body = self._kind, bytes(self._partial)
            self._kind = None
            self._partial.clear()
            self._sink.pdu_received(kind, body)
        return offset

    def _begin_pdv(self, data: memoryview, offset: int) -> int:
        if not self._partial and len(data) - offset >= _PDV_HEADER.size:
            length, self._context_id, self._control = _PDV_HEADER.unpack_from(data, offset)
            offset += _PDV_HEADER.size
        else:
            offset = self._fill(data, offset, min(_PDV_HEADER.size, self._pdu_left))
            if len(self._partial) < min(_PDV_HEADER.size, self._pdu_left):
                return offset
            if len(self._partial) < _PDV_HEADER.size:
                raise self._bad_pdv()
            length, self._context_id, self._control = _PDV_HEADER.unpack(self._partial)
            self._partial.clear()
        self._pdu_left -= _PDV_HEADER.size
        self._pdv_left = length - 2
        if not 0 <= self._pdv_left <= self._pdu_left:
            raise self._bad_pdv()
        self._in_pdv = True
        return self._pass_on(data, offset) if not self._pdv_left else offset

    def _bad_pdv(self) -> MalformedPdu:
        return MalformedPdu(
            "a PDV item does not fit into its P-DATA-TF PDU",
            AbortReason.INVALID_PDU_PARAMETER_VALUE,
        )

    def _pass_on(self, data: memoryview, offset: int) -> int:
        fragment = data[offset : offset + self._pdv_left]
        self._pdv_left -= len(fragment)
        self._pdu_left -= len(fragment)
        control = self._control
        if self._pdv_left:
            control &= ~LAST
        else:
            self._in_pdv = False
            if not self._pdu_left:
                self._kind = None
        self._sink.fragment_received(self._context_id, control, fragment)
        return offset + len(fragment)


def abort_pdu(source: int, reason: int) -> bytes:
    """A-ABORT (PS3.8 9.3.8)."""
    return struct.pack(">BxIxxBB", PduType.A_ABORT, 4, source, reason)


def reject_pdu(result: int, source: int, reason: int) -> bytes:
    """A-ASSOCIATE-RJ (PS3.8 9.3.4)."""
    return struct.pack(">BxIxBBB", PduType.A_ASSOCIATE_RJ, 4, result, source, reason)


RELEASE_RQ = struct.pack(">BxI4x", PduType.A_RELEASE_RQ, 4)
RELEASE_RP = struct.pack(">BxI4x", PduType.A_RELEASE_RP, 4)


def value_room(max_length: int) -> int:
    """How much of a value fits into a P-DATA-TF PDU of this maximum length, bytes."""
    return max_length - _PDV_OVERHEAD


def data_pdus(
    context_id: int, control: int, value: Buffer, max_length: int, *, last: bool
) -> list[Buffer]:
    """P-DATA-TF PDUs with one PDV each that carry `value`: headers and views of it in turn.
    `last`: the message's command or data set ends with it."""
    view = memoryview(value)
    room = value_room(max_length)
    full = max(0, len(view) - 1) // room * room  # bytes in the PDUs before the last one
    parts: list[Buffer] = [_data_header(context_id, control, room)] * (full // room * 2)
    parts[1::2] = [view[start : start + room] for start in range(0, full, room)]
    rest = view[full:]
    parts += (_data_header(context_id, control | (LAST if last else 0), len(rest)), rest)
    return parts


def _data_header(context_id: int, control: int, length: int) -> bytes:
    """What stands before a value in its PDU."""
    return _DATA_HEADER.pack(
        PduType.P_DATA_TF, length + _PDV_OVERHEAD, length + 2, context_id, control
    )
