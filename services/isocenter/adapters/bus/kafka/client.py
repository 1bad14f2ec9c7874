"""What the Kafka adapter's parts share: where the brokers are and how to get in, the names of
topics and groups, the questions that are asked of brokers, and their errors as `core.errors`."""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from kafka import KafkaAdminClient, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import OffsetSpec
from kafka.net.compat import KafkaNetClient

from isocenter.adapters.settings import KafkaSettings
from isocenter.core.errors import Invalid, IsocenterError, OutOfResources, Unavailable

T = TypeVar("T")
C = TypeVar("C")

SCHEME = "kafka://"
DEFAULT_NAMESPACE = "isocenter"
MAX_RECORD_BYTES = 2 * 1024 * 1024  # of one record; an event is a header of 256 KiB and little more
REQUEST_MS = 10_000
BOOTSTRAP_MS = 3_000  # until a new client has found a broker
LIBRARY_ERRORS = (kafka_errors.KafkaError, RuntimeError, OSError)  # its loops raise all of these

_PREPARE = "run `isocenter check --prepare`"
_ASK_SECONDS = 5.0
_ASK_PAUSE = 0.1
_LOOK_SECONDS = 1.0
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?")
_NAMESPACE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")  # topics have at most 249 characters
_DEFAULT_PORT = 9092
_TOPIC_PREFIX = f"{DEFAULT_NAMESPACE}."


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the brokers are and how to get in."""

    brokers: tuple[str, ...]
    namespace: str
    settings: KafkaSettings = field(repr=False)

    @classmethod
    def of(cls, url: str, settings: KafkaSettings) -> Connection:
        """What a URL and the settings say; reads the files they name. Raises `Invalid`,
        `Unavailable`."""
        made = cls(*parsed(url), settings)
        _ = made.options
        return made

    @property
    def options(self) -> Mapping[str, Any]:
        """Of every client, with the password and certificates as they are now. Raises `Invalid`,
        `Unavailable`."""
        settings = self.settings
        options: dict[str, Any] = {
            "bootstrap_servers": list(self.brokers),
            "bootstrap_timeout_ms": BOOTSTRAP_MS,
            "client_id": DEFAULT_NAMESPACE,
            "reconnect_backoff_max_ms": 1_000,
            "request_timeout_ms": REQUEST_MS,
        }
        encrypted = settings.encrypted([broker.rpartition(":")[0] for broker in self.brokers])
        if encrypted:
            options["ssl_context"] = _tls(settings)
        options["security_protocol"] = "SSL" if encrypted else "PLAINTEXT"
        if settings.username:
            options["security_protocol"] = "SASL_SSL" if encrypted else "SASL_PLAINTEXT"
            options["sasl_mechanism"] = settings.mechanism
            options["sasl_plain_username"] = settings.username
            options["sasl_plain_password"] = settings.secret("password")
        return options

    @property
    def where(self) -> str:
        """The brokers, for people."""
        return f"Kafka at {', '.join(self.brokers)}"

    def topic(self, topic: str) -> str:
        """The brokers' name of one of our topics."""
        return f"{self.namespace}.{topic.removeprefix(_TOPIC_PREFIX)}"

    def group(self, group: str) -> str:
        """The brokers' name of one of our groups."""
        return f"{self.namespace}.{group}"

    def translated(self, error: BaseException, topic: str = "") -> IsocenterError:
        """A library's error as one of ours. Its own text is left out: it may quote a record."""
        about = f" (topic {topic})" if topic else ""
        kind = type(error).__name__
        for known, made, what, fix in _ERRORS:
            if isinstance(error, known):
                return made(f"{self.where} {what}{about}: {kind}", fix=fix)
        return Unavailable(f"{self.where} does not answer{about}: {kind}", fix=self._reach)

    def unreachable(self) -> Unavailable:
        """That no client could be opened. Looks whether anything is there; takes seconds."""
        if not any(map(_listens, self.brokers)):
            return Unavailable(f"nothing answers: {self.where}", fix=self._reach)
        return Unavailable(
            f"{self.where} takes connections, but does not let us in",
            fix=f"correct [kafka] {self._access}, or wait until the brokers have started",
        )

    @property
    def _reach(self) -> str:
        return f"start the brokers, or correct `bus` and [kafka] {self._access}"

    @property
    def _access(self) -> str:
        """Settings without which brokers let nobody in. Of a wrong password the library often
        knows no more than that the connection was closed."""
        signed_in = self.settings.username
        return "tls, username, password and mechanism" if signed_in else "tls"

    def missing(self, topics: Iterable[str]) -> Unavailable:
        """That these topics, by the brokers' names, are not there."""
        names = ", ".join(sorted(topics))
        return Unavailable(f"{self.where} has no topic {names}", fix=_PREPARE)


