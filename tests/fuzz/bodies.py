"""Bodies of store requests, and what careless and hostile clients make of them."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

from hypothesis import strategies as st

from fuzz.instances import NAME, anew, mutants, new_uid, place, templates
from fuzz.target import MARK
from isocenter.core.native_model import to_xml

Damage = Callable[[st.DrawFn, str], str | bytes]
DICOM, JSON, XML = "application/dicom", "application/dicom+json", "application/dicom+xml"


@dataclass(frozen=True)
class Sent:
    """A body with its header fields."""

    body: bytes
    fields: dict[str, str] = field(default_factory=dict)
    study: str = ""  # that may have been stored


# --- multipart -----------------------------------------------------------------------------------

_BOUNDARIES = st.sampled_from(
    ["b", "b" * 70, "b" * 71, "", "a b", "a b ", "=_'()+,-./:?", "b\\", "ü", "--", "b" * 3000]
)
_PART_FIELDS = st.sampled_from(
    [b"Content-Type: %s", b"Content-Type: %s", b"Content-Type: %s", b"content-type:%s", b"",
     b"Content-Type: text/plain", b"Content-Type:", b"Content-Type", b": x", b"Content-Type: /",
     b"Content-Type:\r\n %s", b"A: 1\r\n\t2\r\nContent-Type: %s", b"X: " + b"x" * 20_000,
     b"X: 1\r\n" * 3000 + b"Y: 2", b"Content-Type: %s\r\nContent-Type: text/html",
     b"Content-Length: 1\r\nContent-Type: %s", b"Content-Transfer-Encoding: base64",
     b"Content-Location: bulk/1", b"Content-Location: \xff\xfe", b"\x00: \x00",
     b"Content-Encoding: gzip\r\nContent-Type: %s",
     b"Content-Type: application/octet-stream\r\nContent-Location: bulk/1",
     b"Content-Type: image/jpeg\r\nContent-Location: bulk/1/frames/1",
     b'Content-Type: image/jls; transfer-syntax="1.2.840.10008.1.2.4.80"\r\nContent-Location: p']
)  # fmt: skip
_AROUND = st.sampled_from([b"", b"", b"", b"preamble\r\n", b"--b\r\n", b"x" * 70_000, b"\r\n" * 99])


@st.composite
def multiparts(draw: st.DrawFn) -> Sent:
    """Parts in a body, most with something wrong."""
    media = draw(st.sampled_from([DICOM, DICOM, JSON, XML]))
    boundary = draw(st.one_of(st.just("b"), _BOUNDARIES))
    newline = draw(st.sampled_from([b"\r\n", b"\r\n", b"\n", b"\r"]))
    dashes = b"--" + boundary.encode()
    study = ""
    body = draw(_AROUND)
    for _ in range(draw(st.integers(0, 3))):
        value, study = draw(_values(media))
        head = draw(_PART_FIELDS).replace(b"%s", media.encode())
        body += dashes + newline + head + newline * 2 + value + newline
    body += dashes + b"--" + draw(_AROUND)
    if draw(st.booleans()):
        body = _mutated(draw, body, dashes)
    shown = draw(st.sampled_from(['"{}"', '"{}"', "{}", "'{}'", '"{}', '"{}"; boundary=c']))
    kind = f'multipart/related; type="{media}"; boundary={shown.format(boundary)}'
    return Sent(body, {"Content-Type": kind}, study)


def _mutated(draw: st.DrawFn, body: bytes, dashes: bytes) -> bytes:
    data = bytearray(body)
    for _ in range(draw(st.integers(1, 2))):
        at = place(draw, len(data))
        found = data.find(dashes, at)
        if draw(st.booleans()) and found >= 0:
            at = found + draw(st.integers(-2, 80))
        at = max(at, 0)
        match draw(st.sampled_from(["cut", "remove", "insert", "change", "repeat"])):
            case "cut":
                del data[at:]
            case "remove":
                del data[at : at + draw(st.integers(1, 10))]
            case "insert":
                data[at:at] = draw(st.sampled_from([b"\r", b"\n", b"--", b"\0", dashes, b"\r\n"]))
            case "change":
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case _:
                data[at:at] = data[: draw(st.integers(0, 2000))]
    return bytes(data)


def _values(media: str) -> st.SearchStrategy[tuple[bytes, str]]:
    """What is in a part, and the study it is of."""
    if media == DICOM:
        whole = st.sampled_from(templates()).map(anew)
        return st.one_of(mutants(), mutants(), whole, st.just((b"", "")))
    return described(JSON) if media == JSON else described(XML)


# --- metadata ------------------------------------------------------------------------------------

_JSON_VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8),
        st.sampled_from([MARK.decode(), "1.2.3", "20260102", "A^B=C", 2**31, -1, 65536, 1e308,
                         {"Alphabetic": MARK.decode()}, {"Alphabetic": 5}, "AAAA", "====", ""]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["vr", "Value", "BulkDataURI", "InlineBinary", "00080018", "x", "",
                             "Alphabetic", "0008001", "00080018 ", "7FE00010", "00100010"]),
            inner, max_size=3,
        ),
    ),
    max_leaves=8,
)  # fmt: skip
_VRS = ["AE", "AS", "AT", "CS", "DA", "DS", "DT", "FL", "FD", "IS", "LO", "LT", "OB", "OD", "OF",
        "OL", "OV", "OW", "PN", "SH", "SL", "SQ", "SS", "ST", "SV", "TM", "UC", "UI", "UL", "UN",
        "UR", "US", "UT", "UV", "XX", "", "ox", 1, None]  # fmt: skip
_TAGS = ["00080005", "00080008", "00080016", "00080018", "00080060", "00081140", "00100010",
         "00100020", "0020000D", "0020000E", "00280008", "00280010", "00280011", "00280100",
         "00420011", "7FE00010", "7FE00008", "00020010", "00083002", "00189073", "00090010",
         "00091001", "FFFEE000", "00000000", "FFFFFFFF", "0008", "zzzzzzzz"]  # fmt: skip


@st.composite
def _elements(draw: st.DrawFn) -> dict[str, object]:
    entry: dict[str, object] = {"vr": draw(st.sampled_from(_VRS))}
    names = draw(st.lists(st.sampled_from(["Value", "BulkDataURI", "InlineBinary"]), max_size=2))
    for name in names:
        plain = {"BulkDataURI": "bulk/1", "InlineBinary": "AAEC"}.get(name)
        listed = st.lists(_JSON_VALUES, max_size=3) if name == "Value" else _JSON_VALUES
        entry[name] = draw(st.one_of(st.just(plain), listed) if plain else listed)
    return entry


def _instance() -> tuple[dict[str, object], str]:
    study = new_uid()
    attributes: dict[str, object] = {
        "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7"]},
        "00080018": {"vr": "UI", "Value": [new_uid()]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": NAME}]},
        "00100020": {"vr": "LO", "Value": [MARK.decode()]},
        "0020000D": {"vr": "UI", "Value": [study]},
        "0020000E": {"vr": "UI", "Value": [new_uid()]},
    }
    return attributes, study


def _deep(depth: int) -> dict[str, object]:
    inner: dict[str, object] = {}
    for _ in range(depth):
        inner = {"00081140": {"vr": "SQ", "Value": [inner]}}
    return inner


@st.composite
def described(draw: st.DrawFn, media: str) -> tuple[bytes, str]:
    """Metadata of an instance, some of it as it must not be, and its study."""
    attributes, study = _instance()
    for tag in draw(st.lists(st.sampled_from(_TAGS), max_size=3)):
        attributes[tag] = draw(_elements())
    if draw(st.integers(0, 9)) == 0:
        attributes |= _deep(draw(st.sampled_from([60, 64, 65, 70, 300])))
    if media == JSON:
        return draw(_json_texts(attributes)), study
    return draw(_xml_texts(attributes)), study


@st.composite
def _json_texts(draw: st.DrawFn, attributes: dict[str, object]) -> bytes:
    text = json.dumps([attributes])
    return _damaged(draw, text, _JSON_DAMAGE)


def _damaged(draw: st.DrawFn, text: str, damages: Sequence[Damage]) -> bytes:
    """Half of them as they are."""
    damage = draw(st.one_of(st.none(), st.sampled_from(list(damages))))
    made = text if damage is None else damage(draw, text)
    return made.encode("utf-8", "surrogatepass") if isinstance(made, str) else made


_MARK = MARK.decode()


def _put(old: str, *choices: str) -> Damage:
    """One of the choices in place of what is there."""
    return lambda draw, text: text.replace(old, draw(st.sampled_from(choices)))


def _as(encoding: str) -> Damage:
    return lambda _, text: text.replace(_MARK, f"{_MARK}ü").encode(encoding)


def _cut(draw: st.DrawFn, text: str) -> bytes:
    return text.encode()[: place(draw, len(text))]


def _changed(draw: st.DrawFn, text: str) -> bytes:
    data = bytearray(text.encode())
    at = place(draw, len(data))
    data[at : at + 1] = draw(st.binary(max_size=3))
    return bytes(data)


def _followed(draw: st.DrawFn, text: str) -> bytes:
    return text.encode() + draw(st.binary(max_size=5))


_IN_VALUE = '"LO", "Value": ['
_JSON_DAMAGE: Sequence[Damage] = [
    lambda _, text: text[1:-1],
    lambda _, text: text[0] + "{}," * 200 + text[1:],
    _put(_IN_VALUE, f"{_IN_VALUE}{'9' * 5000}, ", f"{_IN_VALUE}1e999, ", f"{_IN_VALUE}-0.0, "),
    _put(_IN_VALUE, f"{_IN_VALUE}NaN, ", f"{_IN_VALUE}Infinity, ", f"{_IN_VALUE}01, "),
    _put(_IN_VALUE, *(_IN_VALUE + "[" * n + "]" * n + ", " for n in (190, 1000, 1100, 100_000))),
    _put('"00100020"', '"00100010"', '"0010002"', '"00100020 "', '""'),
    _put(_MARK, f"{_MARK}\\ud800", f"{_MARK}\\u0000\\u001b", f"{_MARK}\\x", _MARK * 20_000),
    _as("latin-1"), _as("utf-16"), _as("utf-8-sig"), _cut, _changed, _followed,
]  # fmt: skip


@st.composite
def _xml_texts(draw: st.DrawFn, attributes: dict[str, object]) -> bytes:
    """Of what the model can hold: the others' damage is done to the text."""
    whole, _ = _instance()
    for tag in ("0020000D", "00080018", "00080060"):
        element = attributes.get(tag)
        if isinstance(element, dict) and _is_text(element):
            whole[tag] = element
    return _damaged(draw, to_xml(whole).decode(), _XML_DAMAGE)


