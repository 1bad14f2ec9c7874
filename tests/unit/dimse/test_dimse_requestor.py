"""The requestor against pynetdicom's AE and dcmtk's storescp, and against our own acceptor."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from isocenter.core.errors import DeadlineExceeded, Unsupported
from isocenter.dimse.association import Association
from isocenter.dimse.contexts import CALLING_AE_TITLE_NOT_RECOGNIZED
from isocenter.dimse.limits import Timeouts
from isocenter.dimse.messages import CommandField, Request
from isocenter.dimse.requestor import (
    AssociationAborted,
    AssociationRejected,
    ConnectionFailed,
    ProposedContext,
    associate,
)
from support.dimse_peers import (
    CT,
    EXPLICIT,
    FIND,
    GET,
    IMPLICIT,
    MOVE,
    VERIFICATION,
    Keeper,
    port,
)

CONTEXTS = [ProposedContext(uid, (EXPLICIT, IMPLICIT)) for uid in (VERIFICATION, FIND, MOVE, GET)]
CONTEXTS.append(ProposedContext(CT, (EXPLICIT,), scu=True, scp=True))
QUICK = Timeouts(artim=5, network=5, dimse=5, connect=5)


async def _associate(number: int, **options: object) -> Association:
    options = {"timeouts": QUICK, **options}
    return await associate(
        "127.0.0.1",
        number,
        calling_ae_title="ISOCENTER",
        called_ae_title="PEER",
        contexts=CONTEXTS,
        **options,
    )


def _context(association: Association, uid: str):
    return next(c for c in association.contexts.values() if c.abstract_syntax == uid)


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@contextmanager
def _pynetdicom(handlers: list) -> Iterator[int]:
    ae = AE("PEER")
    for uid in (VERIFICATION, FIND, MOVE, GET):
        ae.add_supported_context(uid, [IMPLICIT, EXPLICIT])
    ae.add_supported_context(CT, EXPLICIT, scu_role=True, scp_role=True)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


async def test_pynetdicom_answers_an_echo_and_the_release():
    with _pynetdicom([(evt.EVT_C_ECHO, lambda _: 0)]) as number:
        association = await _associate(number)
        assert await association.c_echo() == 0
        assert (association.peer_host, association.peer_port) == ("127.0.0.1", number)
        await association.release()
        assert association.closed.is_set()
        with pytest.raises(AssociationAborted):
            await association.c_echo()


@pytest.mark.parametrize("streamed", [True, False])
async def test_pynetdicom_stores_a_data_set_byte_for_byte(streamed: bool):
    kept = {}

    def store(event: evt.Event) -> int:
        kept[event.request.AffectedSOPInstanceUID] = event.request.DataSet.getvalue()
        kept["originator"] = event.request.MoveOriginatorApplicationEntityTitle
        kept["id"] = event.request.MoveOriginatorMessageID
        return 0xB000

    pieces = [bytes([n % 251]) * (n * 977) for n in range(40)]
    data = _pieces(*pieces) if streamed else b"".join(pieces)
    with _pynetdicom([(evt.EVT_C_STORE, store)]) as number:
        association = await _associate(number)
        response = await association.c_store(
            _context(association, CT), CT, "1.2.3.4", data,
            move_originator="MOVER", move_originator_message_id=77,
        )  # fmt: skip
        await association.release()
    assert response.status == 0xB000
    assert kept == {"1.2.3.4": b"".join(pieces), "originator": "MOVER", "id": 77}


async def test_find_responses_come_with_their_identifiers():
    answer = Dataset()
    answer.PatientID = "X"

    def find(event: evt.Event):
        for _ in range(3):
            yield 0xFF00, answer
        yield 0, None

    with _pynetdicom([(evt.EVT_C_FIND, find)]) as number:
        association = await _associate(number)
        context = _context(association, FIND)
        answers = [r async for r in association.c_find(context, FIND, b"")]
        await association.release()
    assert [r.status for r in answers] == [0xFF00] * 3 + [0]
    assert all(r.data_set and b"X " in r.data_set for r in answers[:3])
    assert answers[-1].data_set is None


async def test_closing_a_find_early_cancels_it_and_the_association_goes_on():
    cancelled = threading.Event()
    answer = Dataset()
    answer.PatientID = "X"

    def find(event: evt.Event):
        while not event.is_cancelled:
            yield 0xFF00, answer
        cancelled.set()
        yield 0xFE00, None

    with _pynetdicom([(evt.EVT_C_FIND, find), (evt.EVT_C_ECHO, lambda _: 0)]) as number:
        association = await _associate(number)
        async with aclosing(association.c_find(_context(association, FIND), FIND, b"")) as found:
            async for response in found:
                assert response.pending
                break
        assert cancelled.is_set()
        assert await association.c_echo() == 0
        await association.release()


async def test_get_delivers_sub_operations_to_the_handlers_and_counts():
    async def get(request: Request) -> None:
        assert await request.read_data(100) == b"identifier"
        context = _context(request.association, CT)
        for number in range(3):
            data = _pieces(b"data" * 10_000)
            response = await request.association.c_store(context, CT, f"1.2.{number}", data)
            assert response.status == 0
            await request.respond(
                0xFF00, remaining=2 - number, completed=number + 1, failed=0, warning=0
            )
        await request.respond(0, completed=3, failed=0, warning=0)

    keeper = Keeper()
    async with port({CommandField.C_GET: get}) as server:
        association = await _associate(server.port, handlers={CommandField.C_STORE: keeper})
        context = _context(association, GET)
        answers = [r async for r in association.c_get(context, GET, b"identifier")]
        await association.release()
    assert keeper.kept == {f"1.2.{n}": b"data" * 10_000 for n in range(3)}
    assert [(r.status, r.remaining, r.completed) for r in answers] == [
        (0xFF00, 2, 1), (0xFF00, 1, 2), (0xFF00, 0, 3), (0, None, 3),
    ]  # fmt: skip


async def test_move_can_be_cancelled_and_reports_to_the_end():
    async def move(request: Request) -> None:
        assert request.command.move_destination == "THERE"
        await request.read_data(100)
        await request.respond(0xFF00, remaining=9, completed=1, failed=0, warning=0)
        await request.cancelled.wait()
        await request.respond(0xFE00, remaining=9, completed=1, failed=0, warning=0)

    async with port({CommandField.C_MOVE: move}) as server:
        association = await _associate(server.port)
        statuses = []
        context = _context(association, MOVE)
        async for response in association.c_move(context, MOVE, "THERE", b"identifier"):
            statuses.append(response.status)
            await association.cancel()
        await association.release()
    assert statuses == [0xFF00, 0xFE00]


async def test_a_rejection_has_the_standards_fields():
    async with port(admit=lambda _: CALLING_AE_TITLE_NOT_RECOGNIZED) as server:
        with pytest.raises(AssociationRejected, match="calling AE title") as caught:
            await _associate(server.port)
    assert (caught.value.result, caught.value.source, caught.value.reason) == (1, 1, 3)


async def test_a_closed_port_is_a_failed_connection():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.getsockname()[1]
    with pytest.raises(ConnectionFailed, match=f"127.0.0.1:{number}"):
        await _associate(number)


async def test_a_peer_that_says_nothing_is_a_failed_connection():
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(ConnectionFailed, match="does not answer"),
    ):
        await _associate(listener.getsockname()[1], timeouts=Timeouts(artim=0.2))


async def test_a_peer_that_answers_no_dicom_is_an_aborted_association():
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        with pytest.raises(AssociationAborted):
            await _associate(server.sockets[0].getsockname()[1])


async def test_no_response_within_the_dimse_timeout_aborts():
    async def never(request: Request) -> None:
        await request.cancelled.wait()

    async with port({CommandField.C_ECHO: never}) as server:
        association = await _associate(server.port, timeouts=Timeouts(dimse=0.2))
        with pytest.raises(DeadlineExceeded):
            await association.c_echo()
        assert association.closed.is_set()


async def test_a_peer_that_vanishes_fails_the_operation_under_way():
    async def vanish(request: Request) -> None:
        await request.association.abandon()

    async with port({CommandField.C_ECHO: vanish}) as server:
        association = await _associate(server.port)
        with pytest.raises(AssociationAborted):
            await association.c_echo()


async def test_a_source_that_fails_before_its_first_byte_costs_no_association():
    async def broken() -> AsyncIterator[bytes]:
        raise OSError("gone")
        yield b""

    async with port() as server:
        association = await _associate(server.port)
        with pytest.raises(OSError, match="gone"):
            await association.c_store(_context(association, CT), CT, "1.2", broken())
        assert await association.c_echo() == 0
        await association.release()


async def test_a_source_that_fails_in_the_middle_aborts_so_that_nothing_half_is_kept():
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise OSError("gone")

    keeper = Keeper()
    async with port({CommandField.C_STORE: keeper}) as server:
        association = await _associate(server.port)
        with pytest.raises(OSError, match="gone"):
            await association.c_store(_context(association, CT), CT, "1.2", broken())
        assert association.closed.is_set()
    assert keeper.kept == {}


async def test_without_the_scu_role_nothing_is_sent():
    contexts = [ProposedContext(CT, (EXPLICIT,), scu=False, scp=True)]
    async with port() as server:
        association = await associate(
            "127.0.0.1", server.port, calling_ae_title="A", called_ae_title="B", contexts=contexts
        )
        context = _context(association, CT)
        assert (context.scu, context.scp) == (False, True)
        with pytest.raises(Unsupported):
            await association.c_store(context, CT, "1.2", _pieces(b"data"))
        with pytest.raises(Unsupported):
            await association.c_echo()
        await association.release()


async def test_both_sides_may_release_at_once():
    async with port() as server:
        association = await _associate(server.port)
        (other,) = server.established
        await asyncio.gather(association.release(), other.release())
        assert association.closed.is_set()
        assert other.closed.is_set()


async def test_both_sides_release_at_once_without_an_abort(caplog: pytest.LogCaptureFixture):
    async with port() as server:
        ours = await _associate(server.port)
        (theirs,) = server.established
        await asyncio.gather(ours.release(), theirs.release())
        assert ours.closed.is_set()
        assert theirs.closed.is_set()
        await asyncio.wait_for(theirs.disconnect.wait(), 5)
    assert not [record for record in caplog.records if "abort" in record.message]


async def test_what_waits_learns_that_we_aborted():
    asked = asyncio.Event()

    async def silent(request: Request) -> None:
        asked.set()
        await request.cancelled.wait()

    async with port({CommandField.C_ECHO: silent}) as server:
        association = await _associate(server.port)
        echo = asyncio.create_task(association.c_echo())
        await asyncio.wait_for(asked.wait(), 5)
        await association.abort()
        with pytest.raises(AssociationAborted, match="aborted locally"):
            await echo
