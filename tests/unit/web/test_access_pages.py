"""The page of administrators, and marks over REST: people, programs, sessions, what is marked."""

from __future__ import annotations

import re

import pytest

from isocenter.core.access import Kind
from support.access_rig import PASSWORD
from support.closed_web import HERE, ClosedWeb, bearer, shown

BEARER = re.compile(r"<code[^>]*>(iso_[A-Za-z0-9_-]+|[A-Za-z0-9_.-]{30,})</code>")


def recorded(web: ClosedWeb, action: str = "security") -> list[str]:
    return [fields.get("detail", "") for one, fields in web.audit.records if one == action]


async def test_an_account_is_made_changed_and_removed() -> None:
    web = ClosedWeb()
    async with web.person("ada", "administrator") as ada, web.browser() as bo:
        made = await ada.fill("/access/accounts", name="bo", role="viewer", sites="north south")
        (link,) = re.findall(rf"{re.escape(HERE)}(/invitation/[A-Za-z0-9_-]+)", made.text)
        assert (await bo.fill(link, password=PASSWORD, again=PASSWORD)).status_code == 303
        assert (await bo.get("/audit")).status_code == 403
        again = await ada.fill("/access/accounts", name="bo", role="viewer")
        assert again.status_code == 400
        changed = await ada.fill("/access/accounts/changed", name="bo", role="technologist")
        assert changed.status_code == 303
        assert (await bo.get("/share")).status_code == 403
        off = {"name": "bo", "role": "viewer", "disabled": "yes"}
        assert (await ada.fill("/access/accounts/changed", **off)).status_code == 303
        assert (await bo.sign_in("bo")).status_code == 403
        assert (await ada.fill("/access/accounts/removed", name="bo")).status_code == 303
        assert (await ada.fill("/access/accounts/removed", name="bo")).status_code == 404
        assert "bo" not in shown(await ada.get("/access")).split()
    told = [one for one in recorded(web) if one.startswith("account bo")]
    assert told[0] == "account bo: added, roles viewer, sites north south"
    assert told[-1] == "account bo: removed"


@pytest.mark.parametrize(
    "wrong",
    [{"name": ""}, {"name": "b o"}, {"name": "x" * 200}, {"role": "king"}, {"sites": "x" * 200}],
)
async def test_an_account_that_cannot_be_says_why(wrong) -> None:
    web = ClosedWeb()
    async with web.person("ada", "administrator") as ada:
        answer = await ada.fill("/access/accounts", **{"name": "bo", "role": "viewer", **wrong})
        assert answer.status_code == 400, shown(answer)
    assert await web.doors.accounts.find("bo") is None


async def test_a_token_is_shown_once_and_lets_a_program_in_until_it_is_revoked() -> None:
    web = ClosedWeb()
    async with web.person("ada", "administrator") as ada, web.browser() as program:
        made = await ada.fill("/access/tokens", name="ris", role="integrator", days="30")
        (token,) = BEARER.findall(made.text)
        assert token not in (await ada.get("/access")).text
        shows = bearer(token)
        assert (await program.get("/dicomweb/studies", headers=shows)).status_code == 200
        caller = web.query.callers[-1]
        assert (caller.kind, caller.name) == (Kind.PROGRAM, "ris")
        page = (await ada.get("/access")).text
        (id_,) = re.findall(r'tokens/revoked".*?name="id" value="([^"]+)"', page, re.DOTALL)
        assert (await ada.fill("/access/tokens/revoked", id=id_)).status_code == 303
        assert (await program.get("/dicomweb/studies", headers=shows)).status_code == 401


