"""Heads as they are published, and read again."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest

from isocenter.audit.heads import Newest, publication, read_heads
from isocenter.audit.keys import KeyFolder
from isocenter.core.audit_api import Head
from isocenter.core.errors import Invalid
from isocenter.runtime.audit_records import time_text
from support.seals import sealed

ZEROS = "0" * 64
AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


@pytest.fixture
def key(tmp_path):
    return KeyFolder(tmp_path, makes=True).add()


def test_a_publication_is_signed_and_read_again(key):
    seals = [sealed("audit-0", 1, 9), sealed("instances-3", 5, 7)]
    line = publication(seals, key, AT)
    assert read_heads([line.decode()]) == [
        Head(one.seal.chain, one.seal.last, one.seal.head, one.digest, time_text(AT))
        for one in seals
    ]
    whole = json.loads(line)
    assert list(whole) == ["at", "heads", "key", "signature"]
    assert whole["key"] == key.id
    # What is signed is the line itself without the signature, as anybody can cut it out.
    signed = line.partition(b',"signature":')[0] + b"}"
    key.private.public_key().verify(base64.b64decode(whole["signature"]), signed)


def test_heads_are_read_from_a_collectors_file_and_between_blank_lines(key):
    line = publication([sealed("audit-0", 1, 9)], key, AT).decode()
    syslog = f'<85>1 2026-01-02T03:04:05Z h isocenter 1 ISOCENTER-HEADS [a@1 b="c"] \ufeff{line}\n'
    assert [head.last for head in read_heads([syslog, "\n", line + "\n"])] == [9, 9]


def with_heads(at: str = "2026-01-02T03:04:05+00:00", **changed: object) -> str:
    head = {"chain": "audit-0", "last": 1, "head": ZEROS, "seal": ZEROS, **changed}
    return json.dumps({"at": at, "heads": [head]}, separators=(",", ":"))


@pytest.mark.parametrize(
    "line",
    [
        "rubbish",
        '{"at":"2026-01-02T03:04:05+00:00"}',
        '{"at":"2026-01-02T03:04:05+00:00","heads":{"chain":"a"}}',
        with_heads("yesterday"),
        with_heads(head="00"),
        with_heads(seal=None),
        with_heads(last="1"),
        with_heads()[:-20],
    ],
)
def test_a_line_that_holds_no_heads_is_named(key, line):
    assert read_heads([with_heads()])
    good = publication([sealed("audit-0", 1, 9)], key, AT).decode()
    with pytest.raises(Invalid, match="line 2 holds no heads"):
        read_heads([good, line])


def test_a_file_without_any_is_told_from_one_that_agrees():
    with pytest.raises(Invalid, match="there are no heads in it"):
        read_heads(["", "\n"])


def test_only_the_newest_of_a_chain_is_told_and_what_came_meanwhile_stays():
    newest = Newest()
    assert not newest
    first, second, other = sealed("a", 1, 2), sealed("a", 3, 4), sealed("b", 1, 1)
    newest.add([first, other])
    told = newest.all()
    newest.add([second])
    newest.told(told)
    assert newest.all() == [second]
    newest.told([second])
    assert not newest
