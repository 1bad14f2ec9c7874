"""Two sites in one installation: over DIMSE each has what it made, by one policy file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from isocenter.runtime.aes import KnownAE, fields_of
from support.clients import Outcome, dcmtk, isocenter_cli
from support.files import Series, write_series
from support.harness import Isocenter, running, wait_until

POLICY = """
[patients.norths]
ids = ["N*"]

[[rules]]
name = "whatever comes"
allow = ["store"]

[[rules]]
name = "a site sees what it made"
allow = ["search", "read", "download"]
who = ["ae:*", "program:*"]
sites = ["own"]

[[rules]]
name = "the south has no images of the north's patients"
deny = ["store"]
who = ["ae:SOUTH"]
patients = ["norths"]
"""
AES = (
    KnownAE(title="NORTH", host="127.0.0.1", site="north"),
    KnownAE(title="SOUTH", host="127.0.0.1", site="south"),
    KnownAE(title="ELSEWHERE", host="127.0.0.2", site="north"),
)


@pytest.fixture(scope="module")
def isocenter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Isocenter]:
    """Embedded, where nobody is trusted for being on this machine."""
    folder: Path = tmp_path_factory.mktemp("sites")
    policy = folder / "policy.toml"
    policy.write_text(POLICY)
    settings = {
        "access.trust_loopback": False,
        "access.policy": str(policy),
        "gateway.known_aes": [fields_of(one) for one in AES],
    }
    with running(folder / "data", "up", settings) as installation:
        yield installation


def store(isocenter: Isocenter, series: Series, calling: str) -> Outcome:
    return dcmtk("storescu", isocenter, "-v", *series.files.values(), calling=calling)


def found(isocenter: Isocenter, calling: str) -> set[str]:
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID")
    outcome = dcmtk("findscu", isocenter, "-S", *keys, calling=calling)
    assert outcome.code == 0, outcome.text
    lines = [line for line in outcome.text.splitlines() if "(0020,000d)" in line]
    return {line.partition("[")[2].partition("]")[0].strip("\0") for line in lines} - {""}


def got(isocenter: Isocenter, calling: str, study: str, folder: Path) -> int:
    folder.mkdir()
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}")
    outcome = dcmtk("getscu", isocenter, "-S", *keys, "-od", folder, calling=calling)
    assert outcome.code == 0, outcome.text
    return len(list(folder.iterdir()))


def test_each_site_has_what_it_made(isocenter: Isocenter, tmp_path: Path) -> None:
    norths = write_series(tmp_path / "n", 2, patient_id="N1")
    souths = write_series(tmp_path / "s", 3, patient_id="S1")
    strangers = write_series(tmp_path / "x", 1, patient_id="X1")
    # A client may go on with what it has just stored, found or not.
    assert store(isocenter, norths, "NORTH").code == 0
    assert got(isocenter, "NORTH", norths.study, tmp_path / "at once") == 2
    assert store(isocenter, souths, "SOUTH").code == 0
    assert store(isocenter, strangers, "NEW").code == 0
    wait_until(lambda: found(isocenter, "SOUTH") == {souths.study}, what="the south's study")
    wait_until(lambda: found(isocenter, "NORTH") == {norths.study}, what="the north's study")
    for calling, own, other in (("NORTH", norths, souths), ("SOUTH", souths, norths)):
        assert got(isocenter, calling, own.study, tmp_path / f"{calling} own") == own.count
        assert got(isocenter, calling, other.study, tmp_path / f"{calling} other") == 0
    # Nobody gets at a study of the other site by adding to it.
    added = write_series(tmp_path / "more", 1, study=norths.study, patient_id="S1")
    refused = store(isocenter, added, "SOUTH")
    assert "0x124" in refused.text, refused.text
    assert found(isocenter, "SOUTH") == {souths.study}


def test_what_the_policy_does_not_let_in_is_refused_as_not_authorized(
    isocenter: Isocenter, tmp_path: Path
) -> None:
    series = write_series(tmp_path / "n", 1, patient_id="N2")
    outcome = store(isocenter, series, "SOUTH")
    assert "0x124" in outcome.text, outcome.text
    assert store(isocenter, series, "NORTH").code == 0


def test_strangers_and_pretenders_see_nothing(isocenter: Isocenter, tmp_path: Path) -> None:
    assert dcmtk("echoscu", isocenter, calling="NEW").code == 0
    stranger = dcmtk("findscu", isocenter, "-S", "-k", "QueryRetrieveLevel=STUDY", calling="NEW")
    assert "No Acceptable Presentation Contexts" in stranger.text
    series = write_series(tmp_path / "x", 1)
    for outcome in (
        dcmtk("echoscu", isocenter, calling="ELSEWHERE"),
        store(isocenter, series, "ELSEWHERE"),
    ):
        assert outcome.code != 0
        assert "Calling AE Title Not Recognized" in outcome.text
    told = isocenter.cli("audit list", "--action", "network")
    assert "ELSEWHERE" in told.stdout, told.stdout + told.stderr


@pytest.mark.parametrize(
    ("who", "right", "answer"),
    [
        ("ae:NORTH", "search", "yes"),
        ("ae:NOBODY", "store", "yes"),
        ("ae:NOBODY", "search", "no: ae:not in the directory was not given the right to search"),
    ],
)
def test_a_decision_about_an_ae_is_explained_as_it_is_made(
    isocenter: Isocenter, who: str, right: str, answer: str
) -> None:
    told = isocenter.cli("access explain", who, right)
    assert told.stdout.strip().startswith(answer), told.stdout + told.stderr


def test_files_are_sent_and_studies_found_and_fetched_by_a_token(
    isocenter: Isocenter, tmp_path: Path
) -> None:
    series = write_series(tmp_path / "series", 2, patient_id="T1")
    made = isocenter.cli("token create", "carrier", "--site", "north")
    (token := tmp_path / "token").write_text(made.stdout)
    archive, shown = isocenter.dicomweb, ("--token-file", token)
    refused = isocenter_cli("send", series.folder, "--to", archive)
    assert refused.returncode == 1
    assert "name a --token-file" in " ".join(refused.stderr.split())
    sent = isocenter_cli("send", series.folder, "--to", archive, *shown)
    assert sent.returncode == 0, sent.stderr
    key = f"StudyInstanceUID={series.study}"
    look = lambda: isocenter_cli("query", archive, key, "--format", "json", *shown).stdout  # noqa: E731
    wait_until(lambda: series.study in look(), what="the study is found")
    fetched = isocenter_cli("fetch", archive, series.study, "--to", tmp_path / "to", *shown)
    assert fetched.returncode == 0, fetched.stderr
    assert len(list((tmp_path / "to").rglob("*.dcm"))) == series.count
