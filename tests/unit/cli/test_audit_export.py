"""`isocenter audit export`: the file, and what is refused."""

from __future__ import annotations

import csv
import json
from io import BytesIO, StringIO
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from fhir.resources.R4B.bundle import Bundle
from pypdf import PdfReader

from isocenter.core.events import AuditAction
from support.audited import HOSTILE, Commands, event


def keep_some(audit: Commands) -> None:
    audit.keep(event(1), event(2, detail=HOSTILE), event(3, action=AuditAction.QUERY))


def text_of(file: Path) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(BytesIO(file.read_bytes())).pages)


@pytest.mark.parametrize(
    ("form", "count"),
    [
        ("csv", lambda text: len(list(csv.DictReader(StringIO(text, newline=""))))),
        ("jsonl", lambda text: len([json.loads(line) for line in text.splitlines()])),
        ("fhir", lambda text: len(Bundle.model_validate_json(text).entry)),
        ("dicom", lambda text: len(ET.fromstring(text))),
    ],
)
def test_a_file_has_all_records_and_is_the_same_as_what_is_printed(
    audit, tmp_path, form, count
) -> None:
    keep_some(audit)
    file = tmp_path / "file"
    audit("export", "--form", form, "--output", str(file))
    assert "exported: 3 records" in audit.err
    content = file.read_bytes().decode()
    assert count(content) == 3
    assert count(audit("export", "--form", form)) == 3
    assert count(audit("export", "--form", form, "--action", "query")) == 1
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith("file")] == ["file"]


def test_a_report_says_what_was_asked_and_whether_it_was_verified(
    audit: Commands, tmp_path: Path
) -> None:
    keep_some(audit)
    key = json.loads(audit("keys", "--json"))["id"]
    file = tmp_path / "report.pdf"
    audit("export", "--form", "pdf", "-o", str(file), "--text", "c-move")
    plain = text_of(file)
    assert "Words c-move" in plain
    assert "The trail was not verified for this report." in plain
    file.unlink()
    audit(
        "export", "--form", "pdf", "-o", str(file), "--verify", "--trust", key, "--language", "de"
    )
    told = text_of(file)
    assert "Von 3 versiegelten Einträgen in 1 Segmenten wurde keiner hinzugefügt" in told
    assert "vorher kannte" in told
    assert key in told


def test_a_report_of_a_trail_that_was_changed_says_so_and_so_does_the_exit_code(
    audit: Commands, tmp_path: Path
) -> None:
    keep_some(audit)
    audit.trail.files("@seal")[0].write_text("garbage")
    file = tmp_path / "report.pdf"
    audit("export", "--form", "pdf", "-o", str(file), "--verify", code=1)
    assert "THE VERIFICATION FAILED" in text_of(file)


def test_an_export_is_recorded_with_what_was_asked_and_where_it_went(
    audit: Commands, tmp_path: Path
) -> None:
    keep_some(audit)
    audit("export", "--form", "csv", "-o", str(tmp_path / "f.csv"), "--patient", "P1", "--verify")
    exported, verified = audit.left()
    assert exported.action is AuditAction.AUDIT
    assert exported.detail == f"audit trail export as csv to {tmp_path / 'f.csv'}"
    assert (exported.patient_ids, exported.query) == (("P1",), "patient_id=P1")
    assert verified.action is AuditAction.VERIFY


def test_what_stands_in_the_way_is_told_and_leaves_no_half_file(
    audit: Commands, tmp_path: Path
) -> None:
    keep_some(audit)
    file = tmp_path / "file"
    file.write_text("mine")
    audit("export", "--form", "csv", "-o", str(file), code=1)
    assert "exists already" in audit.err
    assert file.read_text() == "mine"
    audit("export", "--form", "csv", "-o", str(tmp_path / "none" / "file"), code=1)
    assert "No such file" in audit.err
    audit("export", "--form", "csv", "--who", "CT*", code=1)
    assert "matched exactly" in audit.err
    audit("export", "--form", "odt", code=2)
    audit("export", "--form", "csv", "--verify", "--trust", "abc", code=1)
    assert "16 to 64 digits" in audit.err
