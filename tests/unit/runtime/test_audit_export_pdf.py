"""Reports of the audit trail: what is on their pages, read back."""

from __future__ import annotations

import re
from io import BytesIO

import pytest
from pypdf import PdfReader

from isocenter.core.audit import AuditFilter, Entry, Place
from isocenter.core.audit_api import Finding, Head, PublicKey, TrailState, Verification
from isocenter.core.events import AuditAction, AuditOutcome, Source
from isocenter.runtime.audit_export.forms import FORMS
from isocenter.runtime.audit_export.glyphs import FONT, glyphs
from isocenter.runtime.audit_export.heading import Heading, heads_digest
from support.audited import BEGIN, HOSTILE, event

AT = "2026-01-01T12:00:00.000000+00:00"
HEADS = (
    Head("audit-0", 1200, "a1" * 32, "b2" * 32, AT),
    Head("instances-3", 7, "c3" * 32, "d4" * 32, AT),
)
KEYS = (PublicKey(1, "e5" * 32, AT, "e5" * 32), PublicKey(2, "f6" * 32, AT, "e5" * 32))
SOUND = Verification(1207, 1207, 3, ("audit-0", "instances-3"), keys=KEYS, done=True)


def heading(total: int, **fields) -> Heading:
    values = {
        "which": AuditFilter(),
        "by": Source("DICOMweb", host="192.0.2.9", user="officer", purpose="court order 7"),
        "at": BEGIN,
        "total": total,
        "state": TrailState(HEADS, KEYS, total, 1207),
        "site": "Hôpital",
    }
    return Heading(**{**values, **fields})


async def report(*events, **fields) -> list[str]:
    """The texts of the pages."""

    async def pages():
        for start in range(0, len(events), 1000):
            some = events[start : start + 1000]
            yield [Entry(one, Place("audit-0", at)) for at, one in enumerate(some, start + 1)]

    form = FORMS["pdf"].write(heading(len(events), **fields), pages())
    content = b"".join([piece async for piece in form])
    return [page.extract_text() for page in PdfReader(BytesIO(content)).pages]


def flat(text: str) -> str:
    """Without the ends of lines."""
    return " ".join(text.split())


async def test_the_first_page_says_what_was_asked_by_whom_and_how_whole_the_trail_is():
    which = AuditFilter(
        since=BEGIN, until=BEGIN.replace(day=2), actions=(AuditAction.QUERY, AuditAction.STORE),
        outcomes=(AuditOutcome.FAILURE,), who="Müller", patient_id="P1", study="1.2",
        instance="1.2.3", place="north", text="breast mri",
    )  # fmt: skip
    first = flat(" ".join(await report(event(1), which=which, verification=SOUND)))
    for told in (
        "Asked by officer (DICOMweb, 192.0.2.9)",
        "purpose court order 7",
        "Asked at 2026-01-01 12:00:00.000000 UTC",
        "Site Hôpital",
        "From 2026-01-01 12:00:00.000000 UTC",
        "Before 2026-01-02 12:00:00.000000 UTC",
        "Actions query, store",
        "Outcomes failure",
        "Who Müller",
        "Patient ID P1",
        "Study 1.2",
        "Object 1.2.3",
        "Place north",
        "Words breast mri",
        "1 records, the newest first",
        "of 1,207 sealed records in 3 segments none was added, changed, reordered or removed",
        f"Compare its fingerprint with one that is known from elsewhere: {'e5' * 32}",
        f"Key 1 {'e5' * 32}, since 2026-01-01 12:00:00.000000 UTC",
        f"introduced by {'e5' * 32}",
        "audit-0 record 1,200, sealed at",
        f"seal {'d4' * 32}",
    ):
        assert told in first


async def test_every_page_has_the_head_of_the_table_its_number_and_the_digest_of_the_heads():
    pages = await report(*[event(number) for number in range(120)])
    assert len(pages) > 4
    for number, page in enumerate(pages, 1):
        assert re.search(rf"Page {number} of\s+{len(pages)}\b", page)
        assert f"SHA-256 {heads_digest(HEADS)}" in page
        assert ("When (UTC)" in page) is (number > 1)
    everything = "\n".join(pages)
    for number in range(120):
        assert re.search(rf"\baudit-0 {number + 1}\b", everything)
        assert f"host/up-{number}" in everything
    assert "End of the report: 120 records." in pages[-1]


async def test_a_report_without_records_or_seals_is_one_too():
    pages = await report(state=TrailState((), (), 0, 0))
    assert "All records; no filter." in pages[0]
    assert "Nothing is sealed yet." in pages[0]
    assert "The trail was not verified for this report." in pages[0]
    assert "End of the report: 0 records." in pages[-1]


async def test_a_verification_of_nothing_is_not_told_as_a_trail_that_is_whole():
    told = flat(" ".join(await report(verification=Verification(done=True))))
    assert "The trail was verified, and nothing is sealed yet." in told
    assert "none was added" not in told


