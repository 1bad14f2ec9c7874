"""What somebody else makes a browser do, or shows in its place: fixed sessions, posts of other
sites, addresses that lead away, cookies that are over."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx
import pyotp
import pytest

from isocenter.core.events import AuditAction
from isocenter.runtime.access.links import Link
from isocenter.runtime.access.sessions import Session, id_of
from isocenter.web.operations import OPERATIONS
from isocenter.web.sign_in import wanted_of
from support.access_rig import ANOTHER, PASSWORD
from support.closed_web import BY, HERE, PAGES, SESSION, ClosedWeb, bearer
from support.web_addresses import path_of
from support.web_fakes import STUDY

CHANGING = [
    (method, template)
    for template, methods in OPERATIONS.items()
    for method in methods
    if method not in ("GET", "HEAD", "OPTIONS")
]

# --- sessions ------------------------------------------------------------------------------------


async def test_a_secret_that_somebody_chose_is_never_that_of_a_session() -> None:
    web = ClosedWeb()
    await web.account()
    async with web.browser(PAGES) as client:
        client.cookies.set(SESSION, "chosen", domain="pacs.test", path="/")
        assert (await client.get("/account")).status_code == 303
        await client.sign_in()
        assert client.cookies[SESSION] != "chosen"
        assert len(client.cookies[SESSION]) >= 43, "256 bits"
    assert await web.doors.by_session("chosen", BY) is None


async def test_every_sign_in_begins_a_session_anew_and_ends_that_of_before() -> None:
    web = ClosedWeb()
    await web.account()
    async with web.browser(PAGES) as client:
        seen = []
        for _ in range(3):
            assert (await client.sign_in()).status_code == 303
            seen.append(client.cookies[SESSION])
    assert len(set(seen)) == 3
    assert [await web.doors.by_session(one, BY) is not None for one in seen] == [False, False, True]


async def test_a_change_of_rights_goes_on_under_another_secret() -> None:
    """Password, second factor, emergency access, a link: who knew the secret of before has nothing
    of what a session may do from then on."""
    web = ClosedWeb()
    await web.account()
    factor = pyotp.random_base32()
    link = await web.doors.links.make(
        Link(study=STUDY, label="x", made_by="eva", ends_at=datetime.now(UTC) + timedelta(days=1)),
        "", BY,
    )  # fmt: skip
    deeds = (
        ("/account/password", {"current": PASSWORD, "password": ANOTHER, "again": ANOTHER}),
        (
            "/account/factor",
            {"current": ANOTHER, "factor": factor, "code": pyotp.TOTP(factor).now()},
        ),
        ("/account/factor/removed", {"current": ANOTHER}),
        ("/emergency", {"patient": "P1", "reason": "unconscious in the emergency room"}),
        (f"/share/{link}", {}),
    )
    async with web.browser(PAGES) as client:
        await client.sign_in()
        for path, form in deeds:
            before = client.cookies[SESSION]
            answer = await client.post(path, data=form)
            assert answer.status_code in (200, 303), (path, answer.text)
            assert client.cookies[SESSION] != before, path
            assert await web.doors.by_session(before, BY) is None, path
            assert await web.doors.by_session(client.cookies[SESSION], BY) is not None, path


async def test_emergency_access_goes_on_with_what_was_begun() -> None:
    web = ClosedWeb()
    await web.account()
    async with web.browser(PAGES) as client:
        await client.sign_in()
        before = await web.doors.by_session(client.cookies[SESSION], BY)
        for patient in ("P1", "P2"):
            form = {"patient": patient, "reason": "unconscious in the emergency room"}
            await client.post("/emergency", data=form)
        after = await web.doors.by_session(client.cookies[SESSION], BY)
    assert before is not None
    assert after is not None
    assert after.session.began_at == before.session.began_at
    assert [one.id for one in after.caller.emergencies] == ["P1", "P2"]


async def test_a_session_that_has_ended_stays_ended_whatever_uses_it_meanwhile() -> None:
    web = ClosedWeb()
    await web.account()
    for _ in range(5):
        used = datetime.now(UTC) - timedelta(minutes=2)
        secret = await web.doors.sessions.begin(Session(person="eva", used_at=used), BY)
        using = [web.doors.by_session(secret, BY) for _ in range(5)]
        await asyncio.gather(*using, web.doors.sessions.end(id_of(secret)))
        assert await web.doors.sessions._found(id_of(secret)) is None


async def test_what_is_over_is_refused_at_the_next_request() -> None:
    web = ClosedWeb()
    await web.account()
    async with web.browser(PAGES) as client, web.browser(PAGES) as thief:
        await client.sign_in()
        thief.cookies.set(SESSION, client.cookies[SESSION], domain="pacs.test", path="/")
        assert (await thief.get("/account")).status_code == 200
        answer = await client.post("/sign-out")
        assert answer.headers["clear-site-data"] == '"cache", "storage"'
        assert (await thief.get("/account")).status_code == 303


async def test_an_account_that_is_disabled_is_out_at_once() -> None:
    web = ClosedWeb()
    known = await web.account()
    async with web.browser(PAGES) as client:
        await client.sign_in()
        assert (await client.get("/account")).status_code == 200
        await web.doors.accounts.keep(known.model_copy(update={"disabled": True}), BY)
        assert (await client.get("/account")).status_code == 303


async def test_cookies_have_the_prefix_and_the_attributes_where_tls_is() -> None:
    for here, prefix, secure in ((HERE, "__Host-", True), ("http://localhost", "", False)):
        web = ClosedWeb()
        await web.account()
        async with web.browser(PAGES, here=here) as client:
            (cookie,) = (await client.sign_in()).headers.get_list("set-cookie")
        name, _, attributes = cookie.partition("=")
        assert name == prefix + "isocenter"
        assert ("; Secure" in attributes) is secure
        assert "; HttpOnly" in attributes
        assert "; SameSite=Lax" in attributes
        assert "; Path=/;" in attributes
        assert "Domain" not in attributes


async def test_a_cookie_without_the_prefix_is_no_session_where_tls_is() -> None:
    """Another host of the domain can plant one, which has not the prefix (RFC 6265bis 4.1.3.2)."""
    web = ClosedWeb()
    await web.account()
    async with web.browser(PAGES) as client:
        await client.sign_in()
        secret = client.cookies[SESSION]
    async with web.browser(PAGES) as other:
        other.cookies.set("isocenter", secret, domain="pacs.test", path="/")
        assert (await other.get("/account")).status_code == 303


async def test_two_cookies_of_the_name_are_not_taken_for_one() -> None:
    web = ClosedWeb()
    await web.account()
    async with web.browser(PAGES) as client:
        await client.sign_in()
        secret = client.cookies[SESSION]
    fields = [("cookie", f"{SESSION}=planted"), ("cookie", f"{SESSION}={secret}")]
    async with web.browser(PAGES) as other:
        assert (await other.get("/account", headers=fields)).status_code == 303


NO_TOKENS = (
    "Basic ZXZhOng=", "Bearer", "Bearer ", "Bearer x, Bearer y", "bearer iso_0_0", "Digest x", "x",
)  # fmt: skip

# --- posts of other sites ------------------------------------------------------------------------

FOREIGN = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "nonsense"},
    {"sec-fetch-site": "cross-site", "origin": HERE},
    {"origin": "https://evil.test"},
    {"origin": "http://pacs.test"},
    {"origin": "https://pacs.test:8443"},
    {"origin": "https://pacs.test.evil.test"},
    {"origin": "null"},
    {"origin": "https://["},
]


async def test_what_a_page_of_another_site_sends_is_not_done() -> None:
    web = ClosedWeb()
    await web.account("eva", "administrator", "technologist")
    async with web.browser(PAGES) as client:
        await client.sign_in()
        del client.headers["sec-fetch-site"]
        web.audit.records.clear()
        for method, template in CHANGING:
            for headers in FOREIGN:
                answer = await client.request(method, path_of(template), headers=headers)
                assert answer.status_code == 403, (method, template, headers)
                assert "page of another site" in answer.text
        assert await web.doors.by_session(client.cookies[SESSION], BY) is not None
    assert web.audit.records == []


async def test_what_our_own_pages_send_is_done() -> None:
    web = ClosedWeb()
    await web.account()
    for headers in (
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"origin": HERE},
    ):
        async with web.browser(PAGES) as client:
            del client.headers["sec-fetch-site"]
            form = {"name": "eva", "password": PASSWORD}
            assert (await client.post("/sign-in", data=form, headers=headers)).status_code == 303


@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data; boundary=b", "application/json", ""]
)
async def test_forms_are_taken_in_one_media_type(kind: str) -> None:
    web = ClosedWeb()
    await web.account()
    async with web.browser(PAGES) as client:
        answer = await client.post("/sign-in", content=b"name=eva", headers={"content-type": kind})
    assert answer.status_code == 415


async def test_what_is_safe_changes_nothing() -> None:
    """Wherever a browser was led from: nothing is done by GET and HEAD."""
    for methods in OPERATIONS.values():
        for method in {"GET", "HEAD"} & methods.keys():
            changing = (AuditAction.STORE, AuditAction.DELETE, AuditAction.SECURITY)
            assert methods[method].audited not in changing


async def test_a_token_needs_no_page_of_ours_and_a_browser_sends_none_by_itself() -> None:
    web = ClosedWeb()
    shown = bearer(await web.token())
    async with web.from_address("127.0.0.1") as client:
        answer = await client.get("/dicomweb/studies", headers=shown)
        assert answer.status_code in (200, 204)
        assert "set-cookie" not in answer.headers


async def test_what_is_no_token_of_ours_is_refused_with_a_cookie_too() -> None:
    web = ClosedWeb()
    await web.account()
    async with web.browser(PAGES) as client:
        await client.sign_in()
        for shown in NO_TOKENS:
            answer = await client.get("/dicomweb/studies", headers={"authorization": shown})
            assert answer.status_code == 401, shown
            assert answer.headers["www-authenticate"] == 'Bearer realm="isocenter"'


async def test_two_tokens_in_a_request_are_none() -> None:
    web = ClosedWeb()
    shown = bearer(await web.token())
    async with web.browser(PAGES) as client:
        fields = [*shown.items(), *shown.items()]
        assert (await client.get("/dicomweb/studies", headers=fields)).status_code == 401


# --- addresses that lead away --------------------------------------------------------------------

AWAY = [
    "https://evil.test/", "//evil.test", "///evil.test", "////evil.test", "/\\evil.test",
    "\\\\evil.test", "\\/evil.test", "/\t/evil.test", "\t//evil.test", "\n//evil.test",
    "/\r\nset-cookie: a=b", " //evil.test", "javascript:alert(1)", "data:text/html,x", "evil.test",
    "//[", "http:evil.test", "http:///evil.test", "/\u2028/evil.test", "\uff0f\uff0fevil.test", "",
    "?x", "#x", ".", "//pacs.test@evil.test", "/ /evil.test", "/\x00/evil.test", "/\x7f",
]  # fmt: skip
OURS = [
    "/account", "/viewer/viewer?StudyInstanceUIDs=1.2", "/%2fevil.test", "/%5cevil.test", "/a//b",
    "/./", "/?next=https://evil.test",
]  # fmt: skip


@pytest.mark.parametrize("wanted", AWAY)
def test_what_leads_away_is_not_gone_on_to(wanted: str) -> None:
    assert wanted_of(wanted) == "/viewer/"


@pytest.mark.parametrize("wanted", OURS)
def test_a_path_of_ours_is_gone_on_to_as_it_stands(wanted: str) -> None:
    assert wanted_of(wanted) == wanted
    assert httpx.URL(HERE).join(wanted).host == "pacs.test"


async def test_nobody_is_led_away_after_a_sign_in() -> None:
    web = ClosedWeb()
    await web.account()
    async with web.browser(PAGES) as client:
        for wanted in AWAY:
            shown = await client.get(f"/sign-in?next={quote(wanted)}")
            assert 'name="next" value="/viewer/"' in shown.text, wanted
        answer = await client.sign_in(next="//evil.test")
        assert (answer.status_code, answer.headers["location"]) == (303, "/viewer/")
        answer = await client.sign_in(next="/account?x=1")
        assert (answer.status_code, answer.headers["location"]) == (303, "/account?x=1")


@pytest.mark.parametrize("wanted", ["/sign-in", "/sign-in?next=/sign-in", "/sign-out"])
def test_nobody_goes_round_in_circles(wanted: str) -> None:
    assert wanted_of(wanted) == "/viewer/"


@pytest.mark.parametrize("path", ["/account", "//evil.test/account", "/account?x=//evil.test"])
async def test_whoever_is_sent_to_the_sign_in_stays_here(path: str) -> None:
    web = ClosedWeb()
    async with web.browser(PAGES) as client:
        request = client.build_request("GET", HERE)
        request.url = request.url.copy_with(raw_path=path.encode())
        answer = await client.send(request)
        assert answer.status_code in (303, 404)
        assert answer.headers.get("location", "/sign-in").startswith("/sign-in")
