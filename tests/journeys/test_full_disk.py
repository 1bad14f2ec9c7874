"""A disk that is nearly full: stores are refused in time, reading goes on."""

from __future__ import annotations

from pathlib import Path

import httpx

from support.clients import dcmtk
from support.files import find_instances, write_series
from support.harness import running, wait_until

MORE_THAN_ANY_DISK = 10**15


def test_stores_are_refused_before_the_disk_is_full_and_searches_go_on(tmp_path: Path) -> None:
    series = write_series(tmp_path / "sent", 2)
    first, second = series.files.values()
    with running(tmp_path / "data", settings={"process.workers": 1}) as isocenter:
        assert dcmtk("storescu", isocenter, first).code == 0
        wait_until(lambda: find_instances(isocenter, series.study))
        isocenter.stop()
    settings = {"process.workers": 1, "storage.reserve_bytes": MORE_THAN_ANY_DISK}
    with running(tmp_path / "data", settings=settings) as isocenter:
        refused = dcmtk("storescu", isocenter, "-v", second)
        assert "Refused: OutOfResources" in refused.text, refused.text
        body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + second.read_bytes()
        answer = httpx.post(
            f"{isocenter.dicomweb}/studies",
            content=body + b"\r\n--b--\r\n",
            headers={
                "Content-Type": 'multipart/related; type="application/dicom"; boundary=b',
                "Accept": "application/dicom+json",
            },
        )
        assert answer.status_code == 507, answer.text
        assert "reserve" in answer.text
        assert len(find_instances(isocenter, series.study)) == 1
        assert isocenter.get(f"/studies/{series.study}/metadata")
