"""What every `AuditIndex` promises. An adapter subclasses `AuditIndexSuite`, sets `__test__` and
overrides the fixture `index`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone

import pytest

from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome, Source
from isocenter.core.ports import AuditFilter, AuditIndex

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
ELSEWHERE = (START + timedelta(seconds=2)).astimezone(timezone(timedelta(hours=5)))
EVERYTHING = AuditFilter()


def record(number: int, **fields: object) -> AuditEvent:
    values: dict[str, object] = {
        "action": AuditAction.QUERY,
        "outcome": AuditOutcome.SUCCESS,
        "source": Source("DIMSE", host="10.0.0.1", ae_title="SCANNER"),
        "at": START + timedelta(seconds=number),
        "id": f"r{number:04}",
    }
    return AuditEvent(**(values | fields))  # type: ignore[arg-type]


class AuditIndexSuite:
    __test__ = False

    @pytest.fixture
    async def index(self) -> AsyncIterator[AuditIndex]:
        raise NotImplementedError
        return

    async def test_a_record_comes_back_as_it_was(self, index: AuditIndex) -> None:
        event = record(
            1,
            at=datetime(2026, 1, 1, 14, 0, 0, 123456, tzinfo=UTC),
            partition="main",
            patient_ids=("P1", "P2"),
            studies=("1.2",),
            series=("1.3",),
            instances=("1.4",),
            instance_count=3,
            detail="C-MOVE",
            destination="STORE",
            error="none",
            source=Source("DICOMweb", "::1", user="dr.who", tls_subject="CN=x", known=False),
        )
        await index.append([event])
        assert list(await index.search(EVERYTHING, 10)) == [event]

    async def test_a_record_that_is_known_is_ignored(self, index) -> None:
        await index.append([record(1)])
        await index.append([record(1, detail="again"), record(2)])
        assert [e.id for e in await index.search(EVERYTHING, 10)] == ["r0002", "r0001"]
        assert await index.count(EVERYTHING) == 2

    async def test_pages_are_newest_first_disjoint_and_complete(self, index) -> None:
        await index.append([record(n, at=START + timedelta(seconds=n // 3)) for n in range(20)])
        pages, before = [], ""
        while page := await index.search(EVERYTHING, 7, before):
            pages.append(page)
            before = page[-1].id
        ids = [event.id for page in pages for event in page]
        assert [len(page) for page in pages] == [7, 7, 6]
        assert ids == sorted(ids, reverse=True)
        assert len(set(ids)) == 20

    @pytest.mark.parametrize(
        ("which", "expected"),
        [
            (AuditFilter(actions=(AuditAction.STORE, AuditAction.EXPORT)), {2}),
            (AuditFilter(outcomes=(AuditOutcome.FAILURE,)), {3}),
            (AuditFilter(who="SCANNER"), {1, 2, 3}),
            (AuditFilter(who="alice"), {4}),
            (AuditFilter(who="10.0.0.9"), {4}),
            (AuditFilter(who="SCAN"), set()),
            (AuditFilter(study="1.2"), {2, 4}),
            (AuditFilter(patient_id="P1"), {3}),
            (AuditFilter(since=START + timedelta(seconds=2)), {2, 3, 4}),
            (AuditFilter(until=START + timedelta(seconds=2)), {1}),
            (AuditFilter(since=ELSEWHERE,
                         study="1.2", actions=(AuditAction.QUERY,)), {4}),
        ],
    )  # fmt: skip
    async def test_filters_select_exactly(self, index, which, expected) -> None:
        await index.append([
            record(1),
            record(2, action=AuditAction.STORE, studies=("1.2", "1.3")),
            record(3, outcome=AuditOutcome.FAILURE, patient_ids=("P1",)),
            record(4, source=Source("DICOMweb", "10.0.0.9", user="alice"), studies=("1.2",)),
        ])  # fmt: skip
        found = await index.search(which, 10)
        assert {int(e.id[1:]) for e in found} == expected
        assert await index.count(which) == len(expected)
