"""Looking after Kafka: whether the brokers are there and have our topics, and making those."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Self

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors

from isocenter.adapters.bus.kafka.client import MAX_RECORD_BYTES, Administration, Connection
from isocenter.adapters.settings import KafkaSettings
from isocenter.core.errors import IsocenterError
from isocenter.core.events import DEAD_SUFFIX, TOPICS
from isocenter.core.upkeep import Finding

_PREPARE = "isocenter check --prepare"
_COPIES = 3
_NEEDED = frozenset({"READ", "WRITE", "DESCRIBE"})
_BATCH_BYTES = 2 * MAX_RECORD_BYTES  # a record and what Kafka writes round it
_MILLISECOND = timedelta(milliseconds=1)


class KafkaUpkeep:
    """The topics of one namespace, as the processes need them."""

    def __init__(
        self,
        connection: Connection,
        settings: KafkaSettings,
        *,
        keep_days: float,
        keep_bytes: int,
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._keep_days = keep_days
        self._keep_bytes = keep_bytes
        self._administration = Administration(connection)
        self._names = [connection.topic(t + suffix) for t in TOPICS for suffix in ("", DEAD_SUFFIX)]

    @classmethod
    async def open(
        cls, url: str, settings: KafkaSettings, *, keep_days: float, keep_bytes: int
    ) -> Self:
        """For the log at this URL. Raises `Invalid`; the brokers are first asked by `check`."""
        connection = await asyncio.to_thread(Connection.of, url, settings)
        return cls(connection, settings, keep_days=keep_days, keep_bytes=keep_bytes)

    async def check(self) -> Sequence[Finding]:
        """Whether the brokers answer, and each topic is there with enough copies and rights."""
        return await asyncio.to_thread(self._check)

    async def prepare(self) -> Sequence[str]:
        """Make the topics that are missing."""
        return await asyncio.to_thread(self._prepare)

    async def close(self) -> None:
        """Release the connections."""
        await asyncio.to_thread(self._administration.close)

    # --- blocking --------------------------------------------------------------------------------

    def _check(self) -> list[Finding]:
        try:
            brokers, version = self._administration.ask(_brokers)
            described = self._administration.describe(self._names)
        except IsocenterError as error:
            return [Finding("brokers", error.message, error.fix)]
        found = f"{self._connection.where}: {brokers} up, version {version} or later"
        findings = [Finding("brokers", found)]
        for name in self._names:
            findings += self._look_at(name, described.get(name), self._copies(brokers))
        return findings

    def _look_at(
        self, name: str, topic: Mapping[str, Any] | None, copies: int
    ) -> Sequence[Finding]:
        what = f"topic {name}"
        if topic is None:
            return [Finding(what, "missing", f"run `{_PREPARE}`", preparable=True)]
        partitions = topic["partitions"]
        leaderless = [p["partition_index"] for p in partitions if p["leader_id"] < 0]
        kept = min(len(p["replica_nodes"]) for p in partitions)
        state = f"{_count(len(partitions), 'partition')}, {_count(kept, 'copy', 'copies')}"
        fix = ""
        if leaderless:
            state += f", none in reach of partition {', '.join(map(str, leaderless))}"
            fix = "start the brokers that hold them"
        elif kept < copies:
            fix = f"have Kafka keep {copies} copies of it (kafka-reassign-partitions.sh)"
        findings = [Finding(what, state, fix)]
        if missing := _NEEDED.difference(topic["authorized_operations"]):
            rights = ", ".join(sorted(missing))
            fix = f"allow the user in [kafka] username to {rights} it"
            findings.append(Finding(f"rights on {what}", f"without {rights}", fix))
        return findings

    def _copies(self, brokers: int) -> int:
        return self._settings.replicas or min(_COPIES, brokers)

    def _prepare(self) -> list[str]:
        missing = set(self._names).difference(self._administration.describe(self._names))
        if not missing:
            return []
        brokers, _ = self._administration.ask(_brokers)
        wanted = {n: self._topic(n, self._copies(brokers)) for n in self._names if n in missing}

        def make(client: KafkaAdminClient) -> list[str]:
            answer = client.create_topics(wanted, raise_errors=False)
            made = []
            for topic in answer["topics"]:
                error = kafka_errors.for_code(topic["error_code"])
                if error is kafka_errors.NoError:
                    made.append(topic["name"])
                elif error is not kafka_errors.TopicAlreadyExistsError:
                    raise error
            client.wait_for_topics(list(wanted))
            return made

        made = self._administration.ask(make)
        return [
            f"topic {name}: {_count(wanted[name]['num_partitions'], 'partition')}, "
            f"{_count(wanted[name]['replication_factor'], 'copy', 'copies')}"
            for name in sorted(made)
        ]

    def _topic(self, name: str, copies: int) -> dict[str, Any]:
        partitions = self._settings.partitions
        configs = {
            "cleanup.policy": "delete",
            "max.message.bytes": str(_BATCH_BYTES),
            "min.insync.replicas": str(max(1, copies - 1)),
            "retention.ms": str(timedelta(days=self._keep_days) // _MILLISECOND),
            "retention.bytes": str(self._keep_bytes // partitions),
        }
        if name.endswith(DEAD_SUFFIX):  # kept until somebody has looked at them
            partitions = 1
            configs |= {"retention.ms": "-1", "retention.bytes": "-1"}
        return {"num_partitions": partitions, "replication_factor": copies, "configs": configs}


def _brokers(client: KafkaAdminClient) -> tuple[int, str]:
    """How many brokers are up, and the least version that speaks as one of them does."""
    up = [b["broker_id"] for b in client.describe_cluster()["brokers"] if not b.get("is_fenced")]
    version = client.get_broker_version_data(up[0]).broker_version
    return len(up), ".".join(map(str, version))


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
