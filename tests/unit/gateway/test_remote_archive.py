"""Our SCU side of Query/Retrieve, against our own gateway and against SCPs that fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from isocenter.core.errors import Unavailable, Unprocessable, Unsupported
from isocenter.core.matching import Key, Level
from isocenter.core.remote import KeeperFailed, Listed
from isocenter.dimse.contexts import Accepted
from isocenter.dimse.limits import Timeouts
from isocenter.dimse.messages import CommandField
from isocenter.dimse.negotiation import MAX_CONTEXTS
from isocenter.dimse.sop_classes import STORAGE_SOP_CLASSES
from isocenter.dimse.target import Target
from isocenter.gateway.remote import DimseArchive, _requests, _storage_contexts
from isocenter.ingest.fetching import Fetcher, Patience
from support import pynetdicom_archive
from support.cutting_proxy import CuttingProxy
from support.dimse_peers import EXPLICIT, FIND, IMPLICIT, port
from support.files import write_series
from support.gateway_fakes import from_test_file, series
from support.live_gateway import CT, live
from support.ports import free_ports
from support.processes import python

STUDY = Key("0020000D", "UI", ("1.2.3",))
WANTED = [Listed("1.2.3.1", f"1.2.3.1.{n}", CT) for n in (1, 2, 3)]

QUICK = Patience(attempts=3, pause=0.01)


class Taker:
    """Keeps what comes; fails at some."""

    def __init__(self, errors=None) -> None:
        self.taken: dict[str, tuple[str, bytes]] = {}
        self.errors = errors or {}

    async def take(self, arrival, data_set) -> None:
        data = b"".join([bytes(chunk) async for chunk in data_set])
        if arrival.instance in self.errors:
            raise self.errors[arrival.instance]
        self.taken[arrival.instance] = (arrival.transfer_syntax, data)


def archive(number: int, title: str = "ISOCENTER", move_to: str = "") -> DimseArchive:
    timeouts = Timeouts(artim=5, network=5, dimse=5, connect=5)
    return DimseArchive(
        Target(title, "127.0.0.1", number, "TESTER", timeouts=timeouts), move_to=move_to
    )


async def test_every_level_is_found_on_one_association():
    async with live(series(3)) as gateway:
        other = archive(gateway.port)
        for level, tag, expected in (
            (Level.PATIENT, "00100020", {"PAT1"}),
            (Level.STUDY, "0020000D", {"1.2.3"}),
            (Level.SERIES, "0020000E", {"1.2.3.1"}),
            (Level.INSTANCE, "00080018", {one.instance for one in WANTED}),
        ):
            keys = [Key(tag, "UI")] if level is Level.PATIENT else [STUDY, Key(tag, "UI")]
            found = {one[tag]["Value"][0] async for one in other.find(level, keys)}
            assert found == expected
        await other.close()


async def test_after_the_limit_the_rest_is_cancelled():
    cancelled = []

    async def endless(request) -> None:
        await request.read_data(10_000)
        while not request.cancelled.is_set():
            await request.respond(0xFF00, data_set=bytes.fromhex("0800520006000000") + b"STUDY ")
        cancelled.append(True)
        await request.respond(0xFE00)

    def admit(offer):
        return Accepted({context.abstract_syntax: (IMPLICIT,) for context in offer.contexts})

    async with port({CommandField.C_FIND: endless}, admit) as server:
        other = archive(server.port)
        found = [one async for one in other.find(Level.STUDY, [STUDY], limit=3)]
        assert found == [{"00080052": {"vr": "CS", "Value": ["STUDY"]}}] * 3
        assert cancelled == [True]
        await other.close()


async def test_objects_come_as_they_are_stored():
    held = series(2) + [
        from_test_file(name, StudyInstanceUID="1.2.3", SOPInstanceUID=f"1.2.3.9.{number}")
        for number, name in enumerate(("JPEG2000.dcm", "MR_small_RLE.dcm"), 1)
    ]
    wanted = [
        Listed(one.stored.name.series, one.stored.name.instance, one.stored.sop_class)
        for one in held
    ]
    async with live(held) as gateway:
        other, taker = archive(gateway.port), Taker()
        assert await other.retrieve("1.2.3", wanted, taker, whole=True) == ""
        await other.close()
    assert taker.taken == {
        one.stored.name.instance: (one.stored.transfer_syntax, one.data) for one in held
    }


async def test_single_instances_are_asked_for_and_what_fails_is_told():
    async with live(series(3)) as gateway:
        other = archive(gateway.port)
        taker = Taker({"1.2.3.1.2": Unprocessable("not an image")})
        problem = await other.retrieve("1.2.3", WANTED[:2], taker, whole=False)
        assert set(taker.taken) == {"1.2.3.1.1"}
        assert "0xB000, not all sub-operations were completed (1 failed)" in problem
        full = Taker({"1.2.3.1.1": KeeperFailed("the disk is full")})
        with pytest.raises(KeeperFailed, match="the disk is full"):
            await other.retrieve("1.2.3", WANTED, full, whole=True)
        assert not full.taken
        await other.close()


async def test_refusals_are_told_with_their_status():
    statuses = iter((0xA700, 0xA900, 0xC001, 0x0122))

    async def refusing(request) -> None:
        await request.read_data(10_000)
        await request.respond(next(statuses), error_comment="too busy")

    async with port({CommandField.C_FIND: refusing}) as server:
        other = archive(server.port, "OTHER")
        for kind, told in (
            (Unavailable, "OTHER answers C-FIND with 0xA700, the peer is out of resources: too"),
            (Unsupported, "0xA900, the identifier does not match the SOP class"),
            (Unavailable, "0xC001, the peer cannot process the request"),
            (Unsupported, "0x0122, SOP class not supported"),
        ):
            with pytest.raises(kind, match=told):
                [one async for one in other.find(Level.STUDY, [STUDY])]
        await other.close()


async def test_an_archive_without_c_get_says_what_else_to_try():
    def only_find(offer):
        return Accepted({FIND: (EXPLICIT,), CT: (EXPLICIT,)})

    async with port({}, only_find) as server:
        other = archive(server.port, "OTHER")
        with pytest.raises(Unsupported, match=r"OTHER offers no C-GET; .*--move"):
            await other.retrieve("1.2.3", WANTED, Taker(), whole=True)
        await other.close()


async def test_a_move_destination_that_the_peer_does_not_know_is_told():
    async with live(series(3)) as gateway:
        other = archive(gateway.port, move_to="NOBODY")
        with pytest.raises(Unsupported, match="0xA801, the peer does not know the move dest"):
            await other.retrieve("1.2.3", WANTED, Taker(), whole=True)
        await other.close()


@pytest.mark.parametrize("count", [0, 1, 2, 5, 126, 200])
def test_what_is_proposed_fits_into_one_association(count):
    classes = frozenset(sorted(STORAGE_SOP_CLASSES)[:count] or [""])
    contexts = _storage_contexts(classes, MAX_CONTEXTS - 2)
    assert 1 <= len(contexts) <= MAX_CONTEXTS - 2
    assert all(0 < len(one.transfer_syntaxes) <= 50 and one.scp for one in contexts)
    if count == 1:
        assert [one.transfer_syntaxes[0] for one in contexts][:2] == [EXPLICIT, IMPLICIT]
        assert len(contexts) == 57


def test_lists_of_instances_are_short_enough_for_their_vr():
    wanted = [Listed(f"1.{n % 2}", f"1.2.{n}" + "1" * 50, CT) for n in range(3000)]
    asked = list(_requests("1.9", wanted, whole=False))
    assert all(level is Level.INSTANCE for level, _ in asked)
    values = [keys[-1].values for _, keys in asked]
    assert sum(map(len, values)) == 3000
    assert max(len("\\".join(some)) for some in values) < 0xFFFE


async def test_associations_that_are_cut_in_the_middle_of_objects_cost_nothing_twice():
    keeper, held = Keeping({}), series(8)
    async with live(held) as gateway:
        with CuttingProxy(f"127.0.0.1:{gateway.port}") as proxy:
            proxy.cut(after=100_000, times=3)
            number = int(proxy.address.rpartition(":")[2])
            fetcher = Fetcher(archive=lambda: archive(number), keeper=keeper, patience=QUICK)
            [outcome] = [one async for one in fetcher.fetch(_each("1.2.3"))]
            assert proxy.cuts_left == 0
    assert outcome.complete, outcome
    assert sorted(keeper.taken) == sorted(one.stored.name.instance for one in held)


# --- pynetdicom ----------------------------------------------------------------------------------


async def test_studies_of_a_pynetdicom_archive_are_fetched(tmp_path):
    one, other = (write_series(tmp_path / f"{count}", count) for count in (3, 4))
    first = next(iter(one.files))
    keeper = Keeping({one.study: {first}})
    [number] = free_ports(1)
    async with python(Path(pynetdicom_archive.__file__), str(tmp_path), str(number)) as process:
        assert await process.stdout.readline() == b"listening\n"
        fetcher = Fetcher(archive=lambda: archive(number, "QRSCP"), keeper=keeper, parallel=2)
        outcomes = {
            outcome.study: outcome async for outcome in fetcher.fetch(_each(one.study, other.study))
        }
    assert all(outcome.complete for outcome in outcomes.values()), outcomes
    assert [outcomes[series.study].taken for series in (one, other)] == [2, 4]
    assert sorted(keeper.taken) == sorted({*one.files, *other.files} - {first})


class Keeping:
    """Keeps the names of what comes, and has some already."""

    def __init__(self, before: dict[str, set[str]]) -> None:
        self.held = before
        self.taken: list[str] = []

    async def take(self, study, arrival, data_set) -> int:
        size = sum([len(chunk) async for chunk in data_set])
        self.held.setdefault(study, set()).add(arrival.instance)
        self.taken.append(arrival.instance)
        return size

    async def kept(self, study):
        return set(self.held.get(study, ()))


async def _each(*studies: str):
    for study in studies:
        yield study
