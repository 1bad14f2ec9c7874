"""ZIP files of studies, series and instances: what zipfile and unzip read, and what names say."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.core.access import SYSTEM, Caller
from isocenter.core.errors import Unavailable
from isocenter.core.identity import InstanceName
from isocenter.web.archives import EntryNames, Member, ZipWriter, archive
from isocenter.web.chunks import Pieces
from support.clients import run
from support.web_fakes import INSTANCE, JPEG_LS, SERIES, STUDY, FakeStorage, Web, part10

STUDY_PATH = f"/dicomweb/studies/{STUDY}"
EXPLICIT = "1.2.840.10008.1.2.1"


def described(series: str, instance: str, **values: Any) -> dict[str, Any]:
    """An instance's metadata, as far as names need it."""
    tags = {"modality": ("00080060", "CS"), "series_number": ("00200011", "IS"),
            "instance_number": ("00200013", "IS")}  # fmt: skip
    attributes = {
        "0020000E": {"vr": "UI", "Value": [series]},
        "00080018": {"vr": "UI", "Value": [instance]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Secret^Patient"}]},
    }
    for name, value in values.items():
        tag, vr = tags[name]
        attributes[tag] = {"vr": vr, "Value": [value]}
    return attributes


class DescribedStorage(FakeStorage):
    """Tells numbers and modality."""

    async def metadata(
        self, caller: Caller, partition: str, study: str, series: str = "", instance: str = ""
    ) -> AsyncIterator[bytes]:
        number = 0
        async for kept in self.instances(caller, partition, study, series, instance):
            number += 1
            yield orjson.dumps(
                described(
                    kept.name.series, kept.name.instance,
                    modality="CT", series_number=3, instance_number=number,
                )
            )  # fmt: skip


def web_with(count: int = 2, syntax: str = EXPLICIT) -> Web:
    web = Web(storage=DescribedStorage())
    for number in range(count):
        web.storage.keep(f"1.2.3.4.{5 + number}", syntax)
    return web


def opened(answer: httpx.Response | bytes) -> zipfile.ZipFile:
    content = answer if isinstance(answer, bytes) else answer.content
    archived = zipfile.ZipFile(io.BytesIO(content))
    assert archived.testzip() is None
    return archived


@pytest.mark.parametrize(
    ("path", "saved", "count"),
    [
        (STUDY_PATH, "study-1.2.3.zip", 2),
        (f"{STUDY_PATH}/series/{SERIES}", "series-1.2.3.4.zip", 2),
        (INSTANCE, "instance-1.2.3.4.5.zip", 1),
    ],
)
async def test_a_study_a_series_and_an_instance_come_as_zip(
    path: str, saved: str, count: int, tmp_path: Path
) -> None:
    web = web_with()
    answer = await web.get(path, accept="application/zip")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == f'attachment; filename="{saved}"'
    archived = opened(answer)
    names = [f"1.2.3/0003-CT-1.2.3.4/0000{1 + n}-1.2.3.4.{5 + n}.dcm" for n in range(count)]
    assert archived.namelist() == names
    assert [archived.read(name) for name in names] == [
        part10(f"1.2.3.4.{5 + number}") for number in range(count)
    ]
    ((action, record),) = web.audit.records
    assert (action, record["instance_count"]) == ("export", count)
    file = tmp_path / "archive.zip"
    file.write_bytes(answer.content)
    assert run("unzip", "-t", file).code == 0


async def test_browsers_ask_by_a_parameter() -> None:
    web = web_with()
    asked = await web.get(STUDY_PATH + "?accept=application/zip", accept="text/html,*/*;q=0.8")
    assert (
        opened(asked).namelist()
        == opened(await web.get(STUDY_PATH, accept="application/zip")).namelist()
    )


async def test_the_same_objects_give_the_same_bytes_and_entity_tag() -> None:
    web = web_with()
    first = await web.get(STUDY_PATH, accept="application/zip")
    again = await web.get(STUDY_PATH, accept="application/zip")
    assert (first.content, first.headers["etag"]) == (again.content, again.headers["etag"])
    multipart = await web.get(STUDY_PATH)
    assert multipart.headers["etag"] != first.headers["etag"]
    same = await web.get(STUDY_PATH, accept="application/zip", if_none_match=first.headers["etag"])
    assert (same.status_code, same.content) == (304, b"")


async def test_the_transfer_syntax_is_the_stored_one_unless_asked() -> None:
    web = web_with(1, JPEG_LS)
    for accept, syntax in (
        ("application/zip", JPEG_LS),
        ("application/zip; transfer-syntax=*", JPEG_LS),
        (f"application/zip; transfer-syntax={EXPLICIT}", EXPLICIT),
    ):
        archived = opened(await web.get(INSTANCE, accept=accept))
        assert archived.read(archived.namelist()[0]) == part10(syntax=syntax)
    wrong = "application/zip; transfer-syntax=1.2.840.10008.1.2.4.90"
    answer = await web.get(INSTANCE, accept=wrong)
    assert answer.status_code == 406
    assert "application/zip" in answer.json()["detail"]


async def test_the_preferred_form_is_taken() -> None:
    both = 'application/zip; q=0.5, multipart/related; type="application/dicom"'
    answer = await web_with().get(STUDY_PATH, accept=both)
    assert answer.headers["content-type"].startswith("multipart/related")


async def test_nothing_goes_out_without_a_record() -> None:
    web = web_with()
    web.audit.error = Unavailable("the log is down")
    answer = await web.get(STUDY_PATH, accept="application/zip")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"


async def test_what_fails_midway_aborts_the_connection() -> None:
    web = web_with()
    web.storage.chunk = 20
    web.storage.corrupted = True
    async with web.listening() as (_, url), httpx.AsyncClient() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(url + STUDY_PATH, headers={"accept": "application/zip"})
    assert web.storage.closed == 1


async def test_what_fails_before_the_first_byte_is_a_problem_document() -> None:
    web = web_with()
    web.storage.corrupted = True  # found at once: the objects are one chunk long
    answer = await web.get(STUDY_PATH, accept="application/zip")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"


# --- the format --------------------------------------------------------------------------------


def zipped(files: Sequence[tuple[str, bytes]], *, known: bool = True) -> bytes:
    writer = ZipWriter()
    out = []
    for name, data in files:
        out.append(writer.begin(name, len(data) if known else None))
        writer.note(data[:5])
        writer.note(data[5:])
        out += [data, writer.end()]
    return b"".join([*out, writer.close()])


def test_large_archives_are_zip64(tmp_path: Path) -> None:
    size = 4 * 1024**3 + 10
    block = memoryview(bytes(64 * 1024**2))
    file = tmp_path / "archive.zip"
    writer = ZipWriter()
    with file.open("wb") as out:
        out.write(writer.begin("a/1.dcm", size))
        for at in range(0, size, len(block)):
            writer.note(block[: size - at])
        out.seek(size, io.SEEK_CUR)  # zeros that need no disk
        out.write(writer.end())
        for name, known in (("b/2.dcm", 4), ("b/3.dcm", None)):
            out.write(writer.begin(name, known))
            writer.note(b"data")
            out.write(b"data" + writer.end())
        out.write(writer.close())
    with zipfile.ZipFile(file) as archived:
        sizes = [(one.filename, one.file_size) for one in archived.infolist()]
        assert sizes == [("a/1.dcm", size), ("b/2.dcm", 4), ("b/3.dcm", 4)]
        assert archived.read("b/2.dcm") == archived.read("b/3.dcm") == b"data"
        with archived.open("a/1.dcm") as first:
            assert first.read(100) == bytes(100)
    tested = run("unzip", "-t", file, "b/2.dcm", "b/3.dcm")
    assert tested.code == 0, tested.text


@pytest.mark.parametrize("known", [True, False])
def test_sizes_may_be_known_or_not(known: bool, tmp_path: Path) -> None:
    files = [("a/1.dcm", b"x" * 30), ("a/2.dcm", b""), ("b/3.dcm", b"z" * 70_000)]
    content = zipped(files, known=known)
    archived = opened(content)
    assert [(name, archived.read(name)) for name in archived.namelist()] == files
    file = tmp_path / "archive.zip"
    file.write_bytes(content)
    tested = run("unzip", "-t", file)
    assert tested.code == 0, tested.text


def test_more_entries_than_a_plain_archive_can_hold(tmp_path: Path) -> None:
    content = zipped([(f"{number}.dcm", b"data") for number in range(65_600)])
    assert len(opened(content).namelist()) == 65_600
    file = tmp_path / "archive.zip"
    file.write_bytes(content)
    assert run("unzip", "-tqq", file).code == 0


async def test_pieces_are_given_on_one_by_one() -> None:
    """Nothing is collected: when a piece is asked for, only that one has been read."""
    read: list[int] = []

    async def pieces() -> Pieces:
        for number in range(100):
            read.append(number)
            yield bytes(1000)

    async def no_metadata() -> AsyncIterator[bytes]:
        return
        yield b""

    name = InstanceName("main", STUDY, SERIES, "1.2.3.4.5")
    out = archive([Member(name, 100_000, pieces)], no_metadata())
    head = await anext(out)
    assert b"1.2.3/1.2.3.4/1.2.3.4.5.dcm" in head
    for number in range(100):
        assert await anext(out) == bytes(1000)
        assert read == list(range(number + 1))
    assert b"PK\5\6" in await anext(out)


async def test_a_reader_that_goes_away_frees_everything() -> None:
    web = web_with(3)
    web.storage.chunk = 20
    closed: list[str] = []

    async def metadata() -> AsyncIterator[bytes]:
        try:
            async for fragment in web.storage.metadata(SYSTEM, "main", STUDY):
                yield fragment
        finally:
            closed.append("metadata")

    members = [
        Member(kept.name, None, partial(web.storage.data_set, kept))
        for kept in web.storage.kept.values()
    ]
    out = archive(members, metadata())
    await anext(out)
    await anext(out)
    await out.aclose()
    assert closed == ["metadata"]
    assert web.storage.closed == 1
    assert web.storage.sent == 1


# --- names -------------------------------------------------------------------------------------

_UID_TEXT = st.lists(st.integers(0, 10**9).map(str), min_size=1, max_size=6).map(".".join)
_VALUES = st.none() | st.integers(-(2**40), 2**40) | st.text(max_size=20) | st.just("AUX")
_RESERVED = re.compile(r"(?i)(CON|PRN|AUX|NUL|COM\d|LPT\d|CONIN\$|CONOUT\$)(\..*)?")


async def _named(described_instances: Sequence[dict[str, Any]]) -> list[str]:
    async def metadata() -> AsyncIterator[bytes]:
        for attributes in described_instances:
            yield orjson.dumps(attributes)

    names = EntryNames(metadata())
    return [
        await names.of(
            InstanceName("main", STUDY, one["0020000E"]["Value"][0], one["00080018"]["Value"][0])
        )
        for one in described_instances
    ]


@given(
    st.lists(
        st.tuples(_UID_TEXT, _UID_TEXT, _VALUES, _VALUES, _VALUES),
        max_size=8,
        unique_by=lambda one: one[:2],
    )
)
async def test_names_are_safe_everywhere_and_different(rows: list[tuple[Any, ...]]) -> None:
    names = await _named(
        [
            described(series, uid, modality=modality, series_number=at, instance_number=number)
            for series, uid, modality, at, number in rows
        ]
    )
    assert len({name.lower() for name in names}) == len(rows)
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9._/-]+", name)
        assert len(name) <= 209
        for part in name.split("/"):
            assert not _RESERVED.fullmatch(part)
            assert part not in ("", ".", "..")
            assert not part.startswith((" ", "-", "."))
            assert not part.endswith((" ", "."))


async def test_series_with_the_same_end_have_folders_of_their_own() -> None:
    first, second = "1.2.999.123456789012", "1.3.999.123456789012"
    instances = [
        described(first, "1.2.3", modality="MR", series_number=1, instance_number=1),
        described(first, "1.2.4", modality="MR", series_number=2, instance_number=2),
        described(second, "1.2.3", modality="MR", series_number=1, instance_number=1),
    ]
    assert await _named(instances) == [
        f"{STUDY}/0001-MR-123456789012/00001-1.2.3.dcm",
        f"{STUDY}/0001-MR-123456789012/00002-1.2.4.dcm",
        f"{STUDY}/{second}/00001-1.2.3.dcm",
    ]
