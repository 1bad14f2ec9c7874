"""Exports of the audit trail over HTTP: whole files by safe names, as they are read."""

from __future__ import annotations

import csv
import io
import json
from xml.etree import ElementTree as ET

import httpx
import pytest
from fhir.resources.R4B.bundle import Bundle

from isocenter.core.audit_api import Finding
from isocenter.core.errors import Unavailable
from isocenter.runtime.audit_export.forms import FORMS
from isocenter.runtime.audit_ids import name_of
from support.audit_web import ask, left, record, serving
from support.web_fakes import Web

EXPORT = "/api/audit/export"
COUNT = 2345  # several pages of the trail


def full() -> Web:
    return serving(*(record(number, patient_ids=(f"P{number % 5}",)) for number in range(COUNT)))


@pytest.mark.parametrize("form", FORMS)
async def test_every_form_comes_as_a_file_that_no_cache_keeps(form: str) -> None:
    web = serving(record(1), record(2))
    answer = await web.get(f"{EXPORT}?form={form}&who=eva")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == FORMS[form].media_type
    assert answer.headers["cache-control"] == "no-store"
    name = answer.headers["content-disposition"]
    stamp, _, rest = name.removeprefix('attachment; filename="audit-trail-').partition("Z")
    assert (len(stamp), rest) == (15, f'{FORMS[form].suffix}"')
    assert left(web) == [("audit", f"audit trail export as {form}", "who=eva")]


async def test_all_records_are_in_it_and_no_others() -> None:
    web = full()
    wanted = [record(number).id for number in range(COUNT) if number % 5 == 3]
    rows = list(csv.DictReader(io.StringIO((await web.get(f"{EXPORT}?form=csv&patient=P3")).text)))
    assert [row["id"] for row in rows] == wanted
    told = (await web.get(f"{EXPORT}?form=jsonl&patient=P3")).text.splitlines()
    assert [json.loads(line)["record"]["id"] for line in told] == wanted
    messages = ET.fromstring((await web.get(f"{EXPORT}?form=dicom&patient=P3")).content)
    assert len(messages) == len(wanted)
    bundle = (await web.get(f"{EXPORT}?form=fhir&patient=P3")).json()
    Bundle.model_validate(bundle)
    assert [one["resource"]["id"] for one in bundle["entry"]] == [
        name_of(record(number)) for number in range(COUNT) if number % 5 == 3
    ]


async def test_a_report_is_a_pdf_in_the_language_that_is_asked_for() -> None:
    for language in ("en", "fr", "de"):
        answer = await serving(record(1)).get(f"{EXPORT}?form=pdf&lang={language}")
        assert answer.content.startswith(b"%PDF-")


async def test_the_trail_is_verified_before_where_that_is_asked_for() -> None:
    web = serving(record(1))
    web.trail.findings = (Finding("record 1 was changed"),)
    answer = await web.get(f"{EXPORT}?form=pdf&verify=true")
    assert answer.status_code == 200
    assert [action for action, _, _ in left(web)] == ["audit", "audit", "verify"]
    web = serving(record(1))
    await web.get(f"{EXPORT}?form=pdf&verify=false")
    assert [one[0] for one in web.trail.asked] == ["count", "state", "search"]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "choose form= of csv"), ("?form=xls", "choose form= of csv"),
        ("?form=csv&verify=yes", "neither true nor false"), ("?form=pdf&lang=it", "en, fr, de"),
        ("?form=csv&form=pdf", "twice"), ("?form=csv&who=e*", "wildcards"),
        ("?form=csv&limit=3", "not known"),
    ],
)  # fmt: skip
async def test_what_cannot_be_exported_is_a_problem(query: str, says: str) -> None:
    web = serving(record(1))
    answer = await web.get(EXPORT + query)
    assert answer.status_code == 400
    assert says in answer.json()["detail"]
    assert web.trail.asked == []


async def test_a_trail_that_breaks_off_breaks_the_answer_off() -> None:
    web = full()
    search = web.trail.search

    async def once(*asked: object) -> object:
        if [one[0] for one in web.trail.asked].count("search") == 2:
            raise Unavailable("the index does not answer")
        return await search(*asked)  # type: ignore[arg-type]

    web.trail.search = once  # type: ignore[assignment, method-assign]
    async with web.listening() as (_, address), httpx.AsyncClient() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"{address}{EXPORT}?form=csv")


async def test_head_tells_what_get_would() -> None:
    answer = await ask(serving(record(1)), "HEAD", f"{EXPORT}?form=csv")
    assert (answer.status_code, answer.content) == (200, b"")
    assert "content-disposition" in answer.headers
