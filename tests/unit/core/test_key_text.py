"""Matching keys as the audit trail tells them."""

from __future__ import annotations

import pytest

from isocenter.core.key_text import text_of
from isocenter.core.matching import Key

NAME, DATE, UID = "00100010", "00080020", "0020000D"


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ([], ""),
        ([Key(NAME, "PN", ("MUELLER*",)), Key(DATE, "DA", ("20260101-",))],
         "PatientName=MUELLER*&StudyDate=20260101-"),
        ([Key(UID, "UI", ("1.2", "1.3"))], r"StudyInstanceUID=1.2\1.3"),
        ([Key(NAME, "PN"), Key(DATE, "DA", ("",)), Key(UID, "UI", ("1.2",))],
         "StudyInstanceUID=1.2"),
        ([Key("00400275", "SQ", items=(Key("00401001", "SH", ("7",)), Key("00400009", "SH")))],
         "RequestAttributesSequence.RequestedProcedureID=7"),
        ([Key("00091001", "LO", ("private",))], "00091001=private"),
        ([Key(NAME, "PN", ("山田^太郎=&%",))], "PatientName=山田^太郎=&%"),
        ([Key(NAME, "PN", ("a\r\nb\u2028c\x1b[31m",))], "PatientName=a  b c [31m"),
    ],
)  # fmt: skip
def test_keys_are_told_with_their_values_on_one_line(keys: list[Key], text: str) -> None:
    assert text_of(keys) == text
    assert len(text_of(keys).splitlines()) <= 1
