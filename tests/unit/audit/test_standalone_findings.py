"""What the stand-alone verifier finds in a trail that somebody has touched; nothing harms it."""

from __future__ import annotations

import base64
import gzip
import json
import os
import zlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from isocenter.audit.seals import Signed, folder_of, key_key
from support.standalone_runs import MIB, Run, either, run, trail, verified, whole
from support.tampering import CHAIN, TAMPERINGS, Tampering, flip, is_located
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

__all__ = ["either", "run", "trail", "whole"]

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
