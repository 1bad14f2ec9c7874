"""An administrator adds attributes, one of them private, to an archive that holds studies already:
they are filled while it serves, through a kill, and searches tell until then that they may miss
some."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind

from support.datasets import tiny, write
from support.harness import Isocenter, wait_until

CREATOR = "ACME 1.0"
STUDIES, SLICES = 3, 500
COUNT = STUDIES * SLICES
AGENT = {"name": "ContrastBolusAgent", "level": "INSTANCE"}
SITE = {"name": "0029xx10", "creator": CREATOR, "level": "STUDY", "vr": "LO"}
FILLING = "being filled for what was stored before they were added"
BY_AGENT = "/instances?ContrastBolusAgent=Iod*"
BY_SITE = f"/studies?00291010=North*&00290010={quote(CREATOR)}"


@pytest.fixture(params=["up", "cluster"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Isocenter]:
    """An installation of its own, for it is started with other settings again and again."""
    settings: dict[str, object] = {"indexing.overlap_seconds": 3600}
    shape = "up"
    if request.param == "cluster":
        shape = "split"
        settings |= request.getfixturevalue("stack").settings("added")
    installation = Isocenter(tmp_path / "data", shape, settings)
    try:
        installation.prepare()
        installation.start()
        yield installation
    finally:
        installation.kill()


def _store_studies(archive: Isocenter, folder: Path) -> None:
    folder.mkdir()
    for n in range(STUDIES):
        study, series = generate_uid(), generate_uid()
        for number in range(SLICES):
            instance = tiny(study, series, ContrastBolusAgent="Iodine", InstanceNumber=number)
            block = instance.private_block(0x0029, "SOMEBODY", create=True)
            block.add_new(0x10, "LO", "theirs")
            block = instance.private_block(0x0029, CREATOR, create=True)
            block.add_new(0x10, "LO", f"North {n}")
            write(instance, folder / f"{n}-{number}.dcm")
    stored = archive.cli("import", str(folder))
    assert stored.returncode == 0, stored.stderr
    wait_until(lambda: _asked(archive, "/instances").total == COUNT, 180, "all is findable")


class _Answer:
    def __init__(self, response: httpx.Response) -> None:
        assert response.status_code == 200, response.text
        self.total = int(response.headers["x-total-count"])
        self.warnings = response.headers.get("warning", "")
        self.found = response.json()


def _asked(archive: Isocenter, path: str) -> _Answer:
    more = "&" if "?" in path else "?"
    return _Answer(httpx.get(f"{archive.dicomweb}{path}{more}limit=1", timeout=60))


def _found_by_dimse(archive: Isocenter, value: str) -> tuple[set[int], list[Dataset]]:
    """The statuses of the answers and the answers, of studies by the private attribute."""
    key = Dataset()
    key.QueryRetrieveLevel, key.StudyInstanceUID = "STUDY", ""
    key.private_block(0x0029, CREATOR, create=True).add_new(0x10, "LO", value)
    ae = AE("FINDER")
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    association = ae.associate(archive.host, archive.dicom_port, ae_title=archive.ae_title)
    assert association.is_established
    answers = list(association.send_c_find(key, StudyRootQueryRetrieveInformationModelFind))
    association.release()
    assert answers[-1][0].Status == 0x0000
    found = [answer for _, answer in answers[:-1]]
    return {status.Status for status, _ in answers[:-1]}, [one for one in found if one]


def _states(archive: Isocenter) -> dict[str, str]:
    done = archive.cli("attributes", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines, done.stderr
    assert done.returncode == any("looked at" in line["state"] for line in lines)
    return {line["attribute"]: line["state"] for line in lines}


def _restart(archive: Isocenter, attributes: list[dict[str, str]], overlap: float) -> None:
    archive.settings |= {"attributes": attributes, "indexing.overlap_seconds": overlap}
    archive.start()


def _fill_and_kill(archive: Isocenter) -> None:
    """Killed when some are filled. A machine that is done before it answers is asked again."""
    for _ in range(5):
        _restart(archive, [AGENT, SITE], 3600)
        filled = wait_until(lambda: _asked(archive, BY_AGENT).total, 180, "some are filled")
        archive.kill()
        if filled < COUNT:
            return
        _restart(archive, [], 0)
        archive.stop()
    raise AssertionError("every time all were filled before the first answer")


@pytest.mark.timeout(600)  # three starts of every role, beside whatever else runs
def test_attributes_are_added_filled_through_a_kill_found_and_taken_off_again(
    archive: Isocenter, tmp_path: Path
) -> None:
    _store_studies(archive, tmp_path / "files")
    assert "not supported" in _asked(archive, BY_AGENT).warnings
    assert _found_by_dimse(archive, "North 1")[0] == {0xFF01}
    archive.stop()

    _fill_and_kill(archive)

    _restart(archive, [AGENT, SITE], 3600)
    wait_until(lambda: _asked(archive, BY_AGENT).total == COUNT, 180, "all are filled")
    # Processes with the former settings may still be at work, as far as the settings tell.
    for path, name in ((BY_AGENT, "ContrastBolusAgent"), (BY_SITE, f"0029xx10 {CREATOR}")):
        warnings = _asked(archive, path).warnings
        assert FILLING in warnings
        assert name in warnings
    assert _found_by_dimse(archive, "North 1")[0] == {0xFF01}
    assert f"of about {COUNT:,} objects looked at" in _states(archive)["ContrastBolusAgent"]
    archive.stop()

    _restart(archive, [AGENT, SITE], 0)
    wait_until(lambda: FILLING not in _asked(archive, BY_AGENT).warnings, 180, "all is filled")
    assert _asked(archive, BY_AGENT).total == COUNT
    (answer,) = _asked(archive, BY_SITE.replace("North*", "North%201")).found
    assert answer["00291010"] == {"vr": "LO", "Value": ["North 1"]}
    assert answer["00290010"] == {"vr": "LO", "Value": [CREATOR]}
    assert _asked(archive, BY_SITE).total == STUDIES
    statuses, (one,) = _found_by_dimse(archive, "North 1")
    assert statuses == {0xFF00}
    # In Implicit VR, of a creator that the client does not know.
    assert (one[0x00291010].value, one[0x00290010].value) == (b"North 1 ", CREATOR)
    states = _states(archive)
    assert (states["ContrastBolusAgent"], states[CREATOR]) == ("filled", "filled")
    assert states["PatientName"] == "built in"
    archive.stop()

    _restart(archive, [SITE], 0)
    assert "not supported" in _asked(archive, BY_AGENT).warnings
    assert FILLING not in _asked(archive, BY_SITE).warnings
    assert _asked(archive, BY_SITE).total == STUDIES
    assert "ContrastBolusAgent" not in _states(archive)
