"""The policy in force follows its file and the marks: a change counts, what cannot be used changes
nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.core.access import EVERYONE, Marks, Patient, Policy
from isocenter.core.apis import Storage
from isocenter.core.errors import Invalid, Unavailable
from isocenter.core.events import Source
from isocenter.core.ports import BlobInfo
from isocenter.runtime.access import policy
from isocenter.runtime.access.guard import PolicyGuard
from isocenter.runtime.access.marks import Mark, MarkRecords
from isocenter.runtime.access.policy import PolicyInForce
from isocenter.runtime.instruments import ACCESS_POLICY_REFUSED
from isocenter.runtime.telemetry import OFF, Telemetry
from isocenter.storage.service import StorageService
from isocenter.storage.settings import StorageSettings
from support.mounted import Mounted
from support.telemetry import Recorder
from support.waiting import until

BROKEN = "the policy cannot be used; it stays as it was"
CHANGED = "the policy has changed"


def text(*names: str) -> str:
    return "\n".join(f'[[rules]]\nname = "{name}"\nallow = ["search"]\n' for name in names)


def names(of: PolicyInForce) -> list[str]:
    return [rule.name for rule in of().rules]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "policy.toml"
    file.write_text(text("first"))
    return file


class Store(StorageService):
    """An object store that can be away."""

    def __init__(self) -> None:
        super().__init__(blobs=MemoryBlobs(), settings=StorageSettings(), guard=PolicyGuard(Policy))
        self.away = False

    def list(self, prefix: str, after: str = "") -> AsyncIterator[BlobInfo]:
        if self.away:
            raise Unavailable("the object store does not answer")
        return super().list(prefix, after)


def policy_of(
    file: Path | None, store: Store | None = None, telemetry: Telemetry = OFF
) -> PolicyInForce:
    kept = store or Store()

    async def storage() -> Storage:
        return kept

    return PolicyInForce(file, 0.005, storage, telemetry)


@asynccontextmanager
async def following(file: Path | None, store: Store | None = None) -> AsyncIterator[PolicyInForce]:
    followed = policy_of(file, store)
    await followed.start()
    try:
        yield followed
    finally:
        await followed.close()


@contextmanager
def looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """How often a file was looked at."""
    count, real = 0, policy._stamp

    def counted(file: Path) -> object:
        nonlocal count
        count += 1
        return real(file)

    with monkeypatch.context() as patched:
        patched.setattr(policy, "_stamp", counted)
        yield lambda: count


def left() -> list[asyncio.Task[Any]]:
    """What still follows."""
    return [task for task in asyncio.all_tasks() if task.get_name() in ("policy", "marks")]


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == policy.__name__]


async def test_without_a_file_everybody_may_what_their_role_allows() -> None:
    async with following(None) as followed:
        assert followed() == Policy((EVERYONE,))


async def test_from_the_start_the_rules_are_those_of_the_file(file) -> None:
    async with following(file) as followed:
        assert names(followed) == ["first"]
        assert followed() is followed()


async def test_a_changed_file_is_taken_over_without_a_restart(file, caplog) -> None:
    caplog.set_level(logging.INFO)
    async with following(file) as followed:
        file.write_text(text("second", "third"))
        await until(lambda: names(followed) == ["second", "third"])
        (said,) = [one for one in caplog.records if one.getMessage() == CHANGED]
        assert said.rules == 2


async def test_a_file_that_is_put_in_place_of_the_other_is_taken_over(file) -> None:
    async with following(file) as followed:
        another = file.with_suffix(".new")
        another.write_text(text("first".upper()))
        another.replace(file)
        await until(lambda: names(followed) == ["FIRST"])


async def test_a_config_map_is_followed_as_kubernetes_mounts_it(tmp_path: Path, caplog) -> None:
    mounted = Mounted(tmp_path / "policy", {"policy.toml": text("first")})
    async with following(mounted.folder / "policy.toml") as followed:
        for change in ("other", "third", "third 1"):  # the same length, and another one
            mounted.change({"policy.toml": text(change)})
            await until(lambda change=change: names(followed) == [change])
        mounted.change({"policy.toml": "[[rules]\n"})
        await until(lambda: BROKEN in told(caplog))
        assert names(followed) == ["third 1"]
        mounted.change({"policy.toml": text("mended")})
        await until(lambda: names(followed) == ["mended"])


@pytest.mark.parametrize("broken", ["[[rules]\n", '[[rules]]\nname = "x"\nallow = ["look"]\n'])
async def test_a_broken_file_changes_nothing_and_is_told_once(
    file, caplog, monkeypatch, broken
) -> None:
    async with following(file) as followed:
        with looks(monkeypatch) as count:
            file.write_text(broken)
            await until(lambda: BROKEN in told(caplog))
            before = count()
            await until(lambda: count() > before + 5)
        assert told(caplog) == [BROKEN]
        (said,) = [one for one in caplog.records if one.getMessage() == BROKEN]
        assert (said.levelname, str(file) in said.why) == ("ERROR", True)
        assert names(followed) == ["first"]
        file.write_text(text("mended"))
        await until(lambda: names(followed) == ["mended"])


@pytest.mark.parametrize("broken", ["x = " + "1" * 5000, "x = " + "[" * 5000], ids=["long", "deep"])
async def test_no_file_keeps_the_next_one_from_being_taken_over(file, monkeypatch, broken) -> None:
    async with following(file) as followed:
        with looks(monkeypatch) as count:
            file.write_text(broken)
            await until(count)
        assert names(followed) == ["first"]
        file.write_text(text("mended"))
        await until(lambda: names(followed) == ["mended"], 2)


async def test_a_file_that_cannot_be_used_is_measured(file) -> None:
    recorder = Recorder()
    followed = policy_of(file, telemetry=recorder.telemetry)
    await followed.start()
    try:
        for content, measured in ((text("first"), 0), ("x = 1\n", 1), (text("mended"), 0)):
            file.write_text(content)
            await until(lambda m=measured: recorder.values(ACCESS_POLICY_REFUSED) == {(): m})
    finally:
        await followed.close()


async def test_a_file_that_goes_away_changes_nothing_and_is_told_once(
    file, caplog, monkeypatch
) -> None:
    async with following(file) as followed:
        with looks(monkeypatch) as count:
            file.unlink()
            await until(lambda: BROKEN in told(caplog))
            before = count()
            await until(lambda: count() > before + 5)
        assert told(caplog) == [BROKEN]
        assert names(followed) == ["first"]
        file.write_text(text("back"))
        await until(lambda: names(followed) == ["back"])


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "does not exist"), ("[[rules]\n", "cannot be read"), ("x = 1\n", "is not valid")],
)
async def test_a_process_does_not_start_without_a_policy_that_can_be_used(
    file, content, why
) -> None:
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    followed = policy_of(file)
    with pytest.raises(Invalid, match=why):
        await followed.start()
    await followed.close()
    assert left() == []


async def test_after_its_end_it_looks_at_nothing(file, monkeypatch) -> None:
    async with following(file):
        pass
    with looks(monkeypatch) as count:
        file.write_text(text("later"))
        async with following(file) as another:
            before = count()
            await until(lambda: count() > before + 5)
            assert names(another) == ["later"]
    assert left() == []


# --- marks ---------------------------------------------------------------------------------------

ADA = Source("DICOMweb", user="ada")


async def test_what_is_marked_counts_beside_the_rules_until_the_mark_is_taken_off(file) -> None:
    store = Store()
    marks, patient, study = MarkRecords(store), Mark(patient="P1", issuer="HR"), Mark(study="1.2")
    await marks.put(patient, ADA)
    async with following(file, store) as followed:
        await until(lambda: followed.complete)
        assert followed().marks == Marks((Patient("P1", "HR"),))
        await marks.put(study, ADA)
        await until(lambda: followed().marks.studies == ("1.2",))
        file.write_text(text("second"))
        await until(lambda: names(followed) == ["second"])
        assert followed().marks == Marks((Patient("P1", "HR"),), ("1.2",))
        await marks.remove(patient, ADA)
        await until(lambda: followed().marks == Marks(studies=("1.2",)))
        assert names(followed) == ["second"]


async def test_before_the_marks_were_read_it_is_not_known_what_is_confidential() -> None:
    store = Store()
    store.away = True
    async with following(None, store) as followed:
        assert not followed.complete
        store.away = False
        await until(lambda: followed.complete)
        store.away = True
        assert followed.complete


async def test_while_the_store_is_away_what_was_marked_counts(caplog) -> None:
    store = Store()
    await MarkRecords(store).put(Mark(study="1.2"), ADA)
    async with following(None, store) as followed:
        await until(lambda: followed.complete)
        store.away = True
        await until(lambda: "records cannot be read; what is known counts" in caplog.text)
        assert followed().marks == Marks(studies=("1.2",))