def _is_text(element: dict[str, object]) -> bool:
    values = element.get("Value")
    texts = isinstance(values, list) and all(isinstance(one, str) for one in values)
    return texts and element["vr"] not in ("PN", "SQ") and "BulkDataURI" not in element


_LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
_XML_HEADS = [
    f'<!DOCTYPE x [<!ENTITY l0 "ha">{_LAUGHS}<!ENTITY a "&l11;">]>',
    '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>',
    '<!DOCTYPE x [<!ENTITY % a SYSTEM "http://127.0.0.1:1/x"> %a;]>',
    '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">',
    '<?xml-stylesheet href="x"?>',
    '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="/etc/hostname"/>',
]
_END = "</NativeDicomModel>"
_SEQUENCE = '<DicomAttribute tag="00081140" vr="SQ"><Item number="1">'


def _headed(draw: st.DrawFn, text: str) -> str:
    head, rest = text.split("\n", 1)
    return f"{head}\n{draw(st.sampled_from(_XML_HEADS))}{rest}".replace(NAME, "&a;")


def _nested(draw: st.DrawFn, text: str) -> str:
    depth = draw(st.sampled_from([63, 66, 5000]))
    return text.replace(_END, _SEQUENCE * depth + "</Item></DicomAttribute>" * depth + _END)


