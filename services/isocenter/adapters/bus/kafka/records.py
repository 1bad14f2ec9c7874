"""Events as records of Kafka and back: the CloudEvents Kafka binding, binary mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kafka.consumer.fetcher import ConsumerRecord

from isocenter.core.errors import Invalid
from isocenter.core.ports import Delivery, Record

_TYPE = "ce_type"
_ADDED = "isocenter_added"  # names the header that the record itself did not have
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent for one record."""

    key: bytes | None  # None: to any partition
    value: bytes
    headers: list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Polled(Delivery):
    """A delivery, and the spell of owning its partition that it came in."""

    spell: int


def messages_of(records: Sequence[Record]) -> list[Message]:
    """What is sent for records. Raises `Invalid` for text that is not Unicode."""
    try:
        return [_message(record) for record in records]
    except UnicodeEncodeError as error:
        raise Invalid(
            "a record cannot be kept: it is no Unicode", fix="use Unicode text"
        ) from error


def _message(record: Record) -> Message:
    headers = [(name, value.encode()) for name, value in record.headers.items()]
    if _TYPE not in record.headers:
        headers += [(_TYPE, record.type.encode()), (_ADDED, _TYPE.encode())]
    return Message(record.key.encode() or None, record.data, headers)


def delivery_of(record: ConsumerRecord, topic: str, spell: int = 0) -> Polled:
    """A record that was read, as a delivery of our topic."""
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    kind = headers.get(_TYPE, "")
    added = headers.pop(_ADDED, None)
    if added is not None:
        headers.pop(added, None)
    return Polled(
        topic=topic,
        partition=record.partition,
        offset=record.offset,
        key=(record.key or b"").decode(errors="replace"),
        type=kind,
        data=record.value or b"",
        headers=headers,
        appended_at=_EPOCH + timedelta(milliseconds=max(0, record.timestamp)),
        spell=spell,
    )
