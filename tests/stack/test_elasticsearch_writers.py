"""Several writers of the Elasticsearch index at once, interrupted ones, and a server that dies:
what is answered in the end is what the entries mean, to the last count."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from isocenter.adapters.index.elasticsearch.index import ElasticsearchIndex
from isocenter.adapters.index.elasticsearch.schema import PATIENTS, STUDIES, alias
from isocenter.core.errors import Unavailable
from isocenter.core.identity import ObjectName
from isocenter.core.matching import Level, Search
from isocenter.core.ports import IndexEntry, StudyCount, StudyIndex
from support.elasticsearch import SETTINGS, prepare, prepared, url_of
from support.index_oracle import Oracle, entry
from support.index_samples import NAMES, answers
from support.stack import Server, Stack


@pytest.fixture
async def index(stack: Stack, name: str) -> AsyncIterator[ElasticsearchIndex]:
    async with prepared(stack.elasticsearch.address, name) as index:
        yield index


@pytest.fixture
async def other(
    stack: Stack, name: str, index: ElasticsearchIndex
) -> AsyncIterator[ElasticsearchIndex]:
    other = await ElasticsearchIndex.open(url_of(stack.elasticsearch.address, name), SETTINGS)
    yield other
    await other.close()


async def agrees(index: StudyIndex, some: list[IndexEntry], partition: str = "main") -> None:
    """Every level answers as the reference does."""
    oracle = Oracle(some)
    for level in Level:
        asked = Search(level, partition=partition, include_all=True)
        expected = oracle.search(asked)
        assert await answers(index, asked) == expected, level
        assert await index.count(asked) == len(expected), level


def many(partition: str = "main") -> list[IndexEntry]:
    """Entries of three studies of two patients, whose levels differ with every one of them."""
    return [
        entry(
            f"1.{s}", f"1.{s}.{e}", f"1.{s}.{e}.{i}", partition=partition,
            digest="abc"[v] * 64, current=v == i % 2, t00100020=f"P{s % 2}",
            t00100010=NAMES[(s + e + i) % len(NAMES)], t00081030="x" * (i % 4),
            t00080020=f"2024010{i % 9 + 1}", t00080060="CT" if e else "MR", t00200013=i * 2 + v,
        )
        for s in range(3) for e in range(3) for i in range(6) for v in range(2)
    ]  # fmt: skip


Seen = Callable[[str, str, Any], bool]


class Gate:
    """Stops an index before a request until it is let through."""

    def __init__(self, index: ElasticsearchIndex, closes: Seen) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()
        request = index._client.request

        async def gated(method: str, path: str, body: object = None, **how: Any) -> object:
            if not self.reached.is_set() and closes(method, path, body):
                self.reached.set()
                await self.open.wait()
            return await request(method, path, body, **how)

        index._client.request = gated


class Breaks:
    """Breaks an index off after, or in place of, one of its requests."""

    def __init__(self, index: ElasticsearchIndex, after: int, *, sent: bool) -> None:
        self.left = after
        request = index._client.request

        async def breaking(method: str, path: str, body: object = None, **how: Any) -> object:
            self.left -= 1
            if self.left == -1 and not sent:
                raise asyncio.CancelledError
            answer = await request(method, path, body, **how)
            if self.left == -1:
                raise asyncio.CancelledError
            return answer

        index._client.request = breaking


async def test_writers_of_the_same_studies_end_with_exact_levels(index, other) -> None:
    some = many()
    left = [random.Random(n).sample(some, len(some)) for n in (1, 2)]

    async def write(index: ElasticsearchIndex, mine: list[IndexEntry]) -> None:
        for start in range(0, len(mine), 9):
            await index.upsert(mine[start : start + 9])

    await asyncio.gather(write(index, left[0]), write(other, left[1]))
    await agrees(index, some)


async def test_writers_that_are_cancelled_at_random_and_repeat_end_with_exact_levels(
    index, other
) -> None:
    some = many()
    gone = [ObjectName(e.name, e.digest) for e in some[::7]]
    chance = random.Random(3)

    async def stubbornly(work: Callable[[], Any]) -> None:
        for _ in range(3):
            task = asyncio.ensure_future(work())
            await asyncio.wait([task], timeout=chance.uniform(0, 0.12))
            if task.done():
                break
            task.cancel()
            await asyncio.wait([task])
        await work()

    async def write(index: ElasticsearchIndex, seed: int) -> None:
        mine = random.Random(seed).sample(some, len(some))
        for start in range(0, len(mine), 18):
            part = mine[start : start + 18]
            await stubbornly(lambda part=part: index.upsert(part))

    await asyncio.gather(write(index, 1), write(other, 2))
    await agrees(index, some)
    halves = gone[::2], gone[1::2]
    await asyncio.gather(
        stubbornly(lambda: index.remove(halves[0])), stubbornly(lambda: other.remove(halves[1]))
    )
    removed = set(gone)
    await agrees(index, [e for e in some if ObjectName(e.name, e.digest) not in removed])


async def test_a_writer_that_is_late_with_old_counts_does_not_overwrite_newer_ones(
    index, other
) -> None:
    one, two = entry("1.2", "1.2.1", "1", t00100020="P"), entry("1.2", "1.2.1", "2", t00100020="P")
    counted = False

    def after_counting(_method: str, path: str, _body: object) -> bool:
        nonlocal counted
        counted = counted or path.endswith("_search")
        return counted and path == "/_bulk"

    gate = Gate(index, after_counting)
    late = asyncio.ensure_future(index.upsert([one]))
    await gate.reached.wait()
    assert list(await other.upsert([two])) == [StudyCount("main", "1.2", 1, 2)]
    gate.open.set()
    assert list(await late) == [StudyCount("main", "1.2", 1, 2)]
    await agrees(other, [one, two])


async def test_a_late_writer_does_not_bring_back_a_study_that_was_removed(index, other) -> None:
    one = entry("1.2", "1.2.1", "1", t00100020="P")
    searched = False

    def after_counting(_method: str, path: str, _body: object) -> bool:
        nonlocal searched
        searched = searched or path.endswith("_search")
        return searched and path == "/_bulk"

    gate = Gate(index, after_counting)
    late = asyncio.ensure_future(index.upsert([one]))
    await gate.reached.wait()
    await other.remove([ObjectName(one.name, one.digest)])
    gate.open.set()
    assert list(await late) == [StudyCount("main", "1.2", 0, 0)]
    await agrees(other, [])


def _moved(partition: str) -> tuple[list[IndexEntry], list[IndexEntry]]:
    """Entries, and others that take their place: a study moves to another patient, another loses
    attributes, a series vanishes from what is shown."""

    def version(study: str, series: str, digest: str, patient: str, **more: object) -> IndexEntry:
        return entry(
            study, series, f"{series}.1", digest=digest * 64, partition=partition,
            t00100020=patient, t00100010=f"Name^{patient}", **more,
        )  # fmt: skip

    before = [
        version("1.1", "1.1.1", "a", "P", t00100030="19700101"),
        version("1.2", "1.2.1", "a", "P"),
        version("1.2", "1.2.2", "a", "P"),
        version("1.3", "1.3.1", "a", "Q", t00100040="F"),
    ]
    after = [
        version("1.1", "1.1.1", "a", "P", t00100030="19700101", current=False, decision=1),
        version("1.1", "1.1.1", "b", "Q", decision=1),
        version("1.2", "1.2.1", "a", "P", current=False, decision=1),
        version("1.2", "1.2.1", "b", "P", decision=1),
        version("1.2", "1.2.2", "a", "P", current=False, decision=1),
        version("1.4", "1.4.1", "a", "R"),
    ]
    return before, after


@pytest.mark.parametrize("sent", [True, False])
async def test_an_upsert_broken_off_at_any_request_is_mended_by_the_same_upsert(
    stack: Stack, name: str, index, sent: bool
) -> None:
    for step in range(100):
        partition = f"p{step}"
        before, after = _moved(partition)
        await index.upsert(before)
        url = url_of(stack.elasticsearch.address, name)
        broken = await ElasticsearchIndex.open(url, SETTINGS)
        breaks = Breaks(broken, step, sent=sent)
        try:
            await broken.upsert(after)
        except asyncio.CancelledError:
            await index.upsert(after)
        finally:
            await broken.close()
        held = {(e.name, e.digest): e for e in [*before, *after]}
        await agrees(index, list(held.values()), partition)
        if breaks.left >= 0:
            assert step > 8
            return
    raise AssertionError("it never came to an end")


async def test_a_removal_broken_off_at_any_request_is_mended_by_the_same_removal(
    stack: Stack, name: str, index
) -> None:
    for step in range(100):
        partition = f"p{step}"
        before, _ = _moved(partition)
        gone = before[:1] + before[2:]
        await index.upsert(before)
        url = url_of(stack.elasticsearch.address, name)
        broken = await ElasticsearchIndex.open(url, SETTINGS)
        breaks = Breaks(broken, step, sent=True)
        try:
            await broken.remove([ObjectName(e.name, e.digest) for e in gone])
        except asyncio.CancelledError:
            await index.remove([ObjectName(e.name, e.digest) for e in gone])
        finally:
            await broken.close()
        await agrees(index, before[1:2], partition)
        if breaks.left >= 0:
            return
    raise AssertionError("it never came to an end")


async def test_nothing_of_a_removed_study_stays_in_any_index(stack, name, index) -> None:
    some = many()
    await index.upsert(some)
    await index.remove([ObjectName(e.name, e.digest) for e in some])
    await index._client.refresh(f"{name}-*")
    answer = await index._client.request("GET", f"/{name}-*/_search", params={"size": "100"})
    found = [hit for hit in answer["hits"]["hits"] if "rebuild" not in hit["_index"]]
    assert found == []


async def test_a_writer_whose_index_is_replaced_before_it_ends_writes_into_the_new_one(
    index, other
) -> None:
    await other.upsert([entry("1.1", "1.1.1", "1")])
    looks = 0

    def at_the_last_look(_method: str, path: str, _body: object) -> bool:
        nonlocal looks
        looks += path.endswith(alias("", PATIENTS)) and f"{alias('', STUDIES)}," in path
        return looks == 2

    gate = Gate(index, at_the_last_look)
    late = asyncio.ensure_future(index.upsert([entry("1.2", "1.2.1", "1")]))
    await gate.reached.wait()
    scratch = await other.scratch()
    await scratch.upsert([entry("1.1", "1.1.1", "1")])
    await scratch.promote()
    await scratch.close()
    gate.open.set()
    await late
    await agrees(other, [entry("1.1", "1.1.1", "1"), entry("1.2", "1.2.1", "1")])


async def test_writers_go_on_while_a_scratch_index_is_filled_and_promoted(index, other) -> None:
    some = many()
    stop = asyncio.Event()
    begun: list[int] = []

    async def write() -> None:
        for n in range(10_000):
            if stop.is_set():
                return
            begun.append(n)
            await other.upsert([some[n % len(some)]])

    writing = asyncio.ensure_future(write())
    scratch = await index.scratch()
    for start in range(0, len(some) // 2, 10):
        await scratch.upsert(some[start : start + 10])
    await scratch.promote()
    await scratch.close()
    at_promotion = len(begun)
    while len(begun) < at_promotion + 5 and not writing.done():
        await asyncio.sleep(0.01)
    stop.set()
    await writing
    held = some[: len(some) // 2]
    written = [some[n % len(some)] for n in begun[at_promotion - 1 :]]
    found = {a["00080018"]["Value"][0] for a in await answers(index, Search(Level.INSTANCE))}
    assert {e.name.instance for e in [*held, *written] if e.current} <= found
    await index.upsert(some)
    await agrees(other, some)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_what_was_acknowledged_survives_the_death_of_the_server(tmp_path: Path) -> None:
    some = [
        entry(f"1.{n % 7}", f"1.{n % 7}.1", f"1.{n}", t00100020=f"P{n % 3}") for n in range(400)
    ]
    server = Server("elasticsearch", tmp_path / "elasticsearch")
    server.start()
    await prepare(server.address, "killed")
    index = await ElasticsearchIndex.open(url_of(server.address, "killed"), SETTINGS)
    acknowledged = 0

    async def write() -> None:
        nonlocal acknowledged
        while acknowledged < len(some):
            if acknowledged == 40:
                asyncio.get_running_loop().call_later(0.1, server.kill)
            await index.upsert(some[acknowledged : acknowledged + 4])
            acknowledged += 4

    try:
        with pytest.raises(Unavailable):
            await write()
        assert acknowledged >= 40
        await asyncio.to_thread(server.start)
        assert len(await index.versions([e.name for e in some[:acknowledged]])) == acknowledged
        await index.upsert(some[acknowledged : acknowledged + 4])
        await agrees(index, some[: acknowledged + 4])
    finally:
        await index.close()
        server.kill()


async def test_a_context_that_another_version_needs_is_kept_when_one_that_had_it_is_removed(
    index,
) -> None:
    first, second = (
        entry("1.2", "1.2.1", "1", digest=d * 64, t00100020=f"P{d}", t00081030=f"of {d}")
        for d in "ab"
    )
    third = entry("1.2", "1.2.1", "2", t00100020="Pa", t00081030="of c")
    await index.upsert([first, second, third])
    await index.remove([ObjectName(first.name, first.digest)])
    await agrees(index, [second, third])
    contexts = await index._client.request("POST", f"/{index._seen.alias('contexts')}/_refresh")
    assert contexts["_shards"]["failed"] == 0
    counted = await index._client.request("GET", f"/{index._seen.alias('contexts')}/_count")
    assert counted["count"] == 2
