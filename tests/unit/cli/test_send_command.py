"""`isocenter send`: peers, identifying files, and how requests are put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import chain
from pathlib import Path

import httpx
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from isocenter.cli import send as module
from isocenter.cli.peers import WebPeer, parse_peer
from isocenter.cli.send import (
    MAX_CONTEXTS,
    STOW_BATCH,
    Item,
    Queue,
    _batches,
    _identify,
    send,
)
from isocenter.cli.sources import SourceFile
from isocenter.core.errors import Invalid, Unavailable, Unprocessable, Unsupported
from isocenter.dimse import requestor
from isocenter.dimse.reasons import told
from isocenter.dimse.target import Target
from support.datasets import encoded, tiny, write


def test_peers_are_read_from_their_addresses() -> None:
    peer = parse_peer("dicom://PACS@10.0.0.1:104", "US")
    assert isinstance(peer, Target)
    assert (peer.ae_title, peer.host, peer.port) == ("PACS", "10.0.0.1", 104)
    assert (peer.calling_ae_title, peer.tls) == ("US", None)
    assert parse_peer("dicom://PACS@archive.example", "US").port == 11112  # type: ignore[union-attr]
    root = "https://archive.example/dicomweb"
    assert parse_peer(f"{root}/", "US") == WebPeer(root)


def test_a_token_is_shown_to_peers_of_http_alone_and_is_not_told(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("iso_1_secret\n")
    peer = parse_peer("https://archive.example/dicomweb", "US", token_file=token)
    assert isinstance(peer, WebPeer)
    assert peer.shown == {"Authorization": "Bearer iso_1_secret"}
    assert "secret" not in repr(peer)
    with pytest.raises(Invalid, match="--token-file is for peers of http"):
        parse_peer("dicom://PACS@10.0.0.1:104", "US", token_file=token)


@pytest.mark.parametrize(
    "text",
    ["PACS", "dicom://10.0.0.1:104", "dicom://AN-AE-TITLE-TOO-LONG@h:1", "http://", "file:///x"],
)
def test_what_is_no_peer_is_refused_with_the_two_forms(text: str) -> None:
    with pytest.raises(Invalid, match=r"dicom://AE_TITLE@host:port or http://host:port/dicomweb"):
        parse_peer(text, "US")


@pytest.mark.parametrize(
    ("name", "syntax"),
    [
        ("CT_small.dcm", "1.2.840.10008.1.2.1"),
        ("JPEG2000.dcm", "1.2.840.10008.1.2.4.91"),
        ("image_dfl.dcm", "1.2.840.10008.1.2.1.99"),
    ],
)
async def test_a_file_is_identified_by_its_data_set(name: str, syntax: str) -> None:
    item = await _identify(SourceFile(Path(get_testdata_file(name))))
    assert item.transfer_syntax == syntax
    assert item.sop_class.startswith("1.2.840.10008.5.1.4.1.1.")
    assert item.instance


def test_a_port_that_cannot_be_is_refused() -> None:
    with pytest.raises(Invalid, match=r"Port out of range.*ports are 1 to 65535"):
        parse_peer("dicom://PACS@10.0.0.1:99999", "US")


async def test_a_calling_title_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"--calling .*not an AE title"):
        await send([tmp_path], "dicom://PACS@10.0.0.1", calling="LONGER THAN SIXTEEN", parallel=1)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0xA702, "0xA702, the peer is out of resources"),
        (0x0122, "0x0122, SOP class not supported"),
        (0xC000, "0xC000, the peer cannot understand the data set"),
        (0xC122, "0xC122, the transfer syntax is not supported for this SOP class"),
        (0x0999, "0x0999"),
    ],
)
def test_statuses_are_told_in_words(status: int, words: str) -> None:
    assert told(status) == words


async def test_a_file_that_names_no_instance_is_unprocessable(tmp_path: Path) -> None:
    data_set = tiny()
    path = write(data_set, tmp_path / "x.dcm")
    uid = data_set.SOPInstanceUID.encode()
    body = encoded(data_set)
    whole = path.read_bytes()
    path.write_bytes(whole[: -len(body)] + body.replace(uid, b"x" * len(uid)))
    with pytest.raises(Unprocessable, match=r"\(0008,0018\)"):
        await _identify(SourceFile(path))


async def _items(count: int, syntaxes: int = 1) -> AsyncIterator[Item]:
    for n in range(count):
        yield Item(SourceFile(Path("x")), CTImageStorage, f"1.2.{n}", f"1.2.840.{n % syntaxes}")


async def test_batches_are_bounded_in_length_and_in_presentation_contexts() -> None:
    batches = [batch async for batch in _batches(_items(STOW_BATCH * 2 + 1))]
    assert [len(batch) for batch in batches] == [STOW_BATCH, STOW_BATCH, 1]
    async for batch in _batches(_items(400, syntaxes=400)):
        assert len({item.transfer_syntax for item in batch}) <= MAX_CONTEXTS
    assert [batch async for batch in _batches(_items(0))] == []


async def test_workers_share_the_batches_without_losing_or_repeating_one() -> None:
    queue = Queue(_batches(_items(STOW_BATCH * 7)))

    async def work() -> list[str]:
        uids = []
        async for batch in queue:
            await asyncio.sleep(0)
            uids += [item.instance for item in batch]
        return uids

    shares = await asyncio.gather(work(), work(), work())
    assert sorted(chain(*shares)) == sorted(f"1.2.{n}" for n in range(STOW_BATCH * 7))


def _answering(monkeypatch: pytest.MonkeyPatch, answer: httpx.Response | Exception) -> None:
    """Every request is read to its end and answered so."""

    async def handle(request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        async for _ in request.stream:
            pass
        if isinstance(answer, Exception):
            raise answer
        return answer

    real = httpx.AsyncClient
    monkeypatch.setattr(
        module.httpx,
        "AsyncClient",
        lambda timeout, **_: real(timeout=timeout, transport=httpx.MockTransport(handle)),
    )


def _failed(*uids: str) -> httpx.Response:
    items = [
        {"00081155": {"vr": "UI", "Value": [uid]}, "00081197": {"vr": "US", "Value": [0xA900]}}
        for uid in uids
    ]
    return httpx.Response(202, json={"00081198": {"vr": "SQ", "Value": items}})


async def test_two_files_of_one_instance_are_counted_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data_set = tiny()
    for name in ("a.dcm", "b.dcm"):
        write(data_set, tmp_path / name)
    write(tiny(), tmp_path / "c.dcm")
    _answering(monkeypatch, _failed(data_set.SOPInstanceUID))
    assert await send([tmp_path], "http://archive.example", calling="US", parallel=1) == 1
    told = capsys.readouterr().err
    assert "sent: 2 instances" in told
    assert "refused: 1" in told
    assert "failure reason 0xA900" in told


@pytest.mark.parametrize(
    ("answer", "error", "told"),
    [
        (httpx.ConnectError("refused"), Unavailable, "does not answer.*check the address"),
        (httpx.Response(404, text="no such page"), Unsupported, "answered 404.*no such page"),
        (httpx.Response(200, text="<html/>"), Unsupported, "not in DICOM JSON.*DICOMweb root"),
    ],
    ids=["nobody", "no-stow", "no-dicomweb"],
)
async def test_a_root_that_takes_no_stow_ends_the_sending(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: httpx.Response | Exception,
    error: type[Exception],
    told: str,
) -> None:
    write(tiny(), tmp_path / "a.dcm")
    _answering(monkeypatch, answer)
    with pytest.raises(error, match=told):
        await send([tmp_path], "http://archive.example", calling="US", parallel=1)


async def test_a_class_that_the_peer_does_not_accept_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Rejecting:
        contexts: dict[int, object] = {}  # noqa: RUF012 - of a stand-in

        async def release(self) -> None:
            """Ended in order."""

    async def associate(*_: object, **__: object) -> Rejecting:
        return Rejecting()

    monkeypatch.setattr(requestor, "associate", associate)
    write(tiny(), tmp_path / "a.dcm")
    assert await send([tmp_path], "dicom://ANY@127.0.0.1:1", calling="US", parallel=1) == 1
    told = capsys.readouterr().err
    assert f"does not accept SOP class {CTImageStorage}" in told
    assert ExplicitVRLittleEndian in told
