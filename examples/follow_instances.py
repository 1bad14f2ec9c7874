"""Follows the instances that Isocenter stores, and fetches each object: an example to start from.

    pip install 'isocenter[kafka]'
    python follow_instances.py --kafka broker:9092 --archive pacs:50052 --to FOLDER \\
        --ca ca.crt --token-file token

It reads `InstanceStored` events from Kafka, fetches each object over gRPC, checks its digest, and
writes it into a folder. It may be stopped and killed at any time: it commits an event after its
object is on disk, so whatever was in hand is fetched again. Several copies with the same group
share the work.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import grpc
from kafka import KafkaConsumer

from isocenter.v1 import events_pb2, objects_pb2, objects_pb2_grpc

STORED = events_pb2.InstanceStored.DESCRIPTOR.full_name  # "isocenter.v1.InstanceStored"
RETRIED = {"service_config": '{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 5,'
           '"initialBackoff": "0.2s", "maxBackoff": "5s", "backoffMultiplier": 2,'
           '"retryableStatusCodes": ["UNAVAILABLE"]}}]}'}  # fmt: skip


def main() -> None:
    """Follow until interrupted."""
    options = _options()
    consumer = KafkaConsumer(
        f"{options.namespace}.instances",
        bootstrap_servers=options.kafka,
        group_id=options.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    objects = objects_pb2_grpc.ObjectServiceStub(connected(options))
    for record in consumer:
        # Topics carry several types, and later versions add more: take what is meant for you.
        if dict(record.headers).get("ce_type") == STORED.encode():
            event = events_pb2.InstanceStored.FromString(record.value)
            print(fetch(objects, event, options), flush=True)
        consumer.commit()


def connected(options: argparse.Namespace) -> grpc.Channel:
    """With TLS if there is a CA."""
    how = [(f"grpc.{name}", value) for name, value in RETRIED.items()]
    if not options.ca:
        return grpc.insecure_channel(options.archive, options=how)
    shown = [path.read_bytes() for path in (options.key, options.certificate) if path]
    credentials = grpc.ssl_channel_credentials(options.ca.read_bytes(), *shown)
    return grpc.secure_channel(options.archive, credentials, options=how)


def fetch(
    objects: objects_pb2_grpc.ObjectServiceStub,
    event: events_pb2.InstanceStored,
    options: argparse.Namespace,
) -> Path:
    """The object of an event as a file; a file that is there already is not fetched again."""
    path = options.to / event.name.study / f"{event.name.instance}.{event.digest[:16]}.dcm"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        request = objects_pb2.GetObjectRequest(key=event.key, purpose=options.purpose)
        for chunk in objects.GetObject(request, timeout=600, metadata=who_calls(options)):
            digest.update(chunk.data)
            file.write(chunk.data)
    if digest.hexdigest() != event.digest:
        sys.exit(f"{event.key} does not have the digest that its event tells")
    return part.rename(path)


def who_calls(options: argparse.Namespace) -> Sequence[tuple[str, str]]:
    """What says so, but for a certificate: a token that may have been replaced by now."""
    if not options.token_file:
        return ()
    return [("authorization", f"Bearer {options.token_file.read_text().strip()}")]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Follow stored instances and fetch them.")
    parser.add_argument("--kafka", required=True, help="host:port of a broker")
    parser.add_argument("--archive", required=True, help="host:port of the gRPC for programs")
    parser.add_argument("--ca", type=Path, help="CA of its certificate; without one: no TLS")
    parser.add_argument("--token-file", type=Path, help="file with a token, in place of which")
    parser.add_argument("--certificate", type=Path, help="a certificate may be shown, with")
    parser.add_argument("--key", type=Path, help="its key")
    parser.add_argument("--to", required=True, type=Path, help="folder for the objects")
    parser.add_argument("--namespace", default="isocenter", help="beginning of the topics' names")
    parser.add_argument("--group", default="example-follower", help="consumer group")
    parser.add_argument("--purpose", default="example", help="for the audit trail")
    return parser.parse_args()


if __name__ == "__main__":
    main()
