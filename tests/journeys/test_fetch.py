"""`isocenter query` and `fetch`: from archives of others, and from a second one of ours."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file

from support.authority import Authority
from support.clients import isocenter_cli
from support.datasets import ct_image
from support.files import Series, data_set_bytes, find_instances, write_series
from support.harness import Isocenter, running, wait_until
from support.other_archives import OtherArchive, dcmqrscp, orthanc
from support.ports import free_ports

COMPRESSED = ("MR_small_RLE.dcm", "JPEG2000.dcm", "SC_rgb_jpeg_gdcm.dcm")


@pytest.fixture(scope="module")
def others(
    isocenter: Isocenter, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, OtherArchive]]:
    """The archives of others, by name; they know ours as a C-MOVE destination."""
    folder = tmp_path_factory.mktemp("others")
    ours = {"ISOCENTER": isocenter.dicom_port}
    with dcmqrscp(folder / "dcmqrscp", ours) as dcmtk, orthanc(folder / "orthanc", ours) as other:
        yield {"dcmtk": dcmtk, "orthanc": other}


def fetch(isocenter: Isocenter, *arguments: object) -> tuple[int, str]:
    """Exit code, and what was told in one line."""
    done = isocenter.cli("fetch", *map(str, arguments))
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def is_here(isocenter: Isocenter, series: Series) -> bool:
    """Whether all of it is found, and kept as it was sent to the other archive."""
    wait_until(lambda: sorted(find_instances(isocenter, series.study)) == sorted(series.files))
    return all(
        any(
            kept.endswith(data_set_bytes(file))
            for kept in isocenter.objects.contents(series.study, uid).values()
        )
        for uid, file in series.files.items()
    )


def compressed(folder: Path) -> list[Series]:
    """Objects of several SOP classes and transfer syntaxes, each a study of its own."""
    folder.mkdir()
    found = []
    for name in COMPRESSED:
        path = Path(shutil.copy(get_testdata_file(name), folder))
        data_set = pydicom.dcmread(path)
        series = Series(folder, str(pydicom.uid.generate_uid()), "", "")
        data_set.StudyInstanceUID = series.study
        data_set.SOPInstanceUID = pydicom.uid.generate_uid()
        data_set.file_meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
        data_set.save_as(path, enforce_file_format=True)
        series.files[str(data_set.SOPInstanceUID)] = path
        found.append(series)
    return found


@pytest.mark.parametrize("name", ["dcmtk", "orthanc", "orthanc-web", "orthanc-move", "dcmtk-move"])
def test_studies_of_another_archive_are_taken_once(
    isocenter: Isocenter, others: dict[str, OtherArchive], tmp_path: Path, name: str
) -> None:
    other = others[name.partition("-")[0]]
    series = [write_series(tmp_path / f"sent{n}", count=6, patient_id=name) for n in range(3)]
    for one in series:
        other.store(one.folder)
    more = ("--move", "ISOCENTER") if name.endswith("move") else ()
    peer = other.web if name.endswith("web") else other.peer
    code, told = fetch(isocenter, peer, series[0].study, *more)
    assert code == 0, told
    code, told = fetch(isocenter, peer, f"PatientID={name}", *more)
    assert code == 0, told
    assert "studies: 3, complete: 3" in told
    assert all(is_here(isocenter, one) for one in series)
    if not more:
        assert "fetched: 12 instances" in told
        code, told = fetch(isocenter, peer, f"PatientID={name}")
        assert (code, "3 of them here before" in told) == (0, True), told
        assert "fetched: 0 instances" in told


@pytest.mark.parametrize("web", [False, True])
def test_compressed_objects_come_as_they_are_stored(
    isocenter: Isocenter, others: dict[str, OtherArchive], tmp_path: Path, web: bool
) -> None:
    other, series = others["orthanc"], compressed(tmp_path / "sent")
    done = isocenter_cli("send", tmp_path / "sent", "--to", other.peer)
    assert done.returncode == 0, done.stderr
    uids = tmp_path / "uids"
    uids.write_text("\n".join(one.study for one in series) + "\n")
    code, told = fetch(isocenter, other.web if web else other.peer, "--from", uids)
    assert code == 0, told
    for one in series:  # the other archive writes sequences in its own way
        [(uid, file)] = one.files.items()
        [kept] = isocenter.objects.contents(one.study, uid).values()
        here, sent = pydicom.dcmread(io.BytesIO(kept)), pydicom.dcmread(file)
        assert here.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
        assert here.PixelData == sent.PixelData


def test_what_is_missing_is_reported_and_the_rest_comes(
    isocenter: Isocenter, others: dict[str, OtherArchive], tmp_path: Path
) -> None:
    series = write_series(tmp_path / "sent", count=3)
    others["dcmtk"].store(series.folder)
    report = tmp_path / "report"
    code, told = fetch(
        isocenter, others["dcmtk"].peer, "1.2.3.4.5", series.study,
        "--attempts", "1", "--report", report,
    )  # fmt: skip
    assert code == 1
    assert "1.2.3.4.5: the other archive has no such study" in told
    assert "studies: 2, complete: 1" in told
    lines = {line["study"]: line for line in map(json.loads, report.read_text().splitlines())}
    assert lines[series.study]["complete"]
    assert lines[series.study]["taken"] == 3
    assert not lines["1.2.3.4.5"]["complete"]
    assert is_here(isocenter, series)


def test_a_folder_takes_files_that_can_be_read(
    isocenter: Isocenter, others: dict[str, OtherArchive], tmp_path: Path
) -> None:
    series = write_series(tmp_path / "sent", count=4)
    others["orthanc"].store(series.folder)
    target = tmp_path / "taken"
    code, told = fetch(isocenter, others["orthanc"].peer, series.study, "--to", target)
    assert code == 0, told
    files = {str(pydicom.dcmread(one).SOPInstanceUID): one for one in target.rglob("*.dcm")}
    assert set(files) == set(series.files)
    for uid, file in series.files.items():
        assert data_set_bytes(files[uid]) == data_set_bytes(file)
    files[next(iter(series.files))].unlink()
    code, told = fetch(isocenter, others["orthanc"].peer, series.study, "--to", target)
    assert (code, "fetched: 1 instances" in told) == (0, True), told


def test_a_second_archive_of_ours_is_read_over_tls(isocenter: Isocenter, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    server, caller = authority.issue("second"), authority.issue("first")
    [tls_port] = free_ports(1)
    settings = {
        "gateway.tls_port": tls_port,
        "gateway.ca_file": str(server.ca),
        "gateway.certificate_file": str(server.certificate),
        "gateway.key_file": str(server.key),
    }
    peer = f"dicom://ISOCENTER@127.0.0.1:{tls_port}"
    tls = (
        "--tls", "--ca-file", caller.ca,
        "--certificate-file", caller.certificate, "--key-file", caller.key,
    )  # fmt: skip
    series = write_series(tmp_path / "sent", count=10)
    with running(tmp_path / "second", settings=settings) as second:
        sent = isocenter_cli("send", series.folder, "--to", peer, *tls, "--commit")
        assert sent.returncode == 0, sent.stderr
        wait_until(lambda: len(find_instances(second, series.study)) == 10)
        found = isocenter_cli("query", peer, f"PatientID={series.patient_id}", *tls)
        assert series.study in found.stdout, found.stderr
        code, told = fetch(isocenter, peer, series.study, *tls)
        assert code == 0, told
        code, told = fetch(isocenter, peer, series.study, *tls[:3])
        assert code == 1
        assert "certificate" in told
        code, told = fetch(isocenter, peer, "--all", "--tls", "--ca-file", caller.certificate)
        assert code == 1
        assert "its certificate is not accepted" in told
    assert is_here(isocenter, series)


@pytest.mark.parametrize("where", ["orthanc", "ours", "ours-web"])
def test_names_of_every_script_are_asked_for_and_answered(
    isocenter: Isocenter, others: dict[str, OtherArchive], tmp_path: Path, where: str
) -> None:
    ours = OtherArchive(isocenter.ae_title, isocenter.dicom_port, isocenter.dicomweb)
    other, sent = {**others, "ours": ours}[where.partition("-")[0]], tmp_path / "sent"
    sent.mkdir()
    names = {"ISO_IR 126": "Παπαδόπουλος^Ελένη", "ISO_IR 192": f"Ünlü^Ayşe{where}"}
    for number, (charset, name) in enumerate(names.items(), 1):
        image = ct_image(16, 16, number=number, patient_id=f"{where}{number}")
        image.SpecificCharacterSet, image.PatientName = charset, name
        image.save_as(sent / f"{number}.dcm", enforce_file_format=True)
    other.store(sent)
    peer = other.web if where.endswith("web") else other.peer
    wait_until(lambda: query(peer, f"PatientID={where}2"))
    for number, name in enumerate(names.values(), 1):
        done = query(peer, f"PatientID={where}{number}")
        assert [row["PatientName"] for row in done] == [name]
    [row] = query(peer, f"PatientName=Ünlü^Ayşe{where}")
    assert row["PatientID"] == f"{where}2"


def query(peer: str, *keys: str) -> list[dict[str, str]]:
    """The rows of `query --format csv`."""
    done = isocenter_cli("query", peer, *keys, "--format", "csv")
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(io.StringIO(done.stdout)))


def test_a_peer_that_is_not_there_is_told_in_a_sentence(isocenter: Isocenter) -> None:
    [port] = free_ports(1)
    for peer in (f"dicom://ANY@127.0.0.1:{port}", f"http://127.0.0.1:{port}/dicomweb"):
        done = isocenter_cli("query", peer)
        assert done.returncode == 1
        assert "error: " in done.stderr
        assert "the peer runs" in " ".join(done.stderr.split())
    code, told = fetch(isocenter, f"dicom://ANY@127.0.0.1:{port}", "--all")
    assert code == 1
    assert "no connection to ANY" in told
    code, told = fetch(isocenter, f"dicom://ANY@127.0.0.1:{port}", "one", "two")
    assert (code, "one: not a UID" in told) == (1, True)
