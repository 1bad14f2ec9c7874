"""Exports of the audit trail: pages of it, and the forms that programs read."""

from __future__ import annotations

import asyncio
import csv
import json
import string
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from fhir.resources.R4B.bundle import Bundle
from lxml import etree

from isocenter.core.audit import AuditFilter, Entry, Place
from isocenter.core.audit_api import Head, TrailState
from isocenter.core.errors import Conflict, Invalid
from isocenter.core.events import AuditAction, Source
from isocenter.runtime import audit_texts
from isocenter.runtime.audit_dicom import message
from isocenter.runtime.audit_export.forms import FORMS
from isocenter.runtime.audit_export.heading import Heading, heads_digest
from isocenter.runtime.audit_export.paging import pages
from isocenter.runtime.audit_export.tables import COLUMNS
from isocenter.runtime.audit_records import event_of
from support.audited import HOSTILE, event

SCHEMA = Path(__file__).parents[2] / "data" / "audit-message.rng"
FULL = event(
    7, id="full", source=Source("DIMSE", "192.0.2.1", "CT1", "ISOCENTER", "eva", "CN=ct1"),
    patient_ids=("P 1", "P 2"), studies=("1.2", "1.3"), series=("1.2.3",),
    instances=("1.2.3.4", "1.2.3.5"), instance_count=9, digests=("a" * 64, "b" * 64),
    destination="WS1", error="aborted", query="PatientID=P*", process="host/gateway",
    site="north", trace="0" * 32,
)  # fmt: skip


def hostile(text: str) -> Entry:
    """A record that has a text wherever a caller or a data set can put one."""
    source = Source("DICOMweb", text, text, text, text, text, purpose=text)
    return entry(
        event(
            1, id=text, source=source, partition="main", patient_ids=(text, text),
            detail=text, destination=text, error=text, query=text, process=text, site=text,
        )
    )  # fmt: skip


def entry(record, sequence: int = 1) -> Entry:
    return Entry(record, Place("audit-0", sequence))


def heading(total: int = 1, **fields) -> Heading:
    heads = (Head("audit-0", 12, "a" * 64, "b" * 64, "2026-01-01T12:00:00.000000+00:00"),)
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    by = Source("CLI", host="desk", user="officer")
    return replace(
        Heading(AuditFilter(), by, at, total, TrailState(heads, (), total, 12)), **fields
    )


async def pieces(form: str, *found: Sequence[Entry]) -> list[bytes]:
    async def of_them():
        for page in found:
            yield page

    return [piece async for piece in FORMS[form].write(heading(), of_them())]


async def written(form: str, *entries: Entry) -> bytes:
    return b"".join(await pieces(form, *([entries] if entries else ())))


class Trail:
    """As much of one as paging needs."""

    def __init__(self, count: int) -> None:
        self.kept = [entry(event(number), number + 1) for number in reversed(range(count))]
        self.asked: list[int] = []

    async def search(self, which, limit, before=""):
        del which
        self.asked.append(limit)
        ids = [one.event.id for one in self.kept]
        start = ids.index(before) + 1 if before in ids else 0
        return self.kept[start : start + limit]


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 25])
async def test_pages_follow_each_other_to_the_end(count):
    trail = Trail(count)
    found = [page async for page in pages(trail, AuditFilter(), 10)]
    assert [one for page in found for one in page] == trail.kept
    assert all(found)


async def test_pages_begin_and_end_where_they_should():
    trail = Trail(30)
    before = trail.kept[4].event.id
    found = [page async for page in pages(trail, AuditFilter(), 10, limit=12, before=before)]
    assert [one for page in found for one in page] == trail.kept[5:17]
    assert trail.asked == [10, 2]


async def test_records_that_expire_meanwhile_end_the_reading_with_the_reason():
    trail = Trail(25)
    found = pages(trail, AuditFilter(), 10)
    await anext(found)
    del trail.kept[9:]
    with pytest.raises(Conflict, match="records expired"):
        await anext(found)


async def test_csv_has_a_column_for_everything():
    head, row = csv.reader(StringIO((await written("csv", entry(FULL, 5))).decode(), newline=""))
    assert tuple(head) == COLUMNS
    fields = dict(zip(head, row, strict=True))
    assert (fields["chain"], fields["sequence"], fields["id"]) == ("audit-0", "5", "full")
    assert fields["at"] == "2026-01-01T12:07:00.000000+00:00"
    assert fields["patient_ids"] == "P 1;P 2"
    assert fields["instances"] == "1.2.3.4 1.2.3.5"
    assert fields["digests"] == f"{'a' * 64} {'b' * 64}"
    assert (fields["tls_subject"], fields["known"]) == ("CN=ct1", "yes")
    assert (fields["query"], fields["trace"]) == ("PatientID=P*", "0" * 32)
    assert all(fields[name] for name in COLUMNS if name != "purpose")