async def test_a_session_of_somebody_else_is_ended() -> None:
    web = ClosedWeb()
    async with web.person("ada", "administrator") as ada, web.person("bo", "viewer") as bo:
        (theirs,) = await web.doors.sessions.of("bo")
        assert (await bo.fill("/access/sessions/ended", id=theirs.id)).status_code == 403
        assert (await ada.fill("/access/sessions/ended", id=theirs.id)).status_code == 303
        assert (await bo.get("/dicomweb/studies")).status_code == 401
        assert (await ada.fill("/access/sessions/ended", id=theirs.id)).status_code == 404
    assert "session of bo: ended" in recorded(web)


async def test_marks_are_made_told_and_taken_off() -> None:
    web = ClosedWeb()
    async with web.person("ada", "administrator") as ada:
        patient = {"patient": "VIP", "issuer": "HR", "reason": "known in town"}
        made = await ada.post("/api/marks", json=patient)
        assert made.status_code == 201
        assert {name: made.json()[name] for name in patient} == patient
        assert (await ada.fill("/access/marks", study="1.2.3")).status_code == 303
        told = (await ada.get("/api/marks")).json()["marks"]
        assert [one.get("patient", one.get("study")) for one in told] in (
            ["VIP", "1.2.3"], ["1.2.3", "VIP"],
        )  # fmt: skip
        assert (await ada.delete(f"/api/marks/{made.json()['id']}")).status_code == 204
        assert (await ada.delete(f"/api/marks/{made.json()['id']}")).status_code == 404
        (left,) = (await ada.get("/api/marks")).json()["marks"]
        assert (await ada.fill("/access/marks/removed", name=left["id"])).status_code == 303
        assert (await ada.get("/api/marks")).json() == {"marks": []}
    assert recorded(web)[-4:] == [
        "marked as confidential: known in town",
        "marked as confidential",
        "not confidential any more: known in town",
        "not confidential any more",
    ]
    looked = [fields for one, fields in web.audit.records if one == "query"]
    assert ("VIP",) in [one["patient_ids"] for one in looked], "it names patients"


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {"patient": "A", "study": "1.2"}, {"issuer": "HR"}, {"study": "1.2."},
        {"patient": 7}, {"patient": "A", "until": "tomorrow"}, {"patient": "x" * 65},
    ],
)  # fmt: skip
async def test_a_mark_that_cannot_be_says_why(wrong) -> None:
    web = ClosedWeb()
    async with web.person("ada", "administrator") as ada:
        answer = await ada.post("/api/marks", json=wrong)
        assert (answer.status_code, answer.headers["content-type"]) == (
            400, "application/problem+json",
        )  # fmt: skip
        assert (await ada.get("/api/marks")).json() == {"marks": []}


async def test_who_may_not_read_the_trail_makes_nobody_who_may() -> None:
    web = ClosedWeb()
    both = web.person("iris", "administrator", "auditor")
    async with web.person("ada", "administrator") as ada, both as iris, web.browser() as program:
        for browser, expected in ((ada, 403), (iris, 200)):
            added = await browser.fill("/access/accounts", name="bo", role="auditor")
            assert added.status_code == expected, shown(added)
            token = await browser.fill("/access/tokens", name="p", role="auditor", days="1")
            assert token.status_code == expected, shown(token)
        assert (await ada.fill("/access/accounts/invited", name="bo")).status_code == 403
        own = {"name": "ada", "role": "auditor"}
        assert (await ada.fill("/access/accounts/changed", **own)).status_code == 403
        assert (await ada.fill("/access/accounts/removed", name="bo")).status_code == 303
        assert (await program.get("/audit")).status_code == 401


@pytest.mark.parametrize("role", ["viewer", "technologist", "integrator", "auditor"])
async def test_nobody_else_administers_access(role) -> None:
    web = ClosedWeb()
    async with web.person("eva", role) as eva:
        for path in ("/access", "/api/marks"):
            assert (await eva.get(path)).status_code == 403, path
        assert (await eva.post("/api/marks", json={"patient": "A"})).status_code == 403
        answer = await eva.fill("/access/accounts", name="bo", role="administrator")
        assert answer.status_code == 403
    assert await web.doors.accounts.find("bo") is None
