"""Versions N and N+1 on one log: what a released version appended is understood today, what is
appended today is understood by the released version, and what only N+1 knows does no harm."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from isocenter.core.errors import Invalid
from isocenter.core.ports import Delivery, Record
from isocenter.runtime.event_codec import NewKind, decode, encode, topics_of_types
from support.event_samples import SAMPLES, message_of, told

ROOT = Path(__file__).parents[2]
RELEASES = sorted(path.stem for path in (ROOT / "protos/released").glob("*.binpb"))
NEWER = 500  # the number of a field that no released version has


def recorded(version: str) -> list[dict[str, Any]]:
    return json.loads((ROOT / f"tests/data/events-{version}.json").read_text(encoding="utf-8"))


ROWS = [
    pytest.param(row, id=f"{version}-{row['type'].rpartition('.')[2]}")
    for version in RELEASES
    for row in recorded(version)
]


def delivered(kind: str, data: bytes, headers: dict[str, str] | None = None) -> Delivery:
    return Delivery("t", 0, 7, "k", kind, data, headers or {}, datetime.now(UTC))


def released(version: str) -> descriptor_pool.DescriptorPool:
    """The messages of a released version, as its descriptors say."""
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString(
        (ROOT / f"protos/released/{version}.binpb").read_bytes()
    )
    for file in files.file:
        pool.Add(file)
    return pool


def message_class(pool: descriptor_pool.DescriptorPool, kind: str) -> type[Message]:
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(kind))


def extended(data: bytes) -> bytes:
    """A message with a text behind it in a field that this version does not know."""
    key = (NEWER << 3) | 2  # a varint of two bytes
    return data + bytes([key & 0x7F | 0x80, key >> 7]) + b"\x05newer"


def unset(message: Message) -> Iterator[str]:
    """Fields of a message, and of those in it, that hold nothing."""
    present = {field.name: value for field, value in message.ListFields()}
    for field in message.DESCRIPTOR.fields:
        name = f"{message.DESCRIPTOR.name}.{field.name}"
        if field.name not in present:
            yield name
        elif field.type == FieldDescriptor.TYPE_MESSAGE and not field.is_repeated:
            yield from unset(present[field.name])


def test_there_is_a_sample_of_every_kind_of_event_and_no_field_is_left_out() -> None:
    records = [encode(event) for event in SAMPLES]
    assert sorted(record.type for record in records) == sorted(topics_of_types())
    empty = [name for one in records for name in unset(message_of(one.type, one.data))]
    assert empty == []


def test_every_release_has_a_recording() -> None:
    assert RELEASES
    for version in RELEASES:
        kinds = {row["type"] for row in recorded(version)}
        pool = released(version)
        assert kinds <= set(topics_of_types()), "a kind of event is gone"
        assert all(pool.FindMessageTypeByName(kind) for kind in kinds)


@pytest.mark.parametrize("row", ROWS)
def test_what_a_released_version_appended_means_the_same_today(row: dict[str, Any]) -> None:
    data = base64.b64decode(row["data"])
    event = decode(delivered(row["type"], data, row["headers"]))
    again = encode(event, row["headers"]["ce_id"])
    assert again.key == row["key"]
    assert again.type == row["type"]
    assert topics_of_types()[row["type"]] == row["topic"]
    meant = told(message_of(again.type, again.data))
    assert {name: meant.get(name) for name in row["event"]} == row["event"]
    assert set(again.headers) >= set(row["headers"])


@pytest.mark.parametrize("version", RELEASES)
@pytest.mark.parametrize("record", [encode(event) for event in SAMPLES], ids=lambda r: r.type)
def test_what_is_appended_today_means_the_same_to_a_released_version(
    version: str, record: Record
) -> None:
    expected = {row["type"]: row["event"] for row in recorded(version)}.get(record.type)
    if expected is None:
        with pytest.raises(KeyError):
            released(version).FindMessageTypeByName(record.type)
        return  # a newer kind: passed over there
    read = message_class(released(version), record.type).FromString(record.data)
    assert told(read) == expected


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_fields_that_only_a_newer_version_knows_are_passed_over(event: Any) -> None:
    record = encode(event)
    message = message_of(record.type, record.data)
    longer = extended(record.data)
    assert message_of(record.type, longer).SerializeToString() != message.SerializeToString()
    assert decode(delivered(record.type, longer)) == event


def test_a_kind_that_a_newer_version_added_is_told_from_one_that_must_be_understood() -> None:
    with pytest.raises(NewKind):
        decode(delivered("isocenter.v1.InstanceFolded", b""))
    for kind in ("isocenter.v2.InstanceStored", "org.example.Thing", ""):
        with pytest.raises(Invalid) as caught:
            decode(delivered(kind, b""))
        assert not isinstance(caught.value, NewKind)
