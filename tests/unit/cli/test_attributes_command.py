"""`isocenter attributes`: every attribute with its state, and an exit code that waits for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from isocenter.app import Process
from isocenter.cli.attributes import list_attributes
from isocenter.core.fill_state import whole
from isocenter.settings import Settings, load

ADDED = [
    {"name": "ContrastBolusAgent", "level": "SERIES"},
    {"name": "0029xx10", "creator": "ACME 1.0", "level": "STUDY", "vr": "LO"},
]


def settings(path: Path, **flags: str) -> Settings:
    return load(data=path, flags=flags)


async def listed(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> tuple[int, dict[str, tuple[str, str]]]:
    code = await list_attributes(settings, as_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return code, {line["attribute"]: (line["tag"], line["state"]) for line in lines}


async def test_without_any_added_all_are_built_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = await listed(settings(tmp_path), capsys)
    assert code == 0
    assert found["PatientID"] == ("(0010,0020)", "built in")
    assert {state for _, state in found.values()} == {"built in"}
    assert "NumberOfStudyRelatedSeries" not in found


async def test_added_ones_tell_how_far_they_are_filled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_added = settings(tmp_path, attributes=json.dumps(ADDED))
    code, found = await listed(with_added, capsys)
    assert code == 1
    assert found["ContrastBolusAgent"] == ("(0018,0010)", "0 of about 0 objects looked at")
    assert found["ACME 1.0"] == ("(0029,xx10)", "0 of about 0 objects looked at")
    env = Process(with_added)
    index = await env.index()
    await index.replace_fill_state(whole(index.attributes), await index.fill_state())
    await env.close()
    code, found = await listed(with_added, capsys)
    assert code == 0
    assert found["ACME 1.0"] == ("(0029,xx10)", "filled")
    assert await list_attributes(with_added, as_json=False) == 0
    assert "(0029,xx10)" in capsys.readouterr().out
