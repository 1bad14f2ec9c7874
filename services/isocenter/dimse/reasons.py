"""What a peer's status, or Failure Reason of STOW-RS or Storage Commitment, means in words."""

from __future__ import annotations

# PS3.7 annex C, PS3.4 B.2.3 and PS3.18 10.5.3: status or reason -> its meaning.
_MEANINGS = {
    0x0105: "no such attribute",
    0x0106: "invalid attribute value",
    0x0110: "processing failure",
    0x0111: "the peer has this instance already",
    0x0112: "no such instance is kept",
    0x0115: "invalid argument value",
    0x0117: "invalid SOP Instance UID",
    0x0119: "the instance is of another SOP class",
    0x0122: "SOP class not supported",
    0x0124: "not authorized",
    0x0210: "duplicate invocation",
    0x0211: "unrecognized operation",
    0x0212: "mistyped argument",
    0x0213: "resource limitation",
    0xC122: "the transfer syntax is not supported for this SOP class",
}
_RANGES = {
    0xA700: "the peer is out of resources",
    0xA900: "the data set does not match its SOP class",
}


# PS3.4 C.4.1.1.4, C.4.2.1.5 and C.4.3.1.4, where they are others than of the Storage service.
_OF_QUERIES = {
    0xA701: "the peer is out of resources and cannot count what matches",
    0xA702: "the peer is out of resources and cannot perform sub-operations",
    0xA801: "the peer does not know the move destination",
    0xB000: "not all sub-operations were completed",
    0xFE00: "the request was cancelled",
}
_RANGES_OF_QUERIES = {0xA900: "the identifier does not match the SOP class"}


def told(status: int, *, query: bool = False) -> str:
    """`0xA700, the peer is out of resources`; `query`: it answers a C-FIND, C-MOVE or C-GET."""
    meaning = _MEANINGS.get(status)
    ranges = _RANGES
    if query:
        meaning = _OF_QUERIES.get(status) or meaning
        ranges = {**_RANGES, **_RANGES_OF_QUERIES}
    meaning = meaning or ranges.get(status & 0xFF00)
    if meaning is None and status & 0xF000 == 0xC000:
        what = "process the request" if query else "understand the data set"
        meaning = f"the peer cannot {what}"
    return f"0x{status:04X}" + (f", {meaning}" if meaning else "")
