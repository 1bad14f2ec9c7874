"""What users see while a server is away, slow or full (the table in docs/operating-cluster.md)."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.clients import dcmtk
from support.files import Series, find_instances, write_series
from support.harness import Isocenter, wait_until
from support.kills import kills
from support.link import Link
from support.requests import OUT_OF_RESOURCES, SUCCESS, c_find, c_store, status_of, stow
from support.senders import DimseSender, check_kept
from support.stack import Server, Stack

AWAY_SECONDS = kills(15, 60)


class LinkedStack(Stack):
    """Servers behind links that can fail."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.links = {kind: Link(server.port) for kind, server in self.servers.items()}
        # Clients go where the broker says it is.
        link = self.links["kafka"].address
        self.kafka.arguments = (f"advertised.listeners=PLAINTEXT://{link}",)

    def settings(self, name: str) -> dict[str, object]:
        """Settings that lead through the links."""
        return {
            **super().settings(name),
            "bus": f"kafka://{self.links['kafka'].address}/{name}",
            "blobs": f"s3://{self.links['minio'].address}/{name}",
            "index": f"elasticsearch://{self.links['elasticsearch'].address}/{name}",
        }


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinkedStack]:
    """Servers of our own, to be stopped."""
    servers = LinkedStack(tmp_path_factory.mktemp("outages") / "servers")
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()
        for link in servers.links.values():
            link.close()


@pytest.fixture(scope="module")
def cluster(servers: LinkedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Isocenter]:
    """Every role in processes of its own; two gateways and indexers."""
    settings = servers.settings("outages") | {"ingest.announce_seconds": 3}
    data = tmp_path_factory.mktemp("outages") / "data"
    cluster = Isocenter(data, "split", settings, {"gateway": 2, "indexing": 2})
    try:
        cluster.prepare()
        cluster.start()
        yield cluster
    finally:
        cluster.kill()


@pytest.fixture
def kept(cluster: Isocenter, tmp_path: Path) -> Series:
    """Four instances that are stored and found."""
    series = write_series(tmp_path / "kept", 4)
    assert dcmtk("storescu", cluster, "+sd", series.folder).code == 0
    wait_until(lambda: len(find_instances(cluster, series.study)) == 4, 30, "stored and found")
    return series


@contextlib.contextmanager
def away(server: Server) -> Iterator[None]:
    """A server that is not there, and comes back."""
    server.kill()
    try:
        yield
    finally:
        server.start()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_while_the_search_server_is_away_storing_and_retrieving_go_on_and_indexing_catches_up(
    cluster: Isocenter, servers: LinkedStack, kept: Series, tmp_path: Path
) -> None:
    series = write_series(tmp_path / "new", 10)
    files = list(series.files.values())
    with away(servers.elasticsearch):
        end = time.monotonic() + AWAY_SECONDS
        assert c_store(cluster, files[0]) == SUCCESS
        assert stow(cluster, files[1]).status_code == 200
        assert c_find(cluster, kept.study) == [OUT_OF_RESOURCES]
        assert status_of(cluster, f"/studies?StudyInstanceUID={kept.study}") == 503
        assert len(json.loads(cluster.get(f"/studies/{kept.study}/metadata"))) == 4
        wait_until(lambda: time.monotonic() > end, AWAY_SECONDS + 1, "it was away for long")
        for path in files[2:]:
            assert c_store(cluster, path, "gateway-2") == SUCCESS
    wait_until(lambda: len(find_instances(cluster, series.study)) == 10, 60, "indexing catches up")
    check_kept(cluster, [series], series.files)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_while_the_log_is_away_stores_are_refused_and_reads_go_on_and_are_audited(
    cluster: Isocenter, servers: LinkedStack, kept: Series, tmp_path: Path
) -> None:
    series = write_series(tmp_path / "new", 2)
    first, second = series.files.values()
    with away(servers.kafka):
        assert c_store(cluster, first) == OUT_OF_RESOURCES
        assert stow(cluster, second).status_code == 503
        assert len(find_instances(cluster, kept.study)) == 4
        assert len(json.loads(cluster.get(f"/studies/{kept.study}/metadata"))) == 4
        assert SUCCESS in c_find(cluster, kept.study)
    wait_until(lambda: c_store(cluster, first) == SUCCESS, 60, "storing again")
    assert stow(cluster, second).status_code == 200
    wait_until(lambda: len(find_instances(cluster, series.study)) == 2, 60, "found")

    def reads() -> set[str]:
        listed = cluster.cli("audit list", "--json", "--study", kept.study, "--limit", "1000")
        return {json.loads(line)["action"] for line in listed.stdout.splitlines()}

    wait_until(lambda: {"query", "retrieve"} <= reads(), 60, "the reads are in the audit trail")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_with_an_outbox_stores_go_on_while_the_log_is_away_and_are_found_afterwards(
    servers: LinkedStack, tmp_path: Path
) -> None:
    settings = servers.settings("outbox") | {"ingest.outbox": True}
    cluster = Isocenter(tmp_path / "data", "split", settings)
    series = write_series(tmp_path / "new", 10)
    try:
        cluster.prepare()
        cluster.start()
        with away(servers.kafka):
            for path in series.files.values():
                assert c_store(cluster, path) == SUCCESS
        check_kept(cluster, [series], series.files)
    finally:
        cluster.kill()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_while_the_object_store_is_away_stores_are_refused_and_searches_go_on(
    cluster: Isocenter, servers: LinkedStack, kept: Series, tmp_path: Path
) -> None:
    series = write_series(tmp_path / "new", 2)
    first, second = series.files.values()
    with away(servers.minio):
        assert c_store(cluster, first) == OUT_OF_RESOURCES
        assert stow(cluster, second).status_code == 503
        assert len(find_instances(cluster, kept.study)) == 4
        assert status_of(cluster, f"/studies/{kept.study}/metadata") >= 500
    for path in (first, second):
        wait_until(lambda path=path: c_store(cluster, path) == SUCCESS, 60, "storing again")
    check_kept(cluster, [kept, series], kept.files | series.files)


