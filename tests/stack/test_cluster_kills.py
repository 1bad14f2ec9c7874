"""Roles and servers killed again and again while everybody stores and reads: what was acknowledged
is there once, byte for byte, findable, in exact counts, and no answer was half."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.files import find_instances, write_series
from support.harness import Isocenter, wait_until
from support.kills import kills
from support.readers import Reader
from support.senders import DimseSender, Sender, StowSender, check_kept
from support.stack import KINDS, Stack

KILLS_EACH = kills(1, 5)
COPIES = {"gateway": 2, "indexing": 2, "storage": 2}
SLICES, PAUSE = 20, 0.1  # instances a series; seconds between two of a sender
LOOKS = ("search", "metadata", "object")
SERIES = 40 + 20 * KILLS_EACH  # a sender never runs out of them


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Stack]:
    """Servers of our own, to be killed."""
    servers = Stack(tmp_path / "servers")
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()


@pytest.fixture
def cluster(servers: Stack, tmp_path: Path) -> Iterator[Isocenter]:
    """Every role in processes of its own, some in copies."""
    cluster = Isocenter(tmp_path / "data", "split", servers.settings("kills"), COPIES)
    try:
        cluster.prepare()
        cluster.start()
        yield cluster
    finally:
        cluster.kill()


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_kills_of_every_role_and_server_lose_nothing_and_halve_no_answer(
    cluster: Isocenter, servers: Stack, tmp_path: Path
) -> None:
    chance = random.Random(4)
    reference = write_series(tmp_path / "reference", 12)
    first = DimseSender(cluster, [reference])
    first.start()
    wait_until(lambda: len(find_instances(cluster, reference.study)) == 12, 30, "the reference")
    series = [
        [write_series(tmp_path / f"s{sender}-{n}", SLICES) for n in range(SERIES)]
        for sender in range(3)
    ]
    senders: list[Sender] = [
        DimseSender(cluster, series[0], pause=PAUSE),
        DimseSender(cluster, series[1], cluster.ports["gateway-2"], pause=PAUSE),
        StowSender(cluster, series[2], pause=PAUSE),
    ]
    reader = Reader(cluster, reference)
    for thread in (*senders, reader):
        thread.start()
    targets = [*cluster.names, *KINDS] * KILLS_EACH
    chance.shuffle(targets)
    try:
        for target in targets:
            reader.stopping.wait(chance.uniform(0.3, 1.5))
            _kill_and_restart(cluster, servers, target, chance)
        assert any(sender.pending for sender in senders), "they ran out of work before the end"
        for sender in senders:
            sender.stop()
        wait_until(cluster.ready, 60, "ready again")
        before = reader.good["search"]
        wait_until(lambda: reader.good["search"] > before, 60, "searches are answered again")
        acknowledged = first.acknowledged | {
            uid: path for sender in senders for uid, path in sender.acknowledged.items()
        }
        begun = [one for some in series for one in some if one.files.keys() & acknowledged.keys()]
        check_kept(cluster, [reference, *begun], acknowledged, seconds=120)
        reader.stop()
    finally:
        for thread in (*senders, reader):
            thread.stopping.set()
    assert min(reader.good[one] for one in LOOKS) > 10 * KILLS_EACH, reader.good
    assert len(acknowledged) > 100 * KILLS_EACH


def _kill_and_restart(
    cluster: Isocenter, servers: Stack, target: str, chance: random.Random
) -> None:
    if target in KINDS:
        servers.servers[target].kill()
        servers.servers[target].start()
        return
    name = chance.choice(cluster.names[target])
    cluster.kill_one(name)
    cluster.start_one(name)  # the next kill does not wait until it serves again
