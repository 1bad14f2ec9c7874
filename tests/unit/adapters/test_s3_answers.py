"""What the S3 adapter makes of the answers of stores, and of what is no store: a scripted server
in place of one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import urllib3

from isocenter.adapters.blobs.s3 import client as s3_client
from isocenter.adapters.blobs.s3 import upkeep
from isocenter.adapters.blobs.s3.blobs import S3Blobs
from isocenter.core.errors import Corrupted, NotFound, OutOfResources, Unavailable
from support.buckets import SETTINGS, digest, opened, put

KEY = "objects/main/1.2/1.2.3/1.2.3.4/abc.dcm"

Answer = tuple[int, str, bytes]  # status, content type, body


def error(status: int, code: str) -> Answer:
    text = f'<?xml version="1.0"?>\n<Error><Code>{code}</Code><Message>m</Message></Error>'
    return status, "application/xml", text.encode()


OK: Answer = (200, "application/xml", b"")
NO_STORE: Answer = (502, "text/html", b"<html>bad gateway</html>")


class ScriptedStore:
    """Gives the answers of its script, and the last one for ever."""

    def __init__(self) -> None:
        self.script: list[Answer] = [OK]
        self.received: list[tuple[str, dict[str, str], bytes]] = []
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self) -> None:
                with suppress(ConnectionError):  # the client was done with it
                    super().handle()

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                store.received.append((self.command, dict(self.headers), body))
                status, kind, content = store.script[0]
                if len(store.script) > 1:
                    del store.script[0]
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"

    @property
    def methods(self) -> list[str]:
        return [method for method, _, _ in self.received]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedStore]:
    monkeypatch.setattr(s3_client, "PAUSES", (0.01, 0.01))
    store = ScriptedStore()
    thread = threading.Thread(target=store.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield store
    store.server.shutdown()
    store.server.server_close()


@pytest.fixture
async def blobs(store: ScriptedStore) -> AsyncIterator[S3Blobs]:
    async with opened(f"s3://{store.address}/bucket") as blobs:
        yield blobs


async def test_a_put_promises_the_digest_and_asks_to_change_nothing_that_is_there(store, blobs):
    await blobs.put(KEY, [b"one", memoryview(b"two")], digest(b"onetwo"))
    ((method, headers, body),) = store.received
    assert (method, body) == ("PUT", b"onetwo")
    assert headers["x-amz-content-sha256"] == digest(b"onetwo")
    assert headers["If-None-Match"] == "*"
    assert "x-amz-content-sha256" in headers["Authorization"]


@pytest.mark.parametrize(
    "answer",
    [error(503, "SlowDown"), error(500, "InternalError"), error(429, "TooManyRequests"),
     error(400, "RequestTimeout"), error(409, "ConditionalRequestConflict"),
     error(200, "InternalError"), NO_STORE],
)  # fmt: skip
async def test_what_may_pass_is_tried_three_times(store, blobs, answer):
    store.script = [answer, answer, OK]
    await put(blobs, KEY, b"x")
    assert store.methods == ["PUT"] * 3
    store.script = [answer]
    with pytest.raises(Unavailable, match=r"cannot serve now|answers as no S3 store"):
        await put(blobs, KEY, b"x")
    assert store.methods == ["PUT"] * 6


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (error(403, "AccessDenied"), Unavailable, "does not allow .s3. access_key.*secret_key"),
        (error(403, "InvalidAccessKeyId"), Unavailable, "not know .s3. access_key"),
        (error(403, "SignatureDoesNotMatch"), Unavailable, "secret_key is not the secret"),
        (error(403, "RequestTimeTooSkewed"), Unavailable, "clocks .* differ; set both by NTP"),
        (error(404, "NoSuchBucket"), Unavailable, "blobs: the bucket bucket .*check --prepare"),
        (error(301, "PermanentRedirect"), Unavailable, "another region.*.s3. region"),
        (error(507, "XMinioStorageFull"), OutOfResources, "no room for objects/main"),
        (error(400, "XMinioAdminBucketQuotaExceeded"), OutOfResources, "no room for"),
        (error(403, "QuotaExceeded"), OutOfResources, "no room for"),
        (error(418, "Teapot"), Unavailable, "answers as no S3 store does .Teapot."),
        ((404, "text/html", b"<html>"), Unavailable, "no S3 store does .HTTP status 404.*blobs"),
    ],
)
async def test_what_does_not_pass_is_told_at_once(store, blobs, answer, kind, told):
    store.script = [answer]
    with pytest.raises(kind, match=told):
        await put(blobs, KEY, b"x")
    assert store.methods == ["PUT"]


async def test_bytes_that_the_wire_changed_are_sent_again_and_wrong_ones_are_not(store, blobs):
    damaged = error(400, "XAmzContentSHA256Mismatch")
    store.script = [damaged, OK]
    await put(blobs, KEY, b"x")
    assert store.methods == ["PUT"] * 2
    store.script = [damaged]
    with pytest.raises(Corrupted, match="other bytes than were sent"):
        await put(blobs, KEY, b"x")
    store.received.clear()
    with pytest.raises(Corrupted, match=digest(b"other")):
        await blobs.put(KEY, [b"other"], digest(b"meant"))
    assert store.methods == ["PUT"]


async def test_a_key_that_comes_and_goes_is_tried_again_but_not_for_ever(store, blobs):
    there = error(412, "PreconditionFailed")
    gone: Answer = (404, "application/xml", b"")
    store.script = [there, gone, OK]
    await put(blobs, KEY, b"x")
    assert store.methods == ["PUT", "HEAD", "PUT"]
    store.script = [there, gone] * 10
    with pytest.raises(Unavailable, match="is there and is not"):
        await put(blobs, KEY, b"x")


async def test_reading_translates_too(store, blobs):
    store.script = [error(404, "NoSuchKey")]
    for call in (blobs.get(KEY), anext(blobs.stream(KEY)), blobs.stat(KEY)):
        with pytest.raises(NotFound, match="nothing is kept under objects/main"):
            await call
    store.script = [NO_STORE, (200, "text/plain", b"x")]
    assert await blobs.get(KEY) == b"x"


async def test_a_range_that_is_ignored_is_never_taken_for_the_range(store, blobs):
    store.script = [(200, "application/octet-stream", b"0123456789")]
    for call in (blobs.get(KEY, 3), blobs.get(KEY, 0, 2), anext(blobs.stream(KEY, 3))):
        with pytest.raises(Unavailable, match="as no S3 store does"):
            await call


async def test_a_listing_that_is_no_listing_is_no_empty_one(store, blobs):
    for body in (b"", b"<html>", b'<?xml version="1.0"?><a/>', b"\xff"):
        store.script = [(200, "application/xml", body)]
        with pytest.raises(Unavailable, match="as no S3 store does"):
            [info async for info in blobs.list("objects/")]


async def test_a_slow_line_has_its_time_for_each_piece(monkeypatch):
    monkeypatch.setattr(s3_client, "TIMEOUT", urllib3.Timeout(connect=0.5, read=5))
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)

    def slowly() -> None:
        client, _ = listener.accept()
        left = 8 * 1024 * 1024
        while left > 0:
            left -= len(client.recv(128 * 1024))
            time.sleep(0.01)  # the line is slow: this is what is tested
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        client.close()

    thread = threading.Thread(target=slowly, daemon=True)
    thread.start()
    async with opened(f"s3://127.0.0.1:{listener.getsockname()[1]}/bucket", SETTINGS) as blobs:
        began = time.monotonic()
        await put(blobs, KEY, bytes(8 * 1024 * 1024))
        assert time.monotonic() - began > 0.5
    thread.join()
    listener.close()


_RULES = b"""<ReplicationConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Role/>
<Rule><ID>1</ID><Status>Enabled</Status><Priority>1</Priority><Filter><Prefix/></Filter>
<Destination><Bucket>arn:minio:replication::1:other</Bucket></Destination></Rule>
<Rule><ID>2</ID><Status>Disabled</Status><Priority>2</Priority><Filter><Prefix/></Filter>
<Destination><Bucket>arn:minio:replication::2:off</Bucket></Destination></Rule>
</ReplicationConfiguration>"""


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((200, "application/xml", _RULES), "to arn:minio:replication::1:other"),
        (error(404, "ReplicationConfigurationNotFoundError"), "none"),
        (error(403, "AccessDenied"), "not told"),
        (error(501, "NotImplemented"), "not told"),
    ],
)
async def test_where_else_a_bucket_is_kept_is_told_as_far_as_the_store_tells(store, answer, told):
    store.script = [answer]
    client = s3_client.S3Client.open(f"s3://{store.address}/bucket", SETTINGS)
    try:
        assert await client.run("the bucket", upkeep._replication, client) == told
    finally:
        await client.close()
