"""The least that the servers' operators are told to allow (infra/operators) is enough, and none of
it is too much: real servers get these rights and no others, and Isocenter does its work."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
)
from minio import Minio, MinioAdmin
from minio.credentials import StaticProvider
from pydantic import SecretStr

from isocenter.adapters.blobs.s3 import staging
from isocenter.adapters.blobs.s3.blobs import S3Blobs
from isocenter.adapters.blobs.s3.client import S3Client
from isocenter.adapters.bus.kafka.bus import KafkaBus
from isocenter.adapters.bus.kafka.upkeep import KafkaUpkeep
from isocenter.adapters.settings import KafkaSettings, S3Settings
from isocenter.core.errors import IsocenterError, NotFound
from isocenter.core.events import DEAD_SUFFIX, TOPIC_INSTANCES, TOPICS
from isocenter.core.ports import Record
from support.buckets import digest, opened, put, upkeep
from support.stack import ACCESS_KEY, SECRET_KEY, Server, Stack, with_sign_in

OPERATORS = Path(__file__).parents[2] / "infra/operators"

# --- the object store ----------------------------------------------------------------------------

POLICY = json.loads((OPERATORS / "minio/policy.json").read_text(encoding="utf-8"))
ACTIONS = [action for statement in POLICY["Statement"] for action in statement["Action"]]
LARGE = 12 * 1024 * 1024  # bytes: staged in several parts


class Guest:
    """A user of the object store that may do what a policy says."""

    def __init__(self, address: str, name: str) -> None:
        root = Minio(address, ACCESS_KEY, SECRET_KEY, secure=False)
        root.make_bucket(name)
        keys = StaticProvider(ACCESS_KEY, SECRET_KEY)
        self._admin = MinioAdmin(endpoint=address, credentials=keys, secure=False)
        self._name = name
        self._admin.user_add(name, "secret-of-a-guest")
        self.url = f"s3://{address}/{name}"
        self.settings = S3Settings(
            access_key=name, secret_key=SecretStr("secret-of-a-guest"), tls=False
        )

    def may(self, actions: Sequence[str]) -> None:
        """Allow these of the policy's actions, on a bucket of its own in place of the policy's."""
        statements = [
            {
                "Effect": "Allow",
                "Action": allowed,
                "Resource": [one.replace(":::isocenter", f":::{self._name}") for one in resources],
            }
            for statement in POLICY["Statement"]
            for resources in [statement["Resource"]]
            if (allowed := [one for one in statement["Action"] if one in actions])
        ]
        policy = {"Version": POLICY["Version"], "Statement": statements}
        self._admin.policy_add(self._name, policy=policy)
        self._admin.attach_policy([self._name], user=self._name)


@pytest.fixture
def guest(stack: Stack, name: str) -> Guest:
    return Guest(stack.minio.address, name)


async def everything_with_blobs(guest: Guest) -> None:
    """Raises what the store does not allow."""
    async with upkeep(guest.url, guest.settings) as keeper:
        await keeper.prepare()
        wrong = [finding for finding in await keeper.check() if finding.fix]
        if wrong:
            raise NotFound(str(wrong))
    async with opened(guest.url, guest.settings) as blobs:
        await _use(blobs)
    client = S3Client.open(guest.url, guest.settings)
    try:
        await _give_up(client)
    finally:
        await client.close()


async def _use(blobs: S3Blobs) -> None:
    await put(blobs, "objects/small", b"small")
    assert await blobs.get("objects/small", 1, 3) == b"mal"
    content = bytes(LARGE)
    async with await blobs.stage() as staged:
        await staged.write(content)
        await staged.commit("objects/large", digest(content))
    assert (await blobs.stat("objects/large")).size == LARGE
    assert [info.key async for info in blobs.list("objects/")] == ["objects/large", "objects/small"]
    with pytest.raises(NotFound):
        await blobs.get("objects/none")
    await blobs.delete("objects/small")
    assert [info.key async for info in blobs.list("objects/")] == ["objects/large"]


async def _give_up(client: S3Client) -> None:
    """What becomes of a large object whose sender has gone: only the store would tell otherwise,
    since the bucket's rule makes up for what is not allowed."""
    key = "staging/given-up"
    upload = await client.run(key, staging._begin, client, key)
    await client.run(key, lambda: client.send("DELETE", key, query={"uploadId": upload}))


