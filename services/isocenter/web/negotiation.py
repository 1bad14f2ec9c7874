"""Which of the forms we can make a client takes (PS3.18 8.7): the Accept header field, read into
ranges, and tables of media types."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from isocenter.core.errors import Invalid
from isocenter.core.transfer_syntax import Codec
from isocenter.web.exchange import Exchange
from isocenter.web.problems import Problem

MULTIPART = "multipart/related"
DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
OCTETS = "application/octet-stream"
ZIP = "application/zip"
ANY = "*/*"

# PS3.18 tables 8.7.3-4 and -5: what one codestream of a codec is called.
FRAME_MEDIA_TYPES: Mapping[Codec, str] = {
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
    Codec.MPEG2: "video/mpeg",
    Codec.H264: "video/mp4",
    Codec.H265: "video/mp4",
}

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
        return self.media == MULTIPART

    @property
    def inner(self) -> str:
        """The media type, or range of them, of what is asked for."""
        return (self.type or ANY) if self.multipart else self.media

    def takes(self, media: str) -> bool:
        """Whether the inner media type is within the range."""
        return covers(self.inner, media)


def covers(media_range: str, media: str) -> bool:
    """Whether `image/*` covers `image/png`, and so on."""
    if media_range in (media, ANY):
        return True
    return media_range.endswith("/*") and media.startswith(media_range[:-1])


def media_type(text: str) -> tuple[str, dict[str, str]]:
    """A Content-Type field: the media type in lower case, and its parameters. Raises `Invalid`."""
    media, parameters, end = _read(text, 0)
    if end != len(text):
        raise _malformed("Content-Type")
    return media, parameters


def _read(text: str, position: int) -> tuple[str, dict[str, str], int]:
    found = _MEDIA.match(text, position)
    if found is None:
        raise _malformed("Accept or Content-Type")
    parameters: dict[str, str] = {}
    end = found.end()
    while parameter := _PARAMETER.match(text, end):
        value = parameter[2]
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        parameters.setdefault(parameter[1].lower(), value)
        end = parameter.end()
    return found[1].lower(), parameters, end


@lru_cache(maxsize=256)
def parse_accept(text: str) -> Sequence[MediaRange]:
    """The ranges, the most wanted first, those of equal quality in their order. Raises `Invalid`.

    No Accept field means anything (RFC 9110 12.5.1). A quality of 0 forbids, so it is left out.
    """
    if not text.strip():
        return (MediaRange(ANY),)
    ranges: list[MediaRange] = []
    position = 0
    while position < len(text):
        media, parameters, position = _read(text, position)
        quality = parameters.get("q", "1")
        if not _QUALITY.fullmatch(quality) or text[position : position + 1] not in ("", ","):
            raise _malformed("Accept")
        position += 1
        ranges.append(
            MediaRange(
                media,
                parameters.get("type", "").lower(),
                parameters.get("transfer-syntax", ""),
                float(quality),
            )
        )
    wanted = [one for one in ranges if one.quality > 0]
    return tuple(sorted(wanted, key=lambda one: -one.quality))


def _malformed(field: str) -> Invalid:
    return Invalid(f"the {field} header field is malformed", fix="see RFC 9110 8.3.1 and 12.5.1")


def accepted(exchange: Exchange) -> Sequence[MediaRange]:
    """What this request accepts, the most wanted first."""
    return parse_accept(_accept(exchange))


def _accept(exchange: Exchange) -> str:
    """Its `accept` parameter (PS3.18 8.3.3.1), else its header field."""
    for name, value in exchange.query if exchange.scope["query_string"] else ():
        if name == "accept":
            return value
    return exchange.header(b"accept")


def pick(exchange: Exchange, offers: Sequence[str]) -> str:
    """The first of our media types that the client takes, its preferences before ours."""
    for wanted in accepted(exchange):
        for offer in offers:
            if not wanted.multipart and wanted.takes(offer):
                return offer
    raise not_acceptable(offers)


def json_only(exchange: Exchange) -> None:
    """Raises the 406 `Problem` unless the client takes the DICOM JSON Model."""
    if not _takes_json(_accept(exchange)):
        raise not_acceptable((DICOM_JSON,))


@lru_cache(maxsize=256)
def _takes_json(accept: str) -> bool:
    forms = (DICOM_JSON, "application/json")
    return any(wanted.takes(form) for wanted in parse_accept(accept) for form in forms)


def not_acceptable(offers: Sequence[str]) -> Problem:
    """406: nothing that is acceptable can be made."""
    return Problem(406, f"this can be had as {', '.join(offers)}; ask for one of them in Accept")
