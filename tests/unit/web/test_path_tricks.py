"""Paths that are written otherwise: none reaches a route without the route's decision."""

from __future__ import annotations

import asyncio
import re

import pytest

from isocenter.core.access import Right
from isocenter.web.operation import Door
from isocenter.web.operations import OPERATIONS
from support.closed_web import OFTEN, ClosedWeb
from support.web_addresses import path_of
from support.web_fakes import Web

CLOSED = sorted(
    template
    for template, methods in OPERATIONS.items()
    if all(one.needs is not Door.OPEN for one in methods.values())
)
TRICKS = [
    "{0}", "/{0}", "//{0}", "/.{0}", "/./{0}", "/x/..{0}", "/x/../{0}", "/%2e%2e{0}", "/..%2f{0}",
    "/livez/..{0}", "/livez/%2e%2e{0}", "/livez%2f..{0}", "/livez;{0}", "/livez/..;{0}",
    "/livez%00{0}", "/sign-in/..{0}", "/static/..{0}", "/static/%2e%2e{0}", "/static/..%2f..{0}",
    "{0}/", "{0}//", "{0};x=y", "{0}%00", "{0}%00.css", "{0}%20", "{0}.json", "{0}/.", "{0}/..",
    "{0}%2f", "{0}%23", "{0}%3f", "{0}#x", "{0}?/livez", "{0}%0d%0a", "{0}%5c", "%2f{0}", "\\{0}",
    "{upper}", "{first}", "{twice}", "http://localhost{0}", "http://evil.test{0}",
]  # fmt: skip
ANSWERS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def written(trick: str, path: str) -> bytes:
    """The target of a request line."""
    first = f"/%{ord(path[1]):02x}{path[2:]}"  # the first letter encoded
    twice = f"/%25{ord(path[1]):02x}{path[2:]}"  # encoded twice
    return trick.format(path, upper=path.upper(), first=first, twice=twice).encode()


async def statuses(web: Web, targets: list[bytes], method: bytes = b"GET") -> dict[bytes, int]:
    """The answers of the real server; one to what is no request is the last of its connection."""
    found: dict[bytes, int] = {}
    left = list(targets)
    async with web.listening() as (role, _):
        while left:
            reader, writer = await asyncio.open_connection("127.0.0.1", role.port)
            while left:
                target = left.pop()
                writer.write(b"%b %b HTTP/1.1\r\nHost: pacs.test\r\n\r\n" % (method, target))
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
                status = ANSWERS.match(head)
                assert status is not None
                found[target] = int(status[1])
                if b"connection: close" in head.lower():
                    break
                length = re.search(rb"content-length: (\d+)", head.lower())
                if method != b"HEAD" and length:
                    await reader.readexactly(int(length[1]))
            writer.transport.abort()
    return found


def test_there_are_routes_that_are_closed() -> None:
    assert len(CLOSED) > 40
    assert {"/dicomweb/studies", "/access", "/audit", "/viewer/{file...}"} <= set(CLOSED)


@pytest.mark.parametrize(("method", "tricks"), [(b"GET", TRICKS), (b"HEAD", TRICKS[::9])])
async def test_no_way_of_writing_a_path_gets_around_its_decision(
    method: bytes, tricks: list[str]
) -> None:
    web = ClosedWeb(limits=OFTEN)
    targets = [written(trick, path_of(template)) for template in CLOSED for trick in tricks]
    found = await statuses(web, targets, method)
    assert len(found) > 200
    refused = (400, 401, 404, 405)
    let_in = {target: status for target, status in found.items() if status not in refused}
    assert set(let_in.values()) <= {200}
    # Only what stands for another resource, which is open: the health of the process.
    assert {target.partition(b"?")[0] for target in let_in} <= {b"/livez"}


@pytest.mark.parametrize("trick", ["{0}", "{first}", "http://localhost{0}"])
async def test_a_path_that_is_encoded_is_the_same_path(trick: str) -> None:
    web = ClosedWeb()
    found = await statuses(web, [written(trick, path_of(one)) for one in CLOSED])
    assert set(found.values()) <= {401, 405}


@pytest.mark.parametrize(
    "target",
    [b"/static/..%2froutes.py", b"/static/%2e%2e/routes.py", b"/static/pages.css%00.svg",
     b"/static/..", b"/static/", b"/static/pages.css/", b"/static/.css", b"/static/PAGES.CSS",
     b"/static//etc/passwd.css"],
)  # fmt: skip
async def test_no_file_but_those_of_the_pages_is_served(target: bytes) -> None:
    found = await statuses(Web(), [target])
    assert set(found.values()) == {404}


def test_every_right_is_asked_for_by_some_route() -> None:
    """Else a decision would have been forgotten."""
    asked = {one.needs for methods in OPERATIONS.values() for one in methods.values()}
    assert {Right.SEARCH, Right.READ, Right.STORE, Right.DELETE, Right.AES, Right.ACCESS} <= asked
    assert None not in asked
