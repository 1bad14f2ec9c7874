"""QIDO-RS on real installations: every kind of question, and searches while a study arrives."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset
from pydicom.uid import generate_uid

from support.datasets import tiny, with_private_elements, write
from support.files import write_series
from support.harness import Isocenter, wait_until
from support.senders import STOW_HEADERS, DimseSender, Sender, StowSender, stow_body

CLIENTS = (DimseSender, StowSender) * 3
CREATOR = "ISOCENTER TEST"  # of `with_private_elements`


def _step(identifier: str, procedure: str) -> Dataset:
    item = Dataset()
    item.ScheduledProcedureStepID, item.RequestedProcedureID = identifier, procedure
    return item


@pytest.fixture
def studies(isocenter: Isocenter, tmp_path: Path) -> list[str]:
    """Three studies of one referring physician of their own, findable; their UIDs."""
    physician = f"Ref^{generate_uid()[-12:]}"
    uids = [generate_uid() for _ in range(3)]
    values = [
        {"PatientName": "Müller^Eva", "StudyDate": "20240103", "StudyTime": "2330"},
        {"PatientName": "Miller^Adam", "StudyDate": "20240101", "StudyTime": "0030"},
        {"PatientName": "Smith^John", "StudyDate": "20240102", "StudyTime": "1200"},
    ]
    for uid, more in zip(uids, values, strict=True):
        instance = tiny(
            uid, SpecificCharacterSet="ISO_IR 192", ReferringPhysicianName=physician, **more
        )
        instance.RequestAttributesSequence = [_step("S1", "R1"), _step("S2", uid[-8:])]
        path = write(with_private_elements(instance), tmp_path / f"{uid}.dcm")
        address, body = f"{isocenter.dicomweb}/studies", stow_body(path)
        assert httpx.post(address, content=body, headers=STOW_HEADERS).status_code == 200
    levels = ("studies", "series", "instances")
    wait_until(
        lambda: all(len(isocenter.search(_of(uids, at=level))) == len(uids) for level in levels),
        what="all levels of the studies are found",
    )
    return uids


def _of(uids: list[str], more: str = "", at: str = "studies") -> str:
    return f"/{at}?StudyInstanceUID={','.join(uids)}{more}"


def test_every_kind_of_question_is_answered(isocenter: Isocenter, studies: list[str]) -> None:
    eva, adam, john = studies

    def found(more: str) -> list[str]:
        answers = isocenter.search(_of(studies, f"&{more}"))
        return [answer["0020000D"]["Value"][0] for answer in answers]

    assert found("") == [eva, john, adam]
    assert found("PatientName=M%C3%BCller*") == [eva]
    assert found("PatientName=muller%5Eeva") == [eva]
    assert found("PatientName=Miler&fuzzymatching=true") == [eva, adam]
    assert found("PatientName=jon+smyth&fuzzymatching=true") == [john]
    assert found("StudyDate=20240102-20240103") == [eva, john]
    assert found("StudyTime=2200-0100") == [eva, adam]
    assert found("orderby=PatientName") == [adam, eva, john]
    assert found("orderby=-StudyDate,PatientID") == [eva, john, adam]
    assert found("orderby=StudyTime&limit=1&offset=1") == [john]
    assert found("StudyDate=20990101-") == []
    series = f"/series?RequestAttributesSequence.RequestedProcedureID={john[-8:]}"
    assert len(isocenter.search(f"{series}&00400275.00400009=S2")) == 1
    assert isocenter.search(f"{series}&00400275.00400009=S1") == []


def test_all_routes_find_the_same_study(isocenter: Isocenter, studies: list[str]) -> None:
    study = studies[0]
    (one,) = isocenter.search(f"/studies/{study}/series")
    series = one["0020000E"]["Value"][0]
    for path in (
        f"/studies?0020000d={study}",
        f"/series?StudyInstanceUID={study}",
        f"/instances?SeriesInstanceUID={series}",
        f"/studies/{study}/instances",
        f"/studies/{study}/series/{series}/instances",
    ):
        (answer,) = isocenter.search(path)
        assert answer["0020000D"]["Value"] == [study]


def test_private_attributes_come_with_their_creator(
    isocenter: Isocenter, studies: list[str]
) -> None:
    path = f"/studies/{studies[0]}/instances?includefield=00091001"
    for asked, text in (("", "private text"), (CREATOR, "private text"), ("ANOTHER", None)):
        (answer,) = isocenter.search(f"{path}&00090010={asked.replace(' ', '+')}")
        assert answer.get("00091001", {}).get("Value", [None])[0] == text
        assert ("00090010" in answer) is (text is not None)


def test_warnings_and_refusals_of_a_search(isocenter: Isocenter, studies: list[str]) -> None:
    url = isocenter.dicomweb + _of(studies)
    answer = httpx.get(url + "&limit=2")
    assert answer.headers["warning"] == (
        f"299 {isocenter.dicomweb}: There are 1 additional results that can be requested"
    )
    assert answer.headers["x-total-count"] == "3"
    for wrong in ("StudyDate=20260230", "orderby=Rows", "StudyTime=9", "limit=-1", "PatientAge=*Y"):
        refused = httpx.get(f"{url}&{wrong}")
        assert refused.status_code == 400
        assert wrong.partition("=")[0] in refused.json()["detail"]


def test_an_independent_client_searches(isocenter: Isocenter, studies: list[str]) -> None:
    client = DICOMwebClient(isocenter.dicomweb)
    found = client.search_for_studies(
        search_filters={"StudyInstanceUID": ",".join(studies), "PatientName": "MILER"},
        fuzzymatching=True,
        fields=["PatientName", "00081030"],
    )
    assert {one["0020000D"]["Value"][0] for one in found} == set(studies[:2])
    assert client.search_for_studies(search_filters={"PatientID": generate_uid()[-16:]}) == []


def test_searches_succeed_while_six_clients_store_one_study(
    isocenter: Isocenter, tmp_path: Path
) -> None:
    study = generate_uid()
    all_series = [
        write_series(tmp_path / f"series-{number}", 10, study=study, patient_id="PARALLEL")
        for number in range(3)
    ]
    senders: list[Sender] = [client(isocenter, all_series) for client in CLIENTS]
    for sender in senders:
        sender.start()
    searches = 0
    paths = (
        f"/studies?StudyInstanceUID={study}",
        f"/studies/{study}/series",
        f"/studies/{study}/instances",
    )
    with httpx.Client() as client:
        while any(sender.is_alive() for sender in senders):
            for path in paths:
                answer = client.get(isocenter.dicomweb + path)
                assert answer.status_code == 200, answer.text
                uids = [one.get("00080018", one["0020000D"])["Value"][0] for one in answer.json()]
                if path.endswith("/instances"):
                    assert len(set(uids)) == len(uids) <= 30
                searches += 1
    assert searches >= len(paths)
    assert all(len(sender.acknowledged) == 30 for sender in senders)

    def counts() -> tuple[list[int], list[int], int]:
        whole = isocenter.search(f"/studies?StudyInstanceUID={study}")
        series = isocenter.search(f"/studies/{study}/series")
        return (
            [one[tag]["Value"][0] for one in whole for tag in ("00201206", "00201208")],
            [one["00201209"]["Value"][0] for one in series],
            len(isocenter.search(f"/studies/{study}/instances")),
        )

    wait_until(lambda: counts() == ([3, 30], [10, 10, 10], 30), 60, "exact counts")