async def test_what_a_verification_found_is_told_with_how_much_there_is():
    findings = tuple(Finding("was changed", "audit-0", n, n, AT, AT) for n in range(1, 131))
    result = Verification(5, 1207, 3, keys=KEYS, findings=findings, expired=40, done=True)
    told = flat(" ".join(await report(verification=result, trust=("f6" * 8,))))
    assert "THE VERIFICATION FAILED: 130 findings. 5 sealed records in 3 segments" in told
    assert "audit-0 100-100: was changed" in told
    assert "audit-0 101-101" not in told
    assert "and 30 more findings" in told
    assert "40 records were removed when their retention ended" in told
    assert f"a key whose fingerprint the verifier knew beforehand: {'f6' * 8}" in told


async def test_problems_of_the_trail_are_told():
    state = TrailState((), (), 3, 2, ("the audit index is down",), waiting=4)
    told = flat((await report(state=state))[0])
    assert "Note the audit index is down" in told
    assert "4 events wait in the log" in told
    assert "3 records can be searched; 2 were sealed" in told


@pytest.mark.parametrize(
    ("language", "texts"),
    [
        (
            "fr",
            ["Rapport du journal d'audit", "Page 1 sur", "réussite", "Quand (UTC)", "1\u202f200"],
        ),
        ("de", ["Bericht aus dem Prüfpfad", "Seite 1 von", "Erfolg", "Wann (UTC)", "1.200"]),
    ],
)
async def test_reports_speak_the_language_that_was_asked_for(language, texts):
    told = "\n".join(await report(event(1), language=language, verification=SOUND))
    assert all(text in told for text in texts)
    assert "record" not in told.lower().replace("records", "")


async def test_everything_that_a_record_says_is_on_paper():
    source = Source(
        "DIMSE", "192.0.2.1", "CT1", "ISOCENTER", "", "CN=ct1", known=False, purpose="TREAT"
    )
    record = event(
        1, source=source, studies=("1.2",), series=("1.2.3",), instances=("1.2.3.4",),
        instance_count=7, destination="WS1", error="aborted", query="PatientID=P*",
        digests=("a7" * 32,), process="host/gateway", site="north", trace="0" * 32,
    )  # fmt: skip
    told = "".join((await report(record))[1].split())  # columns are narrower than some texts
    for text in (
        "CT1", "from 192.0.2.1", "over DIMSE", "called AE title ISOCENTER", "certificate CN=ct1",
        "not a known peer", "purpose TREAT", "retrieve", "success", "patient P1", "study 1.2",
        "series 1.2.3", "object 1.2.3.4", "objects in all 7", "C-MOVE", "to WS1", "error aborted",
        "query PatientID=P*", f"SHA-256 {'a7' * 32}", "partition main", "Site north",
        "process host/gateway", "trace", "0" * 32, "Record host/up-1",
    ):  # fmt: skip
        assert text.replace(" ", "") in told


async def test_a_record_that_is_longer_than_a_page_goes_on_over_pages():
    patients = tuple(f"PATIENT-{number:03}" for number in range(100))
    long = "x" * 2000 + " end-of-detail"
    pages = await report(event(1), event(2, patient_ids=patients, detail=long), event(3))
    assert sum("When (UTC)" in page and "PATIENT-" in page for page in pages) == 2
    told = flat(" ".join(pages))
    assert all(patient in told for patient in patients)
    assert told.count("x") >= 2000
    assert "end-of-detail" in told
    assert "audit-0 3" in told


async def test_no_text_is_lost_or_hides_whatever_it_is():
    pages = await report(event(1, detail=HOSTILE, source=Source("DICOMweb", user=HOSTILE)))
    told = flat(pages[1])
    for text in (
        '=1+1[U+0009]"<b>&[U+001B][31m[U+202E][U+1F600][U+000A]', "山田", "太郎", "やまだ",
        "[U+0000]", "Ελένη", "Ñandú", "Жук",
    ):  # fmt: skip
        assert text in told


async def test_every_character_of_unicode_can_be_printed():
    points = [*range(0x3000), *range(0xFB00, 0xFB50), *range(0xFFF0, 0x10010), 0x10FFFF]
    texts = ["".join(map(chr, points[at : at + 500])) for at in range(0, len(points), 500)]
    records = [event(1, detail=text.encode("utf-8", "replace").decode()) for text in texts]
    told = "\n".join(await report(*records))
    assert "[U+0627]" in told
    assert "Ω" in told


@pytest.mark.parametrize(
    ("text", "font"),
    [
        ("Grüße Čapek Ελλάδα Жук हिन्दी Nguyễn", FONT),
        ("山田太郎カナ", "HeiseiKakuGo-W5"),
        ("张伟们", "STSong-Light"),
        ("김철수", "HYGothic-Medium"),
    ],
)
def test_names_are_printed_with_a_font_that_has_their_letters(text, font):
    (line,) = glyphs().wrapped(text, 500, 8)
    assert [name for name, _ in line] == [font]


@pytest.mark.parametrize("width", [20, 50, 120])
def test_no_line_is_wider_than_its_column_and_nothing_is_lost(width):
    text = "several words, one-that-is-much-longer-than-the-column-is-wide 山田太郎 and\u202e more"
    lines = glyphs().wrapped(text, width, 7)
    shown = ["".join(part for _, part in line) for line in lines]
    assert all(glyphs().width(line, 7) <= width for line in lines)
    expected = text.replace("\u202e", "[U+202E]")
    assert "".join(shown).replace(" ", "") == expected.replace(" ", "")
