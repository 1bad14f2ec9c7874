"""The acceptor with real clients: dcmtk's tools, unchanged, and pynetdicom's AE."""

from __future__ import annotations

import asyncio
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pynetdicom import AE

from isocenter.core.errors import Unavailable
from isocenter.dimse.contexts import (
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    Accepted,
    AssociationOffer,
)
from isocenter.dimse.messages import CommandField, Request
from isocenter.dimse.server import Listener, serve
from support.dimse_peers import (
    CT,
    FIND,
    IMPLICIT,
    VERIFICATION,
    Keeper,
    RawPeer,
    accept_all,
    associate_rq,
    echo_command,
    p_data,
    pdv,
    port,
    run_tool,
    store_command,
)

CT_FILE = str(get_testdata_file("CT_small.dcm"))


def _data_set(path: str) -> bytes:
    """The data set of a file, without File Meta Information."""
    whole = Path(path).read_bytes()
    length = dcmread(path, stop_before_pixels=True).file_meta.FileMetaInformationGroupLength
    return whole[144 + length :]


async def test_echoscu_gets_its_echo():
    async with port() as server:
        code, output = await run_tool("echoscu", "127.0.0.1", server.port, "--repeat", 3)
    assert code == 0, output


async def test_storescu_with_nagle_on_stores_what_it_sends_without_stalls():
    keeper = Keeper()
    async with port({CommandField.C_STORE: keeper}) as server:
        started = asyncio.get_running_loop().time()
        code, output = await run_tool(
            "storescu", "--repeat", 100, "--max-send-pdu", 4096, "127.0.0.1", server.port, CT_FILE
        )
        seconds = asyncio.get_running_loop().time() - started
    assert code == 0, output
    (kept,) = keeper.kept.values()
    sent = dcmread(CT_FILE)
    del sent.DataSetTrailingPadding  # storescu leaves it out
    assert read_dataset(BytesIO(kept), is_implicit_VR=False, is_little_endian=True) == sent
    assert len(keeper.commands) >= 100
    assert seconds < 100 * 0.04  # what delayed acknowledgements alone would take


async def test_findscu_gets_pending_answers_and_the_final_one():
    async def find(request: Request) -> None:
        identifier = await request.read_data(4096)
        for _ in range(3):
            await request.respond(0xFF00, data_set=identifier)
        await request.respond(0)

    async with port({CommandField.C_FIND: find}) as server:
        code, output = await run_tool(
            "findscu", "-v", "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID",
            "127.0.0.1", server.port,
        )  # fmt: skip
    assert code == 0, output
    assert output.count("Find Response:") == 3


async def test_getscu_receives_what_the_handler_stores_on_its_association(tmp_path: Path):
    sent = dcmread(CT_FILE)

    async def data():
        yield _data_set(CT_FILE)

    async def get(request: Request) -> None:
        await request.read_data(4096)
        association = request.association
        context = next(
            context
            for context in association.contexts.values()
            if context.abstract_syntax == CT and context.scu
        )
        response = await association.c_store(context, CT, sent.SOPInstanceUID, data())
        await request.respond(0xFF00, remaining=0, completed=1, failed=0, warning=0)
        assert response.status == 0
        await request.respond(0, completed=1, failed=0, warning=0)

    async with port({CommandField.C_GET: get}) as server:
        code, output = await run_tool(
            "getscu", "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2",
            "-od", tmp_path, "127.0.0.1", server.port,
        )  # fmt: skip
    assert code == 0, output
    (received,) = tmp_path.iterdir()
    assert dcmread(received).PixelData == sent.PixelData


async def test_pynetdicom_negotiates_only_what_was_admitted():
    def admit(offer: AssociationOffer) -> Accepted:
        assert (offer.calling_ae_title, offer.called_ae_title) == ("NET", "ISOCENTER")
        assert offer.peer_host == "127.0.0.1"
        return Accepted({VERIFICATION: (IMPLICIT,)})

    def client(number: int) -> tuple[list[str], int, list[str]]:
        ae = AE("NET")
        ae.add_requested_context(VERIFICATION)
        ae.add_requested_context(CT)
        association = ae.associate("127.0.0.1", number, ae_title="ISOCENTER")
        status = association.send_c_echo().Status
        accepted = [context.abstract_syntax for context in association.accepted_contexts]
        refused = [context.abstract_syntax for context in association.rejected_contexts]
        association.release()
        return accepted, status, refused

    async with port(admit=admit) as server:
        assert await asyncio.to_thread(client, server.port) == ([VERIFICATION], 0, [CT])


async def test_pynetdicom_cancels_a_find():
    async def find(request: Request) -> None:
        identifier = await request.read_data(4096)
        while not request.cancelled.is_set():
            await request.respond(0xFF00, data_set=identifier)
            await asyncio.sleep(0.001)
        await request.respond(0xFE00)

    def client(number: int) -> list[int]:
        ae = AE("NET")
        ae.add_requested_context(FIND)
        association = ae.associate("127.0.0.1", number)
        query = Dataset()
        query.QueryRetrieveLevel = "STUDY"
        statuses = []
        for status, _ in association.send_c_find(query, FIND, msg_id=5):
            statuses.append(status.Status)
            if len(statuses) == 3:
                association.send_c_cancel(5, query_model=FIND)
        association.release()
        return statuses

    async with port({CommandField.C_FIND: find}) as server:
        statuses = await asyncio.to_thread(client, server.port)
    assert statuses[-1] == 0xFE00
    assert set(statuses[:-1]) == {0xFF00}


