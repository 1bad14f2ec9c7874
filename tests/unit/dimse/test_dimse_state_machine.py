"""Every event in every state, on live sockets, against a copy of PS3.8 9.2 made for this test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import product

import pytest

from isocenter.dimse.contexts import Rejected
from isocenter.dimse.errors import AssociationAborted
from support.dimse_peers import associate_rq, echo_command, p_data, pdv
from support.upper_layer_rig import PATIENT, Rig, rig

ASSOCIATE_RQ = associate_rq()
ASSOCIATE_AC = b"\x02" + ASSOCIATE_RQ[1:]
REJECTED = bytes.fromhex("03 00 00000004 00 01 01 03")
DATA = p_data(pdv(1, 3, echo_command()))
ASKS_RELEASE = bytes.fromhex("05 00 00000004 00000000")
RELEASES = bytes.fromhex("06 00 00000004 00000000")
ABORT = bytes.fromhex("07 00 00000004 00 00 00 00")  # source service-user
UNKNOWN = bytes.fromhex("08 00 00000004 00000000")


# Source service-provider.
UNRECOGNIZED = bytes.fromhex("07 00 00000004 00 00 02 01")
UNEXPECTED = bytes.fromhex("07 00 00000004 00 00 02 02")

# PS3.8 table 9-10: what is not named is a cell without action.
ANY_ASSOCIATION = (6, 7, 8, 9, 10, 11, 12)
TABLE: dict[tuple[int, int], str] = {
    (1, 1): "AE-1",
    (2, 4): "AE-2",
    (3, 2): "AA-1", (3, 3): "AA-8", (3, 5): "AE-3", (3, 13): "AA-6",
    (4, 2): "AA-1", (4, 3): "AA-8", (4, 5): "AE-4", (4, 13): "AA-6",
    (5, 1): "AE-5",
    (6, 2): "AE-6", (6, 3): "AA-8", (6, 5): "AA-8", (6, 13): "AA-7",
    (7, 3): "AE-7",
    (8, 3): "AE-8",
    (9, 6): "DT-1", (9, 8): "AR-7",
    (10, 2): "AA-1", (10, 3): "AA-8", (10, 5): "AA-8", (10, 13): "AA-6",
    (11, 6): "AR-1",
    (12, 2): "AA-1", (12, 3): "AA-8", (12, 5): "AA-8", (12, 13): "AA-6",
    (13, 2): "AA-1", (13, 3): "AA-8", (13, 5): "AA-8", (13, 13): "AA-6",
    (14, 8): "AR-4", (14, 9): "AR-9", (14, 12): "AR-4",
    (15, 3): "AA-1", (15, 4): "AA-2", (15, 5): "AA-1",
    (16, 2): "AA-2", (16, 3): "AA-3", (16, 5): "AA-3", (16, 13): "AA-2",
    (17, 2): "AA-5", (17, 3): "AA-4", (17, 4): "AA-4", (17, 5): "AA-4", (17, 13): "AR-5",
    (18, 2): "AA-2", (18, 13): "AA-2",
    (19, 2): "AA-1", (19, 3): "AA-8", (19, 5): "AA-8", (19, 13): "AA-7",
    **{(event, state): "AA-8" for event in (3, 4, 6, 10, 12, 13, 19) for state in ANY_ASSOCIATION},
    **{(15, state): "AA-1" for state in ANY_ASSOCIATION},
    **{(16, state): "AA-3" for state in ANY_ASSOCIATION},
    **{(17, state): "AA-4" for state in ANY_ASSOCIATION},
    (10, 6): "DT-2", (10, 7): "AR-6",
    (12, 6): "AR-2", (12, 7): "AR-8",
    (13, 7): "AR-3", (13, 10): "AR-10", (13, 11): "AR-3",
}  # fmt: skip


@dataclass(frozen=True)
class Effect:
    """PS3.8 tables 9-6 to 9-9."""

    after: int
    told: str = ""
    sent: bytes = b""
    closes: bool = False


ACTIONS = {
    "AE-1": Effect(4),
    "AE-2": Effect(5, sent=ASSOCIATE_RQ),
    "AE-3": Effect(6, "A-ASSOCIATE confirmation"),
    "AE-4": Effect(1, "A-ASSOCIATE confirmation, rejected", closes=True),
    "AE-5": Effect(2),
    "AE-6": Effect(3, "A-ASSOCIATE indication"),
    "AE-7": Effect(6, sent=ASSOCIATE_AC),
    "AE-8": Effect(13, sent=REJECTED),
    "DT-1": Effect(6, sent=DATA),
    "DT-2": Effect(6, "P-DATA indication"),
    "AR-1": Effect(7, sent=ASKS_RELEASE),
    "AR-2": Effect(8, "A-RELEASE indication"),
    "AR-3": Effect(1, "A-RELEASE confirmation", closes=True),
    "AR-4": Effect(13, sent=RELEASES),
    "AR-5": Effect(1, closes=True),
    "AR-6": Effect(7, "P-DATA indication"),
    "AR-7": Effect(8, sent=DATA),
    "AR-8": Effect(9, "A-RELEASE indication"),  # 10 as acceptor
    "AR-9": Effect(11, sent=RELEASES),
    "AR-10": Effect(12, "A-RELEASE confirmation"),
    "AA-1": Effect(13, sent=ABORT),
    "AA-2": Effect(1, closes=True),
    "AA-3": Effect(1, "abort", closes=True),
    "AA-4": Effect(1, "abort", closes=True),
    "AA-5": Effect(1, closes=True),
    "AA-6": Effect(13),
    "AA-7": Effect(13, sent=UNEXPECTED),
    "AA-8": Effect(13, "abort", sent=UNEXPECTED),
}

PDUS = {
    3: ASSOCIATE_AC,
    4: REJECTED,
    6: ASSOCIATE_RQ,
    10: DATA,
    12: ASKS_RELEASE,
    13: RELEASES,
    16: ABORT,
    19: UNKNOWN,
}
PRIMITIVES: dict[int, Callable[[Rig], object]] = {
    1: lambda rig: rig.layer.associate_request(),
    7: lambda rig: rig.layer.accept(ASSOCIATE_AC),
    8: lambda rig: rig.layer.reject(Rejected(1, 1, 3)),
    9: lambda rig: rig.layer.send([DATA]),
    11: lambda rig: rig.layer.release_request(),
    14: lambda rig: rig.layer.release_response(),
    15: lambda rig: rig.layer.abort(0, 0, "the test wants to"),
}


async def happen(rig: Rig, event: int) -> None:
    """Bring an event about."""
    if event in PDUS:
        await rig.receive(PDUS[event])
    elif event in PRIMITIVES:
        PRIMITIVES[event](rig)
    elif event in (2, 5):
        await rig.connect()
    elif rig.peer is not None:
        await rig.lose()
    else:  # what asyncio would say of a connection that came to nothing
        rig.layer.connection_lost(None)


@dataclass(frozen=True)
class Way:
    """A way into a state: the events that lead there."""

    state: int
    side: str
    events: tuple[int, ...]

    def __str__(self) -> str:
        steps = "-".join(str(event) for event in self.events) or "new"
        return f"Sta{self.state}-{self.side}-{steps}"


def _both(state: int, *events: int) -> tuple[Way, Way]:
    """On an association, whoever requested it."""
    return (
        Way(state, "acceptor", (5, 6, 7, *events)),
        Way(state, "requestor", (1, 2, 3, *events)),
    )


WAYS = (
    Way(1, "acceptor", ()),
    Way(1, "requestor", ()),
    *_both(1, 16),
    *_both(1, 11, 13),
    Way(2, "acceptor", (5,)),
    Way(3, "acceptor", (5, 6)),
    Way(4, "requestor", (1,)),
    Way(5, "requestor", (1, 2)),
    *_both(6),
    *_both(7, 11),
    *_both(8, 12),
    _both(9, 11, 12)[1],
    _both(10, 11, 12)[0],
    _both(11, 11, 12, 14)[1],
    _both(12, 11, 12, 13)[0],
    Way(13, "acceptor", (5, 6, 8)),  # rejected
    Way(13, "acceptor", (5, 12)),
    Way(13, "acceptor", (5, 6, 6)),
    Way(13, "requestor", (1, 2, 15)),
    *_both(13, 12, 14),  # released
    *_both(13, 15),
    *_both(13, 3),
    _both(13, 11, 12, 13, 14)[0],
)
CELLS = list(product(WAYS, range(1, 20)))


def _cannot_happen(way: Way, event: int) -> str:
    """Why an event cannot be brought about in a state; empty if it can."""
    connected = bool({2, 5} & set(way.events))
    if event == 18 or (event, way.state) == (2, 1):
        return "has a test of its own"
    if event == 1 and way.side == "acceptor":
        return "an acceptor has no such primitive"
    if event == (2 if way.side == "acceptor" else 5):
        return "the connection is the other side's"
    if event in (2, 5) and connected:
        return "a transport connection opens once"
    if event in PDUS.keys() | {17} and not connected and (event, way.state) not in TABLE:
        return "nothing arrives without a connection"
    return ""


def test_every_cell_of_the_table_is_accounted_for():
    brought_about = {(event, way.state) for way, event in CELLS if not _cannot_happen(way, event)}
    of_their_own = {(2, 1)} | {(18, state) for state in range(1, 14)}
    accounted_for = brought_about | of_their_own
    assert set(TABLE) <= accounted_for
    impossible = {*product(range(1, 20), range(1, 14))} - accounted_for
    opened_twice = {*product((2, 5), range(1, 14))} - {(2, 1), (2, 4), (5, 1)}
    not_connected = {*product(PDUS, (4,))}
    not_requested = {*product((1,), (2, 3, 10, 12))}
    assert impossible == opened_twice | not_connected | not_requested
    assert set(ACTIONS) == set(TABLE.values())


@dataclass
class Expected:
    """What the standard says of a history, from Sta1 on."""

    side: str
    state: int = 1
    told: list[str] = field(default_factory=list)
    sent: bytes = b""
    closed: bool = False
    ends: int = 0

    def happen(self, event: int) -> None:
        """One more event."""
        action = TABLE.get((event, self.state), "")
        if not action:
            return
        effect = ACTIONS[action]
        self.state = 10 if action == "AR-8" and self.side == "acceptor" else effect.after
        # Whatever waits for an association learns of our own abort, too.
        self.told += [told for told in (effect.told or ("abort" if event == 15 else ""),) if told]
        said_all = action == "AA-7" and self.sent[-len(ABORT) :][:1] == ABORT[:1]
        if not said_all:  # after an A-ABORT our direction is closed
            self.sent += UNRECOGNIZED if event == 19 and effect.sent == UNEXPECTED else effect.sent
        self.closed |= effect.closes
        self.ends |= self.state in (1, 13)


@pytest.mark.parametrize(
    ("way", "event"),
    [
        pytest.param(way, event, id=f"{way}-Evt{event}")
        for way, event in CELLS
        if not _cannot_happen(way, event)
    ],
)
async def test_what_an_event_does(way: Way, event: int):
    expected = Expected(way.side)
    for one in (*way.events, event):
        expected.happen(one)
    async with rig(way.side) as subject:
        *before, last = way.events or (0,)
        for one in before:
            await happen(subject, one)
        if way.state == 1 and event in PDUS:  # in one piece with what closes the connection
            await subject.receive(PDUS[last] + PDUS[event])
        else:
            if last:
                await happen(subject, last)
            assert subject.layer.state == way.state
            if event == 9 and (event, way.state) not in TABLE:
                with pytest.raises(AssociationAborted):
                    await happen(subject, event)
            else:
                await happen(subject, event)
        assert subject.layer.state == expected.state
        assert subject.user.told == expected.told
        assert subject.user.ends == expected.ends
        if expected.closed and (subject.peer is not None or event == 17):
            await asyncio.wait_for(subject.user.gone.wait(), 10)
        else:
            await asyncio.sleep(0)
            assert not subject.user.gone.is_set()
        assert await subject.sent() == expected.sent


@pytest.mark.parametrize("way", [way for way in WAYS if way.state in (2, 13)], ids=str)
async def test_the_artim_timer_closes_the_connection(way: Way):
    async with rig(way.side, replace(PATIENT, artim=0.3)) as subject:
        for one in way.events:
            await happen(subject, one)
        assert subject.layer.state == way.state
        await asyncio.wait_for(subject.user.gone.wait(), 10)
        assert subject.layer.state == 1


async def test_the_artim_timer_runs_in_no_other_state():
    async def stays(way: Way) -> None:
        async with rig(way.side, replace(PATIENT, artim=1)) as subject:
            for one in way.events:
                await happen(subject, one)
            assert subject.layer.state == way.state
            before = list(subject.user.told)
            await asyncio.sleep(1.2)  # longer than the timer
            assert (subject.layer.state, subject.user.told) == (way.state, before)

    await asyncio.gather(*(stays(way) for way in WAYS if way.state not in (2, 13)))


async def test_a_connection_that_opens_after_an_abort_is_closed():
    async with rig("requestor") as subject:
        for event in (1, 15, 2):
            await happen(subject, event)
        await asyncio.wait_for(subject.user.gone.wait(), 10)
        assert subject.layer.state == 1
        assert await subject.sent() == b""


@pytest.mark.parametrize("event", [16, 17])
async def test_a_peer_that_read_nothing_and_leaves_holds_nothing(event: int):
    async with rig("acceptor") as subject:
        for one in (5, 6, 7):
            await happen(subject, one)
        assert subject.peer is not None
        subject.peer.stop_reading()
        many = [bytes(1 << 20)] * 16
        subject.layer.send([p_data(pdv(1, 0, data)) for data in many])
        if event == 16:
            await happen(subject, event)
        else:
            subject.peer.end()
        await asyncio.wait_for(subject.user.gone.wait(), 10)
        assert subject.layer.state == 1