def _deep_items(draw: st.DrawFn, text: str) -> str:
    depth = draw(st.sampled_from([100, 10_000, 200_000]))
    return text[:200] + "<Item>" * depth + "</Item>" * depth


_XML_DAMAGE: Sequence[Damage] = [
    _headed, _headed, _headed, _nested, _deep_items, _cut, _changed, _changed, _followed,
    _as("latin-1"), _as("utf-16"), _as("utf-8-sig"),
    _put("dicom.nema.org", "example.org", "", "dicom.nema.org/x"),
    _put("UTF-8", "latin-1", "utf-7", "ebcdic-cp-us", "x" * 500, "idna", "utf-16", ""),
    _put('number="1"', *(f'number="{n}"' for n in ("0", "-1", "9" * 8, "9" * 5000, "1.5", "²"))),
    _put('tag="00100010"', *(f'tag="{t}"' for t in ("", "0008", "zzzzzzzz", "FFFFFFFF", "+800"))),
    _put('vr="LO"', *(f'vr="{vr}"' for vr in ("XX", "", "SQ", "PN", "OB", "US", "AT", "DS", "FD"))),
    _put('vr="LO"', 'vr="LO" ' + " ".join(f'a{n}="1"' for n in range(20_000)), 'vr="LO" vr="LO"'),
    _put(_MARK, "&amp;&lt;", "&#0;", "&#xD800;", "&#1114112;", "&unknown;", "<![CDATA[x]]>"),
]  # fmt: skip

