"""Sign-in by the identity provider in a browser: there and back, and what somebody else may make of
it."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest

from isocenter.core.events import AuditAction
from isocenter.runtime.access.sessions import id_of
from isocenter.web.sign_in import SIGN_OUT
from support.closed_web import BY, HERE, PAGES, SESSION, ClosedWeb
from support.issuer import ISSUER, Issuer

FLOW = "__Host-isocenter-flow"  # the cookie of a sign-in
BEGIN, ANSWER = "/sign-in/provider", "/sign-in/answer"


async def begun(client: httpx.AsyncClient, wanted: str = "/account") -> str:
    """Where the browser is sent."""
    answer = await client.get(BEGIN, params={"next": wanted})
    assert answer.status_code == 303
    return answer.headers["location"]


async def come_back(
    client: httpx.AsyncClient, issuer: Issuer, wanted: str = "/account", **brought: str
) -> httpx.Response:
    answered = issuer.signs_in(await begun(client, wanted))
    return await client.get(ANSWER, params={**answered, **brought})


async def test_a_person_signs_in_and_out() -> None:
    issuer = Issuer()
    web = ClosedWeb(issuer=issuer)
    async with web.browser(PAGES) as client:
        answer = await come_back(client, issuer)
        assert (answer.status_code, answer.headers["location"]) == (303, "/account")
        assert (await client.get("/account")).status_code == 200
        left = await client.post(SIGN_OUT)
        assert left.status_code == 200
        assert left.headers["refresh"].startswith(f"0; url={ISSUER}/logout?")
        assert f'href="{ISSUER}/logout?' in left.text
        assert "id_token_hint=ey" in left.text
        assert (await client.get("/account")).status_code == 303, "to the sign-in"
    actions = [action for action, _ in web.audit.records]
    assert actions[0] == AuditAction.SIGN_IN.value
    assert actions[-1] == AuditAction.SIGN_OUT.value


async def test_cookies_are_for_us_alone_and_for_no_script() -> None:
    issuer = Issuer()
    web = ClosedWeb(issuer=issuer)
    async with web.browser(PAGES) as client:
        begin = await client.get(BEGIN)
        back = await client.get(ANSWER, params=issuer.signs_in(begin.headers["location"]))
    (flow,) = begin.headers.get_list("set-cookie")
    session, over = back.headers.get_list("set-cookie")
    for cookie, name in ((flow, FLOW), (session, SESSION), (over, FLOW)):
        assert cookie.startswith(f"{name}=")
        attributes = {part.strip() for part in cookie.split(";")[1:]}
        assert {"Path=/", "HttpOnly", "SameSite=Lax", "Secure"} <= attributes
        assert not any(one.startswith("Domain") for one in attributes)
    assert "Max-Age=600" in flow
    assert "Max-Age=0" in over


# --- what somebody else makes of it --------------------------------------------------------------


async def test_an_answer_counts_in_the_browser_that_asked_and_once() -> None:
    issuer = Issuer()
    web = ClosedWeb(issuer=issuer)
    async with web.browser(PAGES) as ours, web.browser(PAGES) as theirs:
        answered = issuer.signs_in(await begun(ours))
        stolen = await theirs.get(ANSWER, params=answered)
        assert stolen.status_code == 403
        assert "in another browser, or too long ago" in stolen.text
        assert (await ours.get(ANSWER, params=answered)).status_code == 303
        again = await ours.get(ANSWER, params=answered)
        assert again.status_code == 403, "the state is replayed"


async def test_the_cookie_and_the_answer_together_count_once_too() -> None:
    issuer = Issuer()
    web = ClosedWeb(issuer=issuer)
    async with web.browser(PAGES) as client:
        address = await begun(client)
        flow, answered = client.cookies[FLOW], issuer.signs_in(address)
        assert (await client.get(ANSWER, params=answered)).status_code == 303
    async with web.browser(PAGES) as thief:
        thief.cookies.set(FLOW, flow)
        assert (await thief.get(ANSWER, params=answered)).status_code == 403
        assert SESSION not in thief.cookies


@pytest.mark.parametrize(
    ("brought", "status"),
    [
        ({"state": "made-up"}, 403),
        ({"state": "é"}, 403),
        ({"iss": "https://evil.test"}, 403),
        ({"code": "made-up"}, 403),
    ],
)
async def test_a_sign_in_that_failed_is_over(brought: dict[str, str], status: int) -> None:
    issuer = Issuer()
    web = ClosedWeb(issuer=issuer)
    async with web.browser(PAGES) as client:
        answer = await come_back(client, issuer, **brought)
        assert answer.status_code == status
        assert answer.headers["content-type"].startswith("text/html")
        assert FLOW not in client.cookies
        assert SESSION not in client.cookies
    ((action, fields),) = web.audit.records
    assert (action, fields["outcome"].value) == (AuditAction.SIGN_IN.value, "failure")


async def test_a_nonce_of_another_sign_in_signs_nobody_in() -> None:
    issuer = Issuer()
    web = ClosedWeb(issuer=issuer)
    async with web.browser(PAGES) as client:
        first = issuer.signs_in(await begun(client))
        nonce = parse_qs(urlsplit(await begun(client)).query)["nonce"][0]
        issuer.id_claims = {"nonce": nonce}
        del first
        answer = await come_back(client, issuer)
        assert answer.status_code == 403
    assert "not of this sign-in" in web.audit.records[-1][1]["error"]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "e30",
        "bnVsbA==",
        base64.urlsafe_b64encode(b'{"state":1}').decode(),
        "é",
        "A" * 4096,
    ],
)
async def test_a_cookie_that_is_made_up_signs_nobody_in(value: str) -> None:
    web = ClosedWeb(issuer=Issuer())
    async with web.browser(PAGES) as client:
        shown = {b"cookie": f"{FLOW}={value}".encode()}
        answer = await client.get(f"{ANSWER}?code=c&state=", headers=shown)
        assert answer.status_code == 403


async def test_where_the_browser_goes_on_to_is_ours_even_in_a_cookie_that_was_changed() -> None:
    issuer = Issuer()
    web = ClosedWeb(issuer=issuer)
    async with web.browser(PAGES) as client:
        answered = issuer.signs_in(await begun(client))
        kept = json.loads(base64.urlsafe_b64decode(client.cookies[FLOW]))
        kept["next"] = "https://evil.test/"
        changed = base64.urlsafe_b64encode(json.dumps(kept).encode()).decode()
        client.cookies.clear()
        client.cookies.set(FLOW, changed, domain="pacs.test", path="/")
        answer = await client.get(ANSWER, params=answered)
        assert (answer.status_code, answer.headers["location"]) == (303, "/viewer/")


async def test_the_provider_is_told_an_address_of_ours() -> None:
    """The Host header field is what a browser calls us; a name of somebody else's is one that the
    provider does not know."""
    web = ClosedWeb(issuer=Issuer())
    async with web.browser(PAGES) as client:
        query = dict(parse_qsl(urlsplit(await begun(client)).query))
        assert query["redirect_uri"] == f"{HERE}{ANSWER}"
        forged = {"x-forwarded-host": "evil.test", "forwarded": "host=evil.test"}
        answer = await client.get(BEGIN, headers=forged)
        query = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
        assert query["redirect_uri"] == f"{HERE}{ANSWER}"


async def test_a_session_of_before_is_over_and_its_secret_not_taken_up() -> None:
    """Session fixation."""
    issuer = Issuer()
    web = ClosedWeb(issuer=issuer)
    async with web.browser(PAGES) as client:
        client.cookies.set(SESSION, "chosen-by-somebody-else", domain="pacs.test", path="/")
        await come_back(client, issuer)
        first = client.cookies[SESSION]
        assert first != "chosen-by-somebody-else"
        await come_back(client, issuer)
        assert client.cookies[SESSION] != first
        assert await web.doors.by_session(first, BY) is None


async def test_nobody_becomes_by_a_name_somebody_who_has_an_account_here() -> None:
    issuer = Issuer()
    web = ClosedWeb(issuer=issuer)
    await web.account("eva", "administrator")
    async with web.browser(PAGES) as client:
        assert (await come_back(client, issuer)).status_code == 403
        assert SESSION not in client.cookies


# --- while it is away ----------------------------------------------------------------------------


async def aged(web: ClosedWeb, secret: str) -> None:
    """As if the provider had been asked about its person long ago."""
    known = await web.doors.by_session(secret, BY)
    assert known is not None
    assert known.session.federated is not None
    long_ago = datetime.now(UTC) - timedelta(minutes=6)
    person = known.session.federated.model_copy(update={"asked_at": long_ago})
    changed = known.session.model_copy(update={"federated": person})
    await web.doors.sessions.keep(known.id, changed, BY)


async def signed_in(web: ClosedWeb, issuer: Issuer) -> str:
    async with web.browser(PAGES) as client:
        await come_back(client, issuer)
        return client.cookies[SESSION]


async def test_while_the_provider_is_away_sessions_go_on_and_new_sign_ins_get_a_clear_page() -> (
    None
):
    issuer = Issuer()
    web = ClosedWeb(issuer=issuer)
    secret = await signed_in(web, issuer)
    await aged(web, secret)
    fresh = issuer.provider()
    web.doors.provider._described = None  # type: ignore[union-attr]
    issuer.away, issuer.asked = True, []
    async with web.browser(PAGES) as known, web.browser(PAGES) as stranger:
        known.cookies.set(SESSION, secret, domain="pacs.test", path="/")
        for _ in range(3):
            assert (await known.get("/account")).status_code == 200
        assert len(issuer.asked) == 1, "it is not waited for at every request"
        answer = await stranger.get(BEGIN)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.headers["content-type"].startswith("text/html")
        assert "does not answer at the moment" in answer.text
        left = await known.post(SIGN_OUT)
        assert (left.status_code, left.headers["location"]) == (303, "/sign-in")
    assert await web.doors.by_session(secret, BY) is None
    await fresh.close()


async def test_who_comes_back_while_it_is_away_gets_a_clear_page_and_begins_anew() -> None:
    issuer = Issuer()
    web = ClosedWeb(issuer=issuer)
    async with web.browser(PAGES) as client:
        answered = issuer.signs_in(await begun(client))
        issuer.away = True
        answer = await client.get(ANSWER, params=answered)
        assert answer.status_code == 503
        assert "does not answer at the moment" in answer.text
        issuer.away = False
        assert (await come_back(client, issuer)).status_code == 303


# --- what the provider says later ----------------------------------------------------------------


async def test_many_requests_at_once_ask_the_provider_once() -> None:
    issuer = Issuer()
    web = ClosedWeb(issuer=issuer)
    secret = await signed_in(web, issuer)
    await aged(web, secret)
    issuer.person["roles"] = ["technologist"]
    found = await asyncio.gather(*(web.doors.by_session(secret, BY) for _ in range(20)))
    assert len(issuer.refreshed) == 1
    assert {one.caller.roles if one else () for one in found} == {("technologist",)}


async def test_two_processes_that_ask_at_once_end_no_session() -> None:
    """What a session is renewed with may count once; the slower one finds what the other kept."""
    issuer = Issuer()
    web = ClosedWeb(issuer=issuer)
    others = ClosedWeb(issuer=issuer).doors
    others.sessions._records = web.doors.sessions._records
    secret = await signed_in(web, issuer)
    await aged(web, secret)
    stale = await others.sessions._found(id_of(secret))
    assert stale is not None
    assert await web.doors.by_session(secret, BY) is not None
    renewed = await others.sessions._renewed(secret, stale, BY)
    assert renewed is not None
    assert len(issuer.refreshed) == 1


async def test_whom_the_provider_does_not_let_in_any_more_is_out() -> None:
    issuer = Issuer()
    web = ClosedWeb(issuer=issuer)
    secret = await signed_in(web, issuer)
    await aged(web, secret)
    issuer.refusing = "invalid_grant"
    assert await web.doors.by_session(secret, BY) is None


async def test_what_is_kept_of_a_session_lets_nobody_in() -> None:
    """Whoever reads the object store has neither the secret nor what the provider gave."""
    issuer = Issuer()
    web = ClosedWeb(issuer=issuer)
    secret = await signed_in(web, issuer)
    kept = await web.doors.sessions._found(id_of(secret))
    assert kept is not None
    assert kept.federated is not None
    written = kept.model_dump_json()
    assert secret not in written
    assert "eyJ" not in written, "no token of the provider"
    assert web.doors.sessions.id_token(secret, kept).startswith("eyJ")
    with pytest.raises(Exception, match="cannot be read"):
        web.doors.sessions.id_token("another secret", kept)
