"""The rows of the audit trail: what it costs, how fast records are taken in, found and verified.

What it costs is measured against the same program without the trail (`untrailed`); the others
against what is promised.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

from bench import costs, ours, rows, storescp
from bench.clients import JSON, Web
from bench.costs import Measure, Sides
from bench.report import Result, compare
from bench.rows import Bench
from bench.server import Server
from isocenter.adapters.blobs.files import FileBlobs
from isocenter.adapters.bus.log import LogBus
from isocenter.adapters.index.sqlite_audit import SqliteAuditIndex
from isocenter.audit.consumer import GROUP, AuditConsumer
from isocenter.audit.keys import KeyFolder
from isocenter.audit.segments import Sealed, Segments
from isocenter.audit.settings import AuditSettings
from isocenter.audit.trail import Trail
from isocenter.audit.verifying import verify
from isocenter.core.audit import AuditFilter, Entry, Place
from isocenter.core.events import TOPIC_AUDIT, AuditAction, AuditEvent, AuditOutcome, Source
from isocenter.runtime.event_codec import encode

WITHOUT = "without the trail"
UNTRAILED = Path(__file__).parent / "untrailed"

TAKEN_IN = 2_000  # records a second, as promised
VERIFIED = 100_000  # records a second
SEARCH_MS = 100.0  # p95
HELD = 10_000_000  # records in the index that is searched
KEPT = Path(__file__).parents[1] / ".cache/bench/audit"
CHAIN = "audit-0"
_BATCH = 10_000
_ASKED = 300  # questions
YEAR = 365 * 24 * 3600

# --- what it costs -------------------------------------------------------------------------------


def new_questions(bench: Bench, server: Server, turn: int) -> float:
    """Searches per second of which each is another one, so that each has a record of its own."""
    bench.load_patients(server)
    dates = [date(2000, 1, 1) + timedelta(days=turn * 20 + day) for day in range(20)]
    paths = [
        f"studies?PatientID={one.patient_id}&StudyDate={day:%Y%m%d}-20991231"
        for day in dates
        for one in bench.patients
    ]
    (match,) = Web(server).search(paths[0])
    if match["0020000D"]["Value"] != [bench.patients[0].study]:
        raise rows.Wrong(f"{server.name} found another study for {paths[0]}")
    return rows.rate(bench, server, paths, JSON, 16)


# --- taken in, verified, found -------------------------------------------------------------------


def take_in(bench: Bench, _: Sides) -> Sequence[Result]:
    """Records a second from the log into chain, index and segments; and of those, verified."""
    count = 20_000 if bench.quick else 100_000
    return asyncio.run(_take_in(count))


async def _take_in(count: int) -> Sequence[Result]:
    with tempfile.TemporaryDirectory(prefix="isocenter-bench-") as folder:
        async with _parts(Path(folder)) as (bus, blobs, index):
            made = records(count, random.Random(1))
            for first in range(0, count, 1000):
                await bus.append(TOPIC_AUDIT, [encode(one) for one in made[first : first + 1000]])
            segments = Segments(blobs)
            trail = Trail(
                segments=segments, keys=KeyFolder(Path(folder) / "keys", makes=True), index=index
            )
            settings = AuditSettings(linger_seconds=0, seal_seconds=0.01)
            consumer = AuditConsumer(
                bus=bus, trail=trail, settings=settings, site="", sealed=_nobody
            )
            started = time.perf_counter()
            await consumer.start()
            while await bus.lag(GROUP, TOPIC_AUDIT):
                await asyncio.sleep(0.01)
            taken = count / (time.perf_counter() - started)
            await consumer.stop()
            started = time.perf_counter()
            (*_, result) = [report async for report in verify(segments)]
            verified = result.records / (time.perf_counter() - started)
    if result.records != count or result.findings:
        raise rows.Wrong(f"{result.records} of {count} records are verified: {result.findings}")
    return [
        compare("audit-in", "records/s", [taken], [TAKEN_IN], "promise", less_is_better=False),
        compare(
            "audit-verify", "records/s", [verified], [VERIFIED], "promise", less_is_better=False
        ),
    ]


async def _nobody(seals: Sequence[Sealed]) -> None:
    del seals


@asynccontextmanager
async def _parts(folder: Path) -> AsyncIterator[tuple[LogBus, FileBlobs, SqliteAuditIndex]]:
    bus = await LogBus.open(folder / "log")
    blobs = await FileBlobs.open(folder / "blobs")
    index = await SqliteAuditIndex.open(folder / "audit")
    try:
        yield bus, blobs, index
    finally:
        await index.close()
        await blobs.close()
        await bus.close()


def search(bench: Bench, _: Sides) -> Sequence[Result]:
    """p95 of a page of 50 with its exact count, among ten million records (quick: 100,000), which
    are made once (half an hour, 6 GB) and lie in the page cache, as they do after being made."""
    held = 100_000 if bench.quick else HELD
    return asyncio.run(_search(held))


async def _search(held: int) -> Sequence[Result]:
    index = await SqliteAuditIndex.open(KEPT / str(held))
    try:
        filled = (await index.reach()).get(CHAIN, 0)
        for first in range(filled, held, _BATCH):
            made = records(_BATCH, random.Random(first), first)
            await index.append(
                [Entry(one, Place(CHAIN, first + at)) for at, one in enumerate(made, 1)]
            )
        _read_through(KEPT / str(held))
        numbers, times = random.Random(2), []
        for _ in range(_ASKED):
            which = _question(numbers)
            started = time.perf_counter()
            await index.search(which, 50)
            await index.count(which)
            times.append((time.perf_counter() - started) * 1000)
    finally:
        await index.close()
    p95 = statistics.quantiles(times, n=20, method="inclusive")[-1]
    return [compare("audit-search", "ms", [p95], [SEARCH_MS], "promise", less_is_better=True)]


def _read_through(folder: Path) -> None:
    for file in folder.iterdir():
        with file.open("rb") as content:
            while content.read(1 << 24):
                pass


def _question(numbers: random.Random) -> AuditFilter:
    """What officers ask: by patient, study, person, action, time, words, and together."""
    since = START + timedelta(seconds=numbers.randrange(YEAR - 7 * 86400))
    week = {"since": since, "until": since + timedelta(days=7)}
    patient, person = _patient(numbers), f"person{numbers.randrange(300)}"
    choices: Sequence[Mapping[str, object]] = (
        {"patient_id": patient},
        {"patient_id": patient, **week},
        {"patient_id": patient, "actions": (AuditAction.RETRIEVE,)},
        {"study": _study(numbers.randrange(1_000_000))},
        {"who": person},
        {"who": person, **week},
        {"who": person, "actions": (AuditAction.EXPORT, AuditAction.RETRIEVE)},
        {"outcomes": (AuditOutcome.FAILURE,)},
        {"actions": (AuditAction.EXPORT,), **week},
        week,
        {},
        {"text": f"{patient.lower()} wado-rs"},
        {"text": "c-move unreachable", **week},
    )
    return AuditFilter(**numbers.choice(choices))  # type: ignore[arg-type]


START = datetime(2026, 1, 1, tzinfo=UTC)
_VERBS = (
    (AuditAction.QUERY, "QIDO-RS STUDY PatientID"), (AuditAction.RETRIEVE, "WADO-RS frames"),
    (AuditAction.RETRIEVE, "WADO-RS metadata"), (AuditAction.STORE, "C-STORE"),
    (AuditAction.EXPORT, "C-MOVE STUDY"),
)  # fmt: skip


def records(count: int, numbers: random.Random, first: int = 0) -> list[AuditEvent]:
    """Of a year in a network: 300 people, 40 devices, a hundred thousand patients."""
    return [_record(first + one, numbers) for one in range(count)]


def _record(number: int, numbers: random.Random) -> AuditEvent:
    action, detail = _VERBS[number % len(_VERBS)]
    failed = numbers.random() < 0.002
    person = action in (AuditAction.QUERY, AuditAction.RETRIEVE)
    source = Source(
        "DICOMweb" if person else "DIMSE",
        f"10.0.{numbers.randrange(8)}.{numbers.randrange(250)}",
        ae_title="" if person else f"DEVICE{numbers.randrange(40)}",
        user=f"person{int(300 * numbers.random() ** 2)}" if person else "",
    )
    study = numbers.randrange(1_000_000)
    return AuditEvent(
        action=action,
        outcome=AuditOutcome.FAILURE if failed else AuditOutcome.SUCCESS,
        source=source,
        at=START + timedelta(seconds=number * YEAR / HELD),
        id=f"host/web-{number:032x}",
        partition="main",
        patient_ids=(_patient(numbers),),
        studies=(_study(study),),
        series=(f"{_study(study)}.1",),
        instance_count=1,
        detail=detail,
        error="the destination is unreachable" if failed else "",
        process="host/web",
    )


def _patient(numbers: random.Random) -> str:
    return f"P{numbers.randrange(100_000):06}"


def _study(number: int) -> str:
    return f"1.2.826.0.1.3680043.10.1.{number}"


cost = partial(costs.cost, without=WITHOUT)
ROWS: Mapping[str, Measure] = {
    "audit-c-store": cost("audit-c-store", "instances/s", rows.c_store("audit-c-store", 4, 150)),
    "audit-qido": cost(
        "audit-qido",
        "requests/s",
        rows.qido_patient_id(16, costs.WINDOW),
        rounds=costs.WINDOW_ROUNDS,
    ),
    "audit-qido-new": cost("audit-qido-new", "requests/s", new_questions),
    "audit-frame": cost("audit-frame", "requests/s", rows.frame),
    "audit-in": take_in,
    "audit-search": search,
}


@contextmanager
def sides(bench: Bench) -> Iterator[Sides]:
    """Ours, and ours without the trail."""
    with (
        storescp.start(bench.scratch / "audit-sink", keep=False) as sink,
        ours.start(bench.scratch / "audit-with", (storescp.DESTINATION, sink.dicom_port)) as ours_,
        ours.start(
            bench.scratch / "audit-without",
            (storescp.DESTINATION, sink.dicom_port),
            env={"PYTHONPATH": str(UNTRAILED)},
        ) as without,
    ):
        yield ours_, replace(without, name=WITHOUT)
