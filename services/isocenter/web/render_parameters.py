"""The query parameters of rendered resources, thumbnails and WADO-URI: tables, one row for each,
and how their values are read (PS3.18 8.3.5.1, 9.1.2, 9.4.1.2, 9.5.1.2).

A wrong value is an error that names the parameter and what is allowed. A right one that cannot be
served is an error too, 406: a picture without what was asked for could mislead. Parameters that
are in no table are ignored, and a Warning header field says so (PS3.18 8.3.1, 8.3.4).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from isocenter.core.apis import Region
from isocenter.core.errors import Invalid, Unsupported
from isocenter.core.identity import is_uid
from isocenter.web.exchange import Exchange
from isocenter.web.problems import Headers, warning
from isocenter.web.settings import WebSettings

QUALITY = 90  # of lossy pictures where none is asked for
_WHOLE = Region()
_MAX_NAMED = 16  # parameters that a Warning header field names
_MAX_PIXEL = 65_535  # rows and columns are US (PS3.3 C.7.6.3)
_MAX_FRAME = 2**31 - 1  # Number of Frames is IS
# Windows farther out than any value of pixels; within them no arithmetic overflows.
_FARTHEST, _NARROWEST = 1e12, 1e-6

_DECIMAL = re.compile(
    r"[+-]?(?:[0-9]{1,16}(?:\.[0-9]{0,16})?|\.[0-9]{1,16})(?:[eE][+-]?[0-9]{1,2})?"
)
_CHARSET = re.compile(r"\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+\s*(?:;\s*q=[01](?:\.[0-9]{0,3})?\s*)?")

# The keyword of the `window` parameter -> VOI LUT Function (0028,1056).
_FUNCTIONS = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}
_PROFILES = ("no", "yes", "srgb", "adobergb", "rommrgb", "displayp3")
_ANNOTATIONS = ("patient", "technique")


@dataclass(frozen=True, slots=True)
class Viewport:
    """How large a picture is, and which part of the image it shows (PS3.18 8.3.5.1.3)."""

    columns: int
    rows: int
    source: Region = _WHOLE
    flip_horizontal: bool = False
    flip_vertical: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """PS3.18 8.3.5.1.4. `function` is a VOI LUT Function, empty: the object's own."""

    center: float
    width: float
    function: str = ""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A row of a table."""

    name: str
    section: str  # of PS3.18
    allowed: str  # values, in words; {most}: the longest edge of a picture
    # Raises `ValueError` for a wrong value, `Unsupported` for a right one that is not served.
    read: Callable[[str, WebSettings], Any]


@dataclass(frozen=True, slots=True)
class Given:
    """The parameters of a request."""

    values: Mapping[str, Any]  # as read, by name
    warnings: Headers = ()  # what was ignored


def _warnings(exchange: Exchange, ignored: Iterable[str]) -> Headers:
    """The header field that tells what is in no table."""
    named = [
        re.sub(r"[^A-Za-z0-9._-]", "?", name[:64]) or "?" for name in islice(ignored, _MAX_NAMED)
    ]
    if not named:
        return ()
    text = f"These parameters are not supported and were ignored: {', '.join(named)}"
    return [warning(exchange.root, text)]


def read(exchange: Exchange, table: Mapping[str, Parameter]) -> Given:
    """The parameters of the request that the table has. Raises `Invalid`, `Unsupported`."""
    values: dict[str, Any] = {}
    ignored: dict[str, None] = {}
    for name, text in exchange.query:
        row = table.get(name)
        if row is None:
            ignored[name] = None
            continue
        if name in values:
            raise Invalid(f"parameter {name} is given twice", fix="give it once")
        values[name] = _value(row, text, exchange.settings)
    return Given(values, _warnings(exchange, ignored))


def _value(row: Parameter, text: str, settings: WebSettings) -> object:
    try:
        return row.read(text, settings)
    except ValueError as error:
        allowed = row.allowed.format(most=settings.max_viewport)
        raise Invalid(
            f"parameter {row.name} must be {allowed}", fix=f"see PS3.18 {row.section}"
        ) from error


# --- values --------------------------------------------------------------------------------------


def _text(text: str, _: WebSettings) -> str:
    return text


def _integer(text: str, low: int, high: int) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and low <= int(text) <= high):
        raise ValueError
    return int(text)


def _decimal(text: str, low: float, high: float) -> float:
    text = text.strip()
    if not (_DECIMAL.fullmatch(text) and low <= float(text) <= high):
        raise ValueError
    return float(text)


def _number(low: int, high: int, text: str, _: WebSettings) -> int:
    return _integer(text, low, high)


def _edge(text: str, settings: WebSettings) -> int:
    return _integer(text, 1, settings.max_viewport)


def _size(text: str, settings: WebSettings) -> Viewport:
    columns, rows = text.split(",")
    return Viewport(_edge(columns, settings), _edge(rows, settings))


def _viewport(text: str, settings: WebSettings) -> Viewport:
    """`vw,vh,sx,sy,sw,sh`, of which the last four may be empty or, from the end, be left out."""
    columns, rows, *parts = text.split(",")
    x, y, width, height = map(_offset, [*parts, *[""] * (4 - len(parts))])
    if any(part.strip() and not _offset(part) for part in parts[2:]):
        raise ValueError  # a region of no width
    return Viewport(
        _edge(columns, settings),
        _edge(rows, settings),
        Region(abs(x), abs(y), abs(width), abs(height)),
        flip_horizontal=width < 0,
        flip_vertical=height < 0,
    )


def _offset(text: str) -> float:
    return _decimal(text, -_MAX_PIXEL, _MAX_PIXEL) if text.strip() else 0.0


def _window(text: str, _: WebSettings) -> Window:
    """`center,width,function`. Without a function, as older clients write, it is the object's."""
    center, width, *rest = text.split(",")
    if len(rest) > 1 or (rest and rest[0].strip().lower() not in _FUNCTIONS):
        raise ValueError
    function = _FUNCTIONS[rest[0].strip().lower()] if rest else ""
    # PS3.3 C.11.2.1.2.1: a linear window is at least 1 wide; others only have a width.
    least = 1 if function in ("", "LINEAR") else _NARROWEST
    return Window(
        _decimal(center, -_FARTHEST, _FARTHEST), _decimal(width, least, _FARTHEST), function
    )


