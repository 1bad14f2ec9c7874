"""Deletion and its undoing, as a browser, curl and the command line do it, in both shapes."""

from __future__ import annotations

import json
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

from support.clients import dcmtk
from support.files import Series, count_instances, data_set_bytes, find_instances, write_series
from support.harness import Isocenter, wait_until

COUNT = 6


def stored(isocenter: Isocenter, folder: Path) -> Series:
    series = write_series(folder, COUNT)
    send(isocenter, series)
    return series


def send(isocenter: Isocenter, series: Series) -> None:
    outcome = dcmtk("storescu", isocenter, "+sd", series.folder)
    assert outcome.code == 0, outcome.text
    wait_until(lambda: count_instances(isocenter, series.study) == COUNT, what="found")


def deleted(isocenter: Isocenter, path: str, reason: str = "wrong patient") -> dict[str, Any]:
    answer = httpx.delete(isocenter.dicomweb + path, params={"reason": reason}, timeout=60)
    assert answer.status_code == HTTPStatus.OK, answer.text
    done: dict[str, Any] = answer.json()
    return done


def restored(isocenter: Isocenter, deletion: str) -> None:
    url = f"{isocenter.http_url}/api/deletions/{deletion}/restore"
    answer = httpx.post(url, timeout=60)
    assert answer.status_code == HTTPStatus.OK, answer.text
    assert answer.json()["deleted"] == 0


def status_of(isocenter: Isocenter, path: str) -> int:
    return httpx.get(isocenter.dicomweb + path, timeout=60).status_code


def found_by_dimse(isocenter: Isocenter, study: str) -> bool:
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}")
    return study in dcmtk("findscu", isocenter, "-S", *keys, "-k", "PatientID").text


def test_a_deleted_study_is_hidden_everywhere_at_once_and_comes_back_whole(
    isocenter: Isocenter, tmp_path: Path
) -> None:
    series = stored(isocenter, tmp_path)
    of_study = f"/studies/{series.study}"
    before = isocenter.get(f"{of_study}/metadata")
    assert found_by_dimse(isocenter, series.study)
    done = deleted(isocenter, of_study)
    assert (done["objects"], done["deleted"]) == (COUNT, COUNT)
    assert find_instances(isocenter, series.study) == []
    assert count_instances(isocenter, series.study) == 0
    assert not found_by_dimse(isocenter, series.study)
    instance = f"{of_study}/series/{series.series}/instances/{next(iter(series.files))}"
    for path in (of_study, f"{of_study}/metadata", instance, f"{instance}/frames/1",
                 f"{instance}/rendered", f"{of_study}/series/{series.series}"):  # fmt: skip
        assert status_of(isocenter, path) == HTTPStatus.NOT_FOUND, path
    got = dcmtk("getscu", isocenter, "-S", "-k", "QueryRetrieveLevel=STUDY",
                "-k", f"StudyInstanceUID={series.study}", "-od", tmp_path)  # fmt: skip
    assert not list(tmp_path.glob("CT.*")), got.text
    listed = httpx.get(f"{isocenter.http_url}/api/deletions", timeout=60).json()["deletions"]
    assert done["id"] in [one["id"] for one in listed]

    restored(isocenter, done["id"])
    wait_until(lambda: count_instances(isocenter, series.study) == COUNT, what="found again")
    assert isocenter.get(f"{of_study}/metadata") == before
    kept = isocenter.objects.contents(series.study)
    by_uid = {key.split("/")[4]: content for key, content in kept.items()}
    for uid, path in series.files.items():
        assert by_uid[uid].endswith(data_set_bytes(path))


def test_what_is_sent_again_after_its_deletion_is_there_again(
    isocenter: Isocenter, tmp_path: Path
) -> None:
    series = stored(isocenter, tmp_path)
    deleted(isocenter, f"/studies/{series.study}")
    send(isocenter, series)
    wait_until(
        lambda: sorted(find_instances(isocenter, series.study)) == sorted(series.files),
        what="found again",
    )
    again = deleted(isocenter, f"/studies/{series.study}")
    assert again["deleted"] == COUNT
    assert find_instances(isocenter, series.study) == []


def test_an_instance_is_deleted_from_the_command_line(isocenter: Isocenter, tmp_path: Path) -> None:
    series = stored(isocenter, tmp_path)
    uid = next(iter(series.files))
    level = series.study, series.series, uid
    done = isocenter.cli("delete", *level, "--reason", "blurred")
    assert done.returncode == 0, done.stderr
    assert "isocenter undelete" in done.stdout
    assert sorted(find_instances(isocenter, series.study)) == sorted(set(series.files) - {uid})
    assert count_instances(isocenter, series.study) == COUNT - 1
    lines = isocenter.cli("deleted", "--json").stdout.splitlines()
    (told,) = [one for one in map(json.loads, lines) if one["instance"] == uid]
    assert (told["objects"], told["reason"]) == (1, "blurred")
    assert uid in isocenter.cli("deleted").stdout
    back = isocenter.cli("undelete", told["id"])
    assert back.returncode == 0, back.stderr
    wait_until(lambda: count_instances(isocenter, series.study) == COUNT, what="found again")
    unknown = isocenter.cli("undelete", told["id"])
    assert unknown.returncode == 1
    assert "nothing of this deletion" in unknown.stderr


def test_every_deletion_is_told_and_in_the_audit_trail(
    isocenter: Isocenter, tmp_path: Path
) -> None:
    since = httpx.get(f"{isocenter.http_url}/changes?since=now", timeout=60).json()["next"]
    series = stored(isocenter, tmp_path)
    done = deleted(isocenter, f"/studies/{series.study}", "legal order 7")
    url = f"{isocenter.http_url}/changes?since={since}&limit=1000"

    def told() -> list[Any]:
        changes = httpx.get(url, timeout=60).json()["changes"]
        gone = [one["data"] for one in changes if one["type"].endswith("InstanceDeleted")]
        return [one for one in gone if one["study"] == series.study]

    gone = wait_until(lambda: len(found := told()) == COUNT and found, what="all are told")
    assert sorted(one["instance"] for one in gone) == sorted(series.files)
    assert {one["reason"] for one in gone} == {"legal order 7"}

    def recorded() -> list[Any]:
        query = ("--action", "delete", "--study", series.study, "--json")
        lines = isocenter.cli("audit list", *query).stdout.splitlines()
        return [json.loads(line) for line in lines]

    records = wait_until(
        lambda: len(found := recorded()) == COUNT + 1 and found, 60, "the records are in the trail"
    )
    (record,) = (one for one in records if "legal order 7" in one["detail"])
    objects = [one for one in records if one != record]
    assert sorted(uid for one in objects for uid in one["instances"]) == sorted(series.files)
    assert all(one["digests"] and done["id"] in one["detail"] for one in objects)
    assert {one["source"]["purpose"] for one in records} == {"legal order 7"}
    assert done["id"] in record["detail"]
    assert "legal order 7" in record["detail"]
    assert record["patient_ids"] == [series.patient_id]
    assert record["instance_count"] == COUNT
