"""Methods, on every route: HEAD is GET without content, others are refused with those allowed."""

from __future__ import annotations

import re

import httpx
import pytest

from isocenter.core.events import AuditAction
from isocenter.web.operations import OPERATIONS
from support.web_addresses import address_of, filled
from support.web_fakes import INSTANCE, Web

LISTS_OF_ACCESS = ("/access", "/share", "/api/links", "/api/marks")
READ = [template for template, methods in OPERATIONS.items() if "GET" in methods]
FAILING = {
    "/viewer/{file...}": 404, "/fhir/{resource...}": 404, "/static/{file}": 404,
    "/sign-in/provider": 404,  # there is none
    "/sign-in/answer": 403,  # to nothing that was asked
    "/account": 400, "/account/factor": 400,  # of whoever is nobody with an account
    "/share/{secret}": 404, "/invitation/{secret}": 404,
}  # fmt: skip


def _web() -> Web:
    return filled(Web())


def _told(answer: httpx.Response) -> dict[str, str]:
    """Header fields; boundaries are made anew for each answer."""
    fields = {name: re.sub(r"boundary=\S+", "", value) for name, value in answer.headers.items()}
    if answer.status_code >= 400:
        del fields["content-length"]  # the request's id may be of another length
    return fields


async def _both(url: str, accept: str = "*/*") -> tuple[httpx.Response, httpx.Response]:
    headers = {"accept": accept}
    async with _web().client() as client:
        return await client.get(url, headers=headers), await client.head(url, headers=headers)


@pytest.mark.parametrize("template", READ)
async def test_head_tells_what_get_does_and_sends_nothing(template: str) -> None:
    get, head = await _both(address_of(template))
    if template in FAILING:
        without_viewer = {503} if template.startswith("/viewer") else set()  # it is built apart
        assert get.status_code in {FAILING[template], *without_viewer}
    else:
        assert get.status_code in (200, 307)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert _told(head) == _told(get)


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        (INSTANCE, "text/html", 406),
        ("/dicomweb/studies/9.9", "*/*", 404),
        ("/dicomweb/studies/9.9/metadata", "*/*", 404),
        (INSTANCE + "/frames/4", "*/*", 404),
        (INSTANCE + "/frames/0", "*/*", 400),
        (INSTANCE + "/bulkdata/00020010", "*/*", 404),
        ("/dicomweb/studies?limit=x", "*/*", 400),
        ("/nowhere", "*/*", 404),
    ],
)
async def test_head_fails_as_get_does(path: str, accept: str, status: int) -> None:
    get, head = await _both(path, accept)
    assert (get.status_code, head.status_code, head.content) == (status, status, b"")
    assert _told(head) == _told(get)


@pytest.mark.parametrize("template", READ)
async def test_head_is_recorded_only_where_it_answers_a_question_about_patients(
    template: str,
) -> None:
    web = _web()
    async with web.client() as client:
        await client.head(address_of(template))
    operation = OPERATIONS[template]["GET"]
    searched = ["query"] if operation.section == "10.6" else []
    recorded = (AuditAction.AUDIT, AuditAction.SIGN_IN)
    told = operation.audited in recorded or template in LISTS_OF_ACCESS
    anyhow = [operation.audited.value] if told else []
    assert [action for action, _ in web.audit.records] == searched + anyhow


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "NONSENSE"])
@pytest.mark.parametrize("template", OPERATIONS)
async def test_a_method_is_answered_or_405_with_those_that_are(template: str, method: str) -> None:
    async with _web().client() as client:
        answer = await client.request(method, address_of(template))
    if method in OPERATIONS[template]:
        assert answer.status_code != 405
        return
    assert answer.status_code == 405
    assert answer.headers["allow"].split(", ") == sorted({*OPERATIONS[template], "OPTIONS"})


async def test_over_a_socket_the_connection_goes_on_after_head() -> None:
    web = _web()
    async with web.listening() as (_, address), httpx.AsyncClient(base_url=address) as client:
        for path in (INSTANCE, INSTANCE + "/metadata", INSTANCE + "/frames/1,2", "/dicomweb"):
            for method in ("HEAD", "GET", "HEAD"):
                answer = await client.request(method, path)
                assert answer.status_code == 200
                assert bool(answer.content) == (method == "GET")
        assert len(web.audit.records) == 3
