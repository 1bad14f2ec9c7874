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


def told(status: int) -> str:
    """`0xA700, the peer is out of resources`."""
    meaning = _MEANINGS.get(status) or _RANGES.get(status & 0xFF00)
    if meaning is None and status & 0xF000 == 0xC000:
        meaning = "the peer cannot understand the data set"
    return f"0x{status:04X}" + (f", {meaning}" if meaning else "")
