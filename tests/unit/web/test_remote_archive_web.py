"""Other archives over DICOMweb: pages of answers, objects of multipart bodies, what goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.cli.query import shown
from isocenter.core import part10
from isocenter.core.errors import IsocenterError, NotFound, Refused, Unavailable, Unsupported
from isocenter.core.matching import Key, Level
from isocenter.core.remote import KeeperFailed, Listed, text_of
from isocenter.web.remote import WebArchive

ROOT = "http://archive.example/dicomweb"
CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
STUDY = Key("0020000D", "UI", ("1.2",))
Answer = Callable[[httpx.Request], httpx.Response]


def row(number: int) -> dict:
    return {"00100020": {"vr": "LO", "Value": [str(number)]}}


def archive(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> WebArchive:
    real = httpx.AsyncClient

    def client(**how: object) -> httpx.AsyncClient:
        assert how.pop("verify") is True
        return real(transport=httpx.MockTransport(answer), **how)

    monkeypatch.setattr(httpx, "AsyncClient", client)
    return WebArchive(ROOT)


async def find(other: WebArchive, level=Level.STUDY, keys=(STUDY,), limit=0) -> list[dict]:
    return [one async for one in other.find(level, keys, limit)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["0020000D", "vr", "Value"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.sampled_from(["0020000D", "00080018"]), JSON), max_size=4))
def test_answers_of_any_form_are_read_or_passed_over(rows: list[dict]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        other = archive(patch, lambda _: httpx.Response(200, json=rows))
        for found in asyncio.run(find(other)):
            assert isinstance(text_of(found, "0020000D"), str)
            assert isinstance(shown(found.get("00080018", {})), str)


class Taker:
    def __init__(self, error: IsocenterError | None = None) -> None:
        self.taken: dict[str, bytes] = {}
        self.error = error

    async def take(self, arrival, data_set) -> None:
        if self.error is not None:
            raise self.error
        assert (arrival.sop_class, arrival.transfer_syntax) == (CT, EXPLICIT)
        self.taken[arrival.instance] = b"".join([chunk async for chunk in data_set])


def multipart(*instances: str, end: bytes = b"\r\n--b--\r\n") -> httpx.Response:
    parts = b"".join(
        b"\r\n--b\r\nContent-Type: application/dicom\r\n\r\n"
        + part10.file_meta(CT, uid, EXPLICIT)
        + b"\x08\x00\x18\x00UI\x00\x00" + uid.encode()
        for uid in instances
    )  # fmt: skip
    kind = 'multipart/related; type="application/dicom"; boundary=b'
    return httpx.Response(200, content=parts + end, headers={"content-type": kind})


@pytest.mark.parametrize("cap", [7, 1000, 5000])
@pytest.mark.parametrize("offsets", [True, False], ids=["pages", "no pages"])
async def test_answers_come_page_after_page(monkeypatch, cap: int, offsets: bool) -> None:
    rows = [row(number) for number in range(20)]

    def answer(request: httpx.Request) -> httpx.Response:
        start = int(request.url.params["offset"]) if offsets else 0
        page = rows[start : start + min(cap, int(request.url.params["limit"]))]
        return httpx.Response(200, json=page) if page else httpx.Response(204)

    other = archive(monkeypatch, answer)
    assert await find(other) == (rows if offsets else rows[: min(cap, 20)])
    assert await find(other, limit=5) == rows[:5]
    await other.close()


@pytest.mark.parametrize(
    ("level", "keys", "path", "query"),
    [
        (
            Level.STUDY,
            (STUDY, Key("00100010", "PN")),
            "/studies",
            "0020000D=1.2&includefield=00100010",
        ),
        (Level.SERIES, (STUDY,), "/studies/1.2/series", ""),
        (Level.SERIES, (Key("00080060", "CS", ("CT", "MR")),), "/series", "00080060=CT%2CMR"),
        (Level.INSTANCE, (STUDY,), "/studies/1.2/instances", ""),
        (
            Level.INSTANCE,
            (STUDY, Key("0020000E", "UI", ("1.3",))),
            "/studies/1.2/series/1.3/instances",
            "",
        ),
    ],
)
async def test_the_resource_is_that_of_the_level(monkeypatch, level, keys, path, query) -> None:
    asked: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(204)

    assert await find(archive(monkeypatch, answer), level, keys) == []
    assert asked[0].path == f"/dicomweb{path}"
    assert str(asked[0].query.decode()).replace("limit=1000&offset=0", "").strip("&") == query


async def test_patients_are_not_searched() -> None:
    with pytest.raises(Unsupported, match="QIDO-RS does not search patients"):
        await find(WebArchive(ROOT), Level.PATIENT)


async def test_objects_of_a_study_and_single_ones(monkeypatch) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        assert "transfer-syntax=*" in request.headers["accept"]
        if request.url.path.endswith("/gone"):
            return httpx.Response(404)
        return multipart("1.1", "1.2") if asked[1:] == [] else multipart("1.3")

    other, taker = archive(monkeypatch, answer), Taker()
    wanted = [Listed("1.9", uid, CT) for uid in ("gone", "1.3")]
    assert await other.retrieve("1", wanted, taker, whole=True) == ""
    assert set(taker.taken) == {"1.1", "1.2"}
    assert taker.taken["1.1"].endswith(b"1.1")
    assert "404" in await other.retrieve("1", wanted, taker, whole=False)
    assert set(taker.taken) == {"1.1", "1.2", "1.3"}
    assert asked[1:] == [
        "/dicomweb/studies/1/series/1.9/instances/gone",
        "/dicomweb/studies/1/series/1.9/instances/1.3",
    ]


async def test_an_answer_that_breaks_off_can_be_asked_for_again(monkeypatch) -> None:
    taker = Taker()
    other = archive(monkeypatch, lambda _: multipart("1.1", "1.2", end=b""))
    with pytest.raises(Unavailable, match="broke an answer off"):
        await other.retrieve("1", [], taker, whole=True)
    assert "1.1" in taker.taken
    with pytest.raises(KeeperFailed):
        await other.retrieve("1", [], Taker(KeeperFailed("disk")), whole=True)


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (httpx.Response(401), Refused, "answers 401 Unauthorized"),
        (httpx.Response(404), NotFound, "answers 404 Not Found"),
        (httpx.Response(503), Unavailable, "answers 503"),
        (httpx.Response(200, text="<html/>"), Unsupported, "not in DICOM JSON"),
        (httpx.Response(200, text=json.dumps({"a": 1})), Unsupported, "not in DICOM JSON"),
        (httpx.ConnectError("refused"), Unavailable, "does not answer: refused"),
    ],
)
async def test_what_goes_wrong_is_told(monkeypatch, answer, kind, told) -> None:
    def respond(_: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(kind, match=told):
        await find(archive(monkeypatch, respond))
