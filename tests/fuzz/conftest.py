"""An installation of each shape for all generated requests, and a study whose patient is marked."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuzz.described import Described
from fuzz.instances import as_file, data_set_of, document, image, new_uid
from fuzz.plan import SEED
from fuzz.target import MARK, Target, store
from support.harness import Isocenter, running, wait_until


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
        "gateway.association_timeout": 1.0,
        "gateway.network_timeout": 2.0,
        "gateway.dimse_timeout": 2.0,
    }
    with running(folder / "data", request.param, limits) as installation:
        yield installation


@pytest.fixture(scope="module")
def reference(isocenter: Isocenter) -> dict[str, bytes]:
    """The study that is there from the beginning: address -> the data set that was sent."""
    study, series = new_uid(), new_uid()
    pdf = document(b"%PDF-1.7\n" + MARK + b"\n%%EOF\n")
    pdf.StudyInstanceUID = study
    made = [image(study=study, series=series), image(3, study=study, series=series), pdf]
    files = [as_file(one) for one in made]
    for content in files:
        store(isocenter, content)
    address = f"/studies/{study}/instances"
    wait_until(lambda: len(isocenter.search(address)) == len(made), what="found")
    return {
        f"/studies/{study}/series/{one.SeriesInstanceUID}/instances/{one.SOPInstanceUID}": (
            data_set_of(content)
        )
        for one, content in zip(made, files, strict=True)
    }


@pytest.fixture(scope="module")
def target(isocenter: Isocenter, reference: dict[str, bytes]) -> Iterator[Target]:
    """What requests are sent to; at the end it tells what was sent and answered."""
    target = Target(isocenter)
    target.judge = Described.of(isocenter, reference).judge
    _warm_up(target, reference)
    target.begin()
    yield target
    tell(target)


def _warm_up(target: Target, reference: dict[str, bytes]) -> None:
    """What is loaded at its first use is no growth."""
    for address in reference:
        for path in ("", "/metadata", "/rendered", "/thumbnail", "/bulkdata", "/pixeldata"):
            target.ask("GET", f"/dicomweb{address}{path}", kind="warm-up")


def tell(target: Target) -> None:
    """What was sent and answered."""
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
        "seconds": round(target.seconds),
        "resident_mib_before": {name: size >> 20 for name, size in target.memory.items()},
        "resident_mib_after": {name: size >> 20 for name, size in target.resident().items()},
    }
    print(json.dumps(told, indent=2), file=sys.__stdout__)
