"""`isocenter audit verify`, `prove`, `check-proof` and `verifier`."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import orjson
import pytest

from isocenter.audit import standalone
from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.runtime.audit_reading import VERIFIED
from support.audited import HOSTILE, Commands, event

STRANGER = "0123456789abcdef"


def keep_some(audit: Commands) -> None:
    audit.keep(event(1), event(2, detail=HOSTILE), event(3))
    audit.keep(event(4), event(5))


def fingerprint(audit: Commands) -> str:
    return str(json.loads(audit("keys", "--json").splitlines()[0])["id"])


def change_a_record(audit: Commands) -> None:
    lines = audit.trail.files(".jsonl.gz")[0]
    lines.write_bytes(gzip.compress(gzip.decompress(lines.read_bytes()).replace(b"P2", b"P7")))


def test_a_whole_trail_is_verified_and_that_is_recorded(audit: Commands) -> None:
    keep_some(audit)
    key = fingerprint(audit)
    told = audit("verify")
    assert "5 records of 1 chains in 2 segments are as they were sealed" in told
    assert f"it rests on key 1: {key}" in told
    assert "--trust" in told
    assert told.endswith("no findings\n")
    assert "verified: 5 records" in audit.err
    assert "/s)" in audit.err
    assert f"which you trust: {key}" in audit("verify", "--trust", key[:16].upper())
    one, _ = audit.left()
    assert (one.action, one.outcome, one.error) == (AuditAction.VERIFY, AuditOutcome.SUCCESS, "")
    assert one.detail.startswith(VERIFIED)
    result = json.loads(audit("verify", "--json"))
    assert (result["records"], result["findings"], result["rests_on"]) == (5, [], [key])


def test_what_was_changed_is_found_with_its_place_and_recorded(audit: Commands) -> None:
    keep_some(audit)
    change_a_record(audit)
    told = audit("verify", code=1).splitlines()
    assert told[0].startswith("audit-0 1-3: record 2 was changed")
    assert told[-1] == "findings: 1"
    (one,) = audit.left()
    assert (one.action, one.outcome) == (AuditAction.VERIFY, AuditOutcome.FAILURE)
    assert one.error.startswith("audit-0 1-3: record 2 was changed")
    (finding,) = json.loads(audit("verify", "--json", code=1))["findings"]
    assert (finding["chain"], finding["first"], finding["last"]) == ("audit-0", 1, 3)


def test_a_trail_in_which_nothing_is_sealed_yet_is_no_finding(audit: Commands) -> None:
    assert audit("verify") == "nothing is sealed yet\n"
    assert "there is no key" in audit("verify", "--trust", STRANGER, code=1)


def test_a_key_that_is_not_the_trusted_one_is_found(audit: Commands) -> None:
    keep_some(audit)
    assert "was not introduced" in audit("verify", "--trust", STRANGER, code=1)
    for wrong in ("abc", "x" * 16, "0" * 65):
        audit("verify", "--trust", wrong, code=1)
        assert "16 to 64 digits" in audit.err


def test_an_end_that_was_cut_off_is_found_by_what_was_published(
    audit: Commands, tmp_path: Path
) -> None:
    keep_some(audit)
    seal = orjson.loads(audit.trail.files("@seal")[-1].read_bytes().split(b"\n")[0])
    head = {"chain": "audit-0", "last": 5, "head": seal["head"], "seal": "f" * 64}
    heads = tmp_path / "heads"
    heads.write_text(json.dumps({"at": "2026-01-02T00:00:00+00:00", "heads": [head]}) + "\n")
    heads.write_text(heads.read_text().replace(": ", ":").replace(", ", ","))
    told = audit("verify", "--heads", str(heads), code=1)
    assert "records of audit-0 up to 5 were published" in told
    heads.write_text("nothing of that kind\n")
    audit("verify", "--heads", str(heads), code=1)
    assert "line 1 holds no heads" in audit.err
    audit("verify", "--heads", str(tmp_path / "none"), code=1)
    assert "No such file" in audit.err


def test_a_trail_is_verified_though_nothing_can_be_recorded(audit: Commands) -> None:
    keep_some(audit)
    for part in ("log", "blobs/outbox"):
        shutil.rmtree(audit.trail.data / part, ignore_errors=True)
        (audit.trail.data / part).write_text("no folder")
    staging = audit.trail.data / "blobs" / ".staging"
    shutil.rmtree(staging, ignore_errors=True)
    staging.write_text("no folder")
    assert "no findings" in audit("verify")
    assert "this verification leaves no record in the trail: " in audit.err


def test_one_record_is_proved_to_whoever_has_the_file_and_a_fingerprint(
    audit: Commands, tmp_path: Path
) -> None:
    keep_some(audit)
    key = fingerprint(audit)
    proof = tmp_path / "proof.json"
    proof.write_text(audit("prove", "host/up-2"))
    told = audit("check-proof", str(proof), "--trust", key, on_data=False)
    assert "this record was sealed as it is here" in told
    assert f"which you trust: {key}" in told
    assert told.replace("\n", "").isprintable()
    shown = json.loads(audit("check-proof", str(proof), "--json", on_data=False))
    assert (shown["record"]["id"], shown["record"]["detail"]) == ("host/up-2", HOSTILE)
    assert (shown["chain"], shown["sequence"], shown["rests_on"]) == ("audit-0", 2, [key])
    audit("check-proof", str(proof), "--trust", STRANGER, on_data=False, code=1)
    assert "none of the keys" in audit.err
    assert [one.detail for one in audit.left()] == ["audit trail proof of record host/up-2"]


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("line", lambda line: line.replace("P2", "P7"), "not the one that was sealed"),
        ("index", lambda index: index + 1, "of another record"),
        ("sequence", lambda number: number + 1, "of another record"),
        ("count", lambda count: count + 1, "of another record"),
        ("chain", lambda _: "audit-1", "of another record"),
        ("path", lambda path: path[::-1], "not the one that was sealed"),
        ("seal", lambda seal: seal.replace('"last":3', '"last":4'), "not signed by a key"),
        ("keys", lambda _: [], "none of the keys"),
        ("format", lambda _: "another", "no proof of a record"),
        ("index", lambda _: "1", "no proof of a record"),
        ("path", lambda _: ["zz"], "no proof of a record"),
        ("seal", lambda _: "garbage", "is no signed file"),
    ],
)
def test_a_proof_that_was_changed_proves_nothing(audit, tmp_path, name, value, why) -> None:
    keep_some(audit)
    fields = json.loads(audit("prove", "host/up-2"))
    fields[name] = value(fields[name])
    proof = tmp_path / "proof.json"
    proof.write_text(json.dumps(fields))
    audit("check-proof", str(proof), on_data=False, code=1)
    assert why in audit.err
    assert "audit prove" in audit.err or "changed" in audit.err


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"null", b"\xff\xfe", b"a" * 100])
def test_garbage_is_no_proof(audit: Commands, tmp_path: Path, content: bytes) -> None:
    proof = tmp_path / "proof.json"
    proof.write_bytes(content)
    audit("check-proof", str(proof), on_data=False, code=1)
    assert "no proof of a record" in audit.err
    audit("check-proof", str(tmp_path / "none"), on_data=False, code=1)
    assert "No such file" in audit.err


def test_what_is_not_sealed_or_not_there_cannot_be_proved(audit: Commands) -> None:
    audit.keep(event(1), seal=False)
    audit("prove", "host/up-1", code=1)
    assert "is not sealed yet" in audit.err
    assert "seal_seconds" in audit.err
    audit("prove", "host/up-9", code=1)
    assert "there is no audit record" in audit.err


def test_the_verifier_is_printed_as_it_is(audit: Commands) -> None:
    printed = audit("verifier", on_data=False)
    assert printed == Path(str(standalone.__file__)).read_text()
