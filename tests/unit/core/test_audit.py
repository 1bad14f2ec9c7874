"""The words and names by which audit records are found."""

from __future__ import annotations

import sys
import unicodedata
from datetime import UTC, datetime

import pytest

from isocenter.core.audit import WORD_LENGTH, names_of, places_of, words, words_of
from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome, Source


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C-FIND STUDY PatientID", ["c-find", "study", "patientid"]),
        ("a@b.example: 1.2.3/4 (x) [y]", ["a@b.example:", "1.2.3/4", "x", "y"]),
        ("MÜLLER^Jörg", ["muller^jorg"]),
        ("Straße ﬁn \uff26\uff35\uff2c\uff2c ℡ ᴬ", ["strasse", "fin", "full", "tel", "a"]),
        ("日本語", ["日本語"]),
        ("x" * 200, ["x" * WORD_LENGTH]),
        ("%*?!\"'", []),
        ("", []),
        ("a\x00b", ["a", "b"]),
    ],
)
def test_words_have_no_case_and_no_accents(text: str, expected: list[str]) -> None:
    assert list(words(text)) == expected


def test_a_word_is_its_own_word() -> None:
    """So whoever asks for what is shown finds it, and ASCII letters are small ones."""
    changing = [
        char
        for char in map(chr, range(sys.maxunicode + 1))
        if char.casefold() != char or unicodedata.normalize("NFKD", char) != char
    ]
    for char in changing:
        found = words(char)
        assert [other for word in found for other in words(word)] == list(found)
        assert not any("A" <= letter <= "Z" for word in found for letter in word)


def test_a_record_has_the_words_of_its_texts_and_names() -> None:
    event = AuditEvent(
        AuditAction.QUERY,
        AuditOutcome.SUCCESS,
        Source("DIMSE", "10.0.0.1", " SCANNER ", "ISOCENTER", "alice", "CN=a", purpose="TREAT"),
        datetime(2026, 1, 1, tzinfo=UTC),
        "id",
        partition="main",
        patient_ids=("P 1",),
        studies=("1.2",),
        digests=("d" * 64,),
        destination="PACS ",
        site="north",
    )
    assert names_of(event) == {"10.0.0.1", "SCANNER", "alice", "CN=a"}
    assert places_of(event) == {"main", "PACS", "north"}
    assert words_of(event) == [
        "1", "10.0.0.1", "a", "alice", "cn", "dimse", "isocenter", "main", "north", "p", "pacs",
        "query", "scanner", "success", "treat",
    ]  # fmt: skip
