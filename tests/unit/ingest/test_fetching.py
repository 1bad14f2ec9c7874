"""The engine that fetches studies: what it asks for again, what it gives up, what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

import pytest

from isocenter.core.errors import IsocenterError, OutOfResources, Unavailable, Unprocessable
from isocenter.core.matching import Level
from isocenter.core.remote import Arrival, KeeperFailed
from isocenter.ingest.fetching import Fetcher, Outcome, Patience

QUICK = Patience(attempts=2, pause=0.001)
CT = "1.2.840.10008.5.1.4.1.1.2"


def value(tag: str, vr: str, text: str) -> dict:
    return {tag: {"vr": vr, "Value": [text]}}


class Archive:
    """Another archive. `troubles` are raised by retrieves, one after another, each after so many
    objects of it; `withheld` is listed and never given."""

    def __init__(self, *studies: str, count: int = 4) -> None:
        self.studies = {uid: [f"{uid}.{n}" for n in range(1, count + 1)] for uid in studies}
        self.troubles: list[tuple[int, IsocenterError]] = []
        self.withheld: set[str] = set()
        self.claimed: int | None = None
        self.unlisted: dict[str, IsocenterError] = {}
        self.asked: list[tuple[str, int, bool]] = []
        self.open = 0

    def __call__(self) -> Archive:
        self.open += 1
        return self

    async def find(self, level, keys, limit=0):
        assert not limit
        asked = {key.tag: key.values[0] for key in keys if key.values}
        study = asked["0020000D"]
        if study in self.unlisted:
            raise self.unlisted[study]
        instances = self.studies.get(study)
        if instances is None:
            return
        if level is Level.STUDY:
            yield value("00201208", "IS", str(self.claimed or len(instances)))
        elif level is Level.SERIES:
            for end in ("10", "20"):
                yield value("0020000E", "UI", f"{study}.{end}")
        else:
            half = len(instances) // 2
            first = asked["0020000E"].endswith(".10")
            for uid in instances[:half] if first else instances[half:]:
                yield value("00080018", "UI", uid) | value("00080016", "UI", CT)

    async def retrieve(self, study, wanted, receiver, *, whole) -> str:
        self.asked.append((study, len(wanted), whole))
        after, trouble = self.troubles.pop(0) if self.troubles else (-1, None)
        for position, one in enumerate(wanted):
            if position == after and trouble is not None:
                raise trouble
            if one.instance in self.withheld:
                continue
            try:
                await receiver.take(Arrival(CT, one.instance, "1.2.840.10008.1.2.1"), data())
            except KeeperFailed:
                raise
            except IsocenterError:
                continue
        return ""

    async def close(self) -> None:
        self.open -= 1


async def data() -> AsyncIterator[bytes]:
    yield b"object"


class Keeping:
    def __init__(self, errors: dict[str, IsocenterError] | None = None) -> None:
        self.held: dict[str, set[str]] = {}
        self.errors = errors or {}
        self.takes: list[str] = []

    async def take(self, study, arrival, data_set) -> int:
        self.takes.append(arrival.instance)
        if arrival.instance in self.errors:
            raise self.errors[arrival.instance]
        content = b"".join([chunk async for chunk in data_set])
        self.held.setdefault(study, set()).add(arrival.instance)
        return len(content)

    async def kept(self, study):
        return set(self.held.get(study, ()))


async def each(studies: Iterable[str], asked: Callable[[str], None] = lambda _: None):
    for study in studies:
        asked(study)
        yield study


async def fetch(archive: Archive, keeper: Keeping, *studies: str, **how) -> dict[str, Outcome]:
    fetcher = Fetcher(archive=archive, keeper=keeper, patience=QUICK, **how)
    found = {one.study: one async for one in fetcher.fetch(each(studies or archive.studies))}
    assert archive.open == 0
    return found


async def test_all_studies_are_taken_and_nothing_twice():
    archive, keeper, sizes = Archive("1.1", "1.2", "1.3"), Keeping(), []
    outcomes = await fetch(archive, keeper, parallel=2, taken=sizes.append)
    assert {uid: set(held) for uid, held in archive.studies.items()} == keeper.held
    assert all(one.complete and one.taken == one.listed == 4 for one in outcomes.values())
    assert sizes == [6] * 12
    archive.asked.clear()
    again = await fetch(archive, keeper)
    assert all(one.complete and one.taken == 0 for one in again.values())
    assert archive.asked == []


async def test_only_what_is_missing_is_asked_for():
    archive, keeper = Archive("1.1"), Keeping()
    keeper.held = {"1.1": {"1.1.1", "1.1.3"}}
    outcomes = await fetch(archive, keeper)
    assert archive.asked == [("1.1", 2, False)]
    assert outcomes["1.1"] == Outcome("1.1", listed=4, taken=2)


async def test_a_broken_retrieve_goes_on_where_it_was_as_long_as_it_gets_on():
    archive, keeper = Archive("1.1", count=6), Keeping()
    archive.troubles = [(1, Unavailable("cut"))] * 5  # more often than it may fail in a row
    outcomes = await fetch(archive, keeper)
    assert outcomes["1.1"].complete
    assert [count for _, count, _ in archive.asked] == [6, 5, 4, 3, 2, 1]
    assert len(keeper.takes) == 6


async def test_without_any_progress_a_study_is_given_up_and_the_others_are_not():
    archive, keeper = Archive("1.1", "1.2"), Keeping()
    archive.troubles = [(0, Unavailable("no answer"))] * 2
    outcomes = await fetch(archive, keeper)
    assert outcomes["1.1"].problem == "no answer"
    assert outcomes["1.1"].missing == tuple(archive.studies["1.1"])
    assert outcomes["1.2"].complete


async def test_what_will_never_work_is_not_tried_again():
    archive = Archive("1.1", "1.2")
    archive.unlisted = {"1.1": Unprocessable("an answer makes no sense")}
    outcomes = await fetch(archive, Keeping(), "1.1", "1.2", "1.9", "no UID")
    assert outcomes["1.1"].problem == "an answer makes no sense"
    assert outcomes["1.2"].complete
    assert "no such study" in outcomes["1.9"].problem
    assert "no UID" in outcomes["no UID"].problem
    assert archive.asked == [("1.2", 4, True)]


async def test_what_is_listed_and_never_given_is_named():
    archive, keeper = Archive("1.1"), Keeping()
    archive.withheld = {"1.1.2"}
    outcomes = await fetch(archive, keeper)
    assert outcomes["1.1"].missing == ("1.1.2",)
    assert "does not give them" in outcomes["1.1"].problem
    assert outcomes["1.1"].taken == 3


async def test_what_is_not_accepted_here_is_asked_for_once():
    archive, keeper = Archive("1.1"), Keeping({"1.1.2": Unprocessable("no image")})
    outcomes = await fetch(archive, keeper)
    assert outcomes["1.1"].missing == ("1.1.2",)
    assert outcomes["1.1"].problem == "no image"
    assert keeper.takes.count("1.1.2") == 1


async def test_a_count_that_is_larger_than_the_list_is_a_doubt():
    archive, keeper = Archive("1.1"), Keeping()
    archive.claimed = 9
    outcomes = await fetch(archive, keeper)
    assert not outcomes["1.1"].complete
    assert outcomes["1.1"].problem == "the other archive counts 9 instances and lists 4"


async def test_when_nothing_can_be_kept_here_everything_ends():
    archive, keeper = Archive("1.1", "1.2"), Keeping({"1.1.2": OutOfResources("the disk is full")})
    with pytest.raises(KeeperFailed, match="the disk is full"):
        await fetch(archive, keeper)
    assert len(keeper.takes) == 2
    assert archive.open == 0


async def test_studies_are_asked_for_as_they_are_fetched():
    archive, asked = Archive(*[f"1.{n}" for n in range(1, 100)]), []
    fetcher = Fetcher(archive=archive, keeper=Keeping(), parallel=2, patience=QUICK)
    outcomes = fetcher.fetch(each(archive.studies, asked.append))
    await anext(outcomes)
    await asyncio.sleep(0.05)
    assert len(asked) <= 6
    await outcomes.aclose()
    assert archive.open == 0
