"""A table of requests to DICOMweb, and answers to them in a form in which two installations that
keep the same are compared byte for byte."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pydicom

from support.harness import Reached, wait_until
from support.senders import STOW_HEADERS, stow_body

FILES = Path(pydicom.__file__).parent / "data" / "test_files"
HELD = (
    "CT_small.dcm",  # native
    "JPEG2000.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",  # JPEG Baseline, and in one study with the next
    "SC_rgb_jpeg_gdcm.dcm",  # JPEG Lossless
    "rtdose.dcm",  # 15 frames in Implicit VR
    "ExplVR_BigEnd.dcm",
    "image_dfl.dcm",  # deflated
    "examples_palette.dcm",
    "waveform_ecg.dcm",  # large values that are no pixels
    "test-SR.dcm",
    "rtplan.dcm",  # sequences
)
PARTS = "multipart/related; type="
PROBLEM = "application/problem+json"
# What both are told, so that addresses and problem documents do not differ.
SAME = {"Host": "localhost:8080", "X-Request-Id": "the-same-request"}
DATES = ("last-modified",)


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    accept: str = "*/*"
    method: str = "GET"
    fields: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def __str__(self) -> str:
        more = [self.accept, *(f"{name}: {value}" for name, value in self.fields.items())]
        return " ".join([self.method, self.path, *more])[:150]


@dataclass(frozen=True)
class Answered:
    """What came back, without what may differ."""

    status: int
    fields: Mapping[str, str]
    body: bytes


def ask(of: Reached, asked: Asked) -> Answered:
    """The answer of an installation."""
    address = f"{of.http_url}{asked.path}"
    headers = {**SAME, "Accept": asked.accept, **asked.fields}
    answer = httpx.request(asked.method, address, headers=headers, content=asked.body, timeout=60)
    fields = {name: value for name, value in answer.headers.items() if name != "date"}
    body = answer.content
    boundary = re.search(r'boundary="?([^";]+)', fields.get("content-type", ""))
    if boundary:
        fields["content-type"] = fields["content-type"].replace(boundary[1], "boundary")
        body = body.replace(boundary[1].encode(), b"boundary")
    # What is no HTTP/1.1 is answered before its header fields are read: it gets an id of its own.
    body = re.sub(rb"urn:request:[0-9a-f]{32}", b"urn:request", body)
    for name in DATES:
        if name in fields:
            assert parsedate_to_datetime(fields[name])
            fields[name] = "a date"
    return Answered(answer.status_code, fields, body)


def fill(installation: Reached) -> None:
    """Store everything, and wait until it is findable at every level."""
    for name in HELD:
        answer = httpx.post(
            f"{installation.dicomweb}/studies",
            content=stow_body(FILES / name),
            headers=STOW_HEADERS,
            timeout=60,
        )
        assert answer.status_code == 200, (name, answer.text)

    def complete() -> bool:
        found = installation.search("/studies?includefield=00201208&limit=100")
        return sum(one["00201208"]["Value"][0] for one in found) == len(HELD)

    wait_until(complete, 60, "all instances are counted")


def place_of(name: str) -> tuple[str, str, str]:
    """The addresses of a file's study, series and instance."""
    header = pydicom.dcmread(FILES / name, stop_before_pixels=True)
    study = f"/dicomweb/studies/{header.StudyInstanceUID}"
    series = f"{study}/series/{header.SeriesInstanceUID}"
    return study, series, f"{series}/instances/{header.SOPInstanceUID}"


def requests() -> Iterator[Asked]:
    """The table."""
    for name in HELD:
        yield from _retrieves(*place_of(name))
    yield from _searches(place_of("CT_small.dcm"))
    yield from _special(*place_of("CT_small.dcm"))
    yield from _pictures(place_of("rtdose.dcm")[2])
    yield from _errors(*place_of("CT_small.dcm"))
    yield from _stores()


def _retrieves(study: str, series: str, instance: str) -> Iterator[Asked]:
    """What each kind of object is asked for."""
    yield Asked(series + "/metadata", "application/dicom+json")
    yield Asked(study + "/metadata", f'{PARTS}"application/dicom+xml"')
    yield Asked(instance, "application/dicom; transfer-syntax=*")
    yield Asked(instance, "application/dicom")
    yield Asked(study, f'{PARTS}"application/dicom"; transfer-syntax=*')
    yield Asked(study, "application/zip")
    yield Asked(instance + "/frames/1", f'{PARTS}"application/octet-stream"; transfer-syntax=*')
    yield Asked(instance + "/frames/1", "application/octet-stream")
    yield Asked(instance + "/rendered", "image/png")
    yield Asked(study + "/thumbnail", "image/png")
    yield Asked(instance + "/bulkdata")
    yield Asked(series + "/pixeldata")
    yield Asked(instance, "*/*", "HEAD")


