"""Whole answers over HTTP against the tables of PS3.18 and against pydicom's reading of the files.

One installation is looked at: `test_same_answers` holds that every shape answers alike.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from email import message_from_bytes
from typing import Any

import httpx
import pydicom
import pytest
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.uid import ExplicitVRBigEndian

from isocenter.core.attributes import TABLE
from isocenter.core.matching import Level
from support.dicomweb_tables import payload
from support.harness import Isocenter, running
from support.json_models import comparable, theirs_of, with_our_differences
from support.senders import STOW_HEADERS, stow_body
from support.web_answers import FILES, HELD, fill, place_of

STUDY, SERIES, INSTANCE = payload("study"), payload("series"), payload("instance")
AVAILABILITY, RETRIEVE_URL = "00080056", "00081190"
UIDS = {"study": "0020000D", "series": "0020000E", "instance": "00080018"}
# PS3.18 10.6.3.3: what each resource is answered with.
RESOURCES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "/studies": ("study", STUDY),
    "/series": ("series", {**STUDY, **SERIES}),
    "/instances": ("instance", {**STUDY, **SERIES, **INSTANCE}),
    "{study}/series": ("series", SERIES),
    "{study}/instances": ("instance", {**SERIES, **INSTANCE}),
    "{series}/instances": ("instance", INSTANCE),
}
# What only the service knows: not in the file.
COUNTS = {f"{tag_for_keyword(name):08X}" for name in (
    "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances",
    "NumberOfSeriesRelatedInstances",
)}  # fmt: skip
MODALITIES = "00080061"
OF_THE_SERVICE = COUNTS | {AVAILABILITY, RETRIEVE_URL, MODALITIES}


@pytest.fixture(scope="module")
def isocenter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Isocenter]:
    """An installation that keeps the files of `HELD` alone."""
    with running(tmp_path_factory.mktemp("whole") / "data") as installation:
        fill(installation)
        yield installation


def _model(name: str) -> dict[str, Any]:
    """What pydicom reads of a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return with_our_differences(theirs_of(FILES / name))