# --- single bodies, content codings --------------------------------------------------------------


@st.composite
def singles(draw: st.DrawFn) -> Sent:
    """One object, or metadata, as the body."""
    media = draw(st.sampled_from([DICOM, JSON, XML]))
    value, study = draw(_values(media))
    return Sent(value, {"Content-Type": media}, study)


@cache
def _bomb(coding: str, size: int) -> bytes:
    data = bytes(size)
    return gzip.compress(data) if coding == "gzip" else zlib.compress(data)


@st.composite
def coded(draw: st.DrawFn) -> Sent:
    """Compressed bodies: damaged, of the wrong coding, exploding, in many members."""
    inner = draw(st.one_of(multiparts(), singles()))
    coding = draw(st.sampled_from(["gzip", "deflate", "x-gzip", "GZIP", "br", "zstd", "identity",
                                   "gzip, gzip", "", "*", "compress", "\xff"]))  # fmt: skip
    name = "gzip" if "gzip" in coding.lower() else coding
    body = gzip.compress(inner.body) if name == "gzip" else zlib.compress(inner.body)
    match draw(st.sampled_from(["", "", "bomb", "cut", "flip", "twice", "behind", "raw", "plain",
                                "empty"])):  # fmt: skip
        case "bomb":
            body = _bomb(name, draw(st.sampled_from([10**6, 10**8])))
        case "cut":
            body = body[: place(draw, len(body))]
        case "flip":
            at = place(draw, len(body) - 1)
            body = body[:at] + bytes([body[at] ^ draw(st.integers(1, 255))]) + body[at + 1 :]
        case "twice":
            body = gzip.compress(body)
        case "behind":
            body += draw(st.binary(min_size=1, max_size=20))
        case "raw":
            body = zlib.compress(inner.body, wbits=-15)
        case "plain":
            body = inner.body
        case "empty":
            body = gzip.compress(b"") * 1000
    return Sent(body, {**inner.fields, "Content-Encoding": coding}, inner.study)


BODIES = st.one_of(multiparts(), multiparts(), singles(), coded())