def _bound(low: float, text: str, _: WebSettings) -> float:
    return _decimal(text, low, _FARTHEST)


def _region(text: str, _: WebSettings) -> tuple[float, float, float, float]:
    """`xmin,ymin,xmax,ymax` in shares of the image."""
    left, top, right, bottom = (_decimal(part, 0, 1) for part in text.split(","))
    if not (left < right and top < bottom):
        raise ValueError
    return left, top, right, bottom


def _uid(text: str, _: WebSettings) -> str:
    if not is_uid(text):
        raise ValueError
    return text


def _charset(text: str, _: WebSettings) -> str:
    if not all(_CHARSET.fullmatch(part) for part in text.split(",")):
        raise ValueError
    return text


def _annotation(text: str, _: WebSettings) -> None:
    if not all(part.strip() in _ANNOTATIONS for part in text.split(",")):
        raise ValueError
    raise Unsupported("annotations are not drawn into pictures", fix="ask without annotation")


def _icc_profile(text: str, _: WebSettings) -> None:
    if text not in _PROFILES:
        raise ValueError
    if text != "no":
        raise Unsupported(
            "pictures have no ICC profile, and their colours are not converted",
            fix="ask with iccprofile=no, or without it",
        )


def _anonymize(text: str, _: WebSettings) -> None:
    if text != "yes":
        raise ValueError
    raise Unsupported("objects are not anonymized on their way out", fix="ask without anonymize")


def _presentation(text: str, settings: WebSettings) -> None:
    _uid(text, settings)
    raise Unsupported(
        "presentation states are not drawn", fix="ask without presentationUID and its series"
    )


def _request_type(text: str, _: WebSettings) -> None:
    if text != "WADO":
        raise ValueError


# --- tables --------------------------------------------------------------------------------------

