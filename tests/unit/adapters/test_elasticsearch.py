"""The Elasticsearch adapters without Elasticsearch: addresses, queries, and answers that a real
server gives only when it is in trouble."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib import metadata
from typing import Any

import pytest

from isocenter.adapters.index.elasticsearch import conditions
from isocenter.adapters.index.elasticsearch.client import (
    Address,
    ElasticsearchClient,
    Place,
    Write,
)
from isocenter.adapters.index.elasticsearch.schema import term_fields
from isocenter.adapters.index.elasticsearch.upkeep import ElasticsearchUpkeep
from isocenter.adapters.settings import ElasticsearchSettings
from isocenter.core.attributes import BUILT_IN
from isocenter.core.errors import Invalid, OutOfResources, Unavailable, Unprocessable
from isocenter.core.matching import Key, parse
from isocenter.core.upkeep import Finding

SETTINGS = ElasticsearchSettings()
Answer = tuple[int, dict[str, Any]]


@asynccontextmanager
async def server(
    answer: Callable[[str, str], Answer], *, product: str = "Elasticsearch"
) -> AsyncIterator[str]:
    """Something that speaks HTTP and answers as it is told."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, path, _ = head.split(b" ", 2)
                lower = head.lower()
                if b"content-length: " in lower:
                    length = lower.split(b"content-length: ")[1].split(b"\r\n")[0]
                    await reader.readexactly(int(length))
                status, content = answer(method.decode(), path.decode())
                body = json.dumps(content).encode()
                writer.write(
                    f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
                    f"X-Elastic-Product: {product}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                    + body
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        yield f"elasticsearch://127.0.0.1:{port}/test"


@asynccontextmanager
async def client(answer: Callable[[str, str], Answer], **how: str) -> AsyncIterator[Any]:
    async with server(answer, **how) as url:
        client = ElasticsearchClient.open(url, SETTINGS)
        yield client
        await client.close()


@pytest.mark.parametrize(
    ("url", "hosts", "prefix"),
    [
        ("elasticsearch://es", ("es:9200",), "isocenter"),
        ("elasticsearch://es:1/", ("es:1",), "isocenter"),
        ("elasticsearch://a:1,b.c:2/site-1", ("a:1", "b.c:2"), "site-1"),
        ("elasticsearch://[::1]:9201/x", ("[::1]:9201",), "x"),
    ],
)
def test_addresses(url: str, hosts: tuple[str, ...], prefix: str) -> None:
    address = Address.of(url, SETTINGS)
    assert (address.hosts, address.prefix) == (hosts, prefix)


@pytest.mark.parametrize(
    "url",
    [
        "elasticsearch:", "elasticsearch://", "elasticsearch://u:secret@es/x",
        "elasticsearch://es:0/x", "elasticsearch://es:99999/x", "elasticsearch://a,,b/x",
        "elasticsearch://es/Upper", "elasticsearch://es/a/b", "elasticsearch://es/x?y=1",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_invalid_and_not_repeated(url: str) -> None:
    with pytest.raises(Invalid, match=r"^index: ") as caught:
        Address.of(url, SETTINGS)
    assert "secret" not in str(caught.value)


def test_encryption_follows_the_hosts_and_the_setting() -> None:
    assert Address.of("elasticsearch://es/x", SETTINGS).encrypted
    assert not Address.of("elasticsearch://127.0.0.1,localhost/x", SETTINGS).encrypted
    assert not Address.of("elasticsearch://es/x", ElasticsearchSettings(tls=False)).encrypted


async def test_two_ways_to_sign_in_and_certificates_that_are_not_there_are_invalid(
    tmp_path: Any,
) -> None:
    both = ElasticsearchSettings(username="u", password="p", api_key="k")
    with pytest.raises(Invalid, match="username and an api_key"):
        ElasticsearchClient.open("elasticsearch://es/x", both)
    missing = ElasticsearchSettings(ca_file=tmp_path / "none.pem")
    with pytest.raises(Invalid, match="ca_file"):
        ElasticsearchClient.open("elasticsearch://es/x", missing)


# --- answers -------------------------------------------------------------------------------------

WHOLE = {"timed_out": False, "_shards": {"failed": 0}, "hits": {"hits": []}}


@pytest.mark.parametrize(
    "half", [{**WHOLE, "timed_out": True}, {**WHOLE, "_shards": {"failed": 1}}]
)
async def test_half_a_result_is_none(half: dict[str, Any]) -> None:
    async with client(lambda *_: (200, half)) as asked:
        with pytest.raises(Unavailable, match="does not answer"):
            await asked.search("x", {})


@pytest.mark.parametrize(
    ("status", "error", "kind", "message"),
    [
        (401, {"type": "security_exception"}, Unavailable, "all privileges|username"),
        (403, {"type": "security_exception"}, Unavailable, r"\[elasticsearch\]"),
        (503, {"type": "no_shard_available_action_exception"}, Unavailable, "cannot serve"),
        (429, {"type": "es_rejected_execution_exception"}, Unavailable, "cannot serve"),
        (429, {"type": "circuit_breaking_exception"}, Unavailable, "short of memory"),
        (404, {"type": "search_context_missing_exception"}, Unavailable, "given up"),
        (429, {"type": "cluster_block_exception", "reason": "read-only / allow delete"},
         OutOfResources, "make room"),
        (503, {"type": "cluster_block_exception", "reason": "no master"}, Unavailable, "serve"),
        (413, {}, OutOfResources, "max_content_length"),
        (400, {"type": "x_content_parse_exception", "reason": "Doe^John"}, Unprocessable, "x_con"),
        (404, {"type": "illegal_index_shard_state_exception"}, Unavailable, "illegal_index_shard"),
        (400, {"type": "search_phase_execution_exception",
               "failed_shards": [{"reason": {"type": "security_exception"}}]},
         Unavailable, "allow"),
    ],
)  # fmt: skip
async def test_what_the_server_refuses_is_told_without_its_reasons(
    status: int, error: dict[str, Any], kind: type[Exception], message: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr("isocenter.adapters.index.elasticsearch.client._PAUSES", (0.0,))
    async with client(lambda *_: (status, {"error": error, "status": status})) as asked:
        with pytest.raises(kind, match=message) as caught:
            await asked.search("x", {})
    assert type(caught.value) is kind
    assert "Doe" not in str(caught.value)


async def test_a_server_that_is_busy_is_asked_again() -> None:
    answers = [(429, {"error": {"type": "es_rejected_execution_exception"}}), (200, WHOLE)]
    async with client(lambda *_: answers.pop(0)) as asked:
        assert await asked.search("x", {}) == WHOLE


async def test_what_is_not_elasticsearch_is_told_so() -> None:
    async with client(lambda *_: (200, {}), product="OpenSearch") as asked:
        with pytest.raises(Unavailable, match="is not Elasticsearch"):
            await asked.request("GET", "/")


def _bulk(*results: dict[str, Any]) -> dict[str, Any]:
    return {"errors": True, "items": [{"index": result} for result in results]}


DONE = {"status": 200, "_seq_no": 7, "_primary_term": 1}
BUSY = {"status": 429, "error": {"type": "es_rejected_execution_exception"}}
BAD = {"status": 400, "error": {"type": "document_parsing_exception", "reason": "Doe^John"}}
WRITES = [Write("a", "1", "1", b"{}"), Write("a", "2", "2", b"{}")]


async def test_the_part_of_a_write_that_a_server_was_too_busy_for_is_sent_again() -> None:
    answers = [_bulk(DONE, BUSY), _bulk({**DONE, "_seq_no": 8})]
    async with client(lambda *_: (200, answers.pop(0))) as asked:
        assert await asked.write(WRITES) == [(7, 1), (8, 1)]


async def test_a_document_that_cannot_be_kept_is_no_passing_trouble_and_not_quoted() -> None:
    async with client(lambda *_: (200, _bulk(DONE, BAD))) as asked:
        with pytest.raises(Unprocessable, match="document_parsing_exception") as caught:
            await asked.write(WRITES)
    assert "Doe" not in str(caught.value)


async def test_trouble_that_passes_is_told_before_a_document_that_cannot_be_kept() -> None:
    gone = {"status": 404, "error": {"type": "index_not_found_exception"}}
    async with client(lambda *_: (200, _bulk(BAD, gone))) as asked:
        with pytest.raises(Unavailable, match="gone"):
            await asked.write(WRITES)


async def test_documents_of_an_index_that_is_gone_are_not_absent_but_unavailable() -> None:
    error = {"_index": "a", "error": {"type": "index_not_found_exception"}}
    async with client(lambda *_: (200, {"docs": [error]})) as asked:
        with pytest.raises(Unavailable, match="gone"):
            await asked.get([Place("a", "1", "1")])


async def _findings(version: str) -> Sequence[Finding]:
    """Of an empty server without copies of its shards."""
    answers = {"/": {"version": {"number": version}}, "/_nodes": {}, "/_cluster": {
        "status": "yellow"}, "/_count": {"count": 0}}  # fmt: skip

    def answer(_method: str, path: str) -> Answer:
        found = next((a for p, a in answers.items() if p != "/" and path.startswith(p)), None)
        return 200, answers["/"] if path == "/" else found or {}

    async with server(answer) as url:
        upkeep = await ElasticsearchUpkeep.open(url, SETTINGS)
        findings = await upkeep.check()
        await upkeep.close()
    return findings


async def test_a_server_of_another_major_version_is_the_one_finding_with_the_fix() -> None:
    (version,) = await _findings("7.17.0")
    assert "7.17.0" in version.state
    assert "elasticsearch[async]==7.*" in version.fix


async def test_missing_indices_and_missing_copies_are_findings() -> None:
    findings = await _findings(metadata.version("elasticsearch"))
    health = next(f for f in findings if f.what.startswith("health"))
    assert "number_of_replicas" in health.fix
    assert sum(f.preparable for f in findings) == 6


# --- queries -------------------------------------------------------------------------------------


def _condition(tag: str, vr: str, *values: str, fuzzy: bool = False) -> conditions.Condition:
    criterion = parse(Key(tag, vr, values), fuzzy=fuzzy)
    assert criterion
    row = BUILT_IN.get(tag)
    assert row
    return conditions.of(row, criterion)


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        ("00100020", "LO", "ID"),
        ("00100020", "LO", "I*D?"),
        ("00100010", "PN", "A^*^B*"),
        ("00080020", "DA", "20240101-"),
        ("0020000D", "UI", "1.2"),
    ],
)
def test_queries_that_settle_a_criterion(tag: str, vr: str, value: str) -> None:
    assert _condition(tag, vr, value).exact


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        ("00104000", "LT", "a*"),  # no terms
        ("00100020", "SH", "ID"),  # another VR than the terms are of
        ("00100020", "LO", "x" * 9000),  # cut off
        ("00100020", "LO", "*a" + "?" * 10),  # too much effort
        ("00100020", "LO", "a*" * 20),
        ("00100010", "PN", "a^" * 9 + "*"),
    ],
)
def test_queries_that_only_narrow(tag: str, vr: str, value: str) -> None:
    assert not _condition(tag, vr, value).exact


def test_words_of_names_are_prefixes_of_words_or_sound_like_them() -> None:
    query = _condition("00100010", "PN", "smi jo", fuzzy=True).query
    longer, shorter = query["bool"]["should"][1]["bool"]["filter"]
    assert {"prefix": {"w.00100010": {"value": "smi"}}} in longer["bool"]["should"]
    assert shorter == {"prefix": {"w.00100010": {"value": "jo"}}}  # too short to sound


def test_terms_of_a_document_are_cut_off_and_those_of_items_kept_apart() -> None:
    item = {"00400009": {"vr": "SH", "Value": ["S1"]}}
    doc = {
        "00081030": {"vr": "LO", "Value": ["x" * 9000]},
        "00400275": {"vr": "SQ", "Value": [item, {**item}]},
        "00104000": {"vr": "LT", "Value": ["comment"]},
    }
    found = term_fields("series", BUILT_IN, doc)["t"]
    assert found["00081030"] == ["x" * 8000]
    assert set(found["00400275_00400009"]) == {"S1"}
    assert "00104000" not in found
