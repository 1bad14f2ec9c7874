"""Which of the forms we can make a client takes (PS3.18 8.7): the Accept header field and the
`accept` parameter, read into ranges, and the tables of media types.

A handler lists what it can make as *offers*, what is preferred here first. Of each the most
specific range that covers it says how much it is wanted (RFC 9110 12.5.1). The parameter counts
before the header field (PS3.18 8.7.8.1). What is malformed in the header field is passed over
(PS3.18 8.7.7), in the parameter it is an error.

One thing is more lenient than PS3.18 8.7.5: without an Accept header field anything is accepted,
as in RFC 9110, since many programs leave it out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from isocenter.core.cached import cached
from isocenter.core.errors import Invalid
from isocenter.core.transfer_syntax import TRANSFER_SYNTAXES, Codec
from isocenter.web.exchange import Exchange
from isocenter.web.lists import elements
from isocenter.web.problems import Problem, shown

MULTIPART = "multipart/related"
DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
DICOM_XML = "application/dicom+xml"
JSON = "application/json"
OCTETS = "application/octet-stream"
ZIP = "application/zip"
ANY = "*/*"

# PS3.18 tables 8.7.3-4 and -5: what one codestream of a codec is called,
_OF_CODEC: Mapping[Codec, str] = {
    Codec.NATIVE: OCTETS,
    Codec.RLE: "image/dicom-rle",
    Codec.JPEG: "image/jpeg",
    Codec.JPEG_LOSSLESS: "image/jpeg",
    Codec.JPEG_LS: "image/jls",
    Codec.JPEG_2000: "image/jp2",
    Codec.HTJ2K: "image/jphc",
    Codec.JPEG_XL: "image/jxl",
    Codec.DEFLATED_FRAME: OCTETS,
    Codec.JPIP: OCTETS,
    Codec.MPEG2: "video/mpeg2",
    Codec.H264: "video/mp4",
    Codec.H265: "video/mp4",
}
_JPEG_2000_PART_2 = frozenset({"1.2.840.10008.1.2.4.92", "1.2.840.10008.1.2.4.93"})
# and one of each transfer syntax.
FRAME_MEDIA_TYPES: Mapping[str, str] = {
    uid: "image/jpx" if uid in _JPEG_2000_PART_2 else _OF_CODEC[syntax.codec]
    for uid, syntax in TRANSFER_SYNTAXES.items()
}

# PS3.18 8.7.5: what is asked for is of one kind only.
_DICOM_TYPES = frozenset({DICOM, DICOM_JSON, DICOM_XML})
_RENDERED = re.compile(r"(?:image|video|text)/.+|application/pdf")
_CHARACTER_SETS = frozenset({"utf-8", "utf8", "*"})  # in which text can be had

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110 5.6.2, no password
_MEDIA = re.compile(rf"\s*({_TOKEN}/{_TOKEN})\s*")
# Some clients write type=application/octet-stream without the quotes that RFC 2045 asks for.
_PARAMETER = re.compile(rf';\s*({_TOKEN})\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;,"]*)\s*')
_QUALITY = re.compile(r"(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One acceptable form."""

    media: str  # "multipart/related", "image/*", lower-case
    type: str = ""  # of multipart/related: the media type of its parts
    transfer_syntax: str = ""
    quality: float = 1.0

    @property
    def multipart(self) -> bool:
        """Whether the parts' type counts, and not the media type itself."""
        return self.media.startswith("multipart/")

    @property
    def inner(self) -> str:
        """The media type, or range of them, of what is asked for."""
        return (self.type or ANY) if self.multipart else self.media

    @property
    def specificity(self) -> int:
        """The higher, the fewer forms it covers."""
        stars = self.inner.count("*")
        named = self.transfer_syntax not in ("", "*")
        return 4 * (2 - stars) + 2 * self.multipart + named

    def takes(self, media: str) -> bool:
        """Whether the inner media type is within the range."""
        return covers(self.inner, media)