def parsed(url: str) -> tuple[tuple[str, ...], str]:
    """Brokers and namespace of `kafka://host:port,host:port/namespace`. Raises `Invalid`."""
    hosts, _, namespace = url.removeprefix(SCHEME).partition("/")
    brokers = tuple(map(_broker, hosts.split(",")))
    namespace = namespace.rstrip("/") or DEFAULT_NAMESPACE
    if not url.startswith(SCHEME) or not all(brokers) or not _NAMESPACE.fullmatch(namespace):
        raise Invalid(  # what was written is not repeated: it may hold a password
            "bus: this is no address of Kafka",
            fix="write kafka://HOST:PORT,HOST:PORT/NAMESPACE; user and password go to "
            "[kafka] username and password, a namespace has letters, digits, '.', '_' and '-'",
        )
    return brokers, namespace


def _broker(text: str) -> str:
    """`host:port`; empty for what is none."""
    found = _HOST.fullmatch(text)
    port = int(found[2] or _DEFAULT_PORT) if found else 0
    return f"{found[1]}:{port}" if found and 0 < port < 2**16 else ""


def _listens(broker: str) -> bool:
    host, _, port = broker.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _LOOK_SECONDS).close()
    except OSError:
        return False
    return True


def opened(kind: Callable[..., C], options: Mapping[str, Any]) -> C:
    """A client of the library, connected. What one that finds no broker has begun is ended: the
    library leaves its thread and its sockets behind, at every attempt of an outage."""
    begun: list[KafkaNetClient] = []

    def network(**config: Any) -> KafkaNetClient:  # noqa: ANN401 (the library's options)
        begun.append(KafkaNetClient(**config))
        return begun[-1]

    try:
        return kind(**options, kafka_client=network)
    except BaseException:
        for client in begun:
            with suppress(*LIBRARY_ERRORS):
                client.close()
        raise