async def test_csv_is_that_of_the_standard():
    content = await written("csv", entry(event(1, detail='a "b", c\nd')))
    assert content.count(b"\r\n") == 2
    assert b',"a ""b"", c\nd",' in content
    assert not content.startswith(b"\xef\xbb\xbf")


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b"])
async def test_no_cell_of_a_spreadsheet_is_a_formula(begin):
    text = f"{begin}1+1"
    rows = csv.reader(StringIO((await written("csv", hostile(text))).decode(), newline=""))
    cells = [cell for cell in list(rows)[1] if "1+1" in cell]
    assert len(cells) > 10
    assert {cell[0] for cell in cells} == {"'"}


async def test_json_lines_hold_records_as_they_are():
    records = [entry(FULL, 5), hostile(HOSTILE), entry(event(2), 7)]
    lines = [json.loads(line) for line in (await written("jsonl", *records)).split(b"\n")[:-1]]
    assert [event_of(line["record"]) for line in lines] == [one.event for one in records]
    assert [line["sequence"] for line in lines] == [5, 1, 7]
    assert {line["chain"] for line in lines} == {"audit-0"}


async def test_fhir_is_a_bundle_that_others_take():
    records = [entry(FULL), hostile(HOSTILE), *(entry(event(1, action=a)) for a in AuditAction)]
    content = await written("fhir", *records)
    bundle = Bundle.model_validate_json(content)
    assert (bundle.type, len(bundle.entry)) == ("collection", len(records))
    assert bundle.entry[0].fullUrl.startswith("urn:uuid:")
    again = Bundle.model_validate_json(await written("fhir", *records))
    assert [one.fullUrl for one in again.entry] == [one.fullUrl for one in bundle.entry]


async def test_dicom_is_a_document_of_messages_that_keep_to_the_schema():
    records = [
        entry(replace(FULL, source=replace(FULL.source, purpose=""))),
        *(entry(event(1, action=action)) for action in AuditAction),
    ]
    document = etree.fromstring(await written("dicom", *records))
    schema = etree.RelaxNG(etree.parse(SCHEMA))
    assert (document.tag, len(document)) == ("AuditMessages", len(records))
    for child in document:
        one = etree.fromstring(etree.tostring(child, with_tail=False))
        assert schema.validate(one), schema.error_log
    (child,) = etree.fromstring(await written("dicom", hostile(HOSTILE)))
    assert etree.tostring(child, with_tail=False) == etree.tostring(
        etree.fromstring(message(hostile(HOSTILE).event))
    )


@pytest.mark.parametrize(
    ("form", "read"),
    [
        ("csv", lambda content: list(csv.DictReader(StringIO(content.decode(), newline="")))),
        ("jsonl", lambda content: content.splitlines()),
        ("fhir", lambda content: Bundle.model_validate_json(content).entry or []),
        ("dicom", lambda content: list(etree.fromstring(content))),
    ],
)
async def test_nothing_and_many_pages_are_whole_files_too(form, read):
    assert read(await written(form)) == []
    found = [[entry(event(number), number) for number in range(10)] for _ in range(3)]
    told = await pieces(form, *found)
    assert len(read(b"".join(told))) == 30
    assert len(told) in (3, 4, 5), "each page is given out before the next is read"


async def test_too_many_records_for_a_form_are_refused_before_it_begins():
    with pytest.raises(Invalid, match="choose a shorter period"):
        FORMS["pdf"].check(1_000_000)
    with pytest.raises(Invalid, match="too many for pdf"):
        await asyncio.to_thread(FORMS["pdf"].make, heading(1_000_000))
    FORMS["csv"].check(10**9)


def test_forms_have_types_and_suffixes():
    assert {form.suffix for form in FORMS.values()} == {
        ".csv", ".jsonl", ".fhir.json", ".xml", ".pdf",
    }  # fmt: skip
    assert all("/" in form.media_type for form in FORMS.values())


def test_the_digest_of_heads_can_be_made_by_anybody():
    a, b = (Head(f"audit-{n}", n, "a" * 64, "b" * 64, "") for n in (1, 2))
    assert heads_digest([a, b]) == heads_digest([b, a])
    assert heads_digest([a]) != heads_digest([replace(a, last=2)])


@pytest.mark.parametrize("key", audit_texts.TEXTS)
def test_texts_are_there_in_every_language_with_the_same_values(key):
    texts = audit_texts.TEXTS[key]
    assert tuple(texts) == audit_texts.LANGUAGES
    assert all(texts.values())
    names = [{name for _, name, _, _ in string.Formatter().parse(one)} for one in texts.values()]
    assert all(one - {None} == names[0] - {None} for one in names)


def test_numbers_are_written_as_the_language_does():
    told = [audit_texts.number(1234567, language) for language in audit_texts.LANGUAGES]
    assert told == ["1,234,567", "1\u202f234\u202f567", "1.234.567"]
    with pytest.raises(Invalid, match="languages are: en, fr, de"):
        audit_texts.text("title", "la")
