"""The rows on servers: what a role, a hop and the servers cost, against the servers themselves.

The object store is the limit, so storing is compared with bare `put_object` calls by as many
clients; a frame is compared with the embedded shape; two gateways with one.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import ours, put_objects, stack, storescp
from bench.clients import FRAMES, Web, send, wait_findable
from bench.report import Result, compare
from bench.rows import Bench, freshness
from bench.server import Server
from bench.work import Series

CLIENTS = (1, 4, 16)
BUCKET = "bare"
FRAMES_READ = 300
WARMING = 800
LIMIT = 0.08  # of a core, for each gateway and indexer of `stack-two-of-each`
TARGET_FRESHNESS = 2000.0  # ms: the promise, in place of a peer


@dataclass
class StackBench:
    """The servers, and the work. A side runs only while it is measured: idle processes are not
    free."""

    bench: Bench
    servers: stack.Servers
    rounds: int
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    @classmethod
    def start(cls, running: ExitStack, bench: Bench) -> StackBench:
        """Start the servers; they stop with `running`."""
        servers = running.enter_context(stack.start_servers(bench.scratch / "servers"))
        put_objects.client(servers.minio).make_bucket(BUCKET)
        return cls(bench, servers, 1 if bench.quick else 3)

    @contextmanager
    def side(
        self, kind: str, *, copies: int = 1, cores: float | None = None
    ) -> Iterator[list[Server]]:
        """An installation that nothing has been stored in; a server for each gateway. `cores`
        limits each gateway and each indexer."""
        name = f"{kind}{next(self._numbers)}"
        folder = self.bench.scratch / name
        if kind == stack.SPLIT:
            with stack.split(self.servers, folder, name, copies=copies, cores=cores) as gateways:
                yield gateways
        elif kind == stack.CO_LOCATED:
            with stack.co_located(self.servers, folder, name) as server:
                yield [server]
        else:
            with ours.start(folder, (storescp.DESTINATION, 1)) as server:
                yield [replace(server, name=name)]  # what one of them holds, others do not

    def warm(self, server: Server) -> None:
        """Work that is not measured: connections are made, and the servers' code is compiled."""
        sets = [self.bench.series(WARMING // 4) for _ in range(4)]
        send(server, [one.folder for one in sets])
        for one in sets:
            wait_findable(server, one.study, len(one.instances))

    def put_objects(self, folders: Sequence[Path]) -> float:
        """Seconds for bare puts of these files, a client a folder."""
        prefix = f"round{next(self._numbers)}"
        return put_objects.run(self.servers.minio, BUCKET, prefix, folders)


Measure = Callable[[StackBench], Result]


def c_store(name: str, clients: int, side: str) -> Measure:
    """Instances per second until the last success, against as many bare clients."""

    def measure(on: StackBench) -> Result:
        count = max(600 // clients, 40)
        mine, bare = [], []
        with on.side(side) as (server,):
            on.warm(server)
            for turn in range(on.rounds):
                sets = on.bench.fresh(name, turn, clients, count)
                folders = [one.folder for one in sets]
                bare.append(clients * count / on.put_objects(folders))
                mine.append(clients * count / send(server, folders))
                for one in sets:
                    wait_findable(server, one.study, count)
        return compare(name, "instances/s", mine, bare, put_objects.NAME, less_is_better=False)

    return measure


def findable(name: str, side: str) -> Measure:
    """p95 from success to being found while two associations store at full speed."""

    def measure(on: StackBench) -> Result:
        with on.side(side) as (server,):
            on.warm(server)
            delays = [freshness(on.bench, server, turn) for turn in range(on.rounds)]
        return compare(name, "ms", delays, [TARGET_FRESHNESS], "2 s", less_is_better=True)

    return measure


def frame(name: str, side: str) -> Measure:
    """Milliseconds (median) of one frame of 512 KiB by WADO-RS, against the embedded shape."""

    def measure(on: StackBench) -> Result:
        mine, embedded = [], []
        with on.side(side) as (server,), on.side(ours.NAME) as (peer,):
            for one in (server, peer):
                on.bench.load(one, on.bench.packed)
            for _ in range(on.rounds):
                mine.append(_frame_ms(on.bench, server))
                embedded.append(_frame_ms(on.bench, peer))
        return compare(name, "ms", mine, embedded, "embedded", less_is_better=True)

    return measure


def _frame_ms(bench: Bench, server: Server) -> float:
    web, times = Web(server), []
    names = itertools.islice(itertools.cycle(bench.packed.instances), FRAMES_READ)
    for uid in names:
        started = time.perf_counter()
        web.drain(f"{bench.packed.path}/instances/{uid}/frames/1", FRAMES)
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def two_of_each(on: StackBench) -> Result:
    """Four associations at two gateways with two indexers, against one of each.

    Each of them has little of a core, as pods may: here the others and the servers need all the
    cores there are before an unlimited gateway or indexer is busy.
    """
    name, clients, count = "stack-two-of-each", 4, 100
    mine, one_each = [], []
    with (
        on.side(stack.SPLIT, cores=LIMIT) as one,
        on.side(stack.SPLIT, copies=2, cores=LIMIT) as two,
    ):
        for gateway in (*one, *two):
            on.warm(gateway)
        for turn in range(on.rounds):
            sets = on.bench.fresh(name, turn, clients, count)
            one_each.append(_stored_and_found(one, sets))
            mine.append(_stored_and_found(two, sets))
    return compare(name, "instances/s", mine, one_each, "one of each", less_is_better=False)


def _stored_and_found(gateways: Sequence[Server], sets: Sequence[Series]) -> float:
    """Instances per second until everything is stored, by all gateways at once, and found."""
    started = time.perf_counter()
    shares = [sets[number :: len(gateways)] for number in range(len(gateways))]
    with ThreadPoolExecutor() as threads:
        sending = [
            threads.submit(send, gateway, [one.folder for one in share])
            for gateway, share in zip(gateways, shares, strict=True)
        ]
        for one in sending:
            one.result()
    for one in sets:
        wait_findable(gateways[0], one.study, len(one.instances))
    return sum(len(one.instances) for one in sets) / (time.perf_counter() - started)


ROWS: Mapping[str, Measure] = {
    **{f"stack-c-store-{n}": c_store(f"stack-c-store-{n}", n, stack.CO_LOCATED) for n in CLIENTS},
    **{
        f"stack-split-c-store-{n}": c_store(f"stack-split-c-store-{n}", n, stack.SPLIT)
        for n in CLIENTS
    },
    "stack-freshness": findable("stack-freshness", stack.CO_LOCATED),
    "stack-frame": frame("stack-frame", stack.CO_LOCATED),
    "stack-split-frame": frame("stack-split-frame", stack.SPLIT),
    "stack-two-of-each": two_of_each,
}
