"""Lines, their digests, the Merkle tree and its proofs."""

from __future__ import annotations

from hashlib import sha256

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.audit.chain import (
    BEGINNING,
    checked,
    digest_of,
    line_of,
    path_to,
    record_of,
    root_by,
    root_of,
)
from isocenter.core.errors import Corrupted


def chained(records: list[bytes], first: int = 1, previous: str = BEGINNING) -> list[bytes]:
    lines = []
    for sequence, record in enumerate(records, first):
        lines.append(line_of(previous, sequence, record))
        previous = digest_of(lines[-1]).hex()
    return lines


def tree(leaves: list[bytes]) -> bytes:
    """RFC 9162 2.1.1, by its own words: split at the largest power of two below the count."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + tree(leaves[:split]) + tree(leaves[split:])).digest()


def test_a_line_is_json_and_gives_its_record_back():
    line = line_of(BEGINNING, 7, b'{"detail":"a \\"record\\":{}"}')
    assert orjson.loads(line) == {
        "prev": BEGINNING, "seq": 7, "record": {"detail": 'a "record":{}'},
    }  # fmt: skip
    assert record_of(line) == b'{"detail":"a \\"record\\":{}"}'
    assert digest_of(line) == sha256(b"\0" + line).digest()


@pytest.mark.parametrize("count", [*range(1, 18), 100])
def test_the_tree_is_that_of_the_rfc_and_every_leaf_has_its_proof(count):
    leaves = [sha256(bytes([number])).digest() for number in range(count)]
    root = root_of(leaves)
    assert root == tree(leaves)
    for index, leaf in enumerate(leaves):
        path = path_to(leaves, index)
        assert root_by(leaf, index, count, path) == root
        assert root_by(leaf, index, count, [*path, leaf]) is None
        if path:
            assert root_by(leaf, index, count, path[:-1]) is None
            assert root_by(leaf, index, count, path[::-1]) != root or path == path[::-1]


@given(st.lists(st.text(max_size=20), min_size=1, max_size=20), st.integers(1, 10**12))
def test_whatever_records_say_their_chain_is_checked(texts, first):
    lines = chained([orjson.dumps({"detail": text}) for text in texts], first, "ab" * 32)
    links = checked(lines, first, "ab" * 32)
    assert links.head == digest_of(lines[-1]).hex()
    assert links.root == root_of([digest_of(line) for line in lines]).hex()


RECORDS = [orjson.dumps({"id": str(number)}) for number in range(5)]


@pytest.mark.parametrize(
    ("tamper", "at"),
    [
        (lambda lines: lines[2].replace(b'"2"', b'"9"'), 4),
        (lambda lines: lines[2].replace(b'"seq":3', b'"seq":4'), 3),
        (lambda _: b"", 3),
    ],
)
def test_a_line_that_was_changed_breaks_the_chain(tamper, at):
    lines = chained(RECORDS)
    lines[2] = tamper(lines)
    with pytest.raises(Corrupted, match=f"record {at} "):
        checked(lines, 1, BEGINNING)


def test_a_line_that_was_removed_reordered_or_doubled_breaks_the_chain():
    lines = chained(RECORDS)
    for wrong in (lines[:2] + lines[3:], [lines[1], lines[0], *lines[2:]], [lines[0], *lines]):
        with pytest.raises(Corrupted, match="does not follow"):
            checked(wrong, 1, BEGINNING)
    with pytest.raises(Corrupted):
        checked([], 1, BEGINNING)
