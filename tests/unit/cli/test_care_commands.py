"""`isocenter import`, `verify`, `rebuild`, `replay` and `sweep` on a data directory that nobody
serves."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from isocenter.app import Process
from isocenter.cli.care import import_files, rebuild, replay, sweep, verify
from isocenter.cli.common import require_data, settings_of
from isocenter.cli.serving import only_one
from isocenter.core.access import SYSTEM
from isocenter.core.errors import Invalid, NotFound, OutOfResources
from isocenter.core.matching import Level, Search
from isocenter.settings import Settings, load
from support.datasets import tiny, write


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(data=tmp_path / "data", flags={"storage.reserve_bytes": "0"})


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two studies, and a file that cannot be kept."""
    folder = tmp_path / "files"
    folder.mkdir()
    write(tiny(), folder / "1.dcm")
    write(tiny(), folder / "2.dcm")
    broken = write(tiny(), folder / "broken.dcm")
    broken.write_bytes(broken.read_bytes()[:200])
    return folder


async def counted(settings: Settings) -> int:
    """How many studies a search finds."""
    env = Process(settings)
    try:
        return await (await env.query()).count(SYSTEM, Search(Level.STUDY))
    finally:
        await env.close()


async def test_import_keeps_what_it_can_and_names_the_rest(
    settings: Settings, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await import_files(settings, [files]) == 1
    told = capsys.readouterr().err
    assert "imported: 2 instances" in told
    assert "refused: 1" in told
    assert "broken.dcm" in told
    assert len(list(settings.data.glob("blobs/objects/**/*.dcm"))) == 2


async def test_what_was_imported_is_found_after_a_rebuild(
    settings: Settings, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "broken.dcm").unlink()
    assert await import_files(settings, [files]) == 0
    assert await rebuild(settings) == 0
    told = capsys.readouterr()
    assert "indexed: 2 instances" in told.err
    assert "the new index answers" in told.out
    assert await counted(settings) == 2


async def test_what_was_imported_is_found_after_a_replay(
    settings: Settings, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await import_files(settings, [files])
    assert await replay(settings, datetime(2100, 1, 1, tzinfo=UTC), []) == 0
    assert await counted(settings) == 0
    assert await replay(settings, None, ["0=2"]) == 0
    assert await counted(settings) == 1
    assert await replay(settings, None, []) == 0
    assert await counted(settings) == 2
    told = capsys.readouterr().err
    assert [f"replayed: {count} events" in told for count in (0, 1, 2)] == [True] * 3


@pytest.mark.parametrize("text", ["1", "a=1", "0=-1", "=", "0=1=2"])
async def test_an_offset_to_begin_at_has_one_form(settings: Settings, text: str) -> None:
    with pytest.raises(Invalid, match="--from 0=1200"):
        await replay(settings, None, [text])


async def test_a_sweep_says_what_it_announced_and_what_it_left_for_later(
    settings: Settings, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await import_files(settings, [files])
    assert await sweep(settings) == 0
    told = capsys.readouterr()
    assert "looked at: 2 objects" in told.err
    assert "orphans announced: 0\nnot in the index yet: 2" in told.out
    at_once = load(data=settings.data, flags={"indexing.orphan_seconds": "0"})
    shutil.rmtree(settings.data / "log")
    assert await sweep(at_once) == 0
    assert capsys.readouterr().out == "orphans announced: 2\n"
    assert await replay(settings, None, []) == 0
    assert await counted(settings) == 2


async def test_verify_is_content_with_whole_objects_and_names_a_changed_one(
    settings: Settings, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await import_files(settings, [files])
    assert await verify(settings, "") == 0
    assert "verified: 2 objects" in capsys.readouterr().err
    damaged = min(settings.data.glob("blobs/objects/**/*.dcm"))
    damaged.chmod(0o600)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\xff")
    assert await verify(settings, "") == 1
    told = capsys.readouterr().err
    assert "verified: 1 objects" in told
    assert "not as stored: 1" in told
    assert damaged.parent.name in told


async def test_a_study_to_verify_must_be_a_uid(settings: Settings) -> None:
    with pytest.raises(Invalid, match="Study Instance UID"):
        await verify(settings, "../../etc")


async def test_a_study_of_which_nothing_is_kept_is_not_verified(
    settings: Settings, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await import_files(settings, [files])
    capsys.readouterr()
    with pytest.raises(NotFound, match=r"no object of the study 1\.2\.3"):
        await verify(settings, "1.2.3")
    assert "verified" not in capsys.readouterr().err


async def test_import_says_when_what_it_took_will_be_found(
    settings: Settings, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await import_files(settings, [files])
    told = f"searches find them once `isocenter up` runs on {settings.data}"
    assert told in capsys.readouterr().out
    with only_one(settings.data):
        await import_files(settings, [files])
    assert told not in capsys.readouterr().out


async def test_import_ends_at_once_when_there_is_no_room(tmp_path: Path, files: Path) -> None:
    settings = load(data=tmp_path / "data", flags={"storage.reserve_bytes": str(10**18)})
    with pytest.raises(OutOfResources):
        await import_files(settings, [files])


def test_a_misspelled_data_directory_is_not_made(tmp_path: Path) -> None:
    settings = load(data=tmp_path / "dtaa")
    with pytest.raises(Invalid, match="dtaa does not exist"):
        require_data(settings)
    assert not settings.data.exists()


def test_another_folder_is_not_made_a_data_directory(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"not a data directory .*`isocenter up`"):
        require_data(load(data=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_flag_without_a_value_is_refused_with_the_right_form() -> None:
    with pytest.raises(Invalid, match=r"write --set gateway\.port=11113"):
        settings_of(None, None, ["gateway.port"])
