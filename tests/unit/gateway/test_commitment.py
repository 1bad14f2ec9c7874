"""Storage Commitment before pynetdicom: results on the same association and on new ones."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import StorageCommitmentPushModel

from isocenter.core.errors import Corrupted, Unavailable
from isocenter.core.events import (
    TOPIC_JOBS,
    AuditAction,
    AuditOutcome,
    CommitmentEnded,
    CommitmentFate,
    CommitmentRequested,
    SopReference,
    Source,
)
from isocenter.gateway import commitments
from isocenter.runtime.aes import KnownAE
from isocenter.runtime.event_codec import decode, encode
from support.authority import Authority
from support.commitment_results import Results
from support.gateway_fakes import EXPLICIT, IMPLICIT, series
from support.live_gateway import CT, MR, STUDY_1, Live, associate, in_thread, live
from support.ports import free_ports

WELL_KNOWN = "1.2.840.10008.1.20.1.1"
TRANSACTION = "1.2.3.99"


def request_of(*references: tuple[str, str], transaction: str = TRANSACTION) -> Dataset:
    data_set = Dataset()
    data_set.TransactionUID = transaction
    data_set.ReferencedSOPSequence = []
    for sop_class, instance in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
        data_set.ReferencedSOPSequence.append(item)
    return data_set


@contextmanager
def scanner(results: Results, port: int, tls: ssl.SSLContext | None = None) -> Iterator[None]:
    """The peer, where results can be sent to."""
    ae = AE("TESTER")
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    server = ae.start_server(
        ("127.0.0.1", port), block=False, ssl_context=tls, evt_handlers=results.handlers
    )
    try:
        yield
    finally:
        server.shutdown()


def ask(
    gateway: Live, data_set: Dataset, results: Results, *, wait: bool = True, action: int = 1,
    instance: str = WELL_KNOWN, syntax: str = EXPLICIT,
) -> int:  # fmt: skip
    """The status of the N-ACTION; stays until the result has come if `wait`."""
    association = associate(
        gateway, (StorageCommitmentPushModel, [syntax]), handlers=results.handlers
    )
    try:
        status, _ = association.send_n_action(
            data_set, action, StorageCommitmentPushModel, instance
        )
        if wait and status.Status == 0:
            results.wait(20)
        return int(status.Status)
    finally:
        association.release()


async def ended(gateway: Live) -> list[CommitmentEnded]:
    found = [decode(delivery) async for delivery in gateway.env.memory_bus.replay(TOPIC_JOBS)]
    return [event for event in found if isinstance(event, CommitmentEnded)]


async def until_ended(gateway: Live) -> CommitmentEnded:
    async with asyncio.timeout(20):
        while not (found := await ended(gateway)):
            await asyncio.sleep(0.01)
    return found[-1]


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
async def test_a_result_comes_on_the_association_while_it_lasts(syntax) -> None:
    results = Results()
    async with live(series(3)) as gateway:
        data_set = request_of(*((CT, uid) for uid in STUDY_1))
        assert await in_thread(lambda: ask(gateway, data_set, results, syntax=syntax)) == 0
        end = await until_ended(gateway)
        assert len(gateway.env.fake_storage.verified) == 3, "each was read again"
    assert results.told() == (1, STUDY_1, {})
    _, told = results.reports[0]
    assert (told.TransactionUID, told.RetrieveAETitle) == (TRANSACTION, "ISOCENTER")
    assert told.ReferencedSOPSequence[0].ReferencedSOPClassUID == CT
    assert (end.fate, end.committed, end.failed) == (CommitmentFate.REPORTED, 3, 0)
    (record,) = gateway.env.fake_audit.records
    assert (record["action"], record["source"].ae_title) == (AuditAction.VERIFY, "TESTER")
    assert (record["instances"], record["instance_count"]) == (tuple(STUDY_1), 3)
    assert TRANSACTION in record["detail"]


async def test_what_is_not_kept_as_it_was_sent_is_named_with_the_reason() -> None:
    results = Results()
    async with live(series(3), commitment_wait_seconds=0) as gateway:
        gateway.env.fake_storage.errors[STUDY_1[1]] = Corrupted("changed")
        data_set = request_of((CT, STUDY_1[0]), (CT, STUDY_1[1]), (MR, STUDY_1[2]), (CT, "1.9"))
        assert await in_thread(lambda: ask(gateway, data_set, results)) == 0
        end = await until_ended(gateway)
    failed = {STUDY_1[1]: 0x0110, STUDY_1[2]: 0x0119, "1.9": 0x0112}
    assert results.told() == (2, [STUDY_1[0]], failed)
    assert (end.committed, end.failed) == (1, 3)
    asked, ended_as = gateway.env.fake_audit.records
    assert asked["instance_count"] == 4
    assert (ended_as["action"], ended_as["outcome"]) == (
        AuditAction.VERIFY, AuditOutcome.MINOR_FAILURE,
    )  # fmt: skip
    assert set(ended_as["instances"]) == set(failed)
    assert (ended_as["detail"], ended_as["error"]) == (asked["detail"], "1 committed, 3 not")


async def test_what_is_not_found_yet_is_waited_for(monkeypatch) -> None:
    monkeypatch.setattr(commitments, "_AGAIN", timedelta(milliseconds=20))
    results = Results()
    every = series(2)
    held = every[:1]
    async with live(held, commitment_wait_seconds=20) as gateway:
        env = gateway.env
        data_set = request_of((CT, STUDY_1[0]), (CT, STUDY_1[1]))
        asking = asyncio.create_task(in_thread(lambda: ask(gateway, data_set, results)))
        async with asyncio.timeout(20):
            while len(env.fake_query.searches) < 3:
                await asyncio.sleep(0.005)
        for fake in (env.fake_query.instances, env.fake_storage.instances_held):
            if every[1] not in fake:
                fake.append(every[1])
        assert await asking == 0
    assert results.told() == (1, STUDY_1[:2], {})


async def test_a_young_object_is_not_read_again() -> None:
    results = Results()
    async with live(series(1), commitment_proof_seconds=60) as gateway:
        gateway.env.fake_storage.written_at = datetime.now(UTC)
        data_set = request_of((CT, STUDY_1[0]))
        assert await in_thread(lambda: ask(gateway, data_set, results)) == 0
        assert gateway.env.fake_storage.verified == []
    assert results.told() == (1, STUDY_1[:1], {})


async def test_a_result_comes_on_a_new_association_when_the_first_is_over() -> None:
    results = Results()
    (port,) = free_ports(1)
    peer = KnownAE(title="TESTER", host="127.0.0.1", port=port)
    async with live(series(3), known_aes=[peer]) as gateway:
        query = gateway.env.fake_query
        real, gone = query.search, asyncio.Event()

        async def search(caller, what):
            await gone.wait()
            async for batch in real(caller, what):
                yield batch

        query.search = search
        with scanner(results, port):
            data_set = request_of(*((CT, uid) for uid in STUDY_1))
            assert await in_thread(lambda: ask(gateway, data_set, results, wait=False)) == 0
            gone.set()
            end = await until_ended(gateway)
    assert results.told() == (1, STUDY_1, {})
    assert end.fate is CommitmentFate.REPORTED


async def pending(gateway: Live, *, age: timedelta) -> None:
    """A request that another process took and could not report."""
    source = Source("DIMSE", host="127.0.0.1", ae_title="TESTER", called_ae_title="ISOCENTER")
    references = tuple(SopReference(CT, uid) for uid in STUDY_1)
    event = CommitmentRequested(TRANSACTION, source, references, datetime.now(UTC) - age)
    await gateway.env.memory_bus.append(TOPIC_JOBS, [encode(event)])


async def test_what_a_process_left_is_done_by_another_and_tried_until_it_works(
    monkeypatch,
) -> None:
    monkeypatch.setattr(commitments, "_FIRST_PAUSE", timedelta(milliseconds=50))
    monkeypatch.setattr(commitments, "POLL_SECONDS", 0.02)
    results = Results(status=0x0110)
    (port,) = free_ports(1)
    peer = KnownAE(title="TESTER", host="127.0.0.1", port=port)
    async with live(series(3), known_aes=[peer]) as gateway:
        await pending(gateway, age=timedelta(minutes=5))
        await asyncio.sleep(0)
        with scanner(results, port):
            async with asyncio.timeout(20):
                while not results.reports:
                    await asyncio.sleep(0.01)
            assert await ended(gateway) == []
            results.status = 0
            end = await until_ended(gateway)
    assert (end.fate, end.committed) == (CommitmentFate.REPORTED, 3)
    assert results.told() == (1, STUDY_1, {})


async def test_a_peer_that_is_called_over_tls_is_told_over_tls(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(commitments, "POLL_SECONDS", 0.02)
    files = Authority(tmp_path / "pki").issue("gateway")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files.ca)
    context.load_cert_chain(files.certificate, files.key)
    context.verify_mode = ssl.CERT_REQUIRED  # so that our certificate is shown, too
    (port,) = free_ports(1)
    peer = KnownAE(title="TESTER", host="127.0.0.1", port=port, tls=True)
    named = {"certificate_file": files.certificate, "key_file": files.key, "ca_file": files.ca}
    results = Results()
    with scanner(results, port, context):
        async with live(series(3), known_aes=[peer], **named) as gateway:
            await pending(gateway, age=timedelta(minutes=5))
            end = await until_ended(gateway)
    assert (end.fate, end.committed) == (CommitmentFate.REPORTED, 3)
    assert results.told() == (1, STUDY_1, {})


async def test_a_peer_that_can_never_be_told_is_given_up_loudly(monkeypatch, caplog) -> None:
    monkeypatch.setattr(commitments, "POLL_SECONDS", 0.02)
    async with live(series(3), commitment_retry_hours=1) as gateway:
        await pending(gateway, age=timedelta(hours=2))
        end = await until_ended(gateway)
    assert (end.fate, end.committed) == (CommitmentFate.GIVEN_UP, 3)
    assert "no host and port are known for TESTER" in end.reason
    assert any("will never be reported" in record.message for record in caplog.records)


async def test_what_has_ended_is_not_done_again(monkeypatch) -> None:
    monkeypatch.setattr(commitments, "POLL_SECONDS", 0.02)
    results = Results()
    async with live(series(3)) as gateway:
        data_set = request_of((CT, STUDY_1[0]))
        assert await in_thread(lambda: ask(gateway, data_set, results)) == 0
        await until_ended(gateway)
        async with asyncio.timeout(20):
            while await gateway.env.memory_bus.lag(commitments.GROUP, TOPIC_JOBS):
                await asyncio.sleep(0.01)
    assert len(results.reports) == 1


@pytest.mark.parametrize(
    ("data_set", "fields", "status"),
    [
        (request_of((CT, "1.2")), {"action": 2}, 0x0123),
        (request_of((CT, "1.2")), {"instance": "1.2.3"}, 0x0112),
        (request_of(), {}, 0x0115),
        (request_of((CT, "1.2"), transaction=""), {}, 0x0115),
        (request_of((CT, "")), {}, 0x0115),
    ],
)  # fmt: skip
async def test_a_request_that_makes_no_sense_is_refused(data_set, fields, status) -> None:
    async with live(series(1)) as gateway:
        results = Results()
        assert await in_thread(lambda: ask(gateway, data_set, results, **fields)) == status
        jobs = [d async for d in gateway.env.memory_bus.replay(TOPIC_JOBS)]
    assert jobs == []


async def test_without_the_log_nothing_is_promised(monkeypatch) -> None:
    async with live(series(1)) as gateway:

        async def away(*_: object) -> None:
            raise Unavailable("the log is away")

        monkeypatch.setattr(gateway.env.memory_bus, "append", away)
        data_set = request_of((CT, STUDY_1[0]))
        assert await in_thread(lambda: ask(gateway, data_set, Results())) == 0x0213
