"""`isocenter query`: keys, columns, and answers on a terminal."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.cli import query as module
from isocenter.cli.peers import WebPeer, caller_tls
from isocenter.cli.query import parse_key, query, shown, with_columns
from isocenter.core.errors import Invalid
from isocenter.core.matching import JsonAttributes, Key, Level

ANSWERS: list[JsonAttributes] = [
    {
        "00100010": {
            "vr": "PN",
            "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}],
        },
        "00100020": {"vr": "LO", "Value": ["A\x1b[31mB"]},
        "00080061": {"vr": "CS", "Value": ["CT", "SR"]},
        "00201208": {"vr": "IS", "Value": [12]},
    },
    {"00100010": {"vr": "PN"}, "00100020": {"vr": "LO", "Value": ["C,D"]}},
]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("PatientName=DOE*", Key("00100010", "PN", ("DOE*",))),
        ("00080020=20260101-20260131", Key("00080020", "DA", ("20260101-20260131",))),
        ("(0008,0061)=CT\\MR", Key("00080061", "CS", ("CT", "MR"))),
        ("PatientComments", Key("00104000", "LT")),
        ("PatientID=", Key("00100020", "LO")),
        ("PatientID=a=b", Key("00100020", "LO", ("a=b",))),
    ],
)
def test_keys_are_read(text: str, key: Key) -> None:
    assert parse_key(text) == key


@pytest.mark.parametrize(
    "text", ["", "=x", "Patient Name=x", "001000", "RequestAttributesSequence"]
)
def test_what_is_no_key_is_named(text: str) -> None:
    with pytest.raises(Invalid, match=r"not an attribute|sequences cannot be matched"):
        parse_key(text)


TAGGED = st.from_regex(r"\(?[0-9A-F]{4},?[0-9A-F]{4}\)?=.{0,5}", fullmatch=True)


@given(st.text(max_size=30) | TAGGED)
def test_any_text_is_a_key_or_refused(text: str) -> None:
    with suppress(Invalid):
        key = parse_key(text)
        assert len(key.tag) == 8
        assert len(key.vr) == 2


@pytest.mark.parametrize("level", Level)
def test_keys_that_are_given_take_the_place_of_columns(level: Level) -> None:
    given = parse_key("StudyInstanceUID=1.2"), parse_key("PatientComments")
    keys = with_columns(given, level)
    assert set(given) <= set(keys)
    assert len({key.tag for key in keys}) == len(keys)


def test_no_value_steers_a_terminal() -> None:
    assert shown({"Value": ["a\x1b[2Jb\n\x07c"]}) == "a [2Jb  c"
    assert shown({}) == shown({"vr": "LO", "Value": [None]}) == ""


class Archive:
    def __init__(self) -> None:
        self.closed = False

    async def find(
        self, level: Level, keys: Sequence[Key], limit: int
    ) -> AsyncGenerator[JsonAttributes, None]:
        assert level is Level.STUDY
        assert "00100020" in {key.tag for key in keys}
        for answer in ANSWERS[: limit or None]:
            yield answer

    async def close(self) -> None:
        self.closed = True


async def printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], form: str, limit: int = 0
) -> tuple[str, str]:
    archive = Archive()
    monkeypatch.setattr(module, "archive_of", lambda _: archive)
    assert await query(WebPeer("http://x"), [], level="STUDY", limit=limit, form=form) == 0
    assert archive.closed
    captured = capsys.readouterr()
    return captured.out, captured.err


async def test_a_table_has_a_line_an_answer(monkeypatch, capsys) -> None:
    out, told = await printed(monkeypatch, capsys, "table")
    head, first, second = out.splitlines()
    assert head.split()[:2] == ["PatientID", "PatientName"]
    assert first.split()[:3] == ["A", "[31mB", "Yamada^Tarou=山田^太郎"]
    assert "CT, SR" in first
    assert second == "C,D"
    assert "2 found" in told


async def test_csv_and_json_are_read_back(monkeypatch, capsys) -> None:
    out, _ = await printed(monkeypatch, capsys, "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["PatientID"] for row in rows] == ["A [31mB", "C,D"]
    assert rows[0]["NumberOfStudyRelatedInstances"] == "12"
    out, _ = await printed(monkeypatch, capsys, "json")
    assert json.loads(out) == ANSWERS
    out, told = await printed(monkeypatch, capsys, "json", limit=1)
    assert json.loads(out) == ANSWERS[:1]
    assert "there may be more" in told


def test_the_options_of_tls_belong_together(tmp_path) -> None:
    file = tmp_path / "x.pem"
    assert caller_tls(False, None, None, None) is None
    with pytest.raises(Invalid, match="are those of --tls"):
        caller_tls(False, file, None, None)
    with pytest.raises(Invalid, match="given together"):
        caller_tls(True, file, file, None)
    files = caller_tls(True, file, None, None)
    assert files is not None
    with pytest.raises(Invalid, match=r"--ca-file: .*x\.pem cannot be read"):
        files.read()
