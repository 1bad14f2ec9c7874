"""`python -m bench.search_keys`: QIDO-RS by every documented key, in an index of many studies.

The index is filled directly, as what is measured is the search. Each key is asked for with values
of random studies, at its own level and with a page of answers; the answer tells the exact total
too.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import random
import statistics
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench import ours
from bench.work import uid
from isocenter.adapters.index.sqlite import SqliteIndex
from isocenter.core.attributes import BUILT_IN, BY_KEYWORD, ORDERS, TABLE
from isocenter.core.identity import InstanceName, ObjectName
from isocenter.core.matching import Level
from isocenter.core.ports import IndexEntry

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BATCH = 2_000
LIMIT = 50
MOST = 0.025  # s, 95th percentile
RESOURCES = {
    Level.PATIENT: "studies", Level.STUDY: "studies", Level.SERIES: "series",
    Level.INSTANCE: "instances",
}  # fmt: skip


def day(number: int) -> str:
    """One of 28 days of every month of ten years."""
    month = number // 28
    return f"{2015 + month // 12 % 10}{month % 12 + 1:02}{number % 28 + 1:02}"


def moment(number: int) -> str:
    """A time of the day."""
    return f"{number % 24:02}{number % 60:02}{number * 7 % 60:02}"


def person(number: int) -> str:
    """One of 20,000 names."""
    return f"{'BDFGKLMNPRSTVWXZ'[number % 16]}AR{number % 1250:04}^GIVEN{number % 50}"


# By keyword: the value of a study's (or its one series' and two instances') attribute.
VALUES: Mapping[str, Callable[[int], Any]] = {
    "PatientName": person,
    "PatientID": lambda n: f"PID{n // 2:08}",
    "IssuerOfPatientID": lambda n: f"SITE{n % 3}",
    "PatientBirthDate": lambda n: day(n // 2),
    "PatientBirthTime": moment,
    "PatientSex": lambda n: "FMO"[n % 3],
    "OtherPatientIDs": lambda n: f"OTHER{n // 2:08}",
    "OtherPatientNames": lambda n: person(n + 1),
    "EthnicGroup": lambda n: f"GROUP{n % 5}",
    "PatientComments": lambda n: f"comment {n % 1000}",
    "StudyDate": day,
    "StudyTime": moment,
    "AccessionNumber": lambda n: f"ACC{n:08}",
    "ReferringPhysicianName": lambda n: person(n % 300),
    "TimezoneOffsetFromUTC": lambda n: f"+0{n % 3}00",
    "StudyDescription": lambda n: f"Description {n % 200}",
    "PhysiciansOfRecord": lambda n: person(n % 100),
    "NameOfPhysiciansReadingStudy": lambda n: person(n % 40),
    "AdmittingDiagnosesDescription": lambda n: f"Diagnosis {n % 500}",
    "PatientAge": lambda n: f"{n % 95:03}Y",
    "PatientSize": lambda n: 1.5 + n % 50 / 100,
    "PatientWeight": lambda n: 40 + n % 80,
    "Occupation": lambda n: f"Occupation {n % 60}",
    "AdditionalPatientHistory": lambda n: f"history {n % 1000}",
    "StudyID": lambda n: f"S{n % 10_000}",
    "Modality": lambda n: ("CT", "MR", "CR", "US", "DX", "MG")[n % 6],
    "SeriesNumber": lambda n: n % 20,
    "SeriesDate": day,
    "SeriesTime": moment,
    "Manufacturer": lambda n: f"Maker {n % 7}",
    "InstitutionName": lambda n: f"Hospital {n % 10}",
    "StationName": lambda n: f"STATION{n % 30}",
    "SeriesDescription": lambda n: f"Series {n % 300}",
    "InstitutionalDepartmentName": lambda n: f"Department {n % 12}",
    "PerformingPhysicianName": lambda n: person(n % 80),
    "OperatorsName": lambda n: person(n % 120),
    "ManufacturerModelName": lambda n: f"Model {n % 25}",
    "BodyPartExamined": lambda n: ("CHEST", "HEAD", "ABDOMEN", "KNEE", "HAND")[n % 5],
    "DeviceSerialNumber": lambda n: f"D{n % 45}",
    "ProtocolName": lambda n: f"Protocol {n % 90}",
    "PatientPosition": lambda n: ("HFS", "FFS", "HFP")[n % 3],
    "FrameOfReferenceUID": lambda n: uid(900_000_000 + n),
    "Laterality": lambda n: "LR"[n % 2],
    "PerformedProcedureStepStartDate": day,
    "PerformedProcedureStepStartTime": moment,
    "PerformedProcedureStepID": lambda n: f"PPS{n:08}",
    "PerformedProcedureStepDescription": lambda n: f"Step {n % 100}",
    "SOPClassUID": lambda _: CT,
    "InstanceNumber": lambda n: n % 500,
    "ImageType": lambda n: ("ORIGINAL", "DERIVED")[n % 2],
    "AcquisitionDate": day,
    "ContentDate": day,
    "AcquisitionDateTime": lambda n: day(n) + moment(n),
    "AcquisitionTime": moment,
    "ContentTime": moment,
    "AcquisitionNumber": lambda n: n % 12,
    "NumberOfFrames": lambda n: 1 + n % 4,
    "Rows": lambda n: 256 * (1 + n % 4),
    "Columns": lambda n: 256 * (1 + n % 4),
    "BitsAllocated": lambda n: 8 * (1 + n % 2),
    "CompletionFlag": lambda n: ("COMPLETE", "PARTIAL")[n % 2],
    "VerificationFlag": lambda n: ("VERIFIED", "UNVERIFIED")[n % 2],
    "DocumentTitle": lambda n: f"Title {n % 150}",
}


def entries(number: int) -> Iterator[IndexEntry]:
    """Two instances in one series of one study."""
    study, series = uid(number * 10), uid(number * 10 + 1)
    attributes = {row.tag: _element(row.vr, make(number)) for row, make in _rows()}
    step = {tag: _element("SH", f"{tag[-3:]}-{number:08}") for tag in ("00400009", "00401001")}
    attributes["00400275"] = {"vr": "SQ", "Value": [step]}
    for instance in (uid(number * 10 + 2), uid(number * 10 + 3)):
        name = InstanceName("main", study, series, instance)
        names = zip(("0020000D", "0020000E", "00080018"), (study, series, instance), strict=True)
        found = BUILT_IN.extract({**attributes, **{tag: _element("UI", one) for tag, one in names}})
        digest = f"{number:064x}"
        key = ObjectName(name, digest).key
        yield IndexEntry(name, digest, key, 1000, CT, EXPLICIT, found)


def _rows() -> Iterator[tuple[Any, Callable[[int], Any]]]:
    return ((BY_KEYWORD[keyword], make) for keyword, make in VALUES.items())


def _element(vr: str, value: object) -> dict[str, Any]:
    return {"vr": vr, "Value": [{"Alphabetic": value} if vr == "PN" else value]}


async def fill(folder: Path, studies: int) -> None:
    """Make the index of an installation on this data directory."""
    index = await SqliteIndex.open(folder / "index")
    batch: list[IndexEntry] = []
    for number in range(studies):
        batch += entries(number)
        if len(batch) >= BATCH or number == studies - 1:
            await index.upsert(batch)
            batch = []
    await index.close()


def questions() -> Iterator[tuple[str, str, Callable[[int], dict[str, Any]]]]:
    """What is measured: its name, the resource, and the parameters for a study."""
    for row in TABLE:
        if not row.matched:
            continue
        if row.vr == "SQ":
            for tag in row.items:
                yield (
                    f"{row.keyword}.{tag}", RESOURCES[row.level],
                    lambda n, at=f"{row.tag}.{tag}", end=tag[-3:]: {at: f"{end}-{n:08}"},
                )  # fmt: skip
            continue
        make = _UIDS.get(row.keyword) or VALUES[row.keyword]
        yield row.keyword, RESOURCES[row.level], lambda n, k=row.keyword, m=make: {k: m(n)}
    yield "(no key)", "studies", lambda _: {}
    yield "PatientName, beginning", "studies", lambda n: {"PatientName": f"{person(n)[:5]}*"}
    yield (
        "PatientName, fuzzy", "studies",
        lambda n: {"PatientName": person(n).split("^")[0], "fuzzymatching": "true"},
    )  # fmt: skip
    yield "StudyDate, month", "studies", _month
    yield (
        "StudyDate, ModalitiesInStudy", "studies",
        lambda n: {**_month(n), "ModalitiesInStudy": VALUES["Modality"](n)},
    )  # fmt: skip
    for tag in ORDERS:
        keyword = next(row.keyword for row in TABLE if row.tag == tag)
        yield f"orderby {keyword}", "studies", lambda _, k=keyword: {"orderby": f"-{k}"}


def _month(number: int) -> dict[str, Any]:
    return {"StudyDate": f"{day(number)[:6]}01-{day(number)[:6]}28"}


_UIDS: Mapping[str, Callable[[int], Any]] = {
    "StudyInstanceUID": lambda n: uid(n * 10),
    "SeriesInstanceUID": lambda n: uid(n * 10 + 1),
    "SOPInstanceUID": lambda n: uid(n * 10 + 2),
    "ModalitiesInStudy": VALUES["Modality"],
    "SOPClassesInStudy": lambda _: CT,
}


def measure(
    client: http.client.HTTPConnection, path: str, parameters: Iterator[dict[str, Any]]
) -> tuple[list[float], int]:
    """Seconds of each request, and the most answers that one of them told of."""
    seconds, most = [], 0
    for asked in parameters:
        query = urllib.parse.urlencode({**asked, "limit": LIMIT})
        started = time.perf_counter()
        client.request("GET", f"{path}?{query}", headers={"Accept": "application/dicom+json"})
        answer = client.getresponse()
        found = json.loads(answer.read())
        seconds.append(time.perf_counter() - started)
        total = int(answer.headers["X-Total-Count"])
        if answer.status != 200 or len(found) != min(LIMIT, total) or not total:
            raise SystemExit(f"bench: {path}?{query} answered {answer.status}, {total} in all")
        most = max(most, total)
    return seconds, most


def main() -> int:
    """Exit code 0 when every key is as fast as it must be."""
    parser = argparse.ArgumentParser(prog="python -m bench.search_keys", description=__doc__)
    parser.add_argument("--studies", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=40, help="of each key")
    parser.add_argument("--only", default="", help="keys that begin with this")
    parser.add_argument("--scratch", type=Path, help="kept, and not filled again where it is")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="isocenter-bench-") as temporary:
        folder = options.scratch or Path(temporary) / "side"
        data = folder / "data"
        if not (data / "index").exists():
            data.mkdir(parents=True)
            asyncio.run(fill(data, options.studies))
        with ours.start(folder, ("NOBODY", 11112)) as server:
            return _report(server.dicomweb, options.studies, options.requests, options.only)


def _report(dicomweb: str, studies: int, requests: int, only: str) -> int:
    chosen = random.Random(1)
    address = urllib.parse.urlsplit(dicomweb)
    assert address.hostname
    client = http.client.HTTPConnection(address.hostname, address.port or 80, timeout=300)
    slow = []
    for name, resource, parameters in questions():
        if not name.startswith(only):
            continue
        path = f"{address.path}/{resource}"
        numbers = [chosen.randrange(studies) for _ in range(requests)]
        measure(client, path, iter([parameters(numbers[0])]))
        seconds, most = measure(client, path, map(parameters, numbers))
        median, high = statistics.median(seconds), statistics.quantiles(seconds, n=20)[-1]
        slow += [name] if high > MOST else []
        mark = "  SLOW" if high > MOST else ""
        print(
            f"{name:36} {resource:10} median {median * 1e3:8.1f} ms  p95 {high * 1e3:8.1f} ms"
            f"  of {most}{mark}",
            flush=True,
        )
    print(f"{len(slow)} slower than {MOST * 1e3:.0f} ms" + (f": {', '.join(slow)}" if slow else ""))
    return bool(slow)


if __name__ == "__main__":
    raise SystemExit(main())
