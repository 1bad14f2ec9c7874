"""Links to studies, by pages and by REST: made by who may, opened without an account, leading to
one study and nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest

from isocenter.core.access import OWN, Patient
from isocenter.runtime.access.links import MAX_DAYS
from support.closed_web import HERE, Browser, ClosedWeb, shown
from support.policies import allow, guard_of, study
from support.web_fakes import INSTANCE, STUDY

OTHER = "1.2.9"
LINK = {"study": STUDY, "label": "Dr Kaya"}
RULES = guard_of(
    (allow(sites=(OWN,)),), study(STUDY, sites=["north"]), study(OTHER, sites=["south"])
)


def address_of(text: str) -> str:
    """The path of the link that an answer tells."""
    found = re.search(rf"{re.escape(HERE)}(/share/[A-Za-z0-9_-]+)", text)
    assert found, text
    return found[1]


async def made(browser: Browser, **fields: Any) -> str:
    answer = await browser.post("/api/links", json={**LINK, **fields})
    assert answer.status_code == 201, answer.text
    return address_of(answer.text)


def recorded(web: ClosedWeb, action: str) -> list[str]:
    return [fields.get("detail", "") for one, fields in web.audit.records if one == action]


async def test_a_link_opens_its_study_without_an_account() -> None:
    web = ClosedWeb()
    web.storage.keep()
    async with web.person("eva", "viewer") as eva, web.browser() as outside:
        page = await eva.fill("/share", label="Dr Kaya", study=STUDY, days="7")
        path = address_of(page.text)
        assert (await outside.get(INSTANCE)).status_code == 401
        opening = await outside.get(path)
        assert (opening.status_code, "Dr Kaya" in shown(opening)) == (200, True)
        assert (await outside.get(INSTANCE)).status_code == 401, "looking at it opens nothing"
        opened = await outside.fill(path)
        assert opened.status_code == 303
        assert opened.headers["location"] == f"/viewer/viewer?StudyInstanceUIDs={STUDY}"
        assert (await outside.get(f"{INSTANCE}/metadata")).status_code == 200
    assert recorded(web, "security")[-1].startswith("link made for Dr Kaya: until ")
    assert recorded(web, "sign-in")[-1] == "link of eva for Dr Kaya opened"


async def test_it_leads_to_nothing_else() -> None:
    web = ClosedWeb()
    async with web.person("ada", "administrator") as ada, web.browser() as outside:
        await outside.fill(await made(ada))
        for path in ("/access", "/audit", "/share", "/emergency", "/api/links", "/api/marks"):
            assert (await outside.get(path)).status_code == 403, path
        other = f"/dicomweb/studies/{OTHER}/series/1.2/instances/1.3/metadata"
        assert (await outside.get(other)).status_code == 404
        await outside.get("/dicomweb/studies")
        assert web.query.callers[-1].studies == (STUDY,)


@pytest.mark.parametrize(("download", "status"), [(True, 200), (False, 403)])
async def test_objects_are_taken_away_where_the_link_says_so(download, status) -> None:
    web = ClosedWeb(rules=guard_of((allow(),), study(STUDY)))
    web.storage.keep()
    async with web.person("eva", "viewer") as eva, web.browser() as outside:
        await outside.fill(await made(eva, download=download))
        answer = await outside.get(INSTANCE, params={"accept": "application/dicom"})
        assert answer.status_code == status, answer.text


async def test_a_passcode_is_asked_for_and_guesses_are_bounded() -> None:
    web = ClosedWeb()
    async with web.person("eva", "viewer") as eva, web.browser() as outside:
        path = await made(eva, passcode="4711-0815")
        for _ in range(5):
            assert (await outside.fill(path, passcode="4711-0816")).status_code == 403
        assert (await outside.fill(path, passcode="4711-0815")).status_code == 429
    assert recorded(web, "sign-in").count("link of eva for Dr Kaya opened") == 6


async def test_a_link_is_opened_as_often_as_it_says() -> None:
    web = ClosedWeb()
    async with web.person("eva", "viewer") as eva:
        path = await made(eva, openings=2, passcode="4711-0815")
        for expected in (303, 303, 404):
            async with web.browser() as outside:
                assert (await outside.fill(path, passcode="4711-0815")).status_code == expected
        (told,) = (await eva.get("/api/links")).json()["links"]
        assert (told["opened"], told["openings"], told["passcode"]) == (2, 2, True)


async def test_a_link_that_is_revoked_is_over_for_who_has_opened_it_too() -> None:
    web = ClosedWeb()
    web.storage.keep()
    async with web.person("eva", "viewer") as eva, web.browser() as outside:
        path = await made(eva)
        await outside.fill(path)
        (one,) = (await eva.get("/api/links")).json()["links"]
        assert (await eva.delete(f"/api/links/{one['id']}")).status_code == 204
        over = await outside.get(path)
        assert (over.status_code, "is over" in shown(over)) == (404, True)
        assert (await outside.get(f"{INSTANCE}/metadata")).status_code == 401
        assert (await eva.delete(f"/api/links/{one['id']}")).status_code == 404
    assert recorded(web, "security")[-1] == "link for Dr Kaya: revoked"


async def test_everybody_has_their_own_links_and_administrators_all() -> None:
    web = ClosedWeb()
    async with (
        web.person("eva", "viewer") as eva,
        web.person("max", "viewer") as other,
        web.person("ada", "administrator") as ada,
    ):
        await made(eva)
        (one,) = (await eva.get("/api/links")).json()["links"]
        assert one["made_by"] == "eva"
        assert (await other.get("/api/links")).json() == {"links": []}
        assert (await other.delete(f"/api/links/{one['id']}")).status_code == 404
        assert (await other.fill("/share/revoked", id=one["id"])).status_code == 404
        assert (await ada.get("/api/links")).json() == {"links": [one]}
        assert (await ada.fill("/share/revoked", id=one["id"])).status_code == 303
    assert recorded(web, "query") == ["links to studies"] * 3


async def test_what_somebody_may_not_see_they_do_not_share() -> None:
    web = ClosedWeb(rules=RULES)
    async with web.person("eva", "viewer", sites=("north",)) as eva:
        await made(eva)
        answer = await eva.post("/api/links", json={**LINK, "study": OTHER})
        assert answer.status_code == 404
        page = await eva.fill("/share", study=OTHER, label="x", days="1")
        assert (page.status_code, "there is no such study" in shown(page)) == (404, True)
    assert [one for one in recorded(web, "security") if one.startswith("link")] != []
    assert len(await web.doors.links.all()) == 1


@pytest.mark.parametrize("role", ["technologist", "integrator", "auditor"])
async def test_who_may_not_share_is_refused(role) -> None:
    web = ClosedWeb()
    async with web.person("eva", role) as eva:
        for answer in (
            await eva.post("/api/links", json=LINK),
            await eva.get("/api/links"),
            await eva.get("/share"),
        ):
            assert answer.status_code == 403
    assert await web.doors.links.all() == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"study": "1.2."}, "Study Instance UID"),
        ({"study": 7}, "study"),
        ({"label": " "}, "for whom"),
        ({"label": "x" * 101}, "for whom"),
        ({"days": 0}, "days"),
        ({"days": MAX_DAYS + 1}, "days"),
        ({"days": "7"}, "days"),
        ({"passcode": "12345"}, "passcode"),
        ({"openings": -1}, "openings"),
        ({"openings": True}, "openings"),
        ({"download": "yes"}, "download"),
        ({"until": "tomorrow"}, "until"),
    ],
)
async def test_a_link_that_cannot_be_says_why(change, why) -> None:
    web = ClosedWeb()
    async with web.person("eva", "viewer") as eva:
        answer = await eva.post("/api/links", json={**LINK, **change})
        assert (answer.status_code, why in answer.json()["detail"]) == (400, True), answer.text
    assert await web.doors.links.all() == []


async def test_the_form_keeps_what_was_written_when_it_is_wrong() -> None:
    web = ClosedWeb()
    async with web.person("eva", "viewer") as eva:
        page = await eva.fill("/share", study=STUDY, label='"><b>Dr', days="999999")
        assert (page.status_code, 'value="&#34;&gt;&lt;b&gt;Dr"' in page.text) == (400, True)
        assert "days must be a number" in shown(page)


async def test_in_an_emergency_a_patient_is_seen_with_a_reason_that_stays() -> None:
    web = ClosedWeb()
    async with web.person("eva", "viewer") as eva, web.person("bo", "integrator") as bo:
        short = await eva.fill("/emergency", patient="P1", reason="help")
        assert (short.status_code, "say why" in shown(short)) == (400, True)
        begun = await eva.fill("/emergency", patient="P1", reason="unconscious in A&E")
        assert begun.status_code == 303
        await eva.get("/dicomweb/studies")
        assert web.query.callers[-1].emergencies == (Patient("P1"),)
        refused = await bo.fill("/emergency", patient="P1", reason="unconscious in A&E")
        assert refused.status_code == 403
    (told,) = [one for one in recorded(web, "security") if one.startswith("emergency access")]
    assert told.endswith("UTC: unconscious in A&E")