@pytest.mark.timeout(300)
def test_a_full_object_store_refuses_in_time_and_searches_and_reads_go_on(
    servers: LinkedStack, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", disk], check=False
    )
    assert mounted.returncode == 0, "this test mounts a small disk: run it as root"
    minio = Server("minio", disk / "data")
    settings = servers.settings("full") | {"blobs": f"s3://{minio.address}/full"}
    cluster = Isocenter(tmp_path / "data", "up", settings | {"process.workers": 1})
    acknowledged: dict[str, Path] = {}
    all_series: list[Series] = []
    try:
        minio.start()
        cluster.prepare()
        cluster.start()
        statuses: set[int] = set()
        while OUT_OF_RESOURCES not in statuses:
            series = write_series(tmp_path / f"s{len(all_series)}", 10, rows=512)
            all_series.append(series)
            for uid, path in series.files.items():
                status = c_store(cluster, path)
                statuses.add(status)
                if status == SUCCESS:
                    acknowledged[uid] = path
        assert statuses == {SUCCESS, OUT_OF_RESOURCES}
        assert stow(cluster, path).status_code == 507
        check_kept(cluster, all_series, acknowledged)
    finally:
        cluster.kill()
        minio.kill()
        subprocess.run(["umount", disk], check=True)


def test_one_slow_put_blocks_no_other_association(
    cluster: Isocenter, servers: LinkedStack, tmp_path: Path
) -> None:
    series = write_series(tmp_path / "new", 12, rows=256)
    slow, *others = series.files.values()
    statuses: list[int] = []
    waiting = threading.Thread(target=lambda: statuses.append(c_store(cluster, slow)))
    with servers.links["minio"].one_held() as caught:
        waiting.start()
        assert caught.wait(30), "its data are on the way to the object store"
        for path in others:
            assert c_store(cluster, path) == SUCCESS
        assert not statuses, "the slow one has not been answered meanwhile"
    waiting.join(60)
    assert statuses == [SUCCESS]
    check_kept(cluster, [series], series.files)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_slow_links_slow_down_and_lose_nothing(
    cluster: Isocenter, servers: LinkedStack, tmp_path: Path
) -> None:
    series = write_series(tmp_path / "new", 20)
    with contextlib.ExitStack() as slow:
        for link in servers.links.values():
            slow.enter_context(link.slow(0.05))
        sender = DimseSender(cluster, [series])
        sender.start()
        sender.join(200)
        assert not sender.pending, sender.refused
        check_kept(cluster, [series], series.files)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_links_that_are_cut_again_and_again_lose_nothing(
    cluster: Isocenter, servers: LinkedStack, tmp_path: Path
) -> None:
    series = [write_series(tmp_path / f"new{n}", 40) for n in range(4)]
    senders = [
        DimseSender(cluster, series[:2], pause=0.02),
        DimseSender(cluster, series[2:], cluster.ports["gateway-2"], pause=0.02),
    ]
    for sender in senders:
        sender.start()
    links = list(servers.links.values())
    for number in range(60):
        links[number % len(links)].reset()
        senders[0].stopping.wait(0.1)
    for sender in senders:
        sender.join(120)
        assert not sender.pending, sender.refused
    acknowledged = senders[0].acknowledged | senders[1].acknowledged
    check_kept(cluster, series, acknowledged)
