"""One installation for all generated requests, with a study whose patient is marked; and what must
hold when they are over."""

from __future__ import annotations

import json
import os
import random
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings

from fuzz.described import Described
from fuzz.instances import as_file, document, image, new_uid
from fuzz.target import MARK, Target
from support.harness import Isocenter, running, wait_until

# `make fuzz` sets both; a run with the same seed makes the same requests.
REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "4000"))
SEED = int(os.environ.get("FUZZ_SEED") or random.SystemRandom().randrange(2**32))

GROWTH = 96 * 1024**2  # bytes that a process may be larger at the end

settings.register_profile(
    "fuzz",
    deadline=None,
    database=None,
    phases=[Phase.generate],  # what hangs is not asked again and again
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


@pytest.fixture(scope="module", params=["up", "split"])
def isocenter(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Isocenter]:
    """An installation with small limits, so that they are met."""
    folder: Path = tmp_path_factory.mktemp("fuzz")
    viewer = folder / "viewer"
    viewer.mkdir()
    (viewer / "index.html").write_text("<html></html>")
    (viewer / "app.js").write_text("0")
    limits = {
        "process.workers": 1,
        "web.viewer": str(viewer),
        "web.max_upload": 32 * 1024**2,
        "web.stall_timeout": 1.0,
    }
    with running(folder / "data", request.param, limits) as installation:
        yield installation


@pytest.fixture(scope="module")
def reference(isocenter: Isocenter) -> dict[str, bytes]:
    """Files of the study that is there from the beginning: address -> what is stored."""
    study, series = new_uid(), new_uid()
    pdf = document(b"%PDF-1.7\n" + MARK + b"\n%%EOF\n")
    pdf.StudyInstanceUID = study
    made = [image(study=study, series=series), image(3, study=study, series=series), pdf]
    for one in made:
        _store(isocenter, as_file(one))
    address = f"/studies/{study}/instances"
    wait_until(lambda: len(isocenter.search(address)) == len(made), what="found")
    return {
        f"/studies/{study}/series/{one.SeriesInstanceUID}/instances/{one.SOPInstanceUID}": b""
        for one in made
    }


@pytest.fixture(scope="module")
def target(isocenter: Isocenter, reference: dict[str, bytes]) -> Iterator[Target]:
    """What requests are sent to. At the end: it has not grown, its log tells no patient's values
    and no unexpected error, and it serves as before."""
    target = Target(isocenter)
    target.judge = described(isocenter, reference).judge
    as_file_type = "application/dicom; transfer-syntax=*"
    kept = {address: isocenter.get(address, as_file_type) for address in reference}
    _warm_up(target, reference)
    memory, sockets = target.resident(), target.descriptors()
    yield target
    _tell(target, memory)
    assert not _unexpected(target.log()), _unexpected(target.log())[:20]
    assert MARK.decode() not in target.log()
    for address, content in kept.items():
        assert isocenter.get(address, as_file_type) == content
    wait_until(
        lambda: all(count <= sockets[name] + 2 for name, count in target.descriptors().items()),
        what="sockets are closed",
    )
    grown = {name: size - memory[name] for name, size in target.resident().items()}
    assert max(grown.values()) < GROWTH, grown
    fresh = image()
    _store(isocenter, as_file(fresh))
    wait_until(lambda: isocenter.search(f"/studies?StudyInstanceUID={fresh.StudyInstanceUID}"))


def described(isocenter: Isocenter, reference: dict[str, bytes]) -> Described:
    """The server's own description."""
    with urllib.request.urlopen(f"{isocenter.http_url}/api/openapi.json") as answer:
        document_ = json.load(answer)
    parts = [address.split("/") for address in reference]
    known = {
        "study": sorted({one[2] for one in parts}),
        "series": sorted({one[4] for one in parts}),
        "instance": sorted({one[6] for one in parts}),
        "frames": ["1", "2", "1,2,3", "9"],
        "path": ["00420011", "7FE00010", "00081140/0/00081150", "00100010"],
        "file": ["app.js", "index.html", "viewer", "x/y", "app-config.js"],
    }
    return Described(document_, known)


def _store(isocenter: Isocenter, content: bytes) -> None:
    answer = httpx.post(
        f"{isocenter.dicomweb}/studies", content=content, timeout=60,
        headers={"Content-Type": "application/dicom", "Accept": "application/dicom+json"},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text


def _warm_up(target: Target, reference: dict[str, bytes]) -> None:
    """What is loaded at its first use is no growth."""
    for address in reference:
        for path in ("", "/metadata", "/rendered", "/thumbnail", "/bulkdata", "/pixeldata"):
            target.ask("GET", f"/dicomweb{address}{path}", kind="warm-up")


def _unexpected(log: str) -> list[str]:
    """Lines of errors, and of what Python itself says."""
    signs = (" error ", "Traceback", "Exception", "never retrieved", "Error:")
    return [line[:500] for line in log.splitlines() if any(sign in line for sign in signs)]


def _tell(target: Target, memory: dict[str, int]) -> None:
    ledger = target.ledger
    told = {
        "shape": target.isocenter.shape,
        "seed": SEED,
        "requests": dict(ledger.requests),
        "total": ledger.total,
        "statuses": dict(sorted(ledger.statuses.items())),
        "closed_without_answer": ledger.unanswered,
        "slowest_seconds": round(ledger.seconds, 2),
        "slowest": ledger.slowest,
        "resident_mib_before": {name: size >> 20 for name, size in memory.items()},
        "resident_mib_after": {name: size >> 20 for name, size in target.resident().items()},
    }
    print(json.dumps(told, indent=2), file=sys.__stdout__)
