"""`isocenter audit keys`, `rotate-key` and `rebuild`."""

from __future__ import annotations

import gzip
import json
import shutil

from isocenter.core.events import AuditAction, AuditOutcome
from support.audited import Commands, event


def listed(audit: Commands) -> list[str]:
    return [json.loads(line)["id"] for line in audit("list", "--all", "--json").splitlines()]


def test_keys_are_listed_and_the_new_one_is_introduced_by_the_old_one(audit: Commands) -> None:
    assert audit("keys") == "no key has sealed anything yet\n"
    audit.keep(event(1))
    (first,) = [json.loads(line) for line in audit("keys", "--json").splitlines()]
    assert first["signs"]
    told = audit("rotate-key")
    one, two = [json.loads(line) for line in audit("keys", "--json").splitlines()]
    assert two["id"] in told
    assert (one["signs"], two["signs"]) == (False, True)
    assert (two["number"], two["introduced_by"]) == (2, first["id"])
    table = audit("keys").splitlines()
    assert table[1].endswith("itself")
    assert table[2].endswith(f"{first['id'][:16]}  signs now")
    audit.keep(event(2))
    assert "no findings" in audit("verify", "--trust", first["id"])
    assert audit.left()[0].detail == "a new key of the audit trail"


def test_a_first_key_can_be_made_before_anything_is_sealed(audit: Commands) -> None:
    audit("rotate-key")
    audit.keep(event(1))
    assert "no findings" in audit("verify")


def test_keys_of_somebody_else_are_not_rotated_here(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "data" / "blobs").mkdir(parents=True)
    keys = tmp_path / "keys"
    audit = Commands(tmp_path / "data", monkeypatch, capsys, f"audit.keys={keys}")
    audit("rotate-key", code=1)
    assert f"audit.keys is {keys}" in audit.err
    assert "openssl genpkey -algorithm ed25519" in audit.err
    assert audit.left() == []
    audit("keys")


def test_the_index_is_filled_anew_from_what_is_sealed(audit: Commands) -> None:
    audit.keep(*[event(number) for number in range(1200)])
    audit.keep(event(1200), event(1201))
    audit.keep(event(1202), seal=False)
    before = listed(audit)
    assert len(before) == 1203
    audit("rebuild")
    assert "indexed: 1,202 records" in audit.err
    assert listed(audit) == before
    shutil.rmtree(audit.trail.data / "audit")
    assert listed(audit) == []
    audit("rebuild")
    assert listed(audit) == before[1:]
    details = [one.detail for one in audit.left() if "index" in one.detail]
    assert details == ["the audit index is filled anew"] * 2


def test_what_somebody_changed_in_the_index_is_again_as_it_was_sealed(audit: Commands) -> None:
    audit.keep(event(1), event(2))
    sealed = audit.trail.data / "blobs"
    aside = sealed.with_name("aside")
    sealed.rename(aside)
    shutil.rmtree(audit.trail.data / "audit")
    audit.keep(event(1, detail="somebody else's"), event(2))  # another trail, in the same index
    shutil.rmtree(sealed)
    aside.rename(sealed)
    assert "somebody else's" in audit("show", "host/up-1")
    audit("rebuild")
    assert "detail            C-MOVE" in audit("show", "host/up-1")
    assert listed(audit) == ["host/up-2", "host/up-1"]


def test_a_segment_that_cannot_be_read_is_told_and_the_others_are_filled(audit: Commands) -> None:
    audit.keep(event(1))
    audit.keep(event(2))
    lines = audit.trail.files(".jsonl.gz")[0]
    lines.write_bytes(gzip.compress(b"{}\n"))
    audit("rebuild", code=1)
    assert "not readable: 1" in audit.err
    assert "is not what was sealed" in audit.err
    assert listed(audit) == ["host/up-2", "host/up-1"], "the index may be all that is left of it"


def test_a_change_that_fails_is_recorded_as_such(audit: Commands) -> None:
    audit("hold", "release", "none", code=1)
    begun, failed = audit.left()
    assert (begun.action, begun.outcome) == (AuditAction.AUDIT, AuditOutcome.SUCCESS)
    assert (failed.outcome, failed.detail) == (AuditOutcome.FAILURE, begun.detail)
    assert "nothing named 'none'" in failed.error