@dataclass(frozen=True, slots=True)
class Offer:
    """A form that can be made."""

    media: str
    transfer_syntax: str = ""
    multipart: bool = False
    # Whether it is meant where no transfer syntax is named (PS3.18 8.7.3.5.2), and by */*.
    default: bool = True

    def within(self, wanted: MediaRange) -> bool:
        """Whether a range covers it."""
        if wanted.media == ANY:
            return self.default
        if wanted.multipart != self.multipart or not covers(wanted.inner, self.media):
            return False
        if not wanted.transfer_syntax:
            return self.default
        return wanted.transfer_syntax in ("*", self.transfer_syntax)

    def __str__(self) -> str:
        syntax = f"; transfer-syntax={self.transfer_syntax}" if self.transfer_syntax else ""
        return (
            f'{MULTIPART}; type="{self.media}"{syntax}' if self.multipart else self.media + syntax
        )


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a request accepts: ranges of the parameter, then those of the header field."""

    asked: tuple[MediaRange, ...]
    given: tuple[MediaRange, ...]

    @property
    def ranges(self) -> Sequence[MediaRange]:
        """All that are wanted."""
        return [one for one in (*self.asked, *self.given) if one.quality > 0]

    def best(self, offers: Iterable[Offer]) -> Offer | None:
        """The offer that is wanted most; None if none is acceptable."""
        ranked = self.ranked(offers)
        return ranked[0] if ranked else None

    def ranked(self, offers: Iterable[Offer]) -> Sequence[Offer]:
        """The offers that are acceptable, the most wanted first."""
        offered = list(offers)
        for ranges in (self.asked, self.given):
            ranks = [(rank, at) for at, one in enumerate(offered) if (rank := _rank(one, ranges))]
            if ranks:
                return [offered[at] for _, at in sorted(ranks)]
        return ()


def _rank(offer: Offer, ranges: Sequence[MediaRange]) -> tuple[float, int] | None:
    """Where the range that speaks of this offer puts it; None: nowhere."""
    within = [(one.specificity, -at) for at, one in enumerate(ranges) if offer.within(one)]
    if not within:
        return None
    at = -max(within)[1]
    quality = ranges[at].quality
    return (-quality, at) if quality > 0 else None


def covers(media_range: str, media: str) -> bool:
    """Whether `image/*` covers `image/png`, and so on."""
    if media_range in (media, ANY):
        return True
    return media_range.endswith("/*") and media.startswith(media_range[:-1])


# --- reading -------------------------------------------------------------------------------------


def media_type(text: str) -> tuple[str, dict[str, str]]:
    """A Content-Type field: the media type in lower case, and its parameters. Raises `Invalid`."""
    found = _MEDIA.match(text)
    parameters: dict[str, str] = {}
    end = 0
    if found:
        end = found.end()
        while parameter := _PARAMETER.match(text, end):
            value = parameter[2]
            if value.startswith('"'):
                value = re.sub(r"\\(.)", r"\1", value[1:-1])
            parameters.setdefault(parameter[1].lower(), value)
            end = parameter.end()
    if found is None or end != len(text):
        raise Invalid(f"{shown(text)} is no media type", fix="see RFC 9110 8.3.1")
    return found[1].lower(), parameters


def media_range(text: str) -> MediaRange:
    """One element of an Accept field. Raises `Invalid`."""
    media, parameters = media_type(text)
    quality = parameters.get("q", "1")
    if not _QUALITY.fullmatch(quality):
        raise Invalid(f"q={shown(quality)} is no weight", fix="see RFC 9110 12.4.2")
    return MediaRange(
        media,
        parameters.get("type", "").lower(),
        parameters.get("transfer-syntax", ""),
        float(quality),
    )


@cached(256)
def parse_accept(text: str) -> tuple[MediaRange, ...]:
    """The ranges of the header field, in its order, without those that are malformed."""
    if not text.strip():
        return (MediaRange(ANY),)
    ranges = []
    for element in elements(text):
        try:
            ranges.append(media_range(element))
        except Invalid:
            continue
    return tuple(ranges)


@cached(256)
def parse_parameter(text: str) -> tuple[MediaRange, ...]:
    """The media types of the `accept` parameter (PS3.18 8.3.3.1). Raises `Invalid`."""
    ranges = [media_range(element) for element in elements(text)]
    if any("*" in one.media or "*" in one.type for one in ranges):
        raise Invalid("parameter accept names media types, without *", fix="see PS3.18 8.3.3.1")
    return tuple(ranges)


def accepted(exchange: Exchange) -> Accepted:
    """What this request accepts. Raises `Invalid`, and the 406 `Problem` for text in a character
    set that cannot be made."""
    asked: tuple[MediaRange, ...] = ()
    sets = exchange.header(b"accept-charset")
    for name, value in exchange.query if exchange.scope["query_string"] else ():
        if name == "accept":
            asked += parse_parameter(value)
        elif name == "charset":
            sets = value
    if sets and not _takes_utf8(sets):
        raise Problem(406, "text can be had in UTF-8 alone; ask for charset=utf-8")
    return Accepted(asked, parse_accept(exchange.header(b"accept")))


def _takes_utf8(text: str) -> bool:
    names = {element.partition(";")[0].strip().lower() for element in text.split(",")}
    return bool(names & _CHARACTER_SETS)


def of_one_kind(accepted: Accepted) -> None:
    """Raises `Invalid` where both DICOM and rendered media types are asked for: which resource is
    meant would be a guess (PS3.18 8.7.5)."""
    for ranges in (accepted.asked, accepted.given):
        types = {one.media for one in ranges if not one.multipart}
        if types & _DICOM_TYPES and any(map(_RENDERED.fullmatch, types)):
            raise Invalid(
                "both DICOM and rendered media types are asked for",
                fix="ask for either (PS3.18 8.7.5)",
            )


# --- choosing ------------------------------------------------------------------------------------


def pick(exchange: Exchange, offers: Sequence[str]) -> str:
    """The media type of ours that the client wants most. Raises the 406 `Problem`."""
    best = accepted(exchange).best(map(Offer, offers))
    if best is None:
        raise not_acceptable(offers)
    return best.media


# The forms of metadata and of search results (PS3.18 8.7.3.2). Programs ask for JSON by its
# general name too, and are told the exact one.
MODEL = (
    Offer(DICOM_JSON),
    Offer(DICOM_XML, multipart=True),
    Offer(JSON),
)


def wants_xml(exchange: Exchange, offers: Sequence[Offer] = MODEL) -> bool:
    """Whether the Native DICOM Model in XML is wanted, and not the DICOM JSON Model. Raises
    `Invalid` and the 406 `Problem`."""
    if not exchange.scope["query_string"] and not exchange.header(b"accept-charset"):
        best = _best_model(exchange.header(b"accept"), tuple(offers))
    else:
        best = accepted(exchange).best(offers)
    if best is None:
        raise not_acceptable(offers)
    return best.media == DICOM_XML


@cached(256)
def _best_model(accept: str, offers: tuple[Offer, ...]) -> Offer | None:
    return Accepted((), parse_accept(accept)).best(offers)


def not_acceptable(offers: Iterable[object]) -> Problem:
    """406: nothing that is acceptable can be made."""
    forms = ", ".join(dict.fromkeys(map(str, offers)))
    return Problem(406, f"this can be had as {forms}; ask for one of them in Accept")
