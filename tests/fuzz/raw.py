"""Bytes on the connection that no HTTP library would send (RFC 9112)."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from fuzz.header_fields import LONG


@dataclass(frozen=True)
class Talk:
    """What a client says before it stops, in pieces."""

    pieces: tuple[bytes, ...]
    ends: bool  # whether it closes its side then, or waits for what the server does


_KIND = b'Content-Type: multipart/related; type="application/dicom"; boundary=b\r\n'
_PART = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + bytes(300) + b"\r\n--b--\r\n"
_GET = b"GET /dicomweb/studies?limit=1 HTTP/1.1\r\nHost: localhost\r\n"
_POST = b"POST /dicomweb/studies HTTP/1.1\r\nHost: localhost\r\n" + _KIND

_LINES = st.sampled_from(
    [b"GET / HTTP/1.1", b"GET /livez HTTP/1.0", b"GET /livez HTTP/0.9", b"GET /livez", b"GET",
     b"GET  /livez  HTTP/1.1", b"GET /livez HTTP/1.1 ", b"GET\t/livez\tHTTP/1.1", b"get / HTTP/1.1",
     b"GET /livez HTTP/2.0", b"GET /livez HTTP/9.9", b"GET /livez http/1.1", b"FOO / HTTP/1.1",
     b"PRI * HTTP/2.0", b"OPTIONS * HTTP/1.1", b"CONNECT a:80 HTTP/1.1", b"TRACE / HTTP/1.1",
     b"GET http://other.example/livez HTTP/1.1", b"GET //livez HTTP/1.1", b"GET \\ HTTP/1.1",
     b"GET /\xff\xfe HTTP/1.1", b"GET /%00 HTTP/1.1", b"GET /dicomweb/studies?\xff HTTP/1.1",
     b"GET /dicomweb/studies?# HTTP/1.1", b"GET /livez#x HTTP/1.1", b"GET ? HTTP/1.1",
     b"GET * HTTP/1.1", b"GET http:// HTTP/1.1", b"GET http://[::1 HTTP/1.1", b"\x16\x03\x01\x02",
     b"GET /" + b"a" * 70_000 + b" HTTP/1.1", b"PUT /dicomweb/studies HTTP/1.1", b"HTTP/1.1 200 OK",
     b"M-SEARCH * HTTP/1.1", b"SOURCE / ICE/1.0", b"ANNOUNCE / RTSP/1.0", b"\x01\x00\x00\x00"]
)  # fmt: skip
_FIELDS = st.sampled_from(
    [b"Host: localhost", b"Host: localhost", b"Host:", b"Host: a\r\nHost: b", b"Host x",
     b" Host: x", b"Host : x",
     b"Host: x\r\n folded", b": x", b"X\x00: y", b"X: \x00", b"X: a\rb", b"X: a\nb", b"X: \xff",
     b"Connection: close", b"Connection: keep-alive, close", b"Connection: upgrade\r\nUpgrade: h2c",
     b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13",
     b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: +5", b"Content-Length: 5, 5",
     b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: 99999999999999999999999",
     b"Content-Length: 0x5", b"Content-Length:", b"Content-Length: 5 5", b"Content-Length: 00005",
     b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"Transfer-Encoding: xchunked",
     b"Transfer-Encoding: chunked\r\nContent-Length: 5", b"Transfer-Encoding: chunked, identity",
     b"Transfer-Encoding:\r\n chunked", b"Transfer-Encoding: gzip, chunked", b"TE: trailers",
     b"Expect: 100-continue", b"Expect: 200-ok", b"Expect: 100-Continue\r\nContent-Length: 5",
     b"Trailer: x", b"Keep-Alive: timeout=-1", b"X-" + b"a" * 70_000 + b": b",
     b"X: " + b"y" * 70_000,
     b"\r\n".join(b"X%d: %d" % (n, n) for n in range(3000)), b"\x80\x81: \x82"]
)  # fmt: skip
_CHUNKS = st.sampled_from(
    [b"5\r\nhello\r\n0\r\n\r\n", b"0\r\n\r\n", b"5\r\nhello", b"5\r\nhello\r\n", b"x\r\nhello\r\n",
     b"-1\r\nx\r\n0\r\n\r\n", b"ffffffffffffffffffff\r\nx", b"7fffffffffffffff\r\nx", b"\r\n",
     b"5;a=b\r\nhello\r\n0\r\n\r\n", b"5;" + b"a" * 70_000 + b"\r\nhello\r\n0\r\n\r\n",
     b"5\nhello\n0\n\n",
     b"5\r\nhello\r\n0\r\nX: y\r\n\r\n", b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
     b"5 \r\nhello\r\n0\r\n\r\n", b"05\r\nhello\r\n00\r\n\r\n", b"5\r\nhelloX0\r\n\r\n",
     b"%x\r\n%s\r\n0\r\n\r\n" % (len(_PART), _PART), b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n",
     b"0" * 70_000]
)  # fmt: skip


@st.composite
def talks(draw: st.DrawFn) -> Talk:
    """What a client says, which is not HTTP/1.1, or only nearly."""
    said = draw(st.one_of(_heads(), _with_bodies(), _pipelines(), st.binary(max_size=200)))
    if draw(st.integers(0, 4)) == 0 and said:
        at = draw(st.integers(0, min(len(said), 400) - 1))
        said = said[:at] + draw(st.binary(max_size=2)) + said[at + 1 :]
    cut = draw(st.integers(0, len(said)))
    pieces = draw(st.sampled_from([(said,), (said[:cut],), (said[:cut], said[cut:])]))
    return Talk(pieces, ends=draw(st.integers(0, 19)) > 0)


@st.composite
def _heads(draw: st.DrawFn) -> bytes:
    newline = draw(st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\r\n"]))
    line = draw(st.one_of(_LINES, st.just(_GET.rstrip())))
    fields = draw(st.lists(_FIELDS, max_size=4))
    body = draw(st.one_of(st.just(b""), st.just(b"hello"), _CHUNKS))
    before = draw(st.sampled_from([b"", b"", b"", b"\r\n", b"\n", b"\r\n" * 50, b" ", b"\0"]))
    return before + newline.join([line, *fields, b"", b""]) + body


@st.composite
def _with_bodies(draw: st.DrawFn) -> bytes:
    """A store request whose framing lies."""
    right = len(_PART)
    length = draw(st.sampled_from([right, right - 1, right + 1, 0, 5, 10**6, 10**12]))
    framed = b"Content-Length: %d\r\n\r\n" % length + _PART
    chunked = b"Transfer-Encoding: chunked\r\n\r\n" + draw(_CHUNKS)
    expect = draw(st.sampled_from([b"", b"", b"Expect: 100-continue\r\n"]))
    return _POST + expect + draw(st.sampled_from([framed, framed, chunked, b"\r\n" + _PART]))


@st.composite
def _pipelines(draw: st.DrawFn) -> bytes:
    """Several requests at once, some with garbage between them."""
    one = st.sampled_from(
        [_GET + b"\r\n", b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\r\n",
         b"garbage\r\n\r\n",
         _POST + b"Content-Length: %d\r\n\r\n" % len(_PART) + _PART, b"GET / HTTP/1.1\r\n\r\n",
         _GET + b"Connection: close\r\n\r\n",
         b"POST /dicomweb/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"]
    )  # fmt: skip
    times = draw(st.sampled_from([1, 1, 1, 20]))
    return b"".join(draw(st.lists(one, min_size=2, max_size=5))) * times


LONG_FIELDS = LONG.map(lambda text: _GET + b"Accept: " + text.encode() + b"\r\n\r\n")
