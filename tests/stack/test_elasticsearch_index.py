"""The Elasticsearch index keeps the contract of `StudyIndex`, and what is its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from elasticsearch import AsyncElasticsearch

from contract.study_index_attributes_suite import AddedAttributesSuite, Opened, register
from contract.study_index_suite import StudyIndexSuite
from isocenter.adapters.index.elasticsearch import instances, paging, schema, upkeep
from isocenter.adapters.index.elasticsearch.index import ElasticsearchIndex
from isocenter.adapters.index.elasticsearch.upkeep import ElasticsearchUpkeep
from isocenter.core.added import added
from isocenter.core.attributes import Attributes
from isocenter.core.errors import Unavailable
from isocenter.core.matching import Key, Level, Search
from isocenter.core.ports import StudyIndex
from support.elasticsearch import SETTINGS, prepare, prepared, remove, url_of
from support.index_oracle import VRS, Oracle, entry
from support.index_samples import answers, key, studies
from support.ports import free_ports
from support.stack import Stack


@pytest.fixture
async def index(stack: Stack, name: str) -> AsyncIterator[ElasticsearchIndex]:
    async with prepared(stack.elasticsearch.address, name) as index:
        yield index


class TestElasticsearchIndex(StudyIndexSuite):
    __test__ = True

    @pytest.fixture
    async def index(self, stack: Stack, name: str) -> AsyncIterator[ElasticsearchIndex]:
        async with prepared(stack.elasticsearch.address, name) as index:
            yield index


class TestAddedAttributesOfElasticsearchIndex(AddedAttributesSuite):
    __test__ = True

    @pytest.fixture
    async def opened(self, stack: Stack, name: str) -> AsyncIterator[Opened]:
        address = stack.elasticsearch.address
        indices: list[ElasticsearchIndex] = []

        async def open_it(table: Attributes) -> StudyIndex:
            url = url_of(address, name)
            indices.append(await ElasticsearchIndex.open(url, SETTINGS, table))
            return indices[-1]

        await prepare(address, name)
        yield open_it
        for index in indices:
            await index.close()
        await remove(address, name)


@pytest.mark.timeout(360)  # it is all requests
class TestPagingElasticsearchIndex(TestElasticsearchIndex):
    """The same with pages so short that all searches but those with a limit need a point in
    time, and with so many series that hold matches that all are walked."""

    @pytest.fixture(autouse=True)
    def _short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(paging, "FIRST", 1)
        monkeypatch.setattr(paging, "PAGE", 2)
        monkeypatch.setattr(paging, "_WINDOW", 3)
        monkeypatch.setattr(instances, "PAGE", 2)
        monkeypatch.setattr(instances, "FEW", 1)

    test_ten_thousand_answers_stream_in_bounded_batches = None
    test_closing_a_search_early_stops_it_and_the_next_one_works = None
    test_a_list_of_many_uids_finds_exactly_these = None


# --- matching ------------------------------------------------------------------------------------

PECULIAR = [
    "A*B", "A?B", "A\\B^C", "A.B", "A+B", "[AB]", "(AB)", "{2}", "A|B", "A&B", "~A", "<1-9>", '"A"',
    "A#B", "A@B", "A^B^C^D^E", "A^^C", "A^B", "A", "A B", "A_B", "A-B", "\U0001f600x", "Müller^Ü",
    "dot.dot^x.y", "A^B^^D",
]  # fmt: skip
PATTERNS = [
    "A*", "A?B", "*\\*", "A.B*", "?AB?", "A^*", "A^?", "A^*^*", "A^*^*^*", "a^b^*", "*^*", "?^?*",
    "A*^*", "*^b*", "?^*^c*", "A^^*", "*[*", "*(*", "*{*", "*|*", "*&*", "*~*", "*<*>", '*"*',
    "*#*",
    "*@*", "*.*", "*+*", "*_*", "*-?", "[A-B]*", "a?b^*", "\U0001f600*", "?x*", "mull*^*", "*" * 9,
    "*A" * 30, "*a" + "?" * 20, "A^*^*^*^*^*^*^*", "dot?dot^*", "dot.dot^x.*^*", "*^*^*^d*",
]  # fmt: skip


async def test_peculiar_characters_in_names_and_patterns_mean_what_they_mean_in_dicom(
    index: StudyIndex,
) -> None:
    some = [
        entry(f"1.{n}", f"1.{n}.1", "1", t00100010=name, t00081030=name, t00100020=f"P{n}")
        for n, name in enumerate(PECULIAR)
    ]
    await index.upsert(some)
    oracle = Oracle(some)
    for pattern in [*PATTERNS, *PECULIAR]:
        for tag in ("00100010", "00081030"):
            for fuzzy in (False, True):
                asked = Search(Level.STUDY, (Key(tag, VRS[tag], (pattern,)),), fuzzy=fuzzy)
                expected = oracle.search(asked)
                assert await answers(index, asked) == expected, (tag, pattern)
                assert await index.count(asked) == len(expected), (tag, pattern)


async def test_values_too_long_for_a_term_are_kept_and_found(index: StudyIndex) -> None:
    long = "x" * 40_000
    await index.upsert([entry("1.2", "1.2.1", "1", t00081030=long),
                        entry("1.3", "1.3.1", "1", t00081030=long + "y")])  # fmt: skip
    (found,) = await answers(index, studies(key("00081030", long)))
    assert found["0020000D"]["Value"] == ["1.2"]
    assert await index.count(studies(key("00081030", long))) == 1
    assert await index.count(studies(key("00081030", "xx*"))) == 2


async def test_pages_in_the_middle_of_many_answers_are_exact(index: StudyIndex) -> None:
    some = [
        entry(f"1.{n // 8}", f"1.{n // 8}.{n % 2}", f"1.{n}", t00200013=n, t00100020=f"P{n // 100}")
        for n in range(1_200)
    ]
    await index.upsert(some)
    oracle = Oracle(some)
    for level, tag in ((Level.SERIES, "0020000E"), (Level.INSTANCE, "00080018")):
        whole = [a[tag] for a in oracle.search(Search(level))]
        for offset, limit in ((0, 7), (90, 20), (130, 160), (270, None), (1_150, 100), (0, None)):
            asked = Search(level, offset=offset, limit=limit)
            end = None if limit is None else offset + limit
            assert [a[tag] for a in await answers(index, asked)] == whole[offset:end]


# --- indices -------------------------------------------------------------------------------------


async def test_indices_from_before_attributes_were_added_get_the_one_field_for_all_of_them(
    stack: Stack, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = stack.elasticsearch.address
    with monkeypatch.context() as patch:
        patch.setattr(schema, "ADDED", "another")
        await prepare(address, name)
    rows = [added(one, "SERIES") for one in ("ContrastBolusAgent", "ContrastBolusRoute")]
    index = await ElasticsearchIndex.open(url_of(address, name), SETTINGS, Attributes(rows))
    try:
        await register(index)
        one = entry("1.2", "1.2.1", "1", table=index.attributes, t00180010="Iodine")
        await index.upsert([one])
        search = Search(Level.SERIES, (Key(rows[0].tag, "LO", ("Iod*",)),))
        assert await index.count(search) == 1
        async with AsyncElasticsearch(f"http://{address}") as client:
            alias = schema.alias(name, schema.SERIES)
            (mapping,) = (await client.indices.get_mapping(index=alias)).body.values()
        fields = mapping["mappings"]["properties"]["t"]["properties"]
        assert {"added", "another"} < set(fields)
        assert not {row.tag for row in rows} & set(fields)
    finally:
        await index.close()
        await remove(address, name)


async def test_full_disks_are_to_be_fixed_where_elasticsearch_stops_on_them(
    stack: Stack, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_NEARLY_FULL", 0.0)
    disks = "cluster.routing.allocation.disk"
    limits = dict.fromkeys(("low", "high", "flood_stage"), "1b")  # reached by no test
    limits = {f"{disks}.watermark.{limit}": free for limit, free in limits.items()}
    url = url_of(stack.elasticsearch.address, name)
    async with AsyncElasticsearch(f"http://{stack.elasticsearch.address}") as client:
        for stops in (True, False):
            settings = {**limits, f"{disks}.threshold_enabled": stops}
            await client.cluster.put_settings(transient=settings)
            try:
                looking = await ElasticsearchUpkeep.open(url, SETTINGS)
                (found,) = [f for f in await looking.check() if f.what == "disks of the cluster"]
                await looking.close()
            finally:
                await client.cluster.put_settings(transient=dict.fromkeys(settings))
            assert found.fix.startswith("make room") is stops


async def test_an_index_that_was_not_prepared_is_reported_and_not_made(
    stack: Stack, name: str
) -> None:
    index = await ElasticsearchIndex.open(url_of(stack.elasticsearch.address, name), SETTINGS)
    for attempt in (
        index.count(studies()),
        answers(index, studies()),
        index.versions([entry("1.2", "1.2.1", "1").name]),
        index.upsert([entry("1.2", "1.2.1", "1")]),
    ):
        with pytest.raises(Unavailable, match=r"does not exist.*check --prepare"):
            await attempt
    await index.close()
    async with AsyncElasticsearch(f"http://{stack.elasticsearch.address}") as client:
        assert not (await client.indices.get(index=f"{name}-*")).body


async def test_a_cluster_that_is_away_is_unavailable_and_found_when_it_is_back(name: str) -> None:
    (port,) = free_ports(1)
    index = await ElasticsearchIndex.open(url_of(f"127.0.0.1:{port}", name), SETTINGS)
    with pytest.raises(Unavailable, match="no connection to Elasticsearch"):
        await index.count(studies())
    await index.close()
    with pytest.raises(Unavailable, match="closed"):
        await index.count(studies())


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({}, "not an index of isocenter.*another prefix in index"),
        ({"isocenter": "studies", "schema": 0}, "schema 0.*isocenter rebuild"),
        ({"isocenter": "studies", "schema": 99}, "schema 99.*this version"),
    ],
)
async def test_an_index_of_others_or_of_another_schema_is_not_touched(
    stack: Stack, name: str, meta: dict[str, object], message: str
) -> None:
    address = stack.elasticsearch.address
    async with AsyncElasticsearch(f"http://{address}") as client:
        await client.indices.create(
            index=f"{name}-studies-v0-0",
            aliases={schema.alias(name, schema.STUDIES): {}},
            mappings={"_meta": meta},
            settings={"number_of_replicas": 0},
        )
    index = await ElasticsearchIndex.open(url_of(address, name), SETTINGS)
    upkeep = await ElasticsearchUpkeep.open(url_of(address, name), SETTINGS)
    try:
        await upkeep.prepare()
        with pytest.raises(Unavailable, match="index: "):
            await index.upsert([entry("1.2", "1.2.1", "1")])
        (finding,) = [f for f in await upkeep.check() if "studies" in f.what]
        assert finding.fix
        assert not finding.preparable
        if meta.get("schema") == 0:
            scratch = await index.scratch()
            await scratch.upsert([entry("1.2", "1.2.1", "1")])
            await scratch.promote()
            await scratch.close()
            assert await index.count(studies()) == 1
        if not meta:
            with pytest.raises(Unavailable, match=message):
                await index.scratch()
    finally:
        await index.close()
        await upkeep.close()
        await remove(address, name)


async def test_preparing_is_repeatable_and_several_may_do_it_at_once(
    stack: Stack, name: str
) -> None:
    address = stack.elasticsearch.address
    upkeep = await ElasticsearchUpkeep.open(url_of(address, name), SETTINGS)
    try:
        missing = [finding for finding in await upkeep.check() if finding.preparable]
        assert len(missing) == 6
        made = await asyncio.gather(*(upkeep.prepare() for _ in range(3)))
        assert sorted(line for lines in made for line in lines) == sorted(
            f"index {name}-{kind}-v{schema.schema_of(kind)}-0"
            for kind in (*schema.KINDS, schema.AUDIT)
        )
        assert await upkeep.prepare() == []
        findings = await upkeep.check()
        assert not [finding for finding in findings if finding.fix]
        assert "writing to the indices" in {finding.what for finding in findings}
    finally:
        await upkeep.close()
        await remove(address, name)


async def test_a_lost_part_of_an_index_in_use_is_not_made_anew_but_rebuilt(
    stack: Stack, name: str, index: ElasticsearchIndex
) -> None:
    address = stack.elasticsearch.address
    await index.upsert([entry("1.2", "1.2.1", "1")])
    async with AsyncElasticsearch(f"http://{address}") as client:
        await client.indices.delete(index=f"{name}-series-v{schema.SCHEMA}-0")
    upkeep = await ElasticsearchUpkeep.open(url_of(address, name), SETTINGS)
    assert await upkeep.prepare() == []
    (finding,) = [f for f in await upkeep.check() if "series" in f.what]
    assert "rebuild" in finding.fix
    await upkeep.close()
    with pytest.raises(Unavailable, match="does not exist"):
        await index.upsert([entry("1.2", "1.2.1", "1")])
    with pytest.raises(Unavailable):
        await answers(index, Search(Level.SERIES))
    scratch = await index.scratch()
    await scratch.upsert([entry("1.2", "1.2.1", "1")])
    await scratch.promote()
    await scratch.close()
    assert len(await answers(index, Search(Level.SERIES))) == 1


async def test_a_read_only_index_is_out_of_resources_with_the_fix(
    stack: Stack, name: str, index: ElasticsearchIndex
) -> None:
    from isocenter.core.errors import OutOfResources

    address = stack.elasticsearch.address
    block = {"index.blocks.read_only_allow_delete": True}
    async with AsyncElasticsearch(f"http://{address}") as client:
        await client.indices.put_settings(index=f"{name}-*", settings=block)
    with pytest.raises(OutOfResources, match=r"read-only.*make room"):
        await index.upsert([entry("1.2", "1.2.1", "1")])
    upkeep = await ElasticsearchUpkeep.open(url_of(address, name), SETTINGS)
    (finding,) = [f for f in await upkeep.check() if f.what == "writing to the indices"]
    assert "make room" in finding.fix
    await upkeep.close()
    assert await index.count(studies()) == 0


# --- rebuilding ----------------------------------------------------------------------------------


async def test_there_is_one_rebuild_at_a_time(index: ElasticsearchIndex) -> None:
    scratch = await index.scratch()
    with pytest.raises(Unavailable, match="under way"):
        await index.scratch()
    with pytest.raises(Unavailable, match="under way"):
        await scratch.scratch()
    await scratch.close()
    await (await index.scratch()).close()


async def test_a_rebuild_that_fell_silent_is_taken_over_and_what_it_left_removed(
    stack: Stack, name: str, index: ElasticsearchIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    from isocenter.adapters.index.elasticsearch import rebuild as elasticsearch_rebuild

    lost = await index.scratch()
    await lost.upsert([entry("1.2", "1.2.1", "1")])
    monkeypatch.setattr(elasticsearch_rebuild, "SILENT", 0.0)
    other = await index.scratch()
    with pytest.raises(Unavailable):
        await lost.upsert([entry("1.3", "1.3.1", "1")])
    with pytest.raises(Unavailable, match=r"under way|taken its place"):
        await lost.promote()
    await lost.close()
    await other.upsert([entry("1.4", "1.4.1", "1")])
    await other.promote()
    await other.close()
    assert [a["0020000D"]["Value"] for a in await answers(index, studies())] == [["1.4"]]
    async with AsyncElasticsearch(f"http://{stack.elasticsearch.address}") as client:
        found = await client.indices.get(index=f"{name}-studies-*")
        assert len(found.body) == 1


async def test_a_schema_has_an_index_of_its_own_beside_that_of_the_one_before(
    stack: Stack, name: str, index: ElasticsearchIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = stack.elasticsearch.address
    await index.upsert([entry("1.2", "1.2.1", "1")])
    feeds = [index.feed]
    upkeep = await ElasticsearchUpkeep.open(url_of(address, name), SETTINGS)
    for _ in range(2):
        monkeypatch.setattr(schema, "SCHEMA", schema.SCHEMA + 1)
        newer = await ElasticsearchIndex.open(url_of(address, name), SETTINGS)
        assert await newer.unfilled()
        assert await upkeep.prepare() == []  # it is filled before anybody may use it
        missing = [finding for finding in await upkeep.check() if finding.fix]
        assert len(missing) == 5
        assert all("check --prepare" in finding.fix for finding in missing)
        with pytest.raises(Unavailable, match="check --prepare"):
            await newer.count(studies())
        scratch = await newer.scratch()
        await scratch.upsert([entry("1.2", "1.2.1", "1"), entry("1.3", "1.3.1", "1")])
        await scratch.promote()
        await scratch.close()
        assert not await newer.unfilled()
        assert await newer.count(studies()) == 2
        assert not [finding for finding in await upkeep.check() if finding.fix]
        feeds.append(newer.feed)
        await newer.close()
    await upkeep.close()
    assert len(set(feeds)) == 3
    async with AsyncElasticsearch(f"http://{address}") as client:
        found = await client.indices.get(index=f"{name}-studies-*", filter_path="*.mappings._meta")
    kept = sorted(facts["mappings"]["_meta"]["schema"] for facts in found.body.values())
    assert kept == [schema.SCHEMA - 1, schema.SCHEMA]
