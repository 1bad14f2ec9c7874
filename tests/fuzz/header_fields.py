"""Values of header fields: by their grammar, and garbage."""

from __future__ import annotations

from hypothesis import strategies as st

_MEDIA = st.sampled_from(
    ["*/*", "image/*", "image/jpeg", "image/png", "image/gif", "image/webp", "image/jp2",
     "image/jls", "image/jphc", "image/dicom-rle", "video/mp4", "video/*", "text/*", "text/html",
     "application/dicom", "application/dicom+json", "application/dicom+xml", "application/json",
     "application/octet-stream", "application/pdf", "application/zip", "multipart/related",
     "multipart/*", "application/*", "text/event-stream", "application/vnd.sun.wadl+xml",
     "*", "/", "a/b/c", "*/png", "APPLICATION/DICOM", "application/problem+json"]
)  # fmt: skip
_SYNTAX = st.sampled_from(
    ["*", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99",
     "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70",
     "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.201",
     "1.2.840.10008.1.2.5", "1.2.3", "", "x", '"*"', '"']
)  # fmt: skip
_QUALITY = st.sampled_from(["1", "0", "0.5", "0.001", "1.0", "2", "-1", "x", "", "0.12345", "nan"])
_PARAMETER = st.one_of(
    _MEDIA.map(lambda media: f'type="{media}"'),
    _MEDIA.map(lambda media: f"type={media}"),
    _SYNTAX.map(lambda uid: f"transfer-syntax={uid}"),
    _QUALITY.map(lambda quality: f"q={quality}"),
    st.sampled_from(["charset=utf-8", "level=1", "a", "=", 'b="c\\"d"', 'b="', "b='"]),
)
_ELEMENT = st.tuples(_MEDIA, st.lists(_PARAMETER, max_size=3)).map(
    lambda made: "; ".join([made[0], *made[1]])
)
# What a field may hold (RFC 9110 5.5): no CR, LF or NUL; those are for `raw`.
_FIELD_TEXT = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=60
)
LONG = st.sampled_from(
    ['"' * 30_000, '"\\' * 20_000, '"\\"' + '\\"' * 15_000, "a/b," * 8_000, ", " * 15_000,
     ";" * 30_000, "a/b" + ";c=d" * 8_000, 'a/b;c="' + "\\" * 30_000, "a/b;" + " " * 30_000,
     "(" * 30_000, "x" * 50_000, "\t" * 30_000 + "x", "q=" * 10_000, "=" * 30_000, "-," * 15_000,
     "0-1," * 8_000]
)  # fmt: skip

ACCEPT = st.one_of(
    st.lists(_ELEMENT, min_size=1, max_size=4).map(", ".join),
    st.lists(_ELEMENT, min_size=1, max_size=4).map(", ".join),
    st.lists(st.one_of(_ELEMENT, _FIELD_TEXT), max_size=4).map(",".join),
    st.text('",;=/*aq1. \\', max_size=60).map(str.strip),
)
_NUMBER = st.one_of(st.integers(0, 200).map(str), st.integers(0, 10**21).map(str), st.just(""))
_BYTES = st.tuples(_NUMBER, _NUMBER).map("-".join)
RANGE = st.one_of(
    _BYTES.map(lambda one: f"bytes={one}"),
    st.lists(_BYTES, max_size=5).map(lambda many: "bytes=" + ",".join(many)),
    st.sampled_from(["bytes=-0", "bytes=0-0", "bytes=5-1", "items=0-1", "bytes", "bytes=a-b",
                     "bytes=0-99999999999999999999999999", "bytes = 0 - 1", "bytes=--1"]),
    _FIELD_TEXT,
)  # fmt: skip
_TAGS = st.one_of(
    st.sampled_from(["*", '"x"', 'W/"x"', "x", '"', "", "*, *", '"a", "b"', "W/", '""']),
    _FIELD_TEXT,
)
_DATES = st.one_of(
    st.sampled_from(["Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 31 Dec 2099 23:59:59 GMT",
                     "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "0", "-1",
                     "Thu, 99 Jan 99999 00:00:00 GMT", "Fri, 31 Feb 2023 25:61:61 GMT"]),
    _FIELD_TEXT,
)  # fmt: skip
FIELDS: dict[str, st.SearchStrategy[str]] = {
    "Accept": ACCEPT,
    "Range": RANGE,
    "If-None-Match": _TAGS,
    "If-Match": _TAGS,
    "If-Range": st.one_of(_TAGS, _DATES),
    "If-Modified-Since": _DATES,
    "If-Unmodified-Since": _DATES,
    "Accept-Charset": st.one_of(st.sampled_from(["utf-8", "*", "latin-1", ",", ";"]), _FIELD_TEXT),
    "Accept-Encoding": st.sampled_from(["gzip", "identity;q=0", "*;q=0", "br, zstd"]),
    "Accept-Language": _FIELD_TEXT,
    "Host": st.one_of(st.sampled_from(["x", "[::1]:1", "a:99999", "", "a b", "a/b", "localhost"]),
                      _FIELD_TEXT),
    "X-Request-Id": _FIELD_TEXT,
    "X-Forwarded-For": _FIELD_TEXT,
    "X-Forwarded-Host": _FIELD_TEXT,
    "Forwarded": st.one_of(st.sampled_from(["for=1.2.3.4;host=x;proto=https", "for="]),
                           _FIELD_TEXT),
    "Last-Event-ID": _FIELD_TEXT,
    "Content-Type": ACCEPT,
    "traceparent": st.one_of(_FIELD_TEXT, st.just(f"00-{'1' * 32}-{'2' * 16}-01")),
    "tracestate": _FIELD_TEXT,
    "baggage": _FIELD_TEXT,
    "Origin": _FIELD_TEXT,
    "Cookie": _FIELD_TEXT,
    "Authorization": _FIELD_TEXT,
}  # fmt: skip


@st.composite
def some_fields(draw: st.DrawFn) -> dict[str, str]:
    """A few header fields, now and then one that is very long."""
    names = draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=3, unique=True))
    fields = {name: draw(FIELDS[name]).strip() for name in names}
    if draw(st.integers(0, 40)) == 0:
        fields[draw(st.sampled_from(sorted(FIELDS)))] = draw(LONG).strip()
    return fields
