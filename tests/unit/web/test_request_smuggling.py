"""Requests of which a proxy in front may think otherwise than we do: where one ends, whom it is
for, who sent it."""

from __future__ import annotations

import json

import pytest

from isocenter.runtime.access.settings import AccessSettings
from isocenter.web.settings import WebSettings
from support.closed_web import PAGES, SESSION, ClosedWeb
from support.raw_connections import talk
from support.web_fakes import Web

POST = b"POST /dicomweb/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/dicom\r\n"
HIDDEN = b"GET /api/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
AS_CHUNKS = b"0\r\n\r\n" + HIDDEN
AS_BYTES = str(len(AS_CHUNKS)).encode()


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: %s\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: %s\r\n",
        b"Content-Length: %s\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: %s\r\n",
        b"Content-Length: 5, %s\r\n",
        b"Content-Length: +%s\r\n",
        b"Content-Length: -%s\r\n",
        b"Content-Length: 0x%s\r\n",
        b"Content-Length: %s \x0b\r\n",
        b"Content-Length : %s\r\n",
        b"Content-Length: 99999999999999999999%s\r\n",
        b"Transfer-Encoding: xchunked\r\nContent-Length: %s\r\n",
        b"Transfer-Encoding : chunked\r\nContent-Length: %s\r\n",
        b" Transfer-Encoding: chunked\r\nContent-Length: %s\r\n",
        b"X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: %s\r\n",
        b"X: y\nTransfer-Encoding: chunked\r\nContent-Length: %s\r\n",
        b"X: y\rTransfer-Encoding: chunked\r\nContent-Length: %s\r\n",
        b"X: y\0\r\nTransfer-Encoding: chunked\r\nContent-Length: %s\r\n",
        b"Transfer-Encoding: chunked, identity\r\nContent-Length: %s\r\n",
        b"Transfer-Encoding: identity\r\nContent-Length: %s\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\nContent-Length: %s\r\n",
        b"Transfer-Encoding:\x0bchunked\r\nContent-Length: %s\r\n",
        b'Transfer-Encoding: "chunked"\r\nContent-Length: %s\r\n',
    ],
)  # fmt: skip
async def test_where_a_request_ends_is_clear_or_it_is_the_last(fields: bytes) -> None:
    """RFC 9112 6.1, 6.3. What is hidden behind a request is answered by nobody."""
    web = Web()
    sized = fields % AS_BYTES if b"%s" in fields else fields
    told = await talk(POST + sized + b"Connection: close\r\n\r\n" + AS_CHUNKS, web)
    assert len(told) == 1, "nothing that was hidden is answered"
    assert told[0][0].status_code == 400
    assert b"openapi" not in told[0][1]


@pytest.mark.parametrize(
    "fields",
    [
        b"Transfer_Encoding: chunked\r\nContent-Length: %s\r\n",
        b"Content_Length: 5\r\nContent-Length: %s\r\n",
        b"X-Transfer-Encoding: chunked\r\nContent-Length: %s\r\n",
    ],
)
async def test_a_field_of_a_similar_name_is_none_of_the_name(fields: bytes) -> None:
    told = await talk(POST + fields % AS_BYTES + b"Connection: close\r\n\r\n" + AS_CHUNKS)
    assert len(told) == 1, "the length says where it ends"


@pytest.mark.parametrize(
    "chunks",
    [b"5;x\r\nhello\r\n0\r\n\r\n", b"05\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"],
)
async def test_chunks_that_are_right_are_taken(chunks: bytes) -> None:
    sent = POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
    last = HIDDEN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert len(await talk(sent + last)) == 2


@pytest.mark.parametrize(
    "chunks",
    [b"-1\r\n", b"+5\r\nhello\r\n", b"0x5\r\nhello\r\n", b"5\nhello\n0\n\n", b" 5\r\nhello\r\n",
     b"5\r\nhelloworld\r\n", b"fffffffffffffffff\r\n", b"5 \r\nhello\r\n", b"5\r\nhello0\r\n\r\n"],
)  # fmt: skip
async def test_chunks_that_are_wrong_end_the_connection(chunks: bytes) -> None:
    told = await talk(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + HIDDEN)
    assert len(told) == 1
    assert told[0][0].status_code == 400


# --- whom it is for ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/livez", "/sign-in", "/dicomweb/studies", "/nowhere", "/viewer/"]
)
async def test_several_hosts_are_none(path: str) -> None:
    """RFC 9112 3.2."""
    web = Web()
    async with web.client() as client:
        for hosts in (["pacs.test", "evil.test"], ["pacs.test", "pacs.test"]):
            answer = await client.get(path, headers=[("host", one) for one in hosts])
            assert answer.status_code == 400, hosts


