"""Generated requests at real processes: never a status of 5xx, a hang, a broken answer, or a
patient's value in an error."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import strategies as st

from fuzz.bodies import BODIES, Sent
from fuzz.described import OTHER_METHODS, Described
from fuzz.header_fields import FIELDS, LONG, some_fields
from fuzz.instances import as_file, data_set_of, image, mutants
from fuzz.plan import REQUESTS, run
from fuzz.raw import LONG_FIELDS, Talk, talks
from fuzz.target import MARK, Answer, Connection, Target, store, unexpected
from support.harness import Isocenter, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(max(300, REQUESTS // 10))]

GROWTH = 96 * 1024**2  # bytes that a process may be larger at the end


def test_whatever_the_description_allows_and_what_it_does_not(
    target: Target, reference: dict[str, bytes]
) -> None:
    document = Described.of(target.isocenter, reference)
    operations = [
        (path, method, operation)
        for path, method, operation in document.operations()
        for _ in range({"GET": 8, "POST": 0}.get(method, 1))
    ]

    def test(data: st.DataObject) -> None:
        path, method, operation = data.draw(st.sampled_from(operations))
        address = data.draw(document.targets(path, operation))
        if path == "/changes":
            address = address.replace("wait=", "wait=0&was=")
        if method == "DELETE":  # what must be there at the end stays
            for study in document.known["study"]:
                address = address.replace(study, f"{study[:50]}.1")
        target.ask(method, address, data.draw(some_fields()), kind="described")

    run(test, 0.56, data=st.data())


def test_other_methods(target: Target, reference: dict[str, bytes]) -> None:
    document = Described.of(target.isocenter, reference)
    paths = sorted(document.document["paths"])

    def test(data: st.DataObject) -> None:
        address = data.draw(st.sampled_from(paths).flatmap(document.paths))
        method = data.draw(st.sampled_from(OTHER_METHODS))
        body = data.draw(st.sampled_from([None, b"", b"hello"]))
        target.ask(method, address or "/", data.draw(some_fields()), body, kind="other methods")

    run(test, 0.04, data=st.data())


def test_long_header_fields_take_no_time(target: Target) -> None:
    def test(name: str, value: str) -> None:
        answer = target.ask("GET", "/dicomweb/studies", {name: value.strip()}, kind="long fields")
        assert answer is not None

    run(test, 0.02, name=st.sampled_from(sorted(FIELDS)), value=LONG)


def test_many_long_texts_leave_nothing_behind(target: Target) -> None:
    before = target.resident()
    for number in range(max(30, REQUESTS // 200)):
        accept = f"a/b{number}," * 5000 + "*/*"
        text = f"{number}x" * 7000
        ask = partial(target.ask, "GET", kind="long texts")
        ask("/dicomweb/studies", {"Accept": accept})
        ask(f"/dicomweb/studies?accept={accept.removesuffix(',*/*')}")
        ask(f"/dicomweb/studies?includefield={text}")
        ask(f"/dicomweb/studies?PatientName={text}*&PatientID={text[:9000]}")
    grown = {name: size - before[name] for name, size in target.resident().items()}
    assert max(grown.values()) < 48 * 1024**2, grown


def test_stored_bodies(target: Target, reference: dict[str, bytes]) -> None:
    studies = sorted({address.split("/")[2] for address in reference})

    def test(sent: Sent, accept: dict[str, str], study: str) -> None:
        path = f"/dicomweb/studies{study}"
        target.ask("POST", path, {**accept, **sent.fields}, sent.body, kind="bodies")

    accepts = st.sampled_from(
        [{}, {}, {}, {"Accept": "application/dicom+xml"}, {"Accept": "text/html"}]
    )
    addresses = st.sampled_from(["", "", "", *(f"/{one}" for one in studies), "/1.2.3"])
    run(test, 0.2, sent=BODIES, accept=accepts, study=addresses)


def test_mutants_that_were_stored_can_be_asked_for(target: Target) -> None:
    def test(mutant: tuple[bytes, str]) -> None:
        content, _ = mutant
        answer = target.ask(
            "POST", "/dicomweb/studies", {"Content-Type": "application/dicom"}, content,
            kind="mutants",
        )  # fmt: skip
        assert answer is not None
        if answer.status in (200, 202):
            _retrieve(target, answer)

    run(test, 0.08, mutant=mutants())


def _retrieve(target: Target, stored: Answer) -> None:
    """Everything that there is of an instance, in every form."""
    (one,) = json.loads(stored.body)["00081199"]["Value"]
    url = one["00081190"]["Value"][0]
    path = url[url.index("/dicomweb") :]
    for way, accept in (
        ("", ""),
        ("", "application/dicom; transfer-syntax=*"),
        ("", "application/zip"),
        ("/metadata", ""),
        ("/metadata", 'multipart/related; type="application/dicom+xml"'),
        ("/rendered", ""),
        ("/rendered", "image/gif"),
        ("/rendered?viewport=9,7,1,1,-5,5&window=1,1,sigmoid", "image/png"),
        ("/frames/1/rendered", "image/webp"),
        ("/thumbnail", ""),
        ("/frames/1", ""),
        ("/frames/1,2", "multipart/related; type=application/octet-stream; transfer-syntax=*"),
        ("/bulkdata", ""),
        ("/pixeldata", "multipart/related; type=*/*; transfer-syntax=*"),
        ("/bulkdata/7FE00010", ""),
        ("/bulkdata/00420011", ""),
    ):
        fields = {"Accept": accept} if accept else {}
        target.ask("GET", path + way, fields, kind="mutants", may_break=True)
    _, _, _, study, _, series, _, instance = path.split("/")
    search = f"/dicomweb/studies/{study}/instances?includefield=all"
    target.ask("GET", search, kind="mutants")
    uri = f"/wado?requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={instance}"
    for more in ("", "&contentType=image/jpeg&rows=5", "&region=0.1,0.1,0.9,0.9&frameNumber=2"):
        target.ask("GET", uri + more, kind="mutants", may_break=True)


def test_what_is_hardly_http(target: Target) -> None:
    _talked(target, talks(), 0.06)


def test_long_fields_of_a_search(target: Target) -> None:
    _talked(target, LONG_FIELDS.map(lambda said: Talk((said,), ends=True)), 0.01)


def _talked(target: Target, said: st.SearchStrategy[Talk], share: float) -> None:
    def test(talk: Talk) -> None:
        connection = target.connect()
        try:
            _talk(target, connection, talk)
        finally:
            connection.close()
        target.usable()

    run(test, share, talk=said)


def _talk(target: Target, connection: Connection, talk: Talk) -> None:
    target.ledger.requests["raw"] += 1
    for piece in talk.pieces:
        connection.send(piece)
    if talk.ends:
        connection.end()
    answers = 0
    while True:
        connection.expect("GET")
        answer = connection.answer(may_break=talk.ends)
        if answer is None:
            break
        answers += 1
        target.check(answer, "GET", repr(talk.pieces))
        if answer.closes:
            assert connection.ended()
            break
        connection.end()
    target.ledger.unanswered += not answers


def test_afterwards_all_is_as_before(target: Target, reference: dict[str, bytes]) -> None:
    isocenter = target.isocenter
    wait_until(
        lambda: all(
            count <= target.sockets[name] + 2 for name, count in target.descriptors().items()
        ),
        what="sockets are closed",
    )
    grown = {name: size - target.memory[name] for name, size in target.resident().items()}
    assert max(grown.values()) < GROWTH, grown
    for address, data_set in reference.items():
        got = isocenter.get(address, "application/dicom; transfer-syntax=*")
        assert data_set_of(got) == data_set
    fresh = image()
    store(isocenter, as_file(fresh))
    study = fresh.StudyInstanceUID
    wait_until(lambda: isocenter.search(f"/studies?StudyInstanceUID={study}"), what="found")
    wait_until(lambda: _audited(isocenter, study), 60, what="audited")
    assert MARK.decode() not in target.log()
    assert unexpected(target.log()) == []


def _audited(isocenter: Isocenter, study: str) -> list[dict[str, Any]]:
    listed = isocenter.cli("audit list", "--json", "--study", study, "--limit", "1000")
    return [record for line in listed.stdout.splitlines() if (record := json.loads(line))]