def _tls(settings: KafkaSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise Invalid(
            f"[kafka] ca_file: {settings.ca_file} cannot be used: {error}",
            fix="name a file of certificates in PEM form",
        ) from error
    if settings.certificate_file is not None:
        try:
            context.load_cert_chain(settings.certificate_file, settings.key_file)
        except (OSError, ssl.SSLError) as error:
            raise Invalid(
                f"[kafka] certificate_file: {settings.certificate_file} cannot be used with "
                f"key_file: {error}",
                fix="name a certificate and its private key, both in PEM form",
            ) from error
    return context


_SIGN_IN = "correct [kafka] username, password and mechanism"
_ERRORS: tuple[tuple[tuple[type, ...], type[IsocenterError], str, str], ...] = (
    (
        (
            kafka_errors.SaslAuthenticationFailedError,
            kafka_errors.UnsupportedSaslMechanismError,
            kafka_errors.IllegalSaslStateError,
        ),
        Unavailable,
        "did not accept [kafka] username and password",
        _SIGN_IN,
    ),
    (
        (kafka_errors.AuthorizationError,),
        Unavailable,
        "does not let the user in [kafka] username do this",
        "allow it, and to read and write all topics and groups of the namespace",
    ),
    (
        (kafka_errors.UnknownTopicOrPartitionError, kafka_errors.UnknownTopicIdError),
        Unavailable,
        "does not have a topic",
        _PREPARE,
    ),
    (
        (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError),
        OutOfResources,
        "takes no record of this size",
        f"raise max.message.bytes of the topic to at least {MAX_RECORD_BYTES}",
    ),
    (
        (
            kafka_errors.NotEnoughReplicasError,
            kafka_errors.NotEnoughReplicasAfterAppendError,
        ),
        Unavailable,
        "has too few copies of a partition in reach",
        "start the brokers that are down, or lower min.insync.replicas of the topic",
    ),
    (
        (kafka_errors.InvalidReplicationFactorError,),
        Invalid,
        "has too few brokers for so many copies",
        "lower [kafka] replicas, or start more brokers",
    ),
    (
        (kafka_errors.PolicyViolationError, kafka_errors.InvalidConfigurationError),
        Invalid,
        "refuses what a topic is to be like",
        "see the brokers' policy for topics, or make the topics by hand",
    ),
)


class Administration:
    """What is asked of the brokers beside records. Calls block, in any thread, one at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._client: KafkaAdminClient | None = None
        self._failed_at = 0.0  # when brokers were last found to be out of reach

    def ask(self, question: Callable[[KafkaAdminClient], T]) -> T:
        """The brokers' answer, asked again for a few seconds while they have none."""
        began = time.monotonic()
        with self._lock:
            if self._failed_at > began:
                raise self._connection.unreachable()  # as whoever was before us has found out
            deadline = time.monotonic() + _ASK_SECONDS
            while True:
                client = self._opened()
                try:
                    return question(client)
                except LIBRARY_ERRORS as error:
                    self._drop()
                    passing = isinstance(error, kafka_errors.RetriableError)
                    unknown = isinstance(error, kafka_errors.UnknownTopicOrPartitionError)
                    if unknown or not passing or time.monotonic() > deadline:
                        raise self._connection.translated(error) from error
                time.sleep(_ASK_PAUSE)

    def _opened(self) -> KafkaAdminClient:
        if self._client is None:
            try:
                self._client = opened(KafkaAdminClient, self._connection.options)
            except LIBRARY_ERRORS as error:
                self._failed_at = time.monotonic()
                if isinstance(error, kafka_errors.KafkaTimeoutError):
                    raise self._connection.unreachable() from error
                raise self._connection.translated(error) from error
        return self._client

    def describe(self, topics: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        """The brokers' description of those topics that they have. Never makes one."""

        def question(client: KafkaAdminClient) -> dict[str, Mapping[str, Any]]:
            found = {}
            for topic in client.describe_topics(list(topics)):
                error = kafka_errors.for_code(topic["error_code"])
                if error is kafka_errors.NoError:
                    found[topic["name"]] = topic
                elif error is not kafka_errors.UnknownTopicOrPartitionError:
                    raise error
            return found

        return self.ask(question)

    def require(self, topics: Collection[str]) -> None:
        """Raises `Unavailable` if one of these topics is missing. Asked before any client uses a
        topic, for the library would have brokers that allow it make the topic by their defaults."""
        missing = set(topics).difference(self.describe(topics))
        if missing:
            raise self._connection.missing(missing)

    def partitions(self, topic: str) -> Sequence[TopicPartition]:
        """The partitions of a topic, none if it is missing."""
        described = self.describe([topic]).get(topic, {})
        numbers = sorted(p["partition_index"] for p in described.get("partitions", ()))
        return [TopicPartition(topic, number) for number in numbers]

    def ends(self, topic: str) -> Mapping[int, int]:
        """The next offset of each partition."""
        return self._offsets(self.partitions(topic), OffsetSpec.LATEST)

    def oldest(self, topic: str) -> Mapping[int, int]:
        """The oldest offset of each partition that is still there."""
        return self._offsets(self.partitions(topic), OffsetSpec.EARLIEST)

    def lag(self, group: str, topic: str) -> int:
        """How many records of a topic a group has not committed, among those still there."""
        partitions = self.partitions(topic)
        committed = self.ask(lambda client: client.list_group_offsets({group: partitions}))[group]
        starts = self._offsets(partitions, OffsetSpec.EARLIEST)
        ends = self._offsets(partitions, OffsetSpec.LATEST)
        total = 0
        for partition in partitions:
            known = committed.get(partition)
            done = max(starts[partition.partition], known.offset if known is not None else 0)
            total += max(0, ends[partition.partition] - done)
        return total

    def begin(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Set the next offsets of a group that has committed none and has no members."""
        partitions = self.partitions(topic)
        committed = self.ask(lambda client: client.list_group_offsets({group: partitions}))[group]
        if any(place is not None and place.offset >= 0 for place in committed.values()):
            return
        wanted = {
            partition: OffsetAndMetadata(offsets[partition.partition], "", -1)
            for partition in partitions
            if partition.partition in offsets
        }

        def question(client: KafkaAdminClient) -> None:
            for error in client.alter_group_offsets(group, wanted).values():
                if error not in (kafka_errors.NoError, kafka_errors.UnknownMemberIdError):
                    raise error

        self.ask(question)

    def _offsets(self, partitions: Sequence[TopicPartition], which: OffsetSpec) -> dict[int, int]:
        if not partitions:
            return {}
        wanted = dict.fromkeys(partitions, which)
        found = self.ask(lambda client: client.list_partition_offsets(wanted))
        return {partition.partition: place.offset for partition, place in found.items()}

    def close(self) -> None:
        """Release the connections; the next question opens them again."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()