def _names(model: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(model[tag]["Value"][0] for tag in UIDS.values())


@pytest.fixture(scope="module")
def models() -> Mapping[tuple[str, ...], dict[str, Any]]:
    """All files by their UIDs."""
    return {_names(model): model for model in map(_model, HELD)}


def _asked(isocenter: Isocenter, resource: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every answer of a resource, of all addresses that it has, with that."""
    level = RESOURCES[resource][0]
    addresses = {resource.format(study=of[0], series=of[1]) for of in map(place_of, HELD)}
    for address in sorted(addresses):
        path = address.removeprefix("/dicomweb")
        for answer in isocenter.search(f"{path}?limit=100"):
            assert UIDS[level] in answer
            yield path, answer


@pytest.mark.parametrize("resource", RESOURCES)
def test_answers_to_searches_have_what_the_tables_require(
    isocenter: Isocenter, models: Mapping[tuple[str, ...], dict[str, Any]], resource: str
) -> None:
    level, table = RESOURCES[resource]
    documented = {row.tag for row in TABLE if row.default} | {AVAILABILITY, RETRIEVE_URL}
    seen = 0
    for path, answer in _asked(isocenter, resource):
        seen += 1
        assert list(answer) == sorted(answer)  # F.2.2
        always = {tag for tag, type_ in table.items() if type_ != "C"} - INSTANCE.keys()
        assert answer.keys() >= always, path
        assert answer.keys() <= documented | table.keys()
        assert answer[AVAILABILITY] == {"vr": "CS", "Value": ["ONLINE"]}
        of = _of(models, level, path, answer)
        _check_address(isocenter, level, answer, of)
        _check_counts(answer, models.values())
        for tag, type_ in table.items():
            known = [model[tag] for model in of if "Value" in model.get(tag, {})]
            if tag in OF_THE_SERVICE or not known:
                continue
            assert tag in answer, (path, tag)
            if type_ != "C" or len(of) == 1:
                assert answer[tag] in known, (path, tag)
    levels = {"study": 1, "series": 2, "instance": 3}
    assert seen == len({names[: levels[level]] for names in models})


def _of(
    models: Mapping[tuple[str, ...], dict[str, Any]],
    level: str,
    path: str,
    answer: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """The files that an answer is about."""
    uid = answer[UIDS[level]]["Value"]
    found = [model for model in models.values() if model[UIDS[level]]["Value"] == uid]
    assert found, path
    return found


def _check_address(
    isocenter: Isocenter, level: str, answer: Mapping[str, Any], of: list[dict[str, Any]]
) -> None:
    """Retrieve URL leads to what the answer is about."""
    parts = zip(("studies", "series", "instances"), _names(of[0]), strict=True)
    depth = {"study": 1, "series": 2, "instance": 3}[level]
    path = "".join(f"/{name}/{uid}" for name, uid in list(parts)[:depth])
    assert answer[RETRIEVE_URL] == {"vr": "UR", "Value": [isocenter.dicomweb + path]}
    assert httpx.head(answer[RETRIEVE_URL]["Value"][0]).status_code == 200


def _check_counts(answer: Mapping[str, Any], models: Iterable[dict[str, Any]]) -> None:
    """What the service counts and collects, from the files of the study and of the series."""
    of_study = [one for one in models if one[UIDS["study"]] == answer[UIDS["study"]]]
    of_series = [one for one in of_study if one[UIDS["series"]] == answer.get(UIDS["series"])]
    series = {model[UIDS["series"]]["Value"][0] for model in of_study}
    counts = {"00201206": len(series), "00201208": len(of_study), "00201209": len(of_series)}
    for tag in counts.keys() & answer.keys():
        assert answer[tag] == {"vr": "IS", "Value": [counts[tag]]}
    if MODALITIES in answer:
        modalities = {value for one in of_study for value in one["00080060"].get("Value", ())}
        assert set(answer[MODALITIES].get("Value", ())) == modalities


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("name", HELD)
def test_metadata_are_what_pydicom_reads(isocenter: Isocenter, name: str, level: int) -> None:
    place = place_of(name)
    path = place[level].removeprefix("/dicomweb")
    theirs = _model(name)
    (ours,) = [
        one
        for one in isocenter_metadata(isocenter, path)
        if one["00080018"]["Value"] == theirs["00080018"]["Value"]
    ]
    pixels = {tag: ours.pop(tag) for tag in list(ours) if tag in ("7FE00010", "FFFCFFFC")}
    base = f"{isocenter.http_url}{place[2]}/bulkdata/"
    assert list(ours) == sorted(ours)
    assert comparable(ours, theirs, base) == {
        tag: value for tag, value in theirs.items() if tag != "FFFCFFFC"
    }
    file = pydicom.dcmread(FILES / name)
    assert ("7FE00010" in pixels) == ("PixelData" in file)
    if "7FE00010" in pixels:
        assert pixels["7FE00010"]["BulkDataURI"] == base + "7FE00010"


def isocenter_metadata(isocenter: Isocenter, path: str) -> list[dict[str, Any]]:
    """The metadata at or below an address."""
    answer = httpx.get(f"{isocenter.dicomweb}{path}/metadata")
    assert answer.headers["content-type"] == "application/dicom+json"
    found: list[dict[str, Any]] = answer.json()
    return found


@pytest.mark.parametrize("name", HELD)
def test_every_bulk_data_address_gives_the_value(isocenter: Isocenter, name: str) -> None:
    path = place_of(name)[2].removeprefix("/dicomweb")
    (model,) = isocenter_metadata(isocenter, path)
    file = pydicom.dcmread(FILES / name)
    swapped = file.file_meta.TransferSyntaxUID == ExplicitVRBigEndian
    for address, value in _values(model, file, swapped=swapped):
        answer = httpx.get(address, headers={"Accept": "application/octet-stream"})
        assert answer.status_code == 200, address
        assert answer.content == value, address


def _values(
    model: Mapping[str, Any], file: Dataset, *, swapped: bool
) -> Iterator[tuple[str, bytes]]:
    """Addresses of bulk data, and the bytes that pydicom has there, in little endian."""
    for tag, element in model.items():
        theirs = file[int(tag, 16)]
        if element["vr"] == "SQ":
            for item, inner in zip(element.get("Value", ()), theirs.value, strict=True):
                yield from _values(item, inner, swapped=swapped)
        value = theirs.value
        if "BulkDataURI" not in element or theirs.is_undefined_length:  # frames, each a part
            continue
        if element["vr"] == "OW" and swapped:
            value = b"".join(value[at : at + 2][::-1] for at in range(0, len(value), 2))
        yield element["BulkDataURI"], value


@pytest.mark.parametrize("name", HELD)
def test_an_answer_to_store_has_what_table_i_1_requires(isocenter: Isocenter, name: str) -> None:
    study, _, instance = place_of(name)
    answer = httpx.post(
        f"{isocenter.dicomweb}/studies", content=stow_body(FILES / name), headers=STOW_HEADERS
    )
    file = pydicom.dcmread(FILES / name, stop_before_pixels=True)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom+json")
    assert answer.json() == {
        RETRIEVE_URL: {"vr": "UR", "Value": [isocenter.http_url + study]},
        "00081199": {"vr": "SQ", "Value": [{
            "00081150": {"vr": "UI", "Value": [file.SOPClassUID]},
            "00081155": {"vr": "UI", "Value": [file.SOPInstanceUID]},
            RETRIEVE_URL: {"vr": "UR", "Value": [isocenter.http_url + instance]},
        }]},
    }  # fmt: skip


def test_levels_below_are_not_answered_above(isocenter: Isocenter) -> None:
    """10.6.3.3: attributes of levels below are not returned, asked for or not."""
    for level, above in ((Level.SERIES, "/studies"), (Level.INSTANCE, "/series")):
        below = [row for row in TABLE if row.level is level]
        named = ",".join(row.keyword for row in below)
        answers = isocenter.search(f"{above}?includefield={named}")
        assert answers
        for answer in answers:
            assert not answer.keys() & {row.tag for row in below}


@pytest.mark.parametrize("name", HELD)
def test_parts_of_a_study_are_its_files(isocenter: Isocenter, name: str) -> None:
    study = place_of(name)[0]
    accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
    answer = httpx.get(isocenter.http_url + study, headers={"Accept": accept})
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    parts = message_from_bytes(head + answer.content).get_payload()
    mates = [one for one in HELD if place_of(one)[0] == study]
    places = {isocenter.http_url + place_of(one)[2] for one in mates}
    assert {part["Content-Location"] for part in parts} == places  # type: ignore[union-attr, index]
