"""The rows of the report (design section 12): what is done to a side and what is counted.

A row prepares a side once and is then measured in rounds that alternate between the sides.
"""

from __future__ import annotations

import itertools
import json
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import Path

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE

from bench import storescp, work
from bench.clients import (
    FRAMES,
    JSON,
    OBJECTS,
    POLL_SECONDS,
    Web,
    Wrong,
    c_get,
    c_move,
    requests_per_second,
    send,
    wait_findable,
)
from bench.server import HOST, MemoryWatch, Server

BLOCK = 1_000_000  # numbers of a series: more than it has instances
PATIENTS = "patients"  # folder of the many small studies
RETRIEVED, PACKED = 300, 150  # instances of the series of C-GET and C-MOVE, and of DICOMweb


@dataclass
class Bench:
    """Scratch space and the work that rows share."""

    scratch: Path
    quick: bool
    loaded: set[tuple[str, str]] = field(default_factory=set)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(BLOCK, BLOCK))
    _sets: dict[tuple[str, int], list[work.Series]] = field(default_factory=dict)

    def series(self, count: int, side: int = 512, below: str = "") -> work.Series:
        """A new series of its own study on disk."""
        first = next(self._numbers)
        return work.write_series(self.scratch / below / f"series-{first}", first, count, side)

    def fresh(self, row: str, turn: int, associations: int, count: int) -> list[work.Series]:
        """What a row sends in a round: the same files for every side, never sent before. None is
        removed before the end: ext4 is slow to make files for a minute after many were removed,
        which would fall on the side that comes next."""
        key = (row, turn)
        if key not in self._sets:
            self._sets[key] = [self.series(count) for _ in range(associations)]
        return self._sets[key]

    def number(self) -> int:
        """A number for a single object."""
        return next(self._numbers)

    @cached_property
    def retrieved(self) -> work.Series:
        """The series of C-GET and C-MOVE."""
        return self.series(RETRIEVED)

    @cached_property
    def packed(self) -> work.Series:
        """The series of the DICOMweb rows, about 80 MB."""
        return self.series(PACKED)

    @cached_property
    def patients(self) -> list[work.Series]:
        """Many small studies to search among, below one folder."""
        return [self.series(1, 16, PATIENTS) for _ in range(100 if self.quick else 2000)]

    @cached_property
    def large(self) -> work.Series:
        """One object of 1 GiB (quick: 256 MiB)."""
        first = self.number()
        size = work.GIB // 4 if self.quick else work.GIB
        return work.write_large(self.scratch / "large" / "large.dcm", first, size)

    def load(self, server: Server, *series: work.Series) -> None:
        """Store these and wait until they are findable; once for each side."""
        self._load(server, [one.folder for one in series], series)

    def load_patients(self, server: Server) -> None:
        """The same for the many small studies, on one association."""
        self._load(server, [self.scratch / PATIENTS], self.patients)

    def _load(self, server: Server, folders: Sequence[Path], series: Sequence[work.Series]) -> None:
        todo = [one for one in series if (server.name, one.study) not in self.loaded]
        for folder in folders if todo else ():
            send(server, [folder])
        for one in todo:
            wait_findable(server, one.study, len(one.instances))
            self.loaded.add((server.name, one.study))


Measure = Callable[[Bench, Server, int], float]


class Way(Enum):
    """How sides are started."""

    QUICK = "quick"  # TCP_NODELAY everywhere
    AS_INSTALLED = "as-installed"  # with Nagle's algorithm, where it is not switched off
    TLS = "tls"  # quick, DICOM over TLS


@dataclass(frozen=True)
class Row:
    """One line of the report. `way`: how all sides are started; `storescp_too`: a second peer."""

    name: str
    unit: str
    measure: Measure
    rounds: int = 3
    less_is_better: bool = False
    storescp_too: bool = False
    way: Way = Way.QUICK


def c_store(row: str, associations: int, count: int, *, nagle: bool = False) -> Measure:
    """Instances per second until the last one is acknowledged and, with an index, findable."""

    def measure(bench: Bench, server: Server, turn: int) -> float:
        sets = bench.fresh(row, turn, associations, count)
        started = time.perf_counter()
        send(server, [one.folder for one in sets], nagle=nagle)
        if server.dicomweb:
            for one in sets:
                wait_findable(server, one.study, count)
        return associations * count / (time.perf_counter() - started)

    return measure


RATE_SECONDS = 4  # that requests are counted for


def qido_patient_id(connections: int, seconds: int = RATE_SECONDS) -> Measure:
    """Searches per second for one patient among many, by so many users at once."""

    def measure(bench: Bench, server: Server, turn: int) -> float:
        bench.load_patients(server)
        paths = [f"studies?PatientID={one.patient_id}" for one in bench.patients]
        (match,) = Web(server).search(paths[turn])
        if match["0020000D"]["Value"] != [bench.patients[turn].study]:
            raise Wrong(f"{server.name} found another study for {paths[turn]}")
        return rate(bench, server, paths, JSON, connections, seconds)

    return measure


def frame(bench: Bench, server: Server, turn: int) -> float:
    """Single frames of 512 KiB per second."""
    bench.load(server, bench.packed)
    paths = [f"{bench.packed.path}/instances/{uid}/frames/1" for uid in bench.packed.instances]
    length = Web(server).drain(paths[turn], FRAMES)
    if not work.FRAME < length < work.FRAME + 2000:
        raise Wrong(f"{server.name}: a frame of {length} bytes")
    return rate(bench, server, paths, FRAMES, 4)


