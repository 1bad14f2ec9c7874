"""An image travels end to end with unchanged, independent clients, in both shapes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

from support.clients import dcmtk, run, storescp
from support.files import Series, count_instances, data_set_bytes, find_instances, write_series
from support.harness import Isocenter, wait_until

T = TypeVar("T")

NAGLE = pytest.mark.parametrize("nagle", [True, False], ids=["default", "nodelay"])


@pytest.fixture
def series(tmp_path: Path) -> Series:
    """Eight slices of a new study in files."""
    return write_series(tmp_path / "sent", count=8)


@pytest.fixture
def stored(isocenter: Isocenter, series: Series) -> Series:
    """The same, stored with storescu and findable."""
    outcome = dcmtk("storescu", isocenter, "+sd", series.folder)
    assert outcome.code == 0, outcome.text
    wait_until(
        lambda: (
            len(find_instances(isocenter, series.study)) == series.count
            and count_instances(isocenter, series.study) == series.count
        ),
        what="all instances are findable and counted",
    )
    return series


def test_echoscu_is_answered(isocenter: Isocenter) -> None:
    outcome = dcmtk("echoscu", isocenter)
    assert outcome.code == 0, outcome.text


@NAGLE
def test_storescu_stores_and_every_instance_is_found_once(
    isocenter: Isocenter, series: Series, nagle: bool
) -> None:
    outcome = dcmtk("storescu", isocenter, "+sd", series.folder, nagle=nagle)
    assert outcome.code == 0, outcome.text
    found = wait_until(
        lambda: (it := find_instances(isocenter, series.study)) and len(it) == series.count and it
    )
    assert sorted(found) == sorted(series.files)


def test_findscu_finds_at_every_level(isocenter: Isocenter, stored: Series) -> None:
    for model, level, keys, expected in (
        ("-P", "PATIENT", {"PatientID": stored.patient_id, "PatientName": ""}, 1),
        ("-S", "STUDY", {"StudyInstanceUID": stored.study, "PatientID": ""}, 1),
        ("-S", "SERIES", {"StudyInstanceUID": stored.study, "SeriesInstanceUID": ""}, 1),
        (
            "-S",
            "IMAGE",
            {
                "StudyInstanceUID": stored.study,
                "SeriesInstanceUID": stored.series,
                "SOPInstanceUID": "",
            },
            stored.count,
        ),
    ):
        arguments = [model, "-k", f"QueryRetrieveLevel={level}"]
        for key, value in keys.items():
            arguments += ["-k", f"{key}={value}" if value else key]
        outcome = dcmtk("findscu", isocenter, *arguments)
        assert outcome.code == 0, outcome.text
        assert outcome.text.count("(Pending)") == expected, (level, outcome.text)


@NAGLE
def test_getscu_brings_back_the_same_data_sets(
    isocenter: Isocenter, stored: Series, tmp_path: Path, nagle: bool
) -> None:
    folder = tmp_path / "got"
    folder.mkdir()
    outcome = dcmtk(
        "getscu",
        isocenter,
        *("-S", "-od", folder, "-k", "QueryRetrieveLevel=STUDY"),
        *("-k", f"StudyInstanceUID={stored.study}"),
        nagle=nagle,
    )
    assert outcome.code == 0, outcome.text
    assert _data_sets(folder) == _data_sets(stored.folder)


@NAGLE
def test_movescu_sends_to_storescp_the_same_data_sets(
    isocenter: Isocenter, stored: Series, tmp_path: Path, nagle: bool
) -> None:
    folder = tmp_path / "moved"
    with storescp(folder, port=isocenter.destination_port):
        outcome = dcmtk(
            "movescu",
            isocenter,
            *("-S", "-aem", "DESTINATION", "-k", "QueryRetrieveLevel=SERIES"),
            *("-k", f"StudyInstanceUID={stored.study}"),
            *("-k", f"SeriesInstanceUID={stored.series}"),
            nagle=nagle,
        )
    assert outcome.code == 0, outcome.text
    assert _data_sets(folder) == _data_sets(stored.folder)


def test_move_to_unknown_and_to_dead_destinations_is_refused(
    isocenter: Isocenter, stored: Series
) -> None:
    keys = ("-S", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={stored.study}")
    unknown = dcmtk("movescu", isocenter, "-v", "-aem", "NOBODY", *keys)
    assert "MoveDestinationUnknown" in unknown.text, unknown.text
    dead = dcmtk("movescu", isocenter, "-v", "-aem", "DEAD", *keys)
    assert dead.code != 0 or "UnableToPerformSubOperations" in dead.text or "0xa702" in dead.text
    assert dcmtk("echoscu", isocenter).code == 0


def test_pynetdicom_stores_finds_and_gets(isocenter: Isocenter, series: Series) -> None:
    received: list[pydicom.Dataset] = []

    def on_store(event: evt.Event) -> int:
        received.append(event.dataset)
        return 0x0000

    ae = AE("PYNETDICOM")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelGet)
    role = build_role(CTImageStorage, scp_role=True, scu_role=True)
    association = ae.associate(
        isocenter.host,
        isocenter.dicom_port,
        ae_title=isocenter.ae_title,
        ext_neg=[role],
        evt_handlers=[(evt.EVT_C_STORE, on_store)],
    )
    assert association.is_established
    for path in series.files.values():
        assert association.send_c_store(path).Status == 0x0000
    wait_until(lambda: len(find_instances(isocenter, series.study)) == series.count)
    identifier = pydicom.Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = series.study
    found = [
        answer
        for status, answer in association.send_c_find(
            identifier, StudyRootQueryRetrieveInformationModelFind
        )
        if status.Status in (0xFF00, 0xFF01)
    ]
    assert [answer.StudyInstanceUID for answer in found] == [series.study]
    *_, (final, _) = association.send_c_get(identifier, StudyRootQueryRetrieveInformationModelGet)
    association.release()
    assert final.Status == 0x0000
    assert {instance.SOPInstanceUID for instance in received} == set(series.files)


def test_dicomweb_client_stores_searches_and_retrieves(
    isocenter: Isocenter, series: Series
) -> None:
    client = DICOMwebClient(isocenter.dicomweb)
    instances = [pydicom.dcmread(path) for path in series.files.values()]
    answer = client.store_instances(instances)
    assert len(answer.ReferencedSOPSequence) == series.count
    wait_until(lambda: len(find_instances(isocenter, series.study)) == series.count)
    studies = client.search_for_studies(search_filters={"PatientID": series.patient_id})
    assert [study["0020000D"]["Value"][0] for study in studies] == [series.study]
    retrieved = client.retrieve_series(series.study, series.series)
    assert {instance.SOPInstanceUID for instance in retrieved} == set(series.files)
    metadata = client.retrieve_series_metadata(series.study, series.series)
    assert {one["00080018"]["Value"][0] for one in metadata} == set(series.files)
    uid, path = next(iter(series.files.items()))
    (frame,) = client.retrieve_instance_frames(series.study, series.series, uid, [1])
    assert frame == pydicom.dcmread(path).PixelData
    rendered = client.retrieve_instance_rendered(
        series.study, series.series, uid, media_types=("image/png",)
    )
    assert rendered.startswith(b"\x89PNG")


def test_curl_stores_and_retrieves_the_same_bytes(
    isocenter: Isocenter, series: Series, tmp_path: Path
) -> None:
    uid, path = next(iter(series.files.items()))
    body = tmp_path / "body"
    body.write_bytes(
        b"--sep\r\nContent-Type: application/dicom\r\n\r\n" + path.read_bytes() + b"\r\n--sep--\r\n"
    )
    stored = run(
        "curl",
        *("-sS", "-w", "%{http_code}", "-o", tmp_path / "answer"),
        *("-H", 'Content-Type: multipart/related; type="application/dicom"; boundary=sep'),
        *("-H", "Accept: application/dicom+json"),
        *("--data-binary", f"@{body}", f"{isocenter.dicomweb}/studies"),
    )
    assert stored.text.endswith("200"), stored.text
    answer = json.loads((tmp_path / "answer").read_bytes())
    assert answer["00081199"]["Value"][0]["00081155"]["Value"] == [uid]
    got = tmp_path / "got.dcm"
    retrieved = run(
        "curl",
        *("-sSf", "-o", got, "-H", "Accept: application/dicom; transfer-syntax=*"),
        f"{isocenter.dicomweb}/studies/{series.study}/series/{series.series}/instances/{uid}",
    )
    assert retrieved.code == 0, retrieved.text
    assert data_set_bytes(got) == data_set_bytes(path)


def test_the_same_instance_again_is_one_object(isocenter: Isocenter, stored: Series) -> None:
    before = json.loads(isocenter.get(f"/studies/{stored.study}/metadata"))
    again = dcmtk("storescu", isocenter, "+sd", stored.folder)
    assert again.code == 0, again.text
    assert json.loads(isocenter.get(f"/studies/{stored.study}/metadata")) == before
    assert len(isocenter.objects.contents(stored.study)) == stored.count


def test_another_content_under_the_same_uid_is_kept_and_reported(
    isocenter: Isocenter, stored: Series, tmp_path: Path
) -> None:
    uid, path = next(iter(stored.files.items()))
    other = pydicom.dcmread(path)
    other.ImageComments = "another content"
    changed = tmp_path / "changed.dcm"
    other.save_as(changed)
    assert dcmtk("storescu", isocenter, changed).code == 0
    assert len(isocenter.objects.contents(stored.study, uid)) == 2
    reported = wait_until(
        lambda: [
            record for record in _audit(isocenter, stored.study) if record["action"] == "conflict"
        ],
        what="the conflict is in the audit trail",
    )
    assert len(reported) == 1
    assert len(find_instances(isocenter, stored.study)) == stored.count
    (metadata,) = json.loads(
        isocenter.get(f"/studies/{stored.study}/series/{stored.series}/instances/{uid}/metadata")
    )
    assert "00204000" not in metadata, "the first one stays current"


def test_the_same_sop_instance_uid_in_two_studies_is_two_instances(
    isocenter: Isocenter, stored: Series, tmp_path: Path
) -> None:
    path = next(iter(stored.files.values()))
    copy = pydicom.dcmread(path)
    copy.StudyInstanceUID, copy.SeriesInstanceUID = generate_uid(), generate_uid()
    copy.ImageComments = "in another study"
    file = tmp_path / "copy.dcm"
    copy.save_as(file)
    assert dcmtk("storescu", isocenter, file).code == 0
    wait_until(lambda: find_instances(isocenter, copy.StudyInstanceUID))
    (theirs,) = json.loads(isocenter.get(f"/studies/{copy.StudyInstanceUID}/metadata"))
    assert theirs["00204000"]["Value"] == ["in another study"]
    ours = json.loads(isocenter.get(f"/studies/{stored.study}/metadata"))
    assert len(ours) == stored.count
    assert all("00204000" not in one for one in ours)


def test_every_access_is_in_the_audit_trail(
    isocenter: Isocenter, stored: Series, tmp_path: Path
) -> None:
    isocenter.search(f"/studies?StudyInstanceUID={stored.study}")
    isocenter.get(f"/studies/{stored.study}/metadata")
    folder = tmp_path / "got"
    folder.mkdir()
    dcmtk(
        "getscu",
        isocenter,
        *("-S", "-od", folder, "-k", "QueryRetrieveLevel=STUDY"),
        *("-k", f"StudyInstanceUID={stored.study}"),
        calling="AUDITED",
    )
    records = wait_until(
        lambda: (
            (found := _audit(isocenter, stored.study))
            and {"store", "retrieve"} <= {record["action"] for record in found}
            and any(record["source"]["ae_title"] == "AUDITED" for record in found)
            and found
        ),
        what="store and retrieve are recorded",
    )
    retrieved = [record for record in records if record["source"]["ae_title"] == "AUDITED"]
    assert retrieved[0]["instance_count"] == stored.count
    assert retrieved[0]["outcome"] == "success"
    stores = [record for record in records if record["action"] == "store"]
    assert sum(record["instance_count"] for record in stores) == stored.count


def test_rebuild_gives_the_same_answers(isocenter: Isocenter, stored: Series) -> None:
    paths = ("/studies", "/series", f"/studies/{stored.study}/instances?includefield=all")
    before = _settled(lambda: [isocenter.search(path) for path in paths])
    done = isocenter.cli("rebuild")
    assert done.returncode == 0, done.stderr
    assert [isocenter.search(path) for path in paths] == before


def test_verify_finds_a_corrupted_object_and_retrieval_fails_loudly(
    isocenter: Isocenter, stored: Series
) -> None:
    uid = next(iter(stored.files))
    assert isocenter.cli("verify", "--study", stored.study).returncode == 0
    ((key, content),) = isocenter.objects.contents(stored.study, uid).items()
    isocenter.objects.overwrite(key, content[:-10] + bytes([content[-10] ^ 0xFF]) + content[-9:])
    verified = isocenter.cli("verify", "--study", stored.study)
    assert verified.returncode == 1
    assert uid in verified.stderr
    outcome = run(
        "curl",
        *("-sS", "-f", "-o", "/dev/null", "-H", "Accept: application/dicom; transfer-syntax=*"),
        f"{isocenter.dicomweb}/studies/{stored.study}/series/{stored.series}/instances/{uid}",
    )
    assert outcome.code != 0, "a corrupted object must not be answered as if it were whole"


def _settled(look: Callable[[], T]) -> T:
    """What is seen once it has not changed for longer than indexing rests: tests before this one
    may have stored something too."""
    seen, since = look(), time.monotonic()

    def still() -> bool:
        nonlocal seen, since
        now = look()
        if now != seen:
            seen, since = now, time.monotonic()
        return time.monotonic() - since > 2

    wait_until(still, 60, "nothing changes any more")
    return seen


def _data_sets(folder: Path) -> set[str]:
    return {
        hashlib.sha256(data_set_bytes(path)).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _audit(isocenter: Isocenter, study: str) -> list[dict]:  # type: ignore[type-arg]
    listed = isocenter.cli("audit list", "--json", "--study", study, "--limit", "1000")
    assert listed.returncode == 0, listed.stderr
    return [json.loads(line) for line in listed.stdout.splitlines()]