async def test_the_policy_of_the_object_store_is_enough(guest: Guest) -> None:
    guest.may(ACTIONS)
    await everything_with_blobs(guest)


@pytest.mark.parametrize("action", ACTIONS)
async def test_no_action_of_the_policy_is_too_much(guest: Guest, action: str) -> None:
    guest.may([one for one in ACTIONS if one != action])
    with pytest.raises((IsocenterError, AssertionError)):
        await everything_with_blobs(guest)


# --- the log -------------------------------------------------------------------------------------

USER = next(
    one
    for one in yaml.safe_load_all((OPERATORS / "strimzi/user.yaml").read_text(encoding="utf-8"))
    if one["kind"] == "KafkaUser"
)
NAME = USER["metadata"]["name"]
RULES: list[dict[str, Any]] = USER["spec"]["authorization"]["acls"]
RIGHTS = [(place, right) for place, rule in enumerate(RULES) for right in rule["operations"]]


@pytest.fixture(scope="module")
def closed_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A broker with an authorizer that allows `admin` everything and others nothing."""
    server = Server("kafka", tmp_path_factory.mktemp("guarded") / "kafka")
    with_sign_in(
        server,
        {"admin": "admin", NAME: "secret"},
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users=User:admin;User:ANONYMOUS",  # the controller's listener has no sign-in here
    )
    server.start()
    yield server
    server.kill()


def allow(address: str, namespace: str, rights: Sequence[tuple[int, str]]) -> None:
    """These of the user's rights, on a namespace of its own in place of `isocenter`."""
    admin = KafkaAdminClient(
        bootstrap_servers=address,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_plain_username="admin",
        sasl_plain_password="admin",
    )
    rules = []
    for place, right in rights:
        resource: Mapping[str, str] = RULES[place]["resource"]
        assert resource["patternType"] == "prefix"
        pattern = ResourcePattern(
            ResourceType[resource["type"].upper()],
            resource["name"].replace("isocenter.", f"{namespace}."),
            ACLResourcePatternType.PREFIXED,
        )
        kind = ACLOperation[right.upper()]
        rules.append(ACL(f"User:{NAME}", "*", kind, ACLPermissionType.ALLOW, pattern))
    admin.create_acls(rules)
    admin.close()


async def everything_with_the_log(address: str, namespace: str) -> None:
    """Raises what the brokers do not allow."""
    url = f"kafka://{address}/{namespace}"
    settings = KafkaSettings(
        username=NAME, password=SecretStr("secret"), mechanism="PLAIN", tls=False
    )
    keeper = await KafkaUpkeep.open(url, settings, keep_days=1, keep_bytes=10**9)
    try:
        await keeper.prepare()
        wrong = [finding for finding in await keeper.check() if finding.fix]
        if wrong:
            raise NotFound(str(wrong))
    finally:
        await keeper.close()
    bus = await KafkaBus.open(url, settings)
    try:
        await _append_and_consume(bus)
    finally:
        await bus.close()


async def _append_and_consume(bus: KafkaBus) -> None:
    for topic in TOPICS:
        await bus.append(topic, [Record("k", "t", b"1")])
    await bus.begin("indexing-v2", TOPIC_INSTANCES, await bus.end(TOPIC_INSTANCES))
    assert await bus.lag("indexing-v2", TOPIC_INSTANCES) == 0
    consumer = await bus.consumer("indexing", [TOPIC_INSTANCES])
    (delivery,) = await consumer.poll(1, 20)
    await consumer.dead_letter(delivery, "a reason")
    await consumer.commit()
    await consumer.close()
    assert await bus.lag("indexing", TOPIC_INSTANCES) == 0
    letters = [letter async for letter in bus.replay(TOPIC_INSTANCES + DEAD_SUFFIX)]
    assert len(letters) == 1


@pytest.mark.slow
async def test_the_rights_of_the_kafka_user_are_enough(closed_broker: Server, name: str) -> None:
    allow(closed_broker.address, name, RIGHTS)
    await everything_with_the_log(closed_broker.address, name)


@pytest.mark.slow
@pytest.mark.parametrize(("place", "right"), RIGHTS)
async def test_no_right_of_the_kafka_user_is_too_much(
    closed_broker: Server, name: str, place: int, right: str
) -> None:
    allow(closed_broker.address, name, [one for one in RIGHTS if one != (place, right)])
    with pytest.raises(IsocenterError):
        await everything_with_the_log(closed_broker.address, name)
