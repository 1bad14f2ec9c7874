"""Languages and texts of the audit pages."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html

from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.runtime.audit_texts import LANGUAGES
from isocenter.web.audit_patterns import Kind
from isocenter.web.audit_subjects import PARTS
from isocenter.web.audit_text import shown, uid_short, visible
from isocenter.web.words import Words, catalogue, chosen
from support.audit_events import HOSTILE

WEB = Path(str(files("isocenter.web")))
# t("key"), t.plain('key'), words("key"), and t("begins." ~ ...) for what is put together
_USED = re.compile(r"""\b(?:t|words|self)(?:\.plain)?\(\s*f?["']([a-z_.-]+)(?:["']( ~)?|\{)""")
_PLURAL = re.compile(r"\.(one|other)$")


def used() -> Iterator[tuple[str, bool]]:
    """Keys in templates and modules; whether more is put behind one."""
    for path in [*WEB.glob("templates/*.html"), *WEB.glob("*.py")]:
        for found in _USED.finditer(path.read_text("utf-8")):
            begun = bool(found[2]) or found[0].endswith("{")
            yield found[1], begun


def handed_on() -> Iterator[str]:
    """Keys that modules hand on to whoever makes the words."""
    for path in WEB.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


# What is put behind the beginnings of keys.
ENDS: dict[str, Any] = {
    "action.": [one.value for one in AuditAction],
    "outcome.": [one.value for one in AuditOutcome],
    "patterns.name.": [one.value for one in Kind],
    "patterns.says.": [one.value for one in Kind],
    "weekday.": range(7),
    "weekday.short.": range(7),
    "record.part.": PARTS,
    "record.field.": [name for names in PARTS.values() for name in names],
    "nav.": ["overview", "search", "verification"],
    "age.": ["days", "hours", "minutes"],
    "about.": ["patient", "study", "object"],
    "column.": ["when", "who", "what", "concerning", "outcome", "record"],
    "integrity.": ["never", "empty", "ok", "bad"],
    "field.": ["since", "until", "who", "patient", "study", "instance", "place", "text"],
    "hint.": ["since", "until", "who", "patient", "study", "instance", "place", "text"],
    "export.": ["csv", "jsonl", "fhir", "dicom", "pdf"],
    "lookup.": ["patient", "person"],
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_keys_with_the_same_values(language: str) -> None:
    english, other = catalogue("en"), catalogue(language)
    assert english.keys() == other.keys()
    for key, text in other.items():
        assert text.strip() == text != ""
        assert not re.search(r"[<>&]", text), "catalogues hold no markup"
        wanted, given_ = _fields(english[key]), _fields(text)
        assert given_ == wanted or (_PLURAL.search(key) and given_ <= wanted), key


def _fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_key_is_used_and_every_key_that_is_used_is_there() -> None:
    known = {_PLURAL.sub("", key) for key in catalogue("en")}
    found: set[str] = set()
    for key, begun in used():
        found |= {key + str(end) for end in ENDS[key]} if begun else {key}
    assert found - known == set()
    found |= known & set(handed_on())
    assert known - found == set()


@pytest.mark.parametrize(
    ("given_", "accepted", "language"),
    [
        ("", "", "en"), ("", "de-CH, fr;q=0.9", "de"), ("", "it, fr-CA;q=0.4, de;q=0.5", "de"),
        ("", "it, es", "en"), ("", "fr;q=0, de;q=0", "en"), ("", "*;q=1, de;q=0.1", "de"),
        ("", "de;q=x, fr;q=0.1", "fr"), ("", ",;;, de;level=1", "de"), ("fr", "de", "fr"),
        ("it", "de", "de"), ("", "FR", "fr"), ("", '"de', "en"),
    ],
)  # fmt: skip
def test_the_language_is_what_is_asked_for_or_accepted_most(
    given_: str, accepted: str, language: str
) -> None:
    assert chosen(given_, accepted) == language


def test_numbers_plurals_and_ages_are_those_of_the_language() -> None:
    en, fr, de = map(Words, LANGUAGES)
    assert [one.number(1234567) for one in (en, fr, de)] == [
        "1,234,567", "1\u202f234\u202f567", "1.234.567",
    ]  # fmt: skip
    assert en("search.found", count=1) == "1 record"
    assert en("search.found", count=0) == "0 records"
    assert fr("search.found", count=0) == "0 enregistrement"
    assert de("search.found", count=12345) == "12.345 Einträge"
    spans = [timedelta(seconds=s) for s in (-5, 0, 59, 60, 7200, 86_400, 3 * 86_400)]
    assert [str(en.age(span)) for span in spans] == [
        "just now", "just now", "just now", "1 minute ago", "2 hours ago", "1 day ago",
        "3 days ago",
    ]  # fmt: skip


def test_values_in_sentences_are_escaped_and_isolated() -> None:
    said = Words("en")("kept", by="<script>\u202eeva", day="2026-11-26")
    assert said == (
        'by <bdi>&lt;script&gt;<span class="code">U+202E</span>eva</bdi>, <bdi>2026-11-26</bdi>'
    )
    plain = Words("en").plain("saved.remove_named", name='"><b>\u202e')
    assert plain == 'Remove the saved search "><b>U+202E'


@pytest.mark.parametrize("text", [*HOSTILE, "a\u0301" * 50, "x" + "\u0301" * 500, "", "\U000e0041"])
def test_what_cannot_be_seen_is_told(text: str) -> None:
    for char in visible(text):
        assert char.isprintable() or char in "\u200c\u200d\u00a0\u3000"
    markup = str(shown(text))
    assert markup.startswith("<bdi>")
    assert markup.endswith("</bdi>")
    bare = re.sub(r"</?bdi>|<span class=\"code\">U\+[0-9A-F]{4,6}</span>", "", markup)
    assert not re.search("[<>\"']", bare)


@given(st.text(max_size=300), st.integers(0, 100))
def test_any_text_is_harmless_and_no_longer_than_is_wanted(text: str, most: int) -> None:
    markup = str(shown(text, most))
    inner = re.sub(r"</?bdi>|<span class=\"(code|more)\">[^<]*</span>", "", markup)
    assert not re.search("[<>\"'\x00-\x1f\u202e\u2028\ud800-\udfff]", inner)
    assert (most > 0 and len(visible(text)) > most) == markup.endswith(
        '<span class="more">…</span>'
    )
    if most:
        assert len(html.fromstring(markup).text_content().rstrip("…")) <= most
    markup.encode("utf-8")


def test_joiners_that_scripts_need_stay() -> None:
    persian = "می\u200cخواهم"  # noqa: RUF001 - it is Persian
    assert visible(persian) == persian


def test_long_uids_are_told_by_their_ends() -> None:
    uid = "2.25." + "1234567890" * 4
    assert uid_short(uid) == "2.25.123456789…901234567890"
    assert uid_short("1.2.840.10008") == "1.2.840.10008"


def test_times_are_those_of_utc() -> None:
    from isocenter.web.words import day, exact_time, time

    at = datetime(2026, 11, 26, 23, 59, 58, 7, tzinfo=UTC)
    assert (time(at), day(at)) == ("2026-11-26 23:59:58", "2026-11-26")
    assert exact_time(at) == "2026-11-26 23:59:58.000007 UTC"
