"""What every `AuditIndex` promises of filters and counts; a part of `audit_index_suite`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from isocenter.core.audit import AuditFilter, AuditIndex, By
from isocenter.core.events import AuditAction, AuditOutcome, Source
from support.audit_index_samples import EVERYTHING, START, ids, numbered, record

EAST = timezone(timedelta(hours=5))


class AuditFiltersSuite:
    __test__ = False

    # --- filters ---------------------------------------------------------------------------------

    async def test_filters_select_exactly(self, index: AuditIndex) -> None:
        await index.append(numbered([
            record(1),
            record(2, action=AuditAction.STORE, studies=("1.2", "1.3"), instances=("1.4", "1.5")),
            record(3, outcome=AuditOutcome.FAILURE, patient_ids=("P1",), partition="main",
                   site="north", destination="PACS "),
            record(4, source=Source("DICOMweb", "10.0.0.9", user="alice", tls_subject="CN=a"),
                   studies=("1.2",), patient_ids=("p1", "P 2")),
        ]))  # fmt: skip
        later = START + timedelta(seconds=2)
        for which, expected in (
            (AuditFilter(actions=(AuditAction.STORE, AuditAction.EXPORT)), {2}),
            (AuditFilter(actions=(AuditAction.EXPORT,)), set()),
            (AuditFilter(outcomes=(AuditOutcome.FAILURE,)), {3}),
            (AuditFilter(outcomes=(AuditOutcome.SUCCESS, AuditOutcome.FAILURE)), {1, 2, 3, 4}),
            (AuditFilter(who="SCANNER"), {1, 2, 3}),
            (AuditFilter(who="alice"), {4}),
            (AuditFilter(who="Alice"), set()),
            (AuditFilter(who="10.0.0.9"), {4}),
            (AuditFilter(who="CN=a"), {4}),
            (AuditFilter(who="SCAN"), set()),
            (AuditFilter(study="1.2"), {2, 4}),
            (AuditFilter(study="1.4"), set()),
            (AuditFilter(instance="1.5"), {2}),
            (AuditFilter(instance="1.2"), set()),
            (AuditFilter(patient_id="P1"), {3}),
            (AuditFilter(patient_id="P 2"), {4}),
            (AuditFilter(patient_id="P*"), set()),
            (AuditFilter(place="main"), {3}),
            (AuditFilter(place="north"), {3}),
            (AuditFilter(place="PACS"), {3}),
            (AuditFilter(place="NORTH"), set()),
            (AuditFilter(since=later), {2, 3, 4}),
            (AuditFilter(until=later), {1}),
            (AuditFilter(since=later, until=later + timedelta(microseconds=1)), {2}),
            (AuditFilter(since=later.astimezone(EAST), study="1.2",
                         actions=(AuditAction.QUERY,)), {4}),
            (AuditFilter(who="SCANNER", patient_id="P1", place="main", text="fail"), {3}),
        ):  # fmt: skip
            found = await index.search(which, 10)
            assert {int(one.event.id[1:]) for one in found} == expected, which
            assert await index.count(which) == len(expected), which

    async def test_a_text_is_found_by_the_beginnings_of_its_words(self, index: AuditIndex) -> None:
        await index.append(numbered([
            record(1, detail="C-FIND STUDY", query="PatientName=MÜLLER^Jörg StudyDate=2024"),
            record(2, error="the study 1.2.840 is not here", process="gateway-1", trace="0af7"),
            record(3, source=Source("DICOMweb", user="jo@hospital.example", purpose="EMERGENCY"),
                   patient_ids=("PAT-0042",), destination="ARCHIVE", detail="x" * 200),
        ]))  # fmt: skip
        for text, expected in (
            ("c-find", {1}), ("C-F", {1}), ("find", set()), ("study", {1, 2}), ("stud", {1, 2}),
            ("muller", {1}), ("MÜLLER^jorg", {1}), ("jorg", set()), ("1.2.8", {2}),
            ("1.2.9", set()), ("gateway-1 0af", {2}), ("jo@", {3}), ("emerg arch", {3}),
            ("pat-0042", {3}), ("pat", {1, 3}), ("scanner", {1, 2}), ("studydate 2024", {1}),
            ("query success", {1, 2, 3}), ("archive c-find", set()), ("c-find NOT", set()),
            ("x" * 128, {3}), ("x" * 150, {3}), ("x" * 127 + "y", set()),
            ("dicomweb, patient!", set()), ("(dicomweb) (pat)", {3}),
            ("!?*%", {1, 2, 3}), ("  ", {1, 2, 3}),
        ):  # fmt: skip
            found = await ids(index, AuditFilter(text=text))
            assert {int(one[1:]) for one in found} == expected, text
            assert await index.count(AuditFilter(text=text)) == len(expected), text

    async def test_a_text_of_very_many_words_is_an_answer_too(self, index: AuditIndex) -> None:
        many = " ".join(f"w{n}" for n in range(400))
        await index.append(numbered([record(1, detail=many), record(2)]))
        assert await ids(index, AuditFilter(text=many)) == ["r0001"]
        assert await ids(index, AuditFilter(text=f"{many} more")) == []

    # --- counting --------------------------------------------------------------------------------

    async def test_tallies_are_by_what_is_asked_in_the_order_of_their_keys(
        self, index: AuditIndex
    ) -> None:
        alice = Source("DICOMweb", "10.0.0.9", user="alice")
        await index.append(numbered([
            record(1), record(2, action=AuditAction.STORE), record(3, source=alice),
            record(4, source=alice, at=START + timedelta(hours=5, minutes=59)),
            record(5, source=alice, at=datetime(1900, 1, 1, tzinfo=UTC)),
            record(6, source=Source("sweep"), outcome=AuditOutcome.FAILURE),
        ]))  # fmt: skip

        async def tally(which: AuditFilter, *by: By) -> dict[tuple[str, ...], int]:
            found = await index.tally(which, by)
            assert [one.keys for one in found] == sorted(one.keys for one in found)
            return {one.keys: one.count for one in found}

        assert await tally(EVERYTHING, By.HOUR) == {
            ("1900-01-01T00",): 1, ("2026-01-01T12",): 4, ("2026-01-01T17",): 1,
        }  # fmt: skip
        assert await tally(EVERYTHING, By.WHO, By.ACTION) == {
            ("SCANNER", "query"): 1, ("SCANNER", "store"): 1, ("alice", "query"): 3,
            ("", "query"): 1,
        }  # fmt: skip
        assert await tally(AuditFilter(who="10.0.0.9"), By.OUTCOME, By.WHO) == {
            ("success", "alice"): 3
        }
        assert await tally(AuditFilter(until=START + timedelta(seconds=2)), By.ACTION) == {
            ("query",): 2
        }
        assert await tally(AuditFilter(text="alice"), By.HOUR) == {
            ("1900-01-01T00",): 1, ("2026-01-01T12",): 1, ("2026-01-01T17",): 1,
        }  # fmt: skip
        assert await tally(AuditFilter(who="nobody"), By.HOUR) == {}
        assert await tally(EVERYTHING) == {(): 6}

    async def test_there_are_as_many_tallies_as_combinations(self, index: AuditIndex) -> None:
        sources = [Source("DIMSE", ae_title=f"AE{n % 130:03}") for n in range(2600)]
        await index.append(
            numbered([
                record(n, source=source, at=START + timedelta(hours=n // 130))
                for n, source in enumerate(sources)
            ])
        )  # fmt: skip
        found = await index.tally(EVERYTHING, [By.HOUR, By.WHO])
        assert len(found) == 2600
        assert {one.count for one in found} == {1}
        assert found[0].keys == ("2026-01-01T12", "AE000")
        assert [one.count for one in await index.tally(EVERYTHING, [By.WHO])] == [20] * 130
