"""The feed of changes over HTTP."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from isocenter.core.errors import Unavailable
from isocenter.core.events import (
    TOPIC_INSTANCES,
    TOPIC_STUDIES,
    InstanceDeleted,
    InstanceStored,
    Source,
    StudyChanged,
)
from isocenter.core.identity import InstanceName
from isocenter.core.ports import Record
from isocenter.runtime.event_codec import encode
from support.web_fakes import CT, SERIES, STUDY, Web

NAME = InstanceName("main", STUDY, SERIES, "1.2.3.4.5")
STORED = InstanceStored(
    NAME, CT, "1.2.840.10008.1.2.1", "key", "d" * 64, 1000, 132, 500, b"PatientName", Source("CLI"),
    datetime(2026, 1, 2, tzinfo=UTC), patient_id="SECRET",
)  # fmt: skip
DELETED = InstanceDeleted(NAME, "d" * 64, "by request", Source("CLI"))


def stored(n: int) -> InstanceStored:
    return replace(STORED, name=replace(NAME, instance=f"1.2.3.4.{n}"))


async def happened(web: Web, *events: InstanceStored | InstanceDeleted) -> None:
    await web.bus.append(TOPIC_INSTANCES, [encode(event) for event in events])


async def page(web: Web, **parameters: object) -> tuple[list[dict[str, object]], str]:
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    answer = await web.get(f"/changes?{query}")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    return found["changes"], found["next"]


async def test_events_come_in_order_once_and_without_patient_data() -> None:
    web = Web()
    await happened(web, STORED, DELETED)
    await web.bus.append(TOPIC_STUDIES, [encode(StudyChanged("main", STUDY, 1, 1))])
    changes, following = await page(web)
    kinds = [str(one["type"]).rpartition(".")[2] for one in changes]
    assert kinds == ["InstanceStored", "InstanceDeleted", "StudyChanged"]
    first = changes[0]
    path = f"studies/{STUDY}/series/{SERIES}/instances/{NAME.instance}"
    assert (first["specversion"], first["subject"]) == ("1.0", path)
    assert first["data"] == {
        "partition": "main", "study": STUDY, "series": SERIES, "instance": NAME.instance,
        "sopClass": CT, "transferSyntax": "1.2.840.10008.1.2.1", "digest": "d" * 64, "size": 1000,
        "retrieveUrl": f"http://pacs.test/dicomweb/{path}",
    }  # fmt: skip
    text = json.dumps(changes)
    assert "SECRET" not in text
    assert "PatientName" not in text
    assert await page(web, since=following) == ([], following)
    ((_, record),) = web.audit.records
    assert (record["detail"], record["query"]) == ("changes", "since=oldest")


async def test_pages_follow_each_other_without_gap_or_repetition() -> None:
    web = Web()
    await happened(web, *map(stored, range(10)))
    seen, since = [], "oldest"
    while True:
        changes, since = await page(web, since=since, limit=3)
        if not changes:
            break
        assert len(changes) <= 3
        seen += [str(one["data"]["instance"]).rpartition(".")[2] for one in changes]  # type: ignore[index]
    assert seen == [str(n) for n in range(10)]


async def test_from_now_on_and_waiting() -> None:
    web = Web()
    await happened(web, stored(1))
    _, now = await page(web, since="now")
    waiting = asyncio.create_task(page(web, since=now, wait=30))
    await asyncio.sleep(0)
    await happened(web, stored(2))
    changes, _ = await asyncio.wait_for(waiting, 10)
    assert [one["data"]["instance"] for one in changes] == ["1.2.3.4.2"]  # type: ignore[index]


async def test_whoever_waits_is_answered_when_the_process_ends() -> None:
    web = Web()
    waiting = asyncio.create_task(page(web, since="now", wait=60))
    await asyncio.sleep(0)
    web.feed.stop()
    assert (await asyncio.wait_for(waiting, 10))[0] == []


async def test_the_stream_gives_events_with_their_positions_and_resumes_behind_them() -> None:
    web = Web()
    await happened(web, stored(1), stored(2))
    _, behind = await page(web, since="oldest", limit=1)

    async def read(path: str, **headers: str) -> list[dict[str, str]]:
        async with asyncio.timeout(10):
            web.feed.stop()  # it ends behind what is there
            found = (await web.get(path, accept="text/event-stream", **headers)).text
        events = [block for block in found.split("\n\n") if block.startswith("id: ")]
        return [dict(line.split(": ", 1) for line in one.splitlines()) for one in events]

    both = await read("/changes?since=oldest")
    assert [json.loads(one["data"])["data"]["instance"] for one in both] == [
        "1.2.3.4.1", "1.2.3.4.2",
    ]  # fmt: skip
    assert {one["event"] for one in both} == {"isocenter.v1.InstanceStored"}
    assert both[0]["id"] == behind


async def test_events_that_nobody_can_read_are_passed_over() -> None:
    web = Web()
    kinds = ("isocenter.v1.InstanceStored", "isocenter.v1.Newer", "of.somebody.else")
    await web.bus.append(TOPIC_INSTANCES, [Record("1.2", kind, b"\xff", {}) for kind in kinds])
    await happened(web, stored(1))
    changes, _ = await page(web)
    assert len(changes) == 1


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("since=nonsense", 400),
        ("since=9-0-1", 400),
        ("since=" + "1" * 5000, 400),
        ("since=0-0-" + "9" * 30, 400),
        ("limit=0", 400),
        ("limit=1001", 400),
        ("limit=x", 400),
        ("wait=61", 400),
        ("wait=-1", 400),
        ("nonsense=1", 400),
    ],
)
async def test_wrong_parameters(query: str, status: int) -> None:
    answer = await Web().get(f"/changes?{query}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_position_that_the_log_does_not_hold_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    web = Web()
    await happened(web, stored(1))
    _, since = await page(web)

    async def oldest(topic: str) -> dict[int, int]:
        return {0: 100}

    monkeypatch.setattr(web.bus, "oldest", oldest)
    answer = await web.get(f"/changes?since={since}")
    assert answer.status_code == 404
    assert "since=oldest" in answer.json()["detail"]


async def test_nothing_is_told_where_it_cannot_be_recorded() -> None:
    web = Web()
    await happened(web, stored(1))
    web.audit.error = Unavailable("the log is away")
    assert (await web.get("/changes")).status_code == 503
