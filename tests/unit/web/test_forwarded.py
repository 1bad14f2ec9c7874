"""Who asks behind proxies, and how clients reach us."""

from __future__ import annotations

import httpx
import pytest

from isocenter.runtime.addresses import networks_of
from isocenter.web.forwarded import Forwarded, forwarded
from isocenter.web.settings import WebSettings
from support.web_fakes import INSTANCE, SHOWN, Web

TRUSTED = networks_of(("10.0.0.0/8", "127.0.0.1", "fd00::/8"))
PROXY, STRANGER = "10.1.2.3", "198.51.100.9"


def told(peer: str = PROXY, **fields: str) -> Forwarded:
    headers = {name.replace("_", "-").encode(): value for name, value in fields.items()}
    return forwarded(lambda name: headers.get(name, ""), peer, TRUSTED)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Forwarded()),
        (
            {"forwarded": "for=192.0.2.60;proto=https;host=pacs.example.org"},
            Forwarded("192.0.2.60", "https", "pacs.example.org"),
        ),
        (
            {"forwarded": 'For="[2001:db8:cafe::17]:4711"; Proto=HTTPS'},
            Forwarded("2001:db8:cafe::17", "https"),
        ),
        # What stands before the last proxy that is not trusted, anyone can have written.
        (
            {"forwarded": "for=203.0.113.1;host=evil.test, for=192.0.2.7;host=pacs.test, "
                          "for=10.9.9.9;host=inner.test"},
            Forwarded("192.0.2.7", "", "pacs.test"),
        ),
        ({"forwarded": "for=_hidden;proto=https"}, Forwarded("", "https")),
        ({"forwarded": "for=unknown"}, Forwarded()),
        ({"forwarded": "for=10.0.0.1, for=10.0.0.2"}, Forwarded("10.0.0.1")),
        ({"x_forwarded_for": "203.0.113.1, 192.0.2.7, 10.9.9.9"}, Forwarded("192.0.2.7")),
        (
            {"x_forwarded_for": "192.0.2.7:55555", "x_forwarded_proto": "https",
             "x_forwarded_host": "pacs.test", "x_forwarded_port": "443"},
            Forwarded("192.0.2.7", "https", "pacs.test"),
        ),
        (
            {"x_forwarded_host": "evil.test, pacs.test", "x_forwarded_proto": "http, https",
             "x_forwarded_port": "8443"},
            Forwarded("", "https", "pacs.test:8443"),
        ),
        ({"x_forwarded_prefix": "/imaging/"}, Forwarded(prefix="/imaging")),
        ({"x_forwarded_prefix": '/../x"><'}, Forwarded()),
        ({"x_forwarded_proto": "gopher"}, Forwarded()),
        ({"forwarded": ';;;,,, for="', "x_forwarded_for": "192.0.2.1"}, Forwarded()),
    ],
)  # fmt: skip
def test_what_a_trusted_proxy_says(fields: dict[str, str], expected: Forwarded) -> None:
    assert told(**fields) == expected
    assert told("::ffff:10.1.2.3", **fields) == expected
    assert told(STRANGER, **fields) == Forwarded()


@pytest.mark.parametrize("peer", ["127.0.0.1", "192.0.2.1"])
async def test_addresses_in_answers_and_the_caller_in_the_audit_trail(peer: str) -> None:
    web = Web(WebSettings(port=0, trusted_proxies=("127.0.0.1",)))
    web.storage.keep()
    transport = httpx.ASGITransport(web.application, client=(peer, 1234))  # type: ignore[arg-type]
    headers = {
        "x-forwarded-for": "203.0.113.5",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "pacs.example.org",
        "x-forwarded-prefix": "/imaging",
    }
    inner = httpx.AsyncClient(transport=transport, base_url="http://inner:8080", cookies=SHOWN)
    async with inner as client:
        answer = await client.get(INSTANCE + "/metadata", headers=headers)
    root, caller = "http://inner:8080", peer
    if peer == "127.0.0.1":
        root, caller = "https://pacs.example.org/imaging", "203.0.113.5"
    uri = answer.json()[0]["00420011"]["BulkDataURI"]
    assert uri == f"{root}{INSTANCE}/bulkdata/00420011"
    assert web.audit.records[0][1]["source"].host == caller


async def test_a_host_that_is_none_is_told() -> None:
    web = Web(WebSettings(port=0, trusted_proxies=("127.0.0.1",)))
    web.storage.keep()
    answer = await web.get(INSTANCE + "/metadata", x_forwarded_host="a b/c")
    assert answer.status_code == 400
