"""C-MOVE on sockets: several associations, further tries, queues, destinations that are slow or
dead."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from io import BytesIO
from time import monotonic

import pytest
from pydicom.filereader import read_dataset

from isocenter.gateway import c_move, progress
from isocenter.gateway.suboperations import MAX_IN_VAIN
from isocenter.runtime.aes import KnownAE
from isocenter.runtime.instruments import RETRIEVE_FAILURES, RETRIEVE_RETRIES
from support.gateway_fakes import Held, series
from support.live_gateway import STUDY_1, Live, instances, live, storescp
from support.moves import Requester, destination, requester, slow_link
from support.telemetry import Recorder
from support.waiting import until

MIB = 1024 * 1024


@asynccontextmanager
async def client(held: list[Held], *aes: KnownAE, **more: object) -> AsyncIterator[Requester]:
    """Whoever asks a gateway that holds these instances and knows these AEs."""
    async with live(held, known_aes=aes, **more) as gateway, requester(gateway.port) as one:
        yield one


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c_move, "PAUSES", (0.05, 0.1, 0.2))


def known(port: int, title: str = "DEST", **more: int) -> KnownAE:
    return KnownAE(title=title, host="127.0.0.1", port=port, **more)


def counts(response) -> tuple[int, int, int]:
    return response.completed, response.failed, response.warning


def failed_uids(response) -> list[str]:
    found = read_dataset(BytesIO(response.data_set), False, True).FailedSOPInstanceUIDList
    return [found] if isinstance(found, str) else list(found)


def studies(*names: str, count: int = 1) -> list[Held]:
    return [one for name in names for one in series(count, study=name)]


# --- several associations ------------------------------------------------------------------------


@pytest.mark.parametrize(("associations", "count", "most"), [(1, 30, 1), (3, 30, 3), (8, 6, 2)])
async def test_as_many_associations_deliver_as_are_allowed_and_worth_it(associations, count, most):
    together = asyncio.Event()
    async with destination() as dest:

        async def answer(request) -> int:
            """No object is done before all associations are there."""
            if dest.server.associations == most:
                together.set()
            await asyncio.wait_for(together.wait(), 10)
            return 0

        dest.answer = answer
        aes = [known(dest.port, move_associations=associations)]
        async with client(series(count), *aes) as asking:
            final = await (await asking.ask("move", "1.2.3")).final()
        await until(lambda: dest.server.associations == 0)
    assert dest.most == most
    assert (final.status, counts(final)) == (0x0000, (count, 0, 0))
    assert Counter(dest.received) == Counter(f"1.2.3.1.{n}" for n in range(1, count + 1))


async def test_a_destination_of_one_association_at_a_time_is_served_over_one(tmp_path):
    async with storescp(tmp_path, "-aet", "DEST") as port:
        aes = [known(port, move_associations=4)]
        async with client(series(30), *aes) as asking:
            began = monotonic()
            final = await (await asking.ask("move", "1.2.3")).final()
            assert monotonic() - began < 10  # far below the time it has to accept an association
    assert (final.status, counts(final)) == (0x0000, (30, 0, 0))
    assert len(instances(tmp_path)) == 30


async def test_a_destination_that_refuses_further_associations_is_served_over_those_it_accepts():
    async with destination(max_associations=1) as dest:
        aes = [known(dest.port, move_associations=4)]
        async with client(series(30), *aes) as asking:
            final = await (await asking.ask("move", "1.2.3")).final()
    assert (final.status, counts(final)) == (0x0000, (30, 0, 0))
    assert len(dest.received) == 30


# --- further tries -------------------------------------------------------------------------------


async def lost(request) -> int:
    await request.association.abort()
    return 0x0110


async def out_of_resources(request) -> int:
    del request
    return 0xA700


@pytest.mark.parametrize("trouble", [lost, out_of_resources])
@pytest.mark.parametrize("associations", [1, 2])
async def test_a_sub_operation_is_tried_again_where_the_reason_may_pass(trouble, associations):
    recorder = Recorder()
    troubles = iter([trouble] * 3)

    async def answer(request) -> int:
        if request.command.sop_instance == "1.2.3.1.2" and (how := next(troubles, None)):
            return await how(request)
        return 0

    async with destination(answer) as dest:
        held, aes = series(8), [known(dest.port, move_associations=associations)]
        async with client(held, *aes, telemetry=recorder.telemetry) as asking:
            final = await (await asking.ask("move", "1.2.3")).final()
    assert (final.status, counts(final)) == (0x0000, (8, 0, 0))
    assert Counter(dest.received) == Counter(one.stored.name.instance for one in held)
    assert dest.tried.count("1.2.3.1.2") == 4
    assert recorder.values(RETRIEVE_RETRIES) == {("DEST",): 3}
    assert recorder.values(RETRIEVE_FAILURES) == {}


@pytest.mark.parametrize(
    ("status", "tries"),
    [(0xA700, 4), (0xA7FF, 4), (0x0213, 4), (0xA900, 1), (0xC123, 1), (0x0122, 1)],
)
async def test_one_that_fails_for_good_is_counted_and_named_and_the_others_arrive(status, tries):
    recorder = Recorder()

    async def answer(request) -> int:
        return status if request.command.sop_instance == "1.2.3.1.2" else 0

    async with destination(answer) as dest:
        aes = [known(dest.port)]
        async with client(series(3), *aes, telemetry=recorder.telemetry) as asking:
            final = await (await asking.ask("move", "1.2.3")).final()
    assert (final.status, counts(final)) == (0xB000, (2, 1, 0))
    assert failed_uids(final) == ["1.2.3.1.2"]
    assert dest.tried.count("1.2.3.1.2") == tries
    assert sorted(dest.received) == ["1.2.3.1.1", "1.2.3.1.3"]
    assert recorder.values(RETRIEVE_FAILURES) == {("DEST",): 1}


@pytest.mark.parametrize(
    ("answers", "status", "expected"),
    [
        ([0xB000, 0xB006, 0xB007], 0xB000, (0, 0, 3)),  # PS3.4 table B.2-1
        ([0x0107, 0x0116, 0], 0xB000, (1, 0, 2)),  # PS3.7 C.3
        ([0xC000, 0xC000, 0xC000], 0xA702, (0, 3, 0)),
        ([0xC000, 0xB000, 0xC000], 0xB000, (0, 2, 1)),
        ([0xC000, 0, 0xB000], 0xB000, (1, 1, 1)),
    ],
)
async def test_final_statuses_are_those_of_the_table(answers, status, expected):
    """PS3.4 C.4.2.1.5."""
    coming = iter(answers)

    async def answer(request) -> int:
        del request
        return next(coming)

    async with destination(answer) as dest, client(series(3), known(dest.port)) as asking:
        final = await (await asking.ask("move", "1.2.3")).final()
    assert (final.status, counts(final), final.remaining) == (status, expected, None)


async def test_a_destination_that_takes_nothing_is_given_up():
    async with destination(out_of_resources) as dest:
        aes = [known(dest.port, move_associations=1)]
        async with client(series(40), *aes) as asking:
            final = await (await asking.ask("move", "1.2.3")).final()
    assert (final.status, counts(final)) == (0xA702, (0, 40, 0))
    assert sorted(failed_uids(final)) == sorted(f"1.2.3.1.{n}" for n in range(1, 41))
    assert len(set(dest.tried)) == MAX_IN_VAIN


async def test_a_list_of_failed_instances_may_be_longer_than_its_vr_allows():
    """PS3.5 6.2.2: it is written as UN, in whose value the UIDs are the same."""
    template = series(1)[0]
    uids = [f"1.2.3.1.{'9' * 50}.{n}" for n in range(2000)]
    held = [
        replace(template, stored=replace(template.stored, name=replace(name, instance=uid)))
        for name in [template.stored.name]
        for uid in uids
    ]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        aes = [known(closed.getsockname()[1])]
        async with client(held, *aes) as asking:
            final = await (await asking.ask("move", "1.2.3")).final()
    assert (final.status, counts(final)) == (0xA702, (0, 2000, 0))
    value = read_dataset(BytesIO(final.data_set), False, True)["FailedSOPInstanceUIDList"].value
    named = value if not isinstance(value, bytes) else value.decode().rstrip("\0").split("\\")
    assert list(named) == uids


async def test_a_destination_that_starts_late_is_reached():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    aes = [known(port)]
    async with client(series(3), *aes) as asking:
        asked = await asking.ask("move", "1.2.3")
        await asyncio.sleep(0.1)
        async with destination(number=port) as dest:
            final = await asked.final()
    assert (final.status, sorted(dest.received)) == (0x0000, STUDY_1)


# --- queues --------------------------------------------------------------------------------------


async def test_those_that_wait_are_told_the_counts_and_come_by_priority(monkeypatch):
    monkeypatch.setattr(progress, "HEARTBEAT", 0.1)
    gate = asyncio.Event()

    async def answer(request) -> int:
        del request
        await gate.wait()
        return 0

    names = ["1.2.10", "1.2.11", "1.2.12", "1.2.13"]
    async with destination(answer) as dest:
        aes = [known(dest.port, move_requests=1)]
        async with client(studies(*names), *aes) as asking:
            first = await asking.ask("move", names[0])
            await until(lambda: dest.tried)
            waiting = []
            for name, priority in zip(names[1:], (2, 0, 1), strict=True):
                waiting.append(await asking.ask("move", name, priority=priority))
                await until(lambda: waiting[-1].pending >= 2)
            assert dest.tried == ["1.2.10.1.1"]
            assert {(one.remaining, *counts(one)) for a in waiting for one in a.responses} == {
                (1, 0, 0, 0)
            }
            gate.set()
            for asked in (first, *waiting):
                assert (await asked.final()).status == 0x0000
    assert dest.tried == ["1.2.10.1.1", "1.2.13.1.1", "1.2.12.1.1", "1.2.11.1.1"]


async def test_pending_responses_come_while_a_destination_is_tried_again(monkeypatch):
    monkeypatch.setattr(c_move, "PAUSES", (0.5, 0.5))
    monkeypatch.setattr(progress, "HEARTBEAT", 0.1)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        aes = [known(closed.getsockname()[1])]
        async with client(series(3), *aes) as asking:
            asked = await asking.ask("move", "1.2.3")
            final = await asked.final()
    assert asked.pending >= 2
    assert {(r.remaining, *counts(r)) for r in asked.responses if r.pending} == {(3, 0, 0, 0)}
    assert (final.status, failed_uids(final)) == (0xA702, STUDY_1)


async def test_dead_silent_and_slow_destinations_hold_no_other_one_up():
    stuck = asyncio.Event()

    async def never(request) -> int:
        del request
        await stuck.wait()
        return 0

    with ExitStack() as sockets:
        silent = sockets.enter_context(socket.create_server(("127.0.0.1", 0)))
        closed = sockets.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))
        async with destination(never) as slow, destination() as good:
            ports = {
                "SILENT": silent.getsockname()[1],
                "DEAD": closed.getsockname()[1],
                "SLOW": slow.port,
                "GOOD": good.port,
            }
            aes = [known(port, title, move_requests=2) for title, port in ports.items()]
            async with client(series(20), *aes) as asking:
                bad = [
                    await asking.ask("move", "1.2.3", destination=title)
                    for title in ("SILENT", "DEAD", "SLOW")
                    for _ in range(4)
                ]
                await until(lambda: slow.tried)
                began = monotonic()
                asked = await asking.ask("move", "1.2.3", destination="GOOD")
                final = await asked.final()
                assert monotonic() - began < 5
                assert (final.status, len(good.received)) == (0x0000, 20)
                dead = [await one.final() for one in bad[4:8]]
                assert {one.status for one in dead} == {0xA702}
                answers = [await one.cancel() for one in (*bad[:4], *bad[8:])]
                assert {final.status for final, _ in answers} == {0xFE00}


# --- a destination that reads slowly -------------------------------------------------------------


class LargeStorage:
    """Objects of any size, made as they are read; knows how much was."""

    def __init__(self, gateway: Live, size: int) -> None:
        self.read = 0
        self.open = 0
        self._size = size
        gateway.env.fake_storage.data_set = self.data_set

    async def data_set(self, instance) -> AsyncIterator[bytes]:
        del instance
        self.open += 1
        try:
            left = self._size
            while left:
                chunk = bytes(min(left, MIB))
                self.read += len(chunk)
                left -= len(chunk)
                yield chunk
                await asyncio.sleep(0)
        finally:
            self.open -= 1


def large(count: int, size: int) -> list[Held]:
    return [replace(one, stored=replace(one.stored, size=size)) for one in series(count)]


async def test_a_destination_that_reads_ten_kilobytes_a_second_costs_bounded_buffers():
    size = 256 * MIB
    async with destination() as dest, slow_link(dest.port, 10_000) as port:
        aes = [known(port, move_associations=1)]
        # The network timeout is far shorter than one full buffer takes at this pace.
        timeouts = {"network_timeout": 2, "dimse_timeout": 2}
        async with live(large(20, size), known_aes=aes, **timeouts) as gateway:
            storage = LargeStorage(gateway, size)
            async with requester(gateway.port) as asking:
                asked = await asking.ask("move", "1.2.3")
                await until(lambda: dest.tried)
                await asyncio.sleep(6)  # three network timeouts: it is slow, not silent
                assert not asked.task.done()
                # What is ahead: one object's beginning and the next one's, and what the system
                # buffers of the socket.
                assert storage.read < 2 * 8 * MIB + 8 * MIB
                final, seconds = await asked.cancel()
                await until(lambda: storage.open == 0)
            await until(lambda: dest.server.associations == 0)
    assert seconds < 1
    assert (final.status, counts(final), final.remaining) == (0xFE00, (0, 1, 0), 19)
    assert failed_uids(final) == ["1.2.3.1.1"]


async def test_an_object_in_one_buffer_arrives_however_long_that_takes():
    """It is written at once, and takes several network and DIMSE timeouts to leave."""
    size = MIB
    async with destination() as dest, slow_link(dest.port, 150_000) as port:
        aes = [known(port, move_associations=1)]
        timeouts = {"network_timeout": 1, "dimse_timeout": 1}
        async with live(large(1, size), known_aes=aes, **timeouts) as gateway:
            LargeStorage(gateway, size)
            async with requester(gateway.port) as asking:
                final = await (await asking.ask("move", "1.2.3")).final()
    assert (final.status, counts(final)) == (0x0000, (1, 0, 0))


async def test_a_destination_that_stops_reading_fails_in_time():
    # A piece, then silence for eight seconds.
    async with destination() as dest, slow_link(dest.port, 1_000) as port:
        aes = [known(port, move_associations=1)]
        timeouts = {"network_timeout": 1, "dimse_timeout": 1}
        async with live(large(1, 64 * MIB), known_aes=aes, **timeouts) as gateway:
            storage = LargeStorage(gateway, 64 * MIB)
            async with requester(gateway.port) as asking:
                began = monotonic()
                final = await (await asking.ask("move", "1.2.3")).final()
                assert monotonic() - began < 20
            assert storage.open == 0
    assert (final.status, counts(final)) == (0xA702, (0, 1, 0))
