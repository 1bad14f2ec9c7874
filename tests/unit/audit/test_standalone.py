"""The stand-alone verifier as an expert runs it: a file, a Python, a folder."""

from __future__ import annotations

import argparse
import ast
import asyncio
import base64
import gzip
import json
import os
import re
import resource
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from isocenter.audit import standalone
from isocenter.audit.seals import KEYS, Signed, folder_of, key_key
from support.tampering import CHAIN, OTHER, TAMPERINGS, Tampering, flip, is_located
from support.trails import (
    BEGIN,
    Before,
    KeptTrail,
    Signer,
    expiry,
    make,
    records,
    same_records,
    segment,
)

SOURCE = Path(standalone.__file__)
MIB = 1 << 20


@dataclass(frozen=True)
class Answer:
    """What the program said."""

    code: int
    text: str
    errors: str

    @property
    def findings(self) -> list[str]:
        return [line for line in self.text.splitlines() if line.startswith("FINDING: ")]

    @property
    def notes(self) -> list[str]:
        return [line for line in self.text.splitlines() if line.startswith("NOTE: ")]

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.text)


Run = Callable[..., Answer]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a copy of the file, far from the project, in a Python that sees neither it nor any
    other package."""
    home = tmp_path_factory.mktemp("verifier")
    program = home / "verify_audit.py"
    program.write_bytes(SOURCE.read_bytes())

    def run(*arguments: str | Path, bound: int = 0) -> Answer:
        """`bound`: bytes of address space, of which Python itself takes a part."""

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_AS, (bound, bound))

        done = subprocess.run(
            [sys.executable, "-I", "-S", program, *arguments],
            cwd=home,
            env={},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            preexec_fn=limit if bound else None,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Answer(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> KeptTrail:
    """A trail that nobody has touched; tests do not, either."""
    return asyncio.run(make(tmp_path_factory.mktemp("trail")))


@pytest.fixture
def trail(whole: KeptTrail, tmp_path: Path) -> KeptTrail:
    """A copy to be tampered with."""
    return whole.copy(tmp_path / "copy", embedded=False)


@pytest.fixture(params=[False, True], ids=["plain", "embedded"])
def either(whole: KeptTrail, tmp_path: Path, request: pytest.FixtureRequest) -> KeptTrail:
    """A copy in each of the two forms."""
    return whole.copy(tmp_path / "copy", embedded=request.param)


def verified(trail: KeptTrail) -> standalone.Trail:
    """The same without a process, for what is tried many times."""
    options = argparse.Namespace(folder=trail.folder, trust=[], heads=None, proof=None)
    return standalone.verified(options)


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


# --- Tampering


@pytest.mark.parametrize(
    ("tampering", "embedded"),
    [(one, number % 2 == 0) for number, one in enumerate(TAMPERINGS)],
    ids=[one.name for one in TAMPERINGS],
)
def test_tampering_is_found_and_located(
    run: Run, whole: KeptTrail, tmp_path: Path, tampering: Tampering, embedded: bool
) -> None:
    copy = whole.copy(tmp_path / "copy", embedded=embedded)
    tampering.do(copy)
    arguments: list[str | Path] = [copy.folder]
    if tampering.needs_heads:
        assert run(copy.folder).code == 0, "nothing in the folder shows it"
        (tmp_path / "heads").write_text(whole.heads())
        arguments += ["--heads", tmp_path / "heads"]
    answer = run(*arguments)
    assert answer.code == 1, answer.text
    assert is_located(answer.findings, tampering.words), answer.text


async def test_no_byte_of_a_trail_can_be_changed(tmp_path: Path) -> None:
    """A small trail, each file, many bytes; without a process for each."""
    trail = await make(tmp_path, {CHAIN: (3, 2, 1)})
    assert not verified(trail).findings
    every = trail.keys()
    for key in every:
        content = trail.read(key)
        if key.endswith("/stamp.tsr"):
            continue  # that is for those who know who made it
        for at in range(len(content) % 37, len(content), 37):
            trail.write(key, flip(content, at))
            assert verified(trail).findings, (key, at)
        trail.write(key, content)
    assert not verified(trail).findings


def test_one_change_gives_one_finding(run: Run, trail: KeptTrail) -> None:
    """Who reads the findings is not to be buried in what follows from one."""
    seal = trail.seals(CHAIN)[2]
    lines = trail.lines(seal)
    trail.put_lines(seal, [*lines[:50], lines[50].replace(b"eva", b"eve"), *lines[51:]])
    (finding,) = run(trail.folder).findings
    assert "record 251 was changed" in finding
    assert seal.since in finding
    assert seal.until in finding
    assert "350" not in finding.partition("what was sealed")[2]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"root": "a" * 64}, ("root",)),
        ({"head": "a" * 64}, ("record 500 was changed",)),
        ({"records": "a" * 64}, ("missing",)),
        ({"size": 1}, ("not what was sealed",)),
        ({"last": 501}, ("record 501 is missing",)),
        ({"last": 499}, ("record 500 is not of this segment",)),
        ({"last": 401}, ("no records",)),
        ({"previous": "a" * 64}, ("not the one that it names", 401)),
        ({"previous": "b" * 64}, ("record 402 does not follow record 401",)),
        ({"previous_seal": "a" * 64}, ("not the one that it names", 401)),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_seal_that_is_not_of_its_records_is_found(
    run: Run, trail: KeptTrail, changes: dict[str, Any], words: tuple[str | int, ...]
) -> None:
    """Signed by one who may: a mistake, or an insider."""
    by, seal = trail.signers[2], replace(trail.seals(CHAIN)[5], **changes)
    trail.write(f"{seal.folder}seal", Signed.by(by.private, seal).file)
    assert is_located(run(trail.folder).findings, (CHAIN, 402, *words))


def test_records_that_are_sealed_twice_are_found(run: Run, trail: KeptTrail) -> None:
    """By one who may: another segment behind the records up to 150."""
    seal = trail.seals(CHAIN)[1]
    head = json.loads(trail.lines(seal)[50])["prev"]
    said = records(CHAIN, 151, 100, BEGIN)
    trail.put(segment(CHAIN, Before(150, head, seal.previous_seal), said, trail.signers[0], BEGIN))
    assert is_located(run(trail.folder).findings, (CHAIN, 151, 250, "overlaps", 200))


def test_it_says_what_is_still_proven(run: Run, trail: KeptTrail) -> None:
    """Of two changed records both, and that before the later one nothing is: all could be made to
    follow each other."""
    seal = trail.seals(CHAIN)[3]
    lines = trail.lines(seal)
    for at in (36, 49):
        lines[at] = lines[at].replace(b"eva", b"eve")
    trail.put_lines(seal, lines)
    (finding,) = run(trail.folder).findings
    for words in (
        ("record 350 was changed",),
        ("record 337 was changed",),
        (301, 349, "not vouched"),
    ):
        assert is_located([finding], words)
    assert is_located([finding], ("record 350",))
    assert not is_located([finding], (399,))


def test_the_time_stamp_of_another_seal_is_found(run: Run, trail: KeptTrail) -> None:
    seal = trail.seals(CHAIN)[2]
    trail.write(f"{seal.folder}stamp.tsr", b"of something else")
    assert is_located(run(trail.folder).findings, (CHAIN, 201, 300, "time stamp"))


def test_an_expiry_that_is_forged_is_found_before_the_lines_are_gone(
    run: Run, trail: KeptTrail
) -> None:
    seal, signed = trail.seals(CHAIN)[3], trail.signed(CHAIN)[3]
    trail.write(f"{seal.folder}expired", expiry(seal, signed, Signer()).file)
    assert is_located(run(trail.folder).findings, (CHAIN, 301, 400, "expired"))


def test_records_expire_one_segment_after_the_other(run: Run, trail: KeptTrail) -> None:
    for seal, signed in zip(trail.seals(CHAIN), trail.signed(CHAIN), strict=True):
        if trail.path(seal.lines_key).exists():
            trail.write(f"{seal.folder}expired", expiry(seal, signed, trail.signers[-1]).file)
            # Between the two steps of the removal both are there, and that is no finding.
            told = run(trail.folder, "--json").json
            assert told["records"] + told["expired"] == 635
            assert told["expired"] == seal.first - 1
            trail.remove(seal.lines_key)
            assert run(trail.folder).code == 0
    told = run(trail.folder, "--json").json
    assert (told["records"], told["expired"]) == (135, 500)


def test_a_key_of_before_that_signs_again_is_noted(run: Run, trail: KeptTrail) -> None:
    """As somebody would do who has a key that was replaced because he has it."""
    seals, signed = trail.seals(CHAIN), trail.signed(CHAIN)
    before = Before(seals[4].last, seals[4].head, signed[4].digest)
    said = same_records(trail, seals[5])
    trail.put(segment(CHAIN, before, said, trail.signers[0], BEGIN + timedelta(hours=5)))
    answer = run(trail.folder)
    assert answer.code == 0
    assert is_located(answer.notes, ("older key", 402))


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


# --- Input of any kind


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nowhere",),
        ("--proof", "nowhere"),
        (".", "--proof", "nowhere"),
        (".", "--trust", "not hexadecimal"),
        (".", "--trust", "abc123"),
        (".", "--heads", "nowhere"),
        (".", "--unknown"),
    ],
)
def test_what_cannot_be_done_is_said(run: Run, arguments: tuple[str, ...]) -> None:
    answer = run(*arguments)
    assert answer.code == 2
    assert answer.errors
    assert not answer.text


def test_a_folder_without_a_trail_is_no_trail_without_findings(run: Run, tmp_path: Path) -> None:
    assert run(tmp_path).code == 2
    (tmp_path / "file").write_text("")
    assert run(tmp_path / "file").code == 2
    (tmp_path / "audit").mkdir()
    assert run(tmp_path).code == 2
    (tmp_path / "audit/chains/audit-0").mkdir(parents=True)
    assert run(tmp_path).code == 2


GARBAGE = (
    b"", b"\n", b"\n\n", b"{}\n", b"{}\nAAAA\n", b"\0" * 1000, os.urandom(5000),
    b"[" * 100_000 + b"\n" + base64.b64encode(bytes(64)) + b"\n",
    b'{"chain":' + b"9" * 10_000 + b"}\n" + base64.b64encode(bytes(64)) + b"\n",
    b"x" * MIB,
)  # fmt: skip


@pytest.mark.parametrize("number", range(len(GARBAGE)))
def test_garbage_in_the_place_of_a_file_is_a_finding(
    run: Run, trail: KeptTrail, number: int
) -> None:
    keys = {
        "seal": f"{trail.seals(CHAIN)[3].folder}seal",
        "lines": trail.seals(CHAIN)[2].lines_key,
        "expired": f"{trail.seals(CHAIN)[0].folder}expired",
        "stamp": f"{trail.seals(CHAIN)[2].folder}stamp.tsr",
        "key": key_key(2),
    }
    for key in keys.values():
        trail.write(key, GARBAGE[number])
    answer = run(trail.folder)
    assert answer.code == 1
    for key in keys.values():
        assert is_located(answer.findings, (key,)), key


NONSENSE = (
    None,
    True,
    -1,
    1.5,
    10**30,
    10**400,
    float("inf"),
    float("nan"),
    [],
    {},
    "",
    "\x1b[2J\n",
)


@pytest.mark.parametrize(
    "name", ["chain", "first", "last", "head", "root", "records", "size", "key"]
)
def test_seals_that_say_nonsense_are_findings(trail: KeptTrail, name: str) -> None:
    """Signed by one who may."""
    seal, key, by = trail.signed(CHAIN)[5], f"{trail.seals(CHAIN)[5].folder}seal", trail.signers[2]
    for value in NONSENSE:
        body = json.dumps({**json.loads(seal.body), name: value}).encode()
        trail.write(key, Signed(body, by.private.sign(body)).file)
        findings = verified(trail).findings
        assert any((one["chain"], one["first"]) == (CHAIN, 402) for one in findings), value


def test_files_that_belong_to_no_seal_are_noted(run: Run, either: KeptTrail) -> None:
    """An attempt that did not end leaves lines without a seal, or others beside those sealed."""
    left = folder_of(CHAIN, 501) + "a" * 64 + ".jsonl.gz"
    beside = folder_of(CHAIN, 101) + "b" * 64 + ".jsonl.gz"
    unknown = ("audit/keys/README", "audit/other/file", "audit/chains/file/file", "audit/file/x")
    searches = ("audit/searches/6d/20260301-1", "audit/holds/6d/20260301-1")
    for key in (left, beside, *unknown, *searches):
        either.write(key, b"what was left")
    answer = run(either.folder)
    assert answer.code == 0
    assert len(answer.notes) == 6
    for key in (left, beside, *unknown):
        assert is_located(answer.notes, (key,))


def test_names_of_files_cannot_write_findings(run: Run, trail: KeptTrail) -> None:
    """Neither lines of their own, nor what a terminal obeys."""
    folder = trail.folder / "audit/chains"
    (folder / "a\nFINDING: b\x1b[2J").write_text("")
    (folder / os.fsdecode(b"\xff\xfe")).write_text("")
    answer = run(trail.folder)
    assert (answer.code, answer.findings, len(answer.notes)) == (0, [], 2)
    assert "\x1b" not in answer.text
    assert len(run(trail.folder, "--json").json["notes"]) == 2


def test_links_and_pipes_are_not_followed(run: Run, trail: KeptTrail, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    seal = trail.path(f"{trail.seals(CHAIN)[3].folder}seal")
    seal.rename(elsewhere)
    seal.symlink_to(elsewhere)
    (trail.folder / "audit/chains/loop").symlink_to(trail.folder / "audit/chains")
    os.mkfifo(trail.folder / "audit/chains/pipe")
    answer = run(trail.folder)
    assert answer.code == 1
    assert is_located(answer.findings, (CHAIN, 301, 400))
    assert len(answer.notes) >= 3


def test_folders_below_folders_come_to_an_end(run: Run, trail: KeptTrail) -> None:
    deep = trail.folder / "audit/chains" / "/".join("d" * 1 for _ in range(900))
    deep.mkdir(parents=True)
    answer = run(trail.folder)
    assert answer.code == 0
    assert len(answer.notes) == 1


def test_one_key_has_one_file(run: Run, trail: KeptTrail) -> None:
    """In one form or the other: who reads only one of them must not be shown another content."""
    key = f"{trail.seals(CHAIN)[3].folder}seal"
    replace(trail, embedded=True).write(key, trail.read(key))
    assert is_located(run(trail.folder).findings, (key, "twice"))


@pytest.mark.parametrize("part", ["seal", "lines", "key", "folder"])
def test_what_may_not_be_read_is_a_finding(
    trail: KeptTrail, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal = trail.seals(CHAIN)[3]
    keys = {"seal": f"{seal.folder}seal", "lines": seal.lines_key, "key": key_key(2)}
    refused = trail.path(keys.get(part, f"{seal.folder}seal"))
    refused = refused.parent if part == "folder" else refused
    opened, listed = Path.open, os.scandir

    def open_(path: Path, mode: str = "r") -> Any:
        if path == refused:
            raise PermissionError(13, "Permission denied")
        return opened(path, mode)

    def scandir(path: Path) -> Any:
        if path == refused:
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(Path, "open", open_)
    monkeypatch.setattr(os, "scandir", scandir)
    findings = verified(trail).findings
    assert any("cannot be read: Permission denied" in one["what"] for one in findings)


# --- What is there to exhaust it


def bomb(mebibyte: bytes) -> bytes:
    """A gzip file that is half a GiB when it is unpacked."""
    packer = zlib.compressobj(level=1, wbits=31)
    packed = b"".join(packer.compress(mebibyte) for _ in range(512)) + packer.flush()
    assert len(packed) < 16 * MIB
    return packed


BOMBS = (
    (b"\0" * MIB, "something else"),
    (b'{"prev":"' * (MIB // 9), "something else"),
    (b"\n" * MIB, "too long"),
    (b"{}\n" * (MIB // 3), "too long"),
)


@pytest.mark.parametrize(
    ("mebibyte", "word"), [*BOMBS, (b"\0" * (MIB - 1) + b"\n", "something else")]
)
def test_bombs_do_not_go_off(run: Run, trail: KeptTrail, mebibyte: bytes, word: str) -> None:
    trail.write(trail.seals(CHAIN)[3].lines_key, bomb(mebibyte))
    answer = run(trail.folder, bound=192 * MIB)
    assert answer.code == 1
    assert is_located(answer.findings, (CHAIN, 301, 400, word))


@pytest.mark.parametrize(("mebibyte", "word"), BOMBS)
def test_bombs_that_are_sealed_do_not_go_off(
    run: Run, trail: KeptTrail, mebibyte: bytes, word: str
) -> None:
    """By a key of his own somebody can seal what he likes, of any number of records."""
    mallory, last, signed = Signer(), trail.seals(CHAIN)[-1], trail.signed(CHAIN)[-1]
    before = Before(last.last, last.head, signed.digest)
    made = segment(CHAIN, before, records(CHAIN, 501, 1, BEGIN), mallory, BEGIN)
    seal = replace(made.seal, last=10**15, size=10**15)
    trail.write(seal.lines_key, bomb(mebibyte))
    trail.write(f"{seal.folder}seal", Signed.by(mallory.private, seal).file)
    answer = run(trail.folder, bound=192 * MIB)
    assert answer.code == 1
    assert is_located(answer.findings, (CHAIN, 501, word))


async def test_a_long_trail_takes_no_more_memory_than_a_short_one(run: Run, tmp_path: Path) -> None:
    """In bounds in which the text of two of its segments would have no room."""
    trail = await make(tmp_path, {CHAIN: (100, 2600, 2600, 2600)}, detail="x" * 20_000)
    size = len(gzip.decompress(trail.read(trail.seals(CHAIN)[1].lines_key)))
    assert 2 * size > 96 * MIB
    answer = run(tmp_path, bound=96 * MIB)
    assert answer.code == 0, answer.text
    assert "7800 records verified" in answer.text