def rate(
    bench: Bench,
    server: Server,
    paths: Sequence[str],
    accept: str,
    connections: int,
    seconds: int = RATE_SECONDS,
) -> float:
    """Requests per second over these paths in turn."""
    seconds = 1 if bench.quick else seconds
    return requests_per_second(
        server, paths, accept, connections=connections, seconds=seconds, scratch=bench.scratch
    )


def metadata_first(bench: Bench, server: Server, turn: int) -> float:
    """Milliseconds until the metadata of a series that nobody has opened yet is there."""
    (one,) = bench.fresh("series-metadata", turn, 1, PACKED)
    bench.load(server, one)
    return _metadata(server, one)


def metadata_again(bench: Bench, server: Server, _turn: int) -> float:
    """The same for a series that has just been opened."""
    bench.load(server, bench.packed)
    _metadata(server, bench.packed)
    return _metadata(server, bench.packed)


def _metadata(server: Server, one: work.Series) -> float:
    web = Web(server)
    web.search("studies?limit=1")  # the connection is there, as a viewer's is
    started = time.perf_counter()
    body = web.get(f"{one.path}/metadata", JSON)
    milliseconds = (time.perf_counter() - started) * 1000
    if len(json.loads(body)) != len(one.instances):
        raise Wrong(f"{server.name} left out metadata")
    return milliseconds


def series(bench: Bench, server: Server, _turn: int) -> float:
    """MB per second of a whole series."""
    bench.load(server, bench.packed)
    started = time.perf_counter()
    length = Web(server).drain(bench.packed.path, OBJECTS)
    if length < bench.packed.size:
        raise Wrong(f"{server.name}: a series of {length} bytes")
    return length / 1e6 / (time.perf_counter() - started)


def retrieve_by_get(bench: Bench, server: Server, _turn: int) -> float:
    """Instances per second by C-GET."""
    bench.load(server, bench.retrieved)
    return RETRIEVED / c_get(server, bench.retrieved.study, RETRIEVED)


def retrieve_by_move(bench: Bench, server: Server, _turn: int) -> float:
    """Instances per second by C-MOVE."""
    bench.load(server, bench.retrieved)
    return RETRIEVED / c_move(server, bench.retrieved.study, storescp.DESTINATION)


def memory(bench: Bench, server: Server, _turn: int) -> float:
    """MB of memory on top while a very large object is stored, and retrieved twice."""
    with MemoryWatch(server.process) as watch:
        bench.load(server, bench.large)
        c_get(server, bench.large.study, 1)
        Web(server).drain(f"{bench.large.path}/instances/{bench.large.instances[0]}", OBJECTS)
    return watch.growth / 1e6


def freshness(bench: Bench, server: Server, turn: int) -> float:
    """p95 in milliseconds from a C-STORE success to the object's being found, under full load."""
    sets = bench.fresh("freshness", turn, 2, 150 if bench.quick else 600)
    load = threading.Thread(target=send, args=(server, [one.folder for one in sets]))
    web, delays = Web(server), []
    caller = AE(ae_title="BENCH")
    caller.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = caller.associate(HOST, server.dicom_port, ae_title=server.ae_title)
    load.start()
    while load.is_alive():
        instance = work.small_instance(bench.number())
        if association.send_c_store(instance).get("Status") != 0:
            raise Wrong(f"{server.name} refused an object")
        stored = time.perf_counter()
        while not web.search(f"instances?SOPInstanceUID={instance.SOPInstanceUID}"):
            time.sleep(POLL_SECONDS)
        delays.append(time.perf_counter() - stored)
    association.release()
    return statistics.quantiles(delays, n=20, method="inclusive")[-1] * 1000


ROWS = [
    Row("c-store-1", "instances/s", c_store("c-store-1", 1, 300), storescp_too=True),
    Row("c-store-4", "instances/s", c_store("c-store-4", 4, 150), storescp_too=True),
    Row(
        "c-store-nagle",
        "instances/s",
        c_store("c-store-nagle", 1, 300, nagle=True),
        rounds=2,
        storescp_too=True,
        way=Way.AS_INSTALLED,
    ),
    Row("c-store-16", "instances/s", c_store("c-store-16", 16, 40), storescp_too=True),
    Row("c-store-64", "instances/s", c_store("c-store-64", 64, 10), storescp_too=True),
    *(
        Row(
            f"c-store-tls-{associations}",
            "instances/s",
            c_store(f"c-store-tls-{associations}", associations, count),
            storescp_too=True,
            way=Way.TLS,
        )
        for associations, count in ((1, 300), (4, 150), (16, 40), (64, 10))
    ),
    Row("qido-patient-id", "requests/s", qido_patient_id(16)),
    Row("qido-patient-id-4", "requests/s", qido_patient_id(4)),
    Row("series-metadata", "ms", metadata_first, less_is_better=True),
    Row("series-metadata-again", "ms", metadata_again, rounds=5, less_is_better=True),
    Row("frame", "requests/s", frame),
    Row("series", "MB/s", series, rounds=5),
    Row("c-get", "instances/s", retrieve_by_get, rounds=5),
    Row("c-move", "instances/s", retrieve_by_move, rounds=5),
    Row("freshness", "ms", freshness, rounds=2, less_is_better=True),
    Row("memory", "MB", memory, rounds=1, less_is_better=True),
]