def _searches(place: tuple[str, str, str]) -> Iterator[Asked]:
    study, series, _ = place
    root, xml = "/dicomweb", f'{PARTS}"application/dicom+xml"'
    for query in (
        "", "?limit=2", "?limit=2&offset=2", "?PatientID=1CT1", "?PatientName=compressed*",
        "?PatientName=Lestrade&fuzzymatching=true", "?StudyDate=20040101-20041231",
        "?ModalitiesInStudy=CT", "?ModalitiesInStudy=CT,US", "?includefield=all",
        "?includefield=StudyDescription", "?orderby=StudyDate", "?orderby=-PatientName&limit=3",
        "?AccessionNumber=", "?StudyInstanceUID=" + study.rpartition("/")[2], "?limit=0",
        "?PatientName=nobody", "?00100020=ID1", "?NumberOfFrames=1", "?emptyvaluematching=true",
    ):  # fmt: skip
        yield Asked(f"{root}/studies{query}")
    for level in ("/series", "/instances"):
        yield Asked(f"{root}{level}?includefield=all")
        yield Asked(f"{root}{level}?limit=3&offset=1", xml)
        yield Asked(f"{root}{level}?Modality=CT")
    for path in (study + "/series", study + "/instances", series + "/instances"):
        yield Asked(path)
        yield Asked(path, "*/*", "HEAD")
    yield Asked(f"{root}/series?RequestAttributesSequence.RequestedProcedureID=*")
    yield Asked(f"{root}/instances?SOPClassUID=1.2.840.10008.5.1.4.1.1.2&InstanceNumber=1")


def _special(study: str, series: str, instance: str) -> Iterator[Asked]:
    """Conditions, ranges and descriptions."""
    value, octets = instance + "/bulkdata/7FE00010", "application/octet-stream"
    for asked in ("bytes=0-99", "bytes=-10", "bytes=100-", "bytes=99999999-", "bytes=0-1,4-5"):
        yield Asked(value, octets, fields={"Range": asked})
    for path in (study, series + "/metadata", instance + "/frames/1", value):
        yield Asked(path, fields={"If-None-Match": "*"})
        yield Asked(path, fields={"If-Modified-Since": "Fri, 31 Dec 2099 00:00:00 GMT"})
        yield Asked(path, fields={"If-Match": '"other"'})
    for path in ("/dicomweb", "/dicomweb/", "/api/openapi.json", "/", "/livez"):
        yield Asked(path)
    for path in ("/dicomweb", study, value):
        yield Asked(path, method="OPTIONS")


def _pictures(instance: str) -> Iterator[Asked]:
    yield Asked(instance + "/frames/1,3,15", f'{PARTS}"application/octet-stream"')
    yield Asked(instance + "/frames/2/rendered?viewport=8,8", "image/jpeg")
    yield Asked(instance + "/frames/2/rendered?window=100,50,linear&quality=50", "image/png")
    yield Asked(instance + "/frames/1,2/rendered", f'{PARTS}"image/png"')
    yield Asked(instance + "/rendered", "image/gif")
    yield Asked(instance + "/frames/15/thumbnail", "image/webp")
    study, series, uid = instance.split("/")[3::2]
    wado = f"/wado?requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={uid}"
    for more in ("", "&contentType=image/png&frameNumber=3&rows=16", "&frameNumber=x"):
        yield Asked(wado + more)


def _errors(study: str, series: str, instance: str) -> Iterator[Asked]:
    for path in (
        "/dicomweb/studies/9.9", "/dicomweb/studies/1..2", "/dicomweb/studies/9.9/metadata",
        series + "/instances/9.9", instance + "/frames/2", instance + "/frames/0",
        instance + "/frames/x", instance + "/bulkdata/00100010", instance + "/bulkdata/zz",
        instance + "/rendered?window=1", instance + "/rendered?quality=0", "/nowhere",
        "/dicomweb/studies?limit=x", "/dicomweb/studies?limit=1&limit=2",
        "/dicomweb/studies?StudyDate=yesterday", "/dicomweb/studies?PatientName=%FF",
        study + "/metadata?charset=latin1", "/dicomweb/series?orderby=StudyDate",
        "/changes?since=nonsense",
    ):  # fmt: skip
        yield Asked(path)
    for path in (study, study + "/metadata", instance + "/frames/1", "/dicomweb/studies"):
        yield Asked(path, "text/html")
        yield Asked(path, "image/png, application/dicom")
    for method in ("PUT", "PATCH", "NONSENSE"):
        yield Asked(study, method=method)


def _stores() -> Iterator[Asked]:
    """Of what is kept already, or must not be kept: nothing changes."""
    root, kind = "/dicomweb/studies", {"Content-Type": STOW_HEADERS["Content-Type"]}
    known = stow_body(FILES / "CT_small.dcm")
    yield Asked(root, "application/dicom+json", "POST", kind, known)
    yield Asked(root, "application/dicom+xml", "POST", kind, known)
    yield Asked(root + "/9.9", "application/dicom+json", "POST", kind, known)
    yield Asked(root, "application/dicom+json", "POST", kind, known[:20_000])
    yield Asked(root, "application/dicom+json", "POST", kind, b"nonsense")
    yield Asked(root, "application/dicom+json", "POST", kind, b"")
    yield Asked(root, "text/html", "POST", kind, known)
    yield Asked(root, "application/dicom+json", "POST", {"Content-Type": "text/plain"}, b"x")
    yield Asked(root, "application/dicom+json", "POST", {**kind, "Content-Encoding": "br"}, known)
