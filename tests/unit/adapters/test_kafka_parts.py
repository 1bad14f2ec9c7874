"""What of the Kafka adapter needs no broker: addresses, names, records and what a member holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from kafka import TopicPartition
from kafka import errors as kafka_errors
from kafka.consumer.fetcher import ConsumerRecord
from pydantic import SecretStr

from isocenter.adapters.bus.kafka.bus import KafkaBus
from isocenter.adapters.bus.kafka.client import Connection, parsed
from isocenter.adapters.bus.kafka.holding import MOST_BYTES, MOST_RECORDS, Holding
from isocenter.adapters.bus.kafka.records import Message, delivery_of, messages_of
from isocenter.adapters.settings import KafkaSettings
from isocenter.core.errors import Code, Invalid
from isocenter.core.ports import Record

# --- addresses, names and settings ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "brokers", "namespace"),
    [
        ("kafka://localhost:19092", ("localhost:19092",), "isocenter"),
        ("kafka://localhost:19092/", ("localhost:19092",), "isocenter"),
        ("kafka://a.b-c:1,d:65535/site_1.x", ("a.b-c:1", "d:65535"), "site_1.x"),
        ("kafka://broker/x", ("broker:9092",), "x"),
        ("kafka://[::1]:9092/x", ("[::1]:9092",), "x"),
    ],
)
def test_an_address_names_brokers_and_a_namespace(url, brokers, namespace):
    assert parsed(url) == (brokers, namespace)


@pytest.mark.parametrize(
    "url",
    [
        "kafka:",
        "kafka://",
        "kafka:///x",
        "kafka://a,,b/x",
        "kafka://a:0",
        "kafka://a:65536",
        "kafka://a:port",
        "kafka://user:secret@a:9092",
        "kafka://a:9092/x/y",
        "kafka://a:9092/x?y=1",
        "kafka://a:9092/ü",
        "kafka://a:9092/..",
        f"kafka://a:9092/{'x' * 201}",
        "kafka://a:9092 ,b:9092",
    ],
)
async def test_what_is_no_address_is_refused_with_the_setting_and_without_its_secrets(url):
    with pytest.raises(Invalid) as refusal:
        await KafkaBus.open(url, KafkaSettings())
    assert "bus" in refusal.value.message
    assert "kafka://" in refusal.value.fix
    assert "secret" not in str(refusal.value)


def connection(url: str = "kafka://127.0.0.1:9092/site", **settings: object) -> Connection:
    return Connection.of(url, KafkaSettings.model_validate(settings))


def test_topics_and_groups_are_the_namespaces():
    made = connection()
    assert made.topic("isocenter.instances") == "site.instances"
    assert made.topic("isocenter.instances.dead") == "site.instances.dead"
    assert made.topic("one") == "site.one"
    assert made.group("indexing") == "site.indexing"


@pytest.mark.parametrize(
    ("url", "settings", "protocol"),
    [
        ("kafka://127.0.0.1", {}, "PLAINTEXT"),
        ("kafka://kafka.example", {}, "SSL"),
        ("kafka://127.0.0.1,kafka.example", {}, "SSL"),
        ("kafka://kafka.example", {"tls": False}, "PLAINTEXT"),
        ("kafka://127.0.0.1", {"username": "u"}, "SASL_PLAINTEXT"),
        ("kafka://[::1]:9092", {"username": "u", "tls": True}, "SASL_SSL"),
    ],
)
def test_connections_are_encrypted_unless_they_stay_on_this_machine(url, settings, protocol):
    assert connection(url, **settings).options["security_protocol"] == protocol


def test_the_password_is_for_the_brokers_only():
    made = connection(username="u", password=SecretStr("hidden"))
    assert made.options["sasl_plain_password"] == "hidden"
    assert made.options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert "hidden" not in repr(made)


@pytest.mark.parametrize("setting", ["ca_file", "certificate_file"])
def test_a_certificate_that_cannot_be_read_is_named_with_its_setting(tmp_path: Path, setting):
    path = tmp_path / "no.pem"
    for content in (None, "this is no certificate"):
        if content is not None:
            path.write_text(content)
        with pytest.raises(Invalid, match=rf"\[kafka\] {setting}: {path}"):
            connection(tls=True, **{setting: path})


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (kafka_errors.KafkaTimeoutError("x"), Code.UNAVAILABLE, "127.0.0.1:9092"),
        (RuntimeError("NetworkSelector closed!"), Code.UNAVAILABLE, "`bus`"),
        (
            kafka_errors.SaslAuthenticationFailedError("x"),
            Code.UNAVAILABLE,
            "[kafka] username and password",
        ),
        (
            kafka_errors.TopicAuthorizationFailedError("x"),
            Code.UNAVAILABLE,
            "the user in [kafka] username",
        ),
        (
            kafka_errors.UnknownTopicOrPartitionError(),
            Code.UNAVAILABLE,
            "isocenter check --prepare",
        ),
        (kafka_errors.NotEnoughReplicasError(), Code.UNAVAILABLE, "min.insync.replicas"),
        (kafka_errors.MessageSizeTooLargeError(), Code.OUT_OF_RESOURCES, "max.message.bytes"),
    ],
)
def test_an_error_of_the_library_says_where_and_what_to_do_and_quotes_nothing(error, code, told):
    made = connection().translated(error, "site.instances")
    assert made.code is code
    assert told in str(made)
    assert "site.instances" in made.message
    assert made.fix
    assert "'x'" not in str(made)


# --- records -------------------------------------------------------------------------------------

PARTITION = TopicPartition("site.instances", 3)


def read(message: Message, offset: int = 0) -> ConsumerRecord:
    """A record as the library reads it back."""
    return ConsumerRecord(
        *PARTITION, -1, offset, 1_700_000_000_123, 0, message.key, message.value, message.headers,
        None, 0, 0, 0,
    )  # fmt: skip


@pytest.mark.parametrize(
    "record",
    [
        Record("1.2", "isocenter.v1.X", b"data", {"ce_type": "isocenter.v1.X", "ce_id": "1"}),
        Record("1.2", "isocenter.v1.X", b"data", {"ce_id": "1"}),
        Record("", "", b"", {}),
        Record("1.2", "t", b"\0" * 9, {"error": "ヤマダ", "": "empty name"}),
    ],
)
def test_a_record_comes_back_as_it_was_and_its_type_is_always_carried(record):
    (message,) = messages_of([record])
    assert dict(message.headers)["ce_type"] == record.type.encode()
    found = delivery_of(read(message), "isocenter.instances")
    assert (found.key, found.type, found.data, dict(found.headers)) == (
        record.key, record.type, record.data, dict(record.headers),
    )  # fmt: skip
    assert found.topic == "isocenter.instances"
    assert found.appended_at.isoformat() == "2023-11-14T22:13:20.123000+00:00"


def test_a_record_without_key_goes_to_any_partition():
    (message,) = messages_of([Record("", "t", b"")])
    assert message.key is None


def test_text_that_is_no_unicode_is_refused():
    for record in (
        Record("\ud800", "t", b""),
        Record("1", "\ud800", b""),
        Record("1", "t", b"", {"x": "\ud800"}),
    ):
        with pytest.raises(Invalid):
            messages_of([record])


def test_what_others_wrote_is_read_whatever_it_is():
    found = delivery_of(read(Message(b"\xff", None, [("ce_type", None), ("x", b"\xfe")])), "t")
    assert (found.type, found.data) == ("", b"")


# --- what a member holds -------------------------------------------------------------------------


def holding() -> Holding:
    return Holding({"isocenter.instances": PARTITION.topic})


def records(*offsets: int, data: bytes = b"x") -> dict[TopicPartition, Sequence[ConsumerRecord]]:
    return {PARTITION: [read(Message(b"1", data, []), offset) for offset in offsets]}


def test_records_are_taken_in_order_and_only_what_was_taken_is_to_be_committed():
    member = holding()
    member.gain([PARTITION])
    member.add(records(4, 5, 7))
    assert [d.offset for d in member.take(2)] == [4, 5]
    places = member.uncommitted()
    assert [offset for _, offset in places.values()] == [6]
    member.note_committed(places)
    assert member.uncommitted() == {}
    assert [d.offset for d in member.take(9)] == [7]
    assert [offset for _, offset in member.uncommitted().values()] == [8]


def test_a_lost_partition_takes_its_records_and_its_commits_with_it():
    member = holding()
    member.gain([PARTITION])
    member.add(records(0, 1))
    (taken,) = member.take(1)
    places = member.uncommitted()
    member.lose([PARTITION])
    assert not member.owns(taken)
    assert member.take(9) == []
    assert member.uncommitted() == member.still(places) == {}
    member.note_committed(places)
    member.gain([PARTITION])
    assert not member.owns(taken)
    assert member.still(places) == {}
    member.add(records(0))
    (again,) = member.take(1)
    assert member.owns(again)


def test_records_of_a_partition_that_has_gone_are_not_added():
    member = holding()
    member.add(records(0))
    member.gain([PARTITION, other := TopicPartition(PARTITION.topic, 4)])
    member.add(records(0))
    member.lose([other])
    assert [d.offset for d in member.take(9)] == [0]


def test_it_is_full_of_many_records_and_of_large_ones():
    member = holding()
    member.gain([PARTITION])
    member.add(records(*range(MOST_RECORDS)))
    assert member.fill() >= 1
    assert len(member.take(MOST_RECORDS)) == MOST_RECORDS
    assert member.fill() == 0
    member.add(records(0, data=bytes(MOST_BYTES)))
    assert member.fill() >= 1
    member.lose()
    assert member.fill() == 0
