"""Conditional requests on real installations: what a client has is good until something changes."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from pathlib import Path
from time import time

import httpx
import pytest
from pydicom.uid import generate_uid

from support.datasets import ct_image, write
from support.harness import Isocenter
from support.senders import STOW_HEADERS, stow_body


def _store(isocenter: Isocenter, folder: Path, study: str, series: str, number: int) -> str:
    """Store a slice; its UID."""
    image = ct_image(16, 16, study=study, series=series, number=number)
    path = write(image, folder / f"{number}.dcm")
    answer = httpx.post(
        f"{isocenter.dicomweb}/studies", content=stow_body(path), headers=STOW_HEADERS
    )
    assert answer.status_code == 200
    return str(image.SOPInstanceUID)


@pytest.mark.parametrize(
    ("level", "end", "accept"),
    [
        ("study", "/metadata", "application/dicom+json"),
        ("series", "/metadata", 'multipart/related; type="application/dicom+xml"'),
        ("series", "", 'multipart/related; type="application/dicom"; transfer-syntax=*'),
        ("study", "", "application/zip"),
        ("study", "/rendered", 'multipart/related; type="image/png"'),
    ],
)
def test_a_level_is_unchanged_until_an_instance_comes(
    isocenter: Isocenter, tmp_path: Path, level: str, end: str, accept: str
) -> None:
    study, series = generate_uid(), generate_uid()
    began = int(time())
    first = _store(isocenter, tmp_path, study, series, 1)
    _store(isocenter, tmp_path, study, series, 2)
    stored = time()
    path = f"{isocenter.dicomweb}/studies/{study}"
    address = f"{path}/series/{series}{end}" if level == "series" else path + end

    def ask(method: str = "GET", **conditions: str) -> httpx.Response:
        fields = {name.replace("_", "-"): value for name, value in conditions.items()}
        headers = {"Accept": accept, **fields}
        return httpx.request(method, address, headers=headers, timeout=30)

    answer, head = ask(), ask("HEAD")
    assert (answer.status_code, head.status_code, head.content) == (200, 200, b"")
    etag, date = answer.headers["etag"], answer.headers["last-modified"]
    assert (head.headers["etag"], head.headers["last-modified"]) == (etag, date)
    assert began <= parsedate_to_datetime(date).timestamp() <= stored
    assert ask(if_none_match=etag).status_code == 304
    assert ask(if_modified_since=date).status_code == 304
    assert ask(if_match='"other"').status_code == 412
    _store(isocenter, tmp_path, study, series, 3)
    changed = ask(if_none_match=etag)
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag
    one = f"{path}/series/{series}/instances/{first}/metadata"
    kept = httpx.get(one, headers={"If-Modified-Since": date})
    assert kept.status_code == 304  # this instance is as it was
