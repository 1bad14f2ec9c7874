"""The feed of changes of a whole installation: what is stored is told, to the end and in order."""

from __future__ import annotations

import http.client
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.clients import dcmtk
from support.files import Series, count_instances, write_series
from support.harness import Isocenter, wait_until

COUNT = 12


def page(isocenter: Isocenter, **parameters: object) -> tuple[list[dict[str, Any]], str]:
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    with urllib.request.urlopen(f"{isocenter.http_url}/changes?{query}", timeout=90) as answer:
        found = json.load(answer)
    return found["changes"], found["next"]


def store(isocenter: Isocenter, folder: Path) -> Series:
    series = write_series(folder, COUNT)
    stored = dcmtk("storescu", isocenter, "+sd", series.folder)
    assert stored.code == 0, stored.text
    return series


def of_study(changes: list[dict[str, Any]], study: str, kind: str) -> list[dict[str, Any]]:
    named = [one for one in changes if one["data"]["study"] == study]
    return [one["data"] for one in named if one["type"].endswith(f".{kind}")]


def test_every_store_is_told_to_whoever_polls(isocenter: Isocenter, tmp_path: Path) -> None:
    _, since = page(isocenter, since="now")
    series = store(isocenter, tmp_path)
    seen: list[dict[str, Any]] = []

    def complete() -> bool:
        nonlocal since
        changes, since = page(isocenter, since=since, limit=5, wait=20)
        seen.extend(changes)
        changed = of_study(seen, series.study, "StudyChanged")
        return bool(changed) and changed[-1]["instanceCount"] == COUNT

    wait_until(complete, 60, "the study is told as it is now")
    stored = of_study(seen, series.study, "InstanceStored")
    assert sorted(one["instance"] for one in stored) == sorted(series.files)
    assert count_instances(isocenter, series.study) == COUNT
    url = stored[0]["retrieveUrl"]
    with urllib.request.urlopen(f"{url}/metadata", timeout=30) as answer:
        assert json.load(answer)[0]["00080018"]["Value"] == [stored[0]["instance"]]
    # Whoever reads it once more is told the same.
    ids = [one["id"] for one in seen if one["data"]["study"] == series.study]
    assert len(set(ids)) == len(ids)


def test_every_store_is_told_on_a_stream(isocenter: Isocenter, tmp_path: Path) -> None:
    connection = http.client.HTTPConnection(isocenter.host, isocenter.http_port, timeout=60)
    connection.request("GET", "/changes", headers={"Accept": "text/event-stream"})
    answer = connection.getresponse()
    assert answer.getheader("content-type") == "text/event-stream"
    assert answer.readline() == b"retry: 1000\n"  # it has begun: what follows is in it
    series = store(isocenter, tmp_path)
    left = set(series.files)
    last = ""
    for event in events(answer):
        last = event["id"]
        data = json.loads(event["data"])["data"]
        if data["study"] == series.study and event["event"].endswith(".InstanceStored"):
            left.discard(data["instance"])
        if not left:
            break
    connection.close()
    # A client that comes back goes on behind the last event that it saw.
    changes, _ = page(isocenter, since=last)
    assert of_study(changes, series.study, "InstanceStored") == []


def events(answer: http.client.HTTPResponse) -> Iterator[dict[str, str]]:
    """Server-sent events, without comments."""
    fields: dict[str, str] = {}
    while line := answer.readline():
        name, colon, value = line.decode().rstrip("\n").partition(": ")
        if colon and name:
            fields[name] = value
        elif not line.strip() and "id" in fields:
            yield fields
            fields = {}
