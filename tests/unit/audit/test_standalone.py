"""The stand-alone verifier as an expert runs it: a file, a Python, a folder."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from isocenter.audit.seals import KEYS, Signed, folder_of, key_key
from support.standalone_runs import SOURCE, Run, either, run, trail, whole
from support.tampering import CHAIN, OTHER, is_located
from support.trails import (
    BEGIN,
    Before,
    KeptTrail,
    Signer,
    expiry,
    make,
    records,
    segment,
)

__all__ = ["either", "run", "trail", "whole"]

# --- It needs nothing


def test_it_needs_nothing_but_the_standard_library() -> None:
    tree = ast.parse(SOURCE.read_text(), feature_version=(3, 9))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }
    assert imported <= sys.stdlib_module_names


def test_it_explains_itself(run: Run) -> None:
    answer = run("--help")
    assert (answer.code, answer.errors) == (0, "")
    assert {"--trust", "--heads", "--proof", "--json"} <= set(re.findall(r"--\w+", answer.text))


# --- A trail that is as it was


def test_a_whole_trail_is_verified(run: Run, either: KeptTrail) -> None:
    answer = run(either.folder)
    assert answer.code == 0, answer.text
    assert not answer.findings
    assert not answer.notes
    assert "535 records verified" in answer.text
    assert "100 records expired" in answer.text
    for signer in either.signers:
        assert signer.id in answer.text


def test_machines_are_told_as_much(run: Run, whole: KeptTrail) -> None:
    told = run(whole.folder, "--json").json
    assert told["records"] == 535
    assert told["expired"] == 100
    assert told["segments"] == 9
    assert told["stamps"] == 1
    assert told["chains"][OTHER] == {"segments": 3, "records": 135}
    assert told["since"] == whole.seals(CHAIN)[0].since
    assert told["until"] == whole.seals(CHAIN)[-1].until
    assert [key["fingerprint"] for key in told["keys"]] == [one.id for one in whole.signers]
    assert told["findings"] == []
    assert told["notes"] == []


def test_findings_for_machines_say_where(run: Run, trail: KeptTrail) -> None:
    seal = trail.seals(CHAIN)[3]
    trail.remove(seal.lines_key)
    answer = run(trail.folder, "--json")
    assert answer.code == 1
    (finding,) = answer.json["findings"]
    assert {name: finding[name] for name in ("chain", "first", "last", "since", "until")} == {
        "chain": CHAIN,
        "first": seal.first,
        "last": seal.last,
        "since": seal.since,
        "until": seal.until,
    }
    assert finding["file"] == seal.lines_key


async def test_chains_go_on_behind_a_million_records(run: Run, tmp_path: Path) -> None:
    """The folders of their segments are others then."""
    by, chain, before = Signer(), "audit-9", Before()
    trail = KeptTrail(tmp_path, [by], embedded=True)
    trail.write(key_key(1), by.key(1).file)
    # Nobody makes a million records for a test: the first seal says that they were there.
    first = segment(chain, before, records(chain, 1, 3, BEGIN), by, BEGIN)
    seal = replace(first.seal, last=1_000_000)
    signed = Signed.by(by.private, seal)
    trail.write(f"{seal.folder}seal", signed.file)
    trail.write(f"{seal.folder}expired", expiry(seal, signed, by).file)
    before = Before(seal.last, seal.head, signed.digest)
    for count in (5, 2_000_000, 3):
        made = segment(
            chain, before, records(chain, before.last + 1, min(count, 5), BEGIN), by, BEGIN
        )
        trail.put(made)
        before = made.end
    answer = run(tmp_path)
    assert answer.code == 0, answer.text
    assert folder_of(chain, 1_000_001) in " ".join(trail.keys())


# --- What is trusted


def test_without_trust_it_says_what_all_rests_on(run: Run, whole: KeptTrail) -> None:
    lines = run(whole.folder).text.splitlines()
    rests = next(at for at, line in enumerate(lines) if "All rests on this key" in line)
    assert whole.signers[0].id in lines[rests - 1]
    assert "All rests" not in run(whole.folder, "--trust", whole.signers[0].id).text


@pytest.mark.parametrize(
    "written",
    [
        lambda known: known,
        lambda known: known[:16],
        lambda known: known.upper(),
        lambda known: ":".join(re.findall("..", known)),
    ],
    ids=["whole", "beginning", "upper case", "colons"],
)
def test_a_key_that_is_known_is_trusted(
    run: Run, whole: KeptTrail, written: Callable[[str], str]
) -> None:
    assert run(whole.folder, "--trust", written(whole.signers[0].id)).code == 0


def test_another_key_is_not_what_was_trusted(run: Run, whole: KeptTrail) -> None:
    answer = run(whole.folder, "--trust", Signer().id)
    assert answer.code == 1
    assert is_located(answer.findings, ("key", 1, "not one that you trust"))
    assert is_located(answer.findings, (CHAIN, 1))


def test_a_trail_that_was_made_anew_is_found_with_the_key_that_is_known(
    run: Run, whole: KeptTrail, tmp_path: Path
) -> None:
    """All of it, with keys that follow each other as they must: only who knows a key sees it."""
    anew = asyncio.run(make(tmp_path / "anew"))
    assert run(anew.folder).code == 0
    assert run(anew.folder, "--trust", whole.signers[0].id).code == 1


def test_a_key_that_nobody_introduced_is_taken_if_it_is_known(run: Run, trail: KeptTrail) -> None:
    """The key was lost, and a new one made: whoever knows it says so."""
    lost, new = trail.signers[2], Signer()
    trail.write(key_key(4), new.key(4).file)
    seal, signed = trail.seals(CHAIN)[-1], trail.signed(CHAIN)[-1]
    end = Before(seal.last, seal.head, signed.digest)
    trail.put(segment(CHAIN, end, records(CHAIN, 501, 9, BEGIN), new, BEGIN + timedelta(days=1)))
    assert is_located(run(trail.folder).findings, (CHAIN, 501, 509))
    both = ("--trust", trail.signers[0].id, "--trust", new.id)
    assert run(trail.folder, *both).code == 0
    assert run(trail.folder, "--trust", new.id).code == 1, "of the first key nothing is known"
    assert lost.id in run(trail.folder, *both).text


def test_what_a_trusted_key_introduces_is_trusted(run: Run, trail: KeptTrail) -> None:
    """The file of the first key is gone; whoever trusts the second needs it no more, but for the
    seals that it made."""
    trail.remove(key_key(1))
    findings = run(trail.folder, "--trust", trail.signers[1].id).findings
    assert is_located(findings, (CHAIN, 1, 200))
    assert not is_located(findings, (key_key(3),))
    assert not is_located(findings, (CHAIN, 401, 500))


@pytest.mark.parametrize("name", ["000000", "000001"])
def test_a_key_in_front_of_the_first_one_introduces_nothing(
    run: Run, trail: KeptTrail, name: str
) -> None:
    mallory = Signer()
    trail.write(f"{KEYS}{name}", mallory.key(int(name)).file)
    assert run(trail.folder).code == 1


def test_a_key_without_the_first_one_introduces_nothing(run: Run, trail: KeptTrail) -> None:
    """Not even itself, if its number says that there was one."""
    trail.remove(*trail.keys(KEYS))
    trail.write(key_key(2), Signer().key(2).file)
    assert is_located(run(trail.folder).findings, ("key 2", "not introduced"))


def test_a_key_lies_where_its_number_says(run: Run, trail: KeptTrail) -> None:
    trail.write(key_key(7), trail.read(key_key(3)))
    assert is_located(run(trail.folder).findings, (key_key(7), "key 3", "moved"))


# --- What was published


def test_what_was_published_is_in_the_trail(run: Run, whole: KeptTrail, tmp_path: Path) -> None:
    heads = tmp_path / "heads"
    heads.write_text(f"\n{whole.heads()}")
    assert run(whole.folder, "--heads", heads).code == 0
    collected = [
        f"<110>1 2026-03-01T08:00:00Z pacs - - - {one}" for one in whole.heads().split("\n")
    ]
    heads.write_text("\n".join(collected[:-1]))
    assert run(whole.folder, "--heads", heads).code == 0


@pytest.mark.parametrize("name", ["head", "seal"])
def test_another_end_than_was_published_is_found(
    run: Run, whole: KeptTrail, tmp_path: Path, name: str
) -> None:
    """The same number of records, but others."""
    published = json.loads(whole.heads().splitlines()[3])
    published["heads"][0][name] = "a" * 64
    heads = tmp_path / "heads"
    heads.write_text(json.dumps(published))
    answer = run(whole.folder, "--heads", heads)
    assert answer.code == 1
    assert is_located(answer.findings, (CHAIN, 400, published["at"]))


@pytest.mark.parametrize(
    "text",
    ["", "garbage", "{}", "[]", '{"at":"now","heads":[]}', '{"at":"now","heads":[{}]}'],
)
def test_what_is_no_publication_is_refused(
    run: Run, whole: KeptTrail, tmp_path: Path, text: str
) -> None:
    heads = tmp_path / "heads"
    heads.write_text(text)
    answer = run(whole.folder, "--heads", heads)
    assert answer.code == 2
    assert str(heads) in answer.errors


# --- Proofs


def proof_file(folder: Path, proof: Mapping[str, Any]) -> Path:
    path = folder / "proof.json"
    path.write_text(json.dumps(proof))
    return path


@pytest.mark.parametrize(
    ("chain", "sequence"),
    [(CHAIN, 101), (CHAIN, 137), (CHAIN, 200), (CHAIN, 401), (CHAIN, 500), (OTHER, 1), (OTHER, 71)],
)
def test_a_record_is_proven_by_itself(
    run: Run, whole: KeptTrail, tmp_path: Path, chain: str, sequence: int
) -> None:
    proof = proof_file(tmp_path, whole.proof(chain, sequence))
    answer = run("--proof", proof)
    assert answer.code == 0, answer.text
    assert whole.signers[0].id in answer.text
    assert is_located(answer.notes, ("record", sequence, "of chain", chain, "proven"))
    assert run("--proof", proof, "--trust", whole.signers[0].id).code == 0
    assert run("--proof", proof, "--trust", Signer().id).code == 1


WRONG_PROOFS: Mapping[str, Callable[[dict[str, Any]], None]] = {
    "another record": lambda proof: proof.update(line=proof["line"].replace("eva", "eve")),
    "another number": lambda proof: proof.update(sequence=proof["sequence"] + 1),
    "another place": lambda proof: proof.update(
        sequence=proof["sequence"] + 1, index=proof["index"] + 1
    ),
    "another index": lambda proof: proof.update(index=proof["index"] + 1),
    "another count": lambda proof: proof.update(count=proof["count"] + 1),
    "another chain": lambda proof: proof.update(chain="audit-1"),
    "a longer path": lambda proof: proof["path"].append("0" * 64),
    "a shorter path": lambda proof: proof["path"].pop(),
    "a swapped path": lambda proof: proof["path"].reverse(),
    "another sibling": lambda proof: proof["path"].__setitem__(0, "0" * 64),
    "another seal": lambda proof: proof.update(seal=proof["seal"].replace(":300,", ":400,")),
    "no keys": lambda proof: proof.update(keys=[]),
    "its key only": lambda proof: proof.update(keys=proof["keys"][1:]),
    "keys in another order": lambda proof: proof["keys"].reverse(),
    "a key of somebody else": lambda proof: proof.update(
        keys=[Signer().key(1).file.decode(), *proof["keys"][1:]]
    ),
    "half of a character": lambda proof: proof.update(line=proof["line"] + "\ud800"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_PROOFS)
def test_what_proves_nothing_is_found(
    run: Run, whole: KeptTrail, tmp_path: Path, name: str
) -> None:
    proof = whole.proof(CHAIN, 237)
    WRONG_PROOFS[name](proof)
    answer = run("--proof", proof_file(tmp_path, proof))
    assert answer.code == 1, answer.text
    assert answer.findings


def test_a_proof_by_somebody_else_rests_on_his_key(
    run: Run, whole: KeptTrail, tmp_path: Path
) -> None:
    """Whoever makes keys can make a proof of anything, for those who ask for no key."""
    anew = asyncio.run(make(tmp_path / "anew", {CHAIN: (100, 100)}))
    proof = proof_file(tmp_path, anew.proof(CHAIN, 137))
    assert anew.signers[0].id in run("--proof", proof).text
    assert run("--proof", proof, "--trust", whole.signers[0].id).code == 1


@pytest.mark.parametrize("text", ["", "garbage", "[]", '{"format":"isocenter audit proof 2"}'])
def test_what_is_no_proof_is_refused(run: Run, tmp_path: Path, text: str) -> None:
    path = tmp_path / "proof.json"
    path.write_text(text)
    answer = run("--proof", path)
    assert answer.code == 2
    assert str(path) in answer.errors