@pytest.mark.parametrize(
    "host",
    ["", "a b", "pacs.test,evil.test", "pacs.test/x", "pacs.test@evil.test", "[", "pacs.test:x",
     "pacs.test\t", "pacs.test#", "pacs.test\\evil.test", "x" * 254, "p\xe4cs.test"],
)  # fmt: skip
async def test_a_host_that_is_none_makes_no_address(host: str) -> None:
    web = Web()
    async with web.client() as client:
        for path in ("/sign-in", "/dicomweb"):
            answer = await client.get(path, headers=[(b"host", host.encode("latin-1"))])
            assert answer.status_code == 400, path


async def test_a_target_with_a_host_is_the_path_alone() -> None:
    """RFC 9112 3.2.2: what a proxy is asked for."""
    sent = b"GET http://evil.test/livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    ((response, body),) = await talk(sent)
    assert response.status_code == 200
    assert b"evil" not in body


# --- who sent it ---------------------------------------------------------------------------------

SPOOFED = [
    {"x-forwarded-for": "10.9.9.9"},
    {"x_forwarded_for": "10.9.9.9"},
    {"forwarded": "for=10.9.9.9;host=evil.test;proto=https"},
    {"x-real-ip": "10.9.9.9"},
    {"client-ip": "10.9.9.9"},
    {"x-forwarded-for": "127.0.0.1"},
    {"x-forwarded-host": "evil.test", "x-forwarded-proto": "https", "x-forwarded-prefix": "/x"},
    {"x-original-url": "/livez", "x-rewrite-url": "/livez"},
    {"x-http-method-override": "DELETE", "x-method-override": "DELETE"},
    {"remote-user": "eva", "x-remote-user": "eva", "x-forwarded-user": "eva", "x-user-id": "1"},
    {"x-client-cert": "eva", "ssl-client-verify": "SUCCESS"},
]


async def test_what_anybody_can_write_is_not_believed() -> None:
    web = ClosedWeb()
    await web.account()
    wrong = {"name": "eva", "password": "wrong"}
    async with web.browser(PAGES) as client:
        for headers in SPOOFED:
            assert (await client.get("/account", headers=headers)).status_code == 303, headers
            answer = await client.post("/sign-in", data=wrong, headers=headers)
            assert "evil.test" not in str(answer.headers) + answer.text
    hosts = {fields["source"].host for _, fields in web.audit.records}
    assert hosts == {"127.0.0.1"}, "of the connection"
    assert len(web.audit.records) == len(SPOOFED)


@pytest.mark.parametrize("trusting", [True, False])
async def test_who_is_on_this_machine_is_not_told_by_a_header_field(trusting: bool) -> None:
    """Where loopback is trusted, whoever is elsewhere does not get there by a name."""
    web = ClosedWeb(access=AccessSettings(trust_loopback=trusting))
    async with web.from_address("10.0.0.9", here="http://localhost") as client:
        for headers in ({}, *SPOOFED):
            answer = await client.get("/dicomweb/studies", headers=headers)
            assert answer.status_code == 401, headers


@pytest.mark.parametrize("host", ["evil.test", "127.0.0.1.evil.test", "localhost.evil.test", "["])
async def test_a_name_that_somebody_else_gave_this_machine_lets_nobody_in(host: str) -> None:
    """DNS rebinding."""
    web = ClosedWeb(access=AccessSettings(trust_loopback=True))
    async with web.browser(here="http://localhost") as client:
        refused = await client.get("/dicomweb/studies", headers={"host": host})
        assert refused.status_code in (400, 401)
        assert (await client.get("/dicomweb/studies")).status_code in (200, 204)


async def test_attempts_are_counted_by_the_address_that_a_trusted_proxy_tells() -> None:
    web = ClosedWeb(WebSettings(port=0, trusted_proxies=("127.0.0.1",)))
    await web.account()
    async with web.browser(PAGES) as client:
        for number in range(3):
            headers = {"x-forwarded-for": f"192.0.2.{number}, 198.51.100.7"}
            await client.post("/sign-in", data={"name": "eva", "password": "x"}, headers=headers)
    hosts = [fields["source"].host for _, fields in web.audit.records]
    assert hosts == ["198.51.100.7"] * 3, "what stands before it anyone can have written"


async def test_a_session_is_told_to_nobody_but_its_browser() -> None:
    """No answer but the cookie has the secret of a session: not a page, an address or a record."""
    web = ClosedWeb()
    await web.account("eva", "administrator")
    async with web.browser(PAGES) as client:
        answer = await client.sign_in()
        secret = client.cookies[SESSION]
        assert secret not in answer.headers["location"]
        for path in ("/account", "/access", "/share"):
            page = await client.get(path)
            assert page.status_code == 200
            assert secret not in page.text
    assert secret not in json.dumps(web.audit.records, default=str)
