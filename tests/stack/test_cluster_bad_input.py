"""Servers that are not as they should be: a sentence that names the setting and the fix, processes
that wait instead of ending, and nothing lost."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch
from kafka.admin import KafkaAdminClient

from isocenter.adapters.index.elasticsearch.schema import INSTANCES, alias
from support.files import find_instances, write_series
from support.harness import Isocenter, wait_until
from support.kept import ObjectsInBucket
from support.ports import free_ports
from support.requests import OUT_OF_RESOURCES, SUCCESS, c_store, status_of, stow
from support.stack import ACCESS_KEY, SECRET_KEY, Stack


def checked(stack: Stack, name: str, tmp_path: Path, **settings: object) -> tuple[int, str]:
    """What `isocenter check` says of an installation with these settings."""
    changed = {key.replace("__", "."): value for key, value in settings.items()}
    done = Isocenter(tmp_path / "data", "up", stack.settings(name) | changed).cli("check")
    return done.returncode, done.stdout


def prepared(stack: Stack, name: str, tmp_path: Path) -> None:
    Isocenter(tmp_path / "data", "up", stack.settings(name)).prepare()


def test_what_is_missing_is_named_with_the_command_that_makes_it(
    stack: Stack, name: str, tmp_path: Path
) -> None:
    code, told = checked(stack, name, tmp_path)
    assert code == 1
    for missing in (f"{name}.instances", f"bucket {name}", alias(name, INSTANCES)):
        assert missing in told, told
    assert told.count("isocenter check --prepare") >= 3
    prepared(stack, name, tmp_path)
    prepared(stack, name, tmp_path)  # safely repeatable
    _, told = checked(stack, name, tmp_path)
    assert "isocenter check --prepare" not in told


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"s3__secret_key": "wrong-secret-key"}, ["blobs", "secret_key"]),
        ({"s3__access_key": "nobody"}, ["blobs", "access_key"]),
        ({"bus": "kafka://127.0.0.1:{port}"}, ["bus", "127.0.0.1:{port}"]),
        ({"blobs": "s3://127.0.0.1:{port}/bucket"}, ["blobs", "127.0.0.1:{port}"]),
        ({"index": "elasticsearch://127.0.0.1:{port}"}, ["index", "127.0.0.1:{port}"]),
        ({"bus": "kafka://"}, ["bus", "kafka://"]),
        ({"blobs": "s3://host-without-bucket:9000"}, ["blobs", "bucket"]),
        ({"index": "elasticsearch://host:not-a-port"}, ["index", "elasticsearch://host:port"]),
    ],
)
def test_what_does_not_let_us_in_or_is_not_there_is_named(
    stack: Stack, name: str, tmp_path: Path, settings: dict[str, str], expected: list[str]
) -> None:
    (port,) = map(str, free_ports(1))
    prepared(stack, name, tmp_path)
    changed = {key: value.replace("{port}", port) for key, value in settings.items()}
    done = Isocenter(
        tmp_path / "data",
        "up",
        stack.settings(name) | {key.replace("__", "."): v for key, v in changed.items()},
    ).cli("check")
    told = done.stdout + done.stderr
    assert done.returncode == 1
    for part in expected:
        assert part.replace("{port}", port) in told, told
    assert "Traceback" not in told
    assert "wrong-secret-key" not in told
    assert "fix: " in told


def test_an_index_of_somebody_else_is_named_and_left_alone(
    stack: Stack, name: str, tmp_path: Path
) -> None:
    client = Elasticsearch(f"http://{stack.elasticsearch.address}")
    mapping = {"properties": {"title": {"type": "text"}}}
    client.indices.create(index=alias(name, INSTANCES), mappings=mapping)
    client.index(index=alias(name, INSTANCES), id="1", document={"title": "theirs"}, refresh=True)
    Isocenter(tmp_path / "data", "up", stack.settings(name)).cli("check", "--prepare")
    code, told = checked(stack, name, tmp_path)
    assert code == 1
    assert alias(name, INSTANCES) in told
    assert "index" in told
    assert client.count(index=alias(name, INSTANCES))["count"] == 1
    client.close()


def test_a_bucket_that_somebody_else_uses_is_named(stack: Stack, name: str, tmp_path: Path) -> None:
    prepared(stack, name, tmp_path)
    bucket = ObjectsInBucket(stack.minio.address, name, ACCESS_KEY, SECRET_KEY)
    bucket.overwrite("holiday/beach.jpg", b"theirs")
    _, told = checked(stack, name, tmp_path)
    assert "holiday" in told, told
    assert "blobs" in told


@contextmanager
def elasticsearch_of_version(version: str) -> Iterator[int]:
    """A server that says it is of this version."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"version": {"number": version}, "tagline": "x"}).encode()
            self.send_response(200)
            self.send_header("X-Elastic-Product", "Elasticsearch")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 (the names of the base class)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("version", ["7.17.9", "8.19.2", "10.0.0"])
def test_a_search_server_of_another_major_version_is_named_with_both_versions(
    stack: Stack, name: str, tmp_path: Path, version: str
) -> None:
    with elasticsearch_of_version(version) as port:
        code, told = checked(stack, name, tmp_path, index=f"elasticsearch://127.0.0.1:{port}")
    assert code == 1
    assert version in told, told


def test_processes_wait_for_what_is_missing_say_so_and_go_on_once_it_is_there(
    stack: Stack, name: str, tmp_path: Path
) -> None:
    isocenter = Isocenter(tmp_path / "data", "up", stack.settings(name) | {"process.workers": 1})
    series = write_series(tmp_path / "sent", 2)
    first, second = series.files.values()
    try:
        isocenter.launch()
        wait_until(lambda: isocenter.listens(isocenter.dicom_port), 60, "it listens")
        assert c_store(isocenter, first) == OUT_OF_RESOURCES
        assert stow(isocenter, first).status_code == 503
        assert status_of(isocenter, "/studies") == 503
        assert "check --prepare" in isocenter.log.read_text()
        processes = set(isocenter.pids())
        isocenter.prepare()
        wait_until(isocenter.ready, 60, "ready without being started again")
        assert set(isocenter.pids()) == processes
        wait_until(lambda: c_store(isocenter, first) == SUCCESS, 30, "it stores")
        assert c_store(isocenter, second) == SUCCESS
        wait_until(lambda: len(find_instances(isocenter, series.study)) == 2, 30, "it finds")
    finally:
        isocenter.kill()


def test_a_topic_that_vanishes_refuses_stores_and_says_so(
    stack: Stack, name: str, tmp_path: Path
) -> None:
    settings = stack.settings(name) | {"process.workers": 1}
    isocenter = Isocenter(tmp_path / "data", "up", settings)
    series = write_series(tmp_path / "sent", 2)
    first, second = series.files.values()
    try:
        isocenter.prepare()
        isocenter.start()
        assert c_store(isocenter, first) == SUCCESS
        admin = KafkaAdminClient(bootstrap_servers=stack.kafka.address)
        admin.delete_topics([f"{name}.instances"])
        admin.close()
        wait_until(lambda: c_store(isocenter, second) == OUT_OF_RESOURCES, 60, "refused")
        assert f"{name}.instances" in isocenter.log.read_text(), isocenter.log.read_text()
        isocenter.prepare()
        wait_until(lambda: c_store(isocenter, second) == SUCCESS, 60, "stored again")
        wait_until(
            lambda: set(find_instances(isocenter, series.study)) == set(series.files), 60, "found"
        )
    finally:
        isocenter.kill()
