"""A study as a ZIP file, as a browser and curl get it, in both shapes."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from support.clients import dcmtk, run
from support.files import Series, data_set_bytes, find_instances, write_series
from support.harness import Isocenter, wait_until


def _stored(isocenter: Isocenter, folder: Path) -> Series:
    series = write_series(folder, count=8)
    outcome = dcmtk("storescu", isocenter, "+sd", series.folder)
    assert outcome.code == 0, outcome.text
    wait_until(lambda: len(find_instances(isocenter, series.study)) == series.count)
    return series


def test_a_study_is_saved_as_zip_with_the_same_data_sets(
    isocenter: Isocenter, tmp_path: Path
) -> None:
    series = _stored(isocenter, tmp_path / "sent")
    address = f"{isocenter.dicomweb}/studies/{series.study}?accept=application/zip"
    saved = run("curl", "-sSfOJ", "--output-dir", tmp_path, address)
    assert saved.code == 0, saved.text
    (file,) = tmp_path.glob("study-*.zip")
    assert run("unzip", "-q", file, "-d", tmp_path / "unpacked").code == 0
    unpacked = {path.stem.partition("-")[2]: path for path in tmp_path.rglob("*.dcm")
                if "unpacked" in path.parts}  # fmt: skip
    assert unpacked.keys() == series.files.keys()
    for uid, path in series.files.items():
        assert data_set_bytes(unpacked[uid]) == data_set_bytes(path)


def test_names_tell_series_and_instance_numbers(isocenter: Isocenter, tmp_path: Path) -> None:
    series = _stored(isocenter, tmp_path / "sent")
    file = tmp_path / "series.zip"
    file.write_bytes(
        isocenter.get(f"/studies/{series.study}/series/{series.series}", "application/zip")
    )
    metadata = json.loads(isocenter.get(f"/studies/{series.study}/metadata"))
    expected = {
        f"{series.study}/{one['00200011']['Value'][0]:04}-{one['00080060']['Value'][0]}"
        f"-{series.series[-12:].lstrip('.')}"
        f"/{one['00200013']['Value'][0]:05}-{one['00080018']['Value'][0]}.dcm"
        for one in metadata
    }
    with zipfile.ZipFile(file) as archived:
        assert set(archived.namelist()) == expected
