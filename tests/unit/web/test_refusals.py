"""Who is not let in is told in the form of what they asked for, and what nobody decided on is
closed."""

from __future__ import annotations

import pytest

from isocenter.core.access import NOBODY, Caller
from isocenter.web.exchange import Exchange
from isocenter.web.routes import Application, Route
from support.policies import person
from support.web_fakes import Web

PROBLEM, PAGE, OUTCOME = "application/problem+json", "text/html", "application/fhir+json"


@pytest.mark.parametrize(("caller", "status"), [(NOBODY, 401), (person("integrator"), 403)])
@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/api/aes", PROBLEM),
        ("/api/audit/records", PROBLEM),
        ("/fhir/AuditEvent", OUTCOME),
        ("/fhir/Patient", OUTCOME),
        ("/audit", PAGE),
        ("/audit/records/1", PAGE),
        ("/access", PAGE),
        ("/share", PAGE),
        ("/emergency", PAGE),
    ],
)
async def test_a_refusal_has_the_form_of_what_was_asked_for(
    caller: Caller, status: int, path: str, form: str
) -> None:
    answer = await Web(caller=caller).get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith(form)
    assert ("www-authenticate" in answer.headers) is (status == 401)


async def test_a_method_of_which_nobody_said_who_may_use_it_is_closed() -> None:
    async def answered(exchange: Exchange) -> None:
        await exchange.answer(200, [], b"told")

    web = Web()
    served = web.application
    routes = [Route("/new", {"GET": answered})]
    web_with = Application(routes, web.settings, served._admission)
    async with web.client() as client:
        client._transport.app = web_with  # type: ignore[attr-defined]
        assert (await client.get("/new")).status_code == 403
        assert (await client.head("/new")).status_code == 403
        assert (await client.options("/new")).status_code == 204
