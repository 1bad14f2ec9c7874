"""What a member of a group holds: which partitions are its own and since when, which records
wait to be polled, and what has been polled and not yet committed.

Filled by the member's thread, told of moves by the library's, asked by the event loop.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence

from kafka import TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from isocenter.adapters.bus.kafka.records import Polled, delivery_of
from isocenter.core.ports import Delivery

MOST_RECORDS = 2_000  # waiting; then nothing more is fetched
MOST_BYTES = 16 * 1024 * 1024

Place = tuple[int, int]  # the spell of owning a partition, and the offset of its next record


class Holding:
    """Partitions and records of one member. All methods may be called in any thread."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """`names`: our topics -> the brokers' names of them."""
        self._names = names
        self._topics = {name: topic for topic, name in names.items()}
        self._lock = threading.Lock()
        self._spells = itertools.count(1)
        self._owned: dict[TopicPartition, int] = {}  # the spell of each
        self._waiting: deque[Polled] = deque()
        self._bytes = 0
        self._polled: dict[TopicPartition, Place] = {}
        self._committed: dict[TopicPartition, Place] = {}

    def gain(self, partitions: Iterable[TopicPartition]) -> None:
        """These are the member's from now on."""
        with self._lock:
            for partition in partitions:
                self._owned[partition] = next(self._spells)

    def lose(self, partitions: Collection[TopicPartition] | None = None) -> None:
        """These (None: all) are another's from now on, with whatever waits of them."""
        with self._lock:
            for partition in list(self._owned) if partitions is None else partitions:
                for kept in (self._owned, self._polled, self._committed):
                    kept.pop(partition, None)
            self._waiting = deque(filter(self._is_owned, self._waiting))
            self._bytes = sum(map(_size, self._waiting))

    def add(self, records: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> None:
        """Records of owned partitions wait to be polled."""
        with self._lock:
            for partition, found in records.items():
                spell = self._owned.get(partition)
                if spell is None:
                    continue
                topic = self._topics[partition.topic]
                added = [delivery_of(record, topic, spell) for record in found]
                self._waiting.extend(added)
                self._bytes += sum(map(_size, added))

    def fill(self) -> float:
        """How much of the room for waiting records is taken: 1 and more is full."""
        return max(len(self._waiting) / MOST_RECORDS, self._bytes / MOST_BYTES)

    def take(self, most: int) -> list[Delivery]:
        """The next records, which count as polled."""
        with self._lock:
            taken: list[Delivery] = []
            while self._waiting and len(taken) < most:
                delivery = self._waiting.popleft()
                self._bytes -= _size(delivery)
                place = (delivery.spell, delivery.offset + 1)
                self._polled[self._partition(delivery)] = place
                taken.append(delivery)
            return taken

    def owns(self, delivery: Delivery) -> bool:
        """Whether a delivery's partition has been owned ever since it was polled."""
        with self._lock:
            return isinstance(delivery, Polled) and self._is_owned(delivery)

    def uncommitted(self) -> dict[TopicPartition, Place]:
        """What was polled of owned partitions and is not known to be committed."""
        with self._lock:
            return {
                partition: place
                for partition, place in self._polled.items()
                if self._committed.get(partition) != place
            }

    def still(self, places: Mapping[TopicPartition, Place]) -> dict[TopicPartition, Place]:
        """Those of the places whose partition has been owned ever since."""
        with self._lock:
            return {
                partition: place
                for partition, place in places.items()
                if self._owned.get(partition) == place[0]
            }

    def note_committed(self, places: Mapping[TopicPartition, Place]) -> None:
        """These have been committed."""
        with self._lock:
            self._committed.update(
                (partition, place)
                for partition, place in places.items()
                if partition in self._owned
            )

    def _partition(self, delivery: Delivery) -> TopicPartition:
        return TopicPartition(self._names[delivery.topic], delivery.partition)

    def _is_owned(self, delivery: Polled) -> bool:
        return self._owned.get(self._partition(delivery)) == delivery.spell


def _size(delivery: Delivery) -> int:
    return len(delivery.data)
