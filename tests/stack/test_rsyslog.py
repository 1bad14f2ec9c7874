"""Audit messages reach a real rsyslog, byte for byte, by every way, and none is missing when it was
killed and started again in between."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lxml import etree
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage

from isocenter.adapters.bus.memory import MemoryBus
from isocenter.audit import forwarding
from isocenter.audit.forwarding import GROUPS, HEADS, Forwarder
from isocenter.audit.heads import read_heads
from isocenter.audit.keys import KeyFolder
from isocenter.audit.settings import Collector
from isocenter.audit.syslog import AUDIT_MESSAGE, NOTICE, WARNING, Message, Origin
from isocenter.core.events import TOPIC_AUDIT, AuditAction, AuditEvent, AuditOutcome, Source
from isocenter.runtime.audit_dicom import message
from isocenter.runtime.event_codec import encode
from support.datasets import ct_image
from support.harness import running, wait_until
from support.rsyslog import EXAMPLE, Rsyslog, rsyslog
from support.waiting import until

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "tests/data/audit-message.rng"
GROUP = f"{GROUPS}siem"
RECORDS = 3000
_ID = re.compile(rb'id="(\d+)"')


def record(number: int) -> AuditEvent:
    """One of many kinds, with text of many scripts."""
    return AuditEvent(
        action=list(AuditAction)[number % len(AuditAction)],
        outcome=list(AuditOutcome)[number % len(AuditOutcome)],
        source=Source("DIMSE", host="10.0.0.7", ae_title="CT1", user="Müller <山田> & Söhne"),
        at=datetime(2026, 1, 2, tzinfo=UTC) + timedelta(microseconds=number),
        id=str(number),
        patient_ids=(f"P{number}",),
        studies=(f"1.2.{number}",),
        detail='C-FIND STUDY "PatientID"\nand more\t' + "é" * (number % 700),
        query="PatientName=ヤマダ^タロウ",
        site="here",
    )


def written(event: AuditEvent) -> bytes:
    """What rsyslog is to write."""
    severity = NOTICE if event.outcome is AuditOutcome.SUCCESS else WARNING
    origin = Origin.named(socket.gethostname(), os.getpid())
    whole = Message(severity, event.at, AUDIT_MESSAGE, event.id, message(event))
    return whole.encoded(origin)


EXPECTED = {record.id: written(record) for record in map(record, range(RECORDS))}


def complete(messages: Sequence[bytes]) -> list[str]:
    """The ids of those that are there to their end, where each came first. Fails for any that is
    not what was sent, or the beginning of it."""
    found = []
    for one in messages:
        known = _ID.search(one)
        if known is None:  # cut off in its header
            continue
        whole = EXPECTED[known[1].decode()]
        assert whole.startswith(one)
        if one == whole:
            found.append(known[1].decode())
    return list(dict.fromkeys(found))


def collector_of(server: Rsyslog, kind: str) -> Collector:
    files = {
        "ca_file": server.ours.ca,
        "certificate_file": server.ours.certificate,
        "key_file": server.ours.key,
    }
    return Collector(name="siem", url=server.url(kind), **(files if kind == "tls" else {}))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "driver"), [("tls", "ossl"), ("tls", "gtls"), ("tcp", "ossl")])
async def test_nothing_is_missing_in_a_collector_that_was_killed(
    kind, driver, tmp_path, monkeypatch
):
    monkeypatch.setattr(forwarding, "_MOST", 400)
    monkeypatch.setattr(forwarding, "_CONFIRM_SECONDS", 0.2)
    bus = MemoryBus()
    keys = KeyFolder(tmp_path / "keys", makes=True)
    with rsyslog(tmp_path, driver) as server:
        part = Forwarder(bus=bus, collector=collector_of(server, kind), keys=keys, site="")
        await part.start()
        for begin in range(0, RECORDS, 500):
            records = [encode(record(number)) for number in range(begin, begin + 500)]
            await bus.append(TOPIC_AUDIT, records)
            await until(lambda: len(complete(server.messages())) > begin + 100, 60)  # noqa: B023
            server.kill()
            server.start()
        async with asyncio.timeout(60):
            while await bus.lag(GROUP, TOPIC_AUDIT):
                await asyncio.sleep(0.02)
        await part.stop()
    assert complete(server.messages()) == [str(number) for number in range(RECORDS)]
    schema = etree.RelaxNG(etree.parse(SCHEMA))
    for one in set(server.messages()) & set(EXPECTED.values()):
        schema.assertValid(etree.fromstring(one.partition(b"\xef\xbb\xbf")[2]))


async def test_datagrams_arrive_as_they_were_sent(tmp_path):
    bus, keys = MemoryBus(), KeyFolder(tmp_path / "keys", makes=True)
    await bus.append(TOPIC_AUDIT, [encode(record(number)) for number in range(500)])
    with rsyslog(tmp_path) as server:
        part = Forwarder(bus=bus, collector=collector_of(server, "udp"), keys=keys, site="")
        await part.start()
        await until(lambda: len(complete(server.messages())) == 500, 60)
        await part.stop()
    assert complete(server.messages()) == [str(number) for number in range(500)]


async def test_who_shows_no_certificate_gets_nothing_into_it(tmp_path):
    bus, keys = MemoryBus(), KeyFolder(tmp_path / "keys", makes=True)
    await bus.append(TOPIC_AUDIT, [encode(record(0))])
    with rsyslog(tmp_path) as server:
        stranger = Collector(name="siem", url=server.url("tls"), ca_file=server.ours.ca)
        part = Forwarder(bus=bus, collector=stranger, keys=keys, site="")
        await part.start()
        await until(part.problems, 60)
        await part.stop()
        assert await bus.lag(GROUP, TOPIC_AUDIT) == 1
        assert server.messages() == []


def test_a_whole_installation_forwards_its_records_and_its_heads(tmp_path):
    heads_file = tmp_path / "heads.jsonl"
    with rsyslog(tmp_path / "collector") as server:
        collector = collector_of(server, "tls").model_dump(mode="json", exclude_defaults=True)
        settings = {
            "audit.forward": [collector],
            "audit.heads_file": str(heads_file),
            "audit.seal_seconds": 1,
        }
        with running(tmp_path / "data", "up", settings) as isocenter:
            image = ct_image(64, 64)
            ae = AE("SCANNER")
            ae.add_requested_context(CTImageStorage, image.file_meta.TransferSyntaxUID)
            association = ae.associate(isocenter.host, isocenter.dicom_port, ae_title="ISOCENTER")
            assert association.send_c_store(image).Status == 0x0000
            association.release()
            isocenter.search("/studies?PatientID=NOBODY")
            stored, searched = str(image.StudyInstanceUID).encode(), b'csd-code="110112"'
            for sent in (stored, searched):
                wait_until(
                    lambda: any(sent in one for one in server.messages()),  # noqa: B023
                    what="what was done is at the collector",
                )
            assert set(isocenter.stop().values()) == {0}
        wait_until(
            lambda: any(HEADS.encode() in one for one in server.messages()), what="heads arrive"
        )
        told = [one.decode() for one in server.messages() if HEADS.encode() in one]
    published = read_heads(heads_file.read_text().splitlines())
    assert {(head.chain, head.last, head.seal) for head in read_heads(told)} <= {
        (head.chain, head.last, head.seal) for head in published
    }


def test_the_page_shows_the_configuration_that_is_tested_here():
    page = (ROOT / "docs/audit-forwarding.md").read_text()
    assert f"```\n{EXAMPLE.read_text()}```\n" in page