async def test_a_rejected_caller_is_told_the_standards_reason():
    async with port(admit=lambda _: CALLED_AE_TITLE_NOT_RECOGNIZED) as server:
        code, output = await run_tool("echoscu", "127.0.0.1", server.port)
    assert code != 0
    assert "Called AE Title Not Recognized" in output


async def test_one_association_too_many_is_rejected_and_the_next_one_is_not():
    async with port(max_associations=1) as server:
        first = await RawPeer.associated(server)
        second = await RawPeer.connect(server)
        second.send(associate_rq())
        assert await second.receive() == (3, bytes([0, 2, 3, 2]))
        first.send(b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00")
        assert (await first.receive())[0] == 6
        assert server.associations == 0
        await RawPeer.associated(server)


async def test_a_handler_starts_with_the_first_fragment():
    started = asyncio.Event()

    async def store(request: Request) -> None:
        first = bytes(await anext(request.data))
        started.set()
        rest = await request.read_data(100)
        await request.respond(0 if first + rest == b"abcdef" else 0xC000)

    async with port({CommandField.C_STORE: store}) as server:
        peer = await RawPeer.associated(server)
        peer.send(p_data(pdv(3, 3, store_command())) + p_data(pdv(3, 0, b"abc")))
        await asyncio.wait_for(started.wait(), 5)
        peer.send(p_data(pdv(3, 2, b"def")))
        _, body = await peer.receive()
        assert b"\x00\x00\x00\x09\x02\x00\x00\x00\x00\x00" in body


async def test_a_slow_handler_stops_the_sender_instead_of_growing_memory():
    go = asyncio.Event()
    total = 64 * 1024 * 1024

    async def store(request: Request) -> None:
        await go.wait()
        size = 0
        async for part in request.data:
            assert len(part) < 2 * 1024 * 1024
            size += len(part)
        await request.respond(0 if size == total else 0xC000)

    async with port({CommandField.C_STORE: store}, max_buffered_bytes=1 << 20) as server:
        peer = await RawPeer.associated(server)
        peer.send(p_data(pdv(3, 3, store_command())))
        piece = p_data(pdv(3, 0, bytes(65536)))

        async def send() -> None:
            for _ in range(total // 65536):
                peer.send(piece)
                await peer._writer.drain()
            peer.send(p_data(pdv(3, 2, b"")))

        sending = asyncio.create_task(send())
        (association,) = server.established
        async with asyncio.timeout(10):
            while not association._full:
                await asyncio.sleep(0)
        assert association._buffered < 2 * 1024 * 1024
        assert not sending.done()
        go.set()
        assert (await peer.receive())[0] == 4
        await sending


async def test_a_handler_that_raises_is_answered_with_processing_failure():
    async def store(request: Request) -> None:
        raise ValueError("whatever")

    async with port({CommandField.C_STORE: store}) as server:
        peer = await RawPeer.associated(server)
        peer.send(p_data(pdv(3, 3, store_command())) + p_data(pdv(3, 2, b"rest is not read")))
        _, body = await peer.receive()
        assert b"\x00\x00\x00\x09\x02\x00\x00\x00\x10\x01" in body
        peer.send(p_data(pdv(1, 3, echo_command())))
        _, body = await peer.receive()
        assert b"\x00\x00\x00\x09\x02\x00\x00\x00\x00\x00" in body


async def test_a_request_that_nothing_handles_is_an_unrecognized_operation():
    async with port() as server:
        peer = await RawPeer.associated(server)
        peer.send(p_data(pdv(3, 3, store_command())) + p_data(pdv(3, 2, b"data")))
        _, body = await peer.receive()
        assert b"\x00\x00\x00\x09\x02\x00\x00\x00\x11\x02" in body


async def test_draining_lets_a_request_finish_and_then_releases():
    entered, go = asyncio.Event(), asyncio.Event()

    async def store(request: Request) -> None:
        entered.set()
        await go.wait()
        await request.respond(0)

    async with port({CommandField.C_STORE: store}) as server:
        late = await RawPeer.connect(server)
        peer = await RawPeer.associated(server)
        peer.send(p_data(pdv(3, 3, store_command())) + p_data(pdv(3, 2, b"data")))
        await asyncio.wait_for(entered.wait(), 5)
        draining = asyncio.create_task(server.drain(5))
        await asyncio.sleep(0)
        late.send(associate_rq())
        assert await late.receive() == (3, bytes([0, 2, 3, 2]))
        go.set()
        assert (await peer.receive())[0] == 4
        assert (await peer.receive())[0] == 5
        peer.send(b"\x06\x00\x00\x00\x00\x04\x00\x00\x00\x00")
        await asyncio.wait_for(draining, 5)
        assert server.associations == 0
        with pytest.raises(ConnectionRefusedError):
            await RawPeer.connect(server)


async def test_draining_aborts_what_does_not_finish_in_time():
    entered = asyncio.Event()

    async def store(request: Request) -> None:
        entered.set()
        await request.cancelled.wait()

    async with port({CommandField.C_STORE: store}) as server:
        peer = await RawPeer.associated(server)
        peer.send(p_data(pdv(3, 3, store_command())) + p_data(pdv(3, 2, b"data")))
        await asyncio.wait_for(entered.wait(), 5)
        await server.drain(0.1)
        assert await peer.receive() == (7, bytes([0, 0, 0, 0]))


async def test_a_port_in_use_is_an_error_that_says_so():
    async with port() as server:
        with pytest.raises(Unavailable, match="another port"):
            await serve(Listener("127.0.0.1", server.port), {}, accept_all)
