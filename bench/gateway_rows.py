"""The rows of the gateway under load: an emergency beside a migration, many associations, and a
very large object over DIMSE. No peer takes part: measured is what the load costs the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

from bench import ours, storescp, work
from bench.clients import CALLING, c_get, c_move, send, storing
from bench.held import Held, held
from bench.report import Result, compare
from bench.rows import Bench
from bench.server import MemoryWatch, Server

EMERGENCY, MIGRATION = "EMERGENCY", "MIGRATION"
MANY = 5_000
AES = (
    {"title": EMERGENCY, "lane": "emergency"},
    {"title": MIGRATION, "lane": "bulk"},
    {"title": CALLING, "max_associations": 4_000},
)
SLICES = 50
SENDERS = 16
ECHO_MS = 50.0  # what a C-ECHO may take, in place of a peer
ON_TOP_MB = 64.0  # what a very large object may take
ECHOES = 200

Measure = Callable[[Bench, Server], Sequence[Result]]


def lanes(bench: Bench, server: Server) -> Sequence[Result]:
    """Milliseconds for a slice of an emergency AE while 16 associations of a migration store flat
    out: against an idle gateway, and against the same slices sent as one more of the migration."""
    rounds = 1 if bench.quick else 3
    idle = [_slice_ms(bench, server, EMERGENCY) for _ in range(rounds)]
    first, without = [], []
    with storing(server, bench.series(10).folder, SENDERS, MIGRATION):
        time.sleep(3)  # the migration has begun
        for _ in range(rounds):
            first.append(_slice_ms(bench, server, EMERGENCY))
            without.append(_slice_ms(bench, server, MIGRATION))
    return [
        compare("lanes", "ms", first, without, "without lanes", less_is_better=True),
        compare("lanes-idle", "ms", first, idle, "idle gateway", less_is_better=True),
    ]


def _slice_ms(bench: Bench, server: Server, calling: str) -> float:
    folder = bench.series(SLICES).folder
    return send(server, [folder], calling=calling) / SLICES * 1000


def associations(count: int) -> Measure:
    """Milliseconds (median) of a C-ECHO while so many associations are open, all silent but one
    that stores without pause."""

    def measure(bench: Bench, server: Server) -> Sequence[Result]:
        times = []
        with (
            storing(server, bench.series(10).folder, 1, MIGRATION),
            held(server, count, CALLING) as silent,
            closing(Held(server, EMERGENCY)) as caller,
        ):
            for _ in range(ECHOES):
                started = time.perf_counter()
                caller.echo()
                times.append((time.perf_counter() - started) * 1000)
            for one in silent:  # none of them was dropped
                one.echo()
        name = f"associations-{count}"
        return [compare(name, "ms", times, [ECHO_MS], "50 ms", less_is_better=True)]

    return measure


def large(bench: Bench, server: Server) -> Sequence[Result]:
    """MB of memory on top while an object of 2 GiB is stored by C-STORE, and retrieved by C-GET and
    C-MOVE."""
    size = (1 if bench.quick else 4) * work.GIB // 2
    one = work.write_large(bench.scratch / "dimse" / "large.dcm", bench.number(), size)
    results = []
    retrieves: Mapping[str, Callable[[], object]] = {
        "memory-c-store": lambda: bench.load(server, one),
        "memory-c-get": lambda: c_get(server, one.study, 1),
        "memory-c-move": lambda: c_move(server, one.study, storescp.DESTINATION),
    }
    for name, retrieve in retrieves.items():
        with MemoryWatch(server.process) as watch:
            retrieve()
        growth = [watch.growth / 1e6]
        results.append(compare(name, "MB", growth, [ON_TOP_MB], "64 MB", less_is_better=True))
    return results


ROWS: Mapping[str, Measure] = {
    "lanes": lanes,
    "associations-500": associations(500),
    f"associations-{MANY}": associations(MANY),
    "memory-dimse": large,
}


@contextmanager
def side(bench: Bench) -> Iterator[Server]:
    """Ours, with AEs in lanes, and a destination of C-MOVE."""
    with (
        storescp.start(bench.scratch / "gateway-sink", keep=False) as sink,
        ours.start(
            bench.scratch / "gateway-side", (storescp.DESTINATION, sink.dicom_port), aes=AES
        ) as server,
    ):
        yield server
