"""`isocenter audit object`: the story of an object, and whether what is kept is what came."""

from __future__ import annotations

import asyncio
import getpass
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from isocenter.cli.care import import_files
from isocenter.core.events import AuditAction, AuditOutcome
from support.audited import Commands, event
from support.datasets import tiny, write

STUDY, SERIES, OBJECT = "1.2.3", "1.2.3.4", "1.2.3.4.5"


@pytest.fixture
def audit(tmp_path, monkeypatch, capsys) -> Commands:
    """One object was imported."""
    (tmp_path / "data" / "blobs").mkdir(parents=True)
    audit = Commands(tmp_path / "data", monkeypatch, capsys, "storage.reserve_bytes=0")
    take(audit, tmp_path, PatientID="P1")
    capsys.readouterr()
    return audit


def take(audit: Commands, folder: Path, **values: str) -> None:
    file = write(tiny(STUDY, SERIES, OBJECT, **values), folder / "object.dcm")
    assert asyncio.run(import_files(audit.trail.settings, [file])) == 0
    asyncio.run(audit.trail.take_in())


def the_object(audit: Commands) -> Path:
    (file,) = (audit.trail.data / "blobs" / "objects").rglob("*.dcm")
    return file


def test_what_is_kept_is_what_somebody_sent(audit: Commands) -> None:
    now = datetime.now(UTC)
    audit.keep(event(1, id="later", at=now, studies=(STUDY,), patient_ids=()))
    told = audit("object", OBJECT).splitlines()
    digest = the_object(audit).stem.split("@")[-1]
    assert told[0].startswith("when (UTC)")
    assert " import " in told[1]
    assert told[2].strip() == f"SHA-256 {digest}"
    assert " retrieve " in told[3]
    assert told[5].startswith(f"{digest}: this is what {getpass.getuser()} (")
    assert f"sent on {now:%Y-%m-%d}" in told[5]
    assert told[5].endswith("(record 1 of instances-0)")
    shown = json.loads(audit("object", OBJECT, "--json"))
    assert [one["action"] for one in shown["records"][:2]] == ["import", "retrieve"]
    assert [(one["digest"], one["sound"]) for one in shown["kept"]] == [(digest, True)]
    left = audit.left()
    reading = next(one for one in left if one.detail == "audit trail story of an object")
    assert (reading.action, reading.instances) == (AuditAction.AUDIT, (OBJECT,))


def test_what_is_not_what_was_stored_is_told(audit: Commands) -> None:
    file = the_object(audit)
    file.chmod(0o600)
    file.write_bytes(file.read_bytes().replace(b"P1", b"P2"))
    told = audit("object", OBJECT, code=1).splitlines()
    assert "is NOT what was stored" in told[-1]
    failed = [one for one in audit.left() if one.outcome is AuditOutcome.FAILURE]
    assert [(one.action, one.instances) for one in failed] == [(AuditAction.VERIFY, (OBJECT,))]


def test_an_object_that_no_record_tells_of_is_told(audit: Commands) -> None:
    file = the_object(audit)
    other = write(tiny(STUDY, SERIES, OBJECT, PatientID="P9"), file.with_name("other"))
    content = other.read_bytes()
    other.unlink()
    from hashlib import sha256

    digest = sha256(content).hexdigest()
    file.with_name(f"{OBJECT}@{digest}.dcm").write_bytes(content)
    told = audit("object", OBJECT, code=1).splitlines()
    assert f"{digest}: no record of the trail says who sent it" in told


def test_every_version_has_its_sender(audit: Commands, tmp_path: Path) -> None:
    take(audit, tmp_path, PatientID="P2")
    kept = [line for line in audit("object", OBJECT).splitlines() if ": this is what" in line]
    assert len(kept) == 2


def test_an_object_that_is_gone_has_a_story_still(audit: Commands) -> None:
    the_object(audit).unlink()
    assert audit("object", OBJECT).splitlines()[-1] == "nothing is kept under this UID now"


def test_there_is_no_story_of_what_nobody_knows(audit: Commands) -> None:
    audit("object", "1.2.9", code=1)
    assert "no record of the trail is about the object 1.2.9" in audit.err
    audit("object", "1.2.x", code=1)
    assert "no SOP Instance UID" in audit.err