_QUALITY: Callable[[str, WebSettings], int] = partial(_number, 1, 100)
_NEGOTIATED = (  # read by `web.negotiation`
    Parameter("accept", "8.3.3.1", "media types, separated by commas", _text),
    Parameter("charset", "8.3.3.2", "character sets, separated by commas", _charset),
)
_ANNOTATION = "patient, technique or both, separated by a comma"


def _table(*rows: Parameter) -> Mapping[str, Parameter]:
    return {row.name: row for row in rows}


# PS3.18 table 8.3.5-1.
RENDERED = _table(
    *_NEGOTIATED,
    Parameter("annotation", "8.3.5.1.1", _ANNOTATION, _annotation),
    Parameter("quality", "8.3.5.1.2", "a whole number from 1 to 100", _QUALITY),
    Parameter(
        "viewport",
        "8.3.5.1.3",
        "vw,vh,sx,sy,sw,sh: width and height of the picture, each from 1 to {most}, and decimal"
        " numbers of pixels that say which part of the image it shows; these may be empty",
        _viewport,
    ),
    Parameter(
        "window",
        "8.3.5.1.4",
        "center,width,function: two decimal numbers, a width of at least 1 where the function is"
        f" linear, and one of {', '.join(_FUNCTIONS)}",
        _window,
    ),
    Parameter("iccprofile", "8.3.5.1.5", f"one of {', '.join(_PROFILES)}", _icc_profile),
)

# PS3.18 table 8.3.5-2.
THUMBNAIL = _table(
    *_NEGOTIATED,
    Parameter(
        "viewport",
        "8.3.5.1.3",
        "vw,vh: width and height of the picture, each from 1 to {most}",
        _size,
    ),
)

# PS3.18 tables 9.1.2-1 and 9.1.2-2.
_URI = (
    Parameter("requestType", "9.1.2.1.1", "WADO", _request_type),
    Parameter("studyUID", "9.1.2.1.2", "a UID", _uid),
    Parameter("seriesUID", "9.1.2.1.3", "a UID", _uid),
    Parameter("objectUID", "9.1.2.1.4", "a UID", _uid),
    Parameter("contentType", "9.1.2.2.1", "media types, separated by commas", _text),
    Parameter("charset", "9.1.2.2.2", "character sets, separated by commas", _charset),
)
# PS3.18 table 9.4.1-1. Its `annotation` is that of table 9.5.1-1 in older editions.
URI_OBJECT = _table(
    Parameter("anonymize", "9.4.1.2.1", "yes", _anonymize),
    Parameter("annotation", "9.4.1.2.2", _ANNOTATION, _annotation),
    Parameter("transferSyntax", "9.4.1.2.3", "a UID", _uid),
)
# PS3.18 table 9.5.1-1.
URI_PICTURE = _table(
    Parameter("frameNumber", "9.5.1.2.1", "a whole number from 1", partial(_number, 1, _MAX_FRAME)),
    Parameter("imageAnnotation", "9.5.1.2.2", _ANNOTATION, _annotation),
    Parameter("imageQuality", "9.5.1.2.3", "a whole number from 1 to 100", _QUALITY),
    Parameter("rows", "9.5.1.2.4.1", "a whole number from 1 to {most}", _edge),
    Parameter("columns", "9.5.1.2.4.2", "a whole number from 1 to {most}", _edge),
    Parameter(
        "region",
        "9.5.1.2.5",
        "xmin,ymin,xmax,ymax: decimal numbers from 0 to 1, xmin less than xmax, ymin less than"
        " ymax",
        _region,
    ),
    Parameter("windowCenter", "9.5.1.2.6.1", "a decimal number", partial(_bound, -_FARTHEST)),
    Parameter("windowWidth", "9.5.1.2.6.2", "a decimal number, at least 1", partial(_bound, 1.0)),
    Parameter("presentationSeriesUID", "9.5.1.2.7.1", "a UID", _presentation),
    Parameter("presentationUID", "9.5.1.2.7.2", "a UID", _presentation),
)
WADO_URI = {**_table(*_URI), **URI_OBJECT, **URI_PICTURE}
URI_REQUIRED = ("requestType", "studyUID", "seriesUID", "objectUID")
