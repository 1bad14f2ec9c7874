"""`isocenter fetch`: studies of another archive into this one, or into a folder."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterable, AsyncIterator, Collection, Sequence
from contextlib import aclosing, asynccontextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

from isocenter.cli.common import err, operator, out, process
from isocenter.cli.peers import WebPeer, archive_of
from isocenter.cli.progress import Tally
from isocenter.cli.query import parse_key
from isocenter.cli.serving import is_served
from isocenter.core import part10
from isocenter.core.errors import Invalid, NotFound, OutOfResources
from isocenter.core.identity import is_uid
from isocenter.core.matching import Key, Level
from isocenter.core.ports import Buffer
from isocenter.core.remote import STUDY_UID, Arrival, Keeper, text_of
from isocenter.dimse.target import Target
from isocenter.ingest.fetching import ArchiveKeeper, Fetcher, Outcome, Patience
from isocenter.settings import Settings

_ENDING = ".dcm"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to fetch, and how."""

    peer: Target | WebPeer
    move_to: str
    which: Sequence[str]  # UIDs of studies, and keys
    uids: Path | None
    everything: bool
    parallel: int
    attempts: int
    report: Path | None


async def fetch(settings: Settings, plan: Plan, folder: Path | None) -> int:
    """Fetch into the archive of the settings, or into a folder; 0 when every study is complete."""
    if plan.move_to and folder is not None:
        raise Invalid("--move: what is moved comes to our gateway", fix="leave --to out, or --move")
    studies = await _studies(plan)
    async with _keeper(settings, plan.peer, folder) as keeper:
        with Tally(err, "fetched", "instances", otherwise="studies not complete") as tally:
            fetcher = Fetcher(
                archive=lambda: archive_of(plan.peer, plan.move_to),
                keeper=keeper,
                parallel=plan.parallel,
                patience=Patience(plan.attempts),
                taken=tally.add,
            )
            incomplete = await _tell(fetcher, studies, plan, tally)
    if folder is None and tally.done and not is_served(settings.data):
        out.print(f"searches find them once `isocenter up` runs on {settings.data}", markup=False)
    return 1 if incomplete else 0


async def _tell(fetcher: Fetcher, studies: Sequence[str], plan: Plan, tally: Tally) -> int:
    """What becomes of every study, as it is done; how many are not complete."""
    complete = here = 0
    with plan.report.open("w") if plan.report is not None else nullcontext() as report:
        async with aclosing(fetcher.fetch(_each(studies))) as outcomes:
            async for outcome in outcomes:
                if report is not None:
                    report.write(json.dumps({**asdict(outcome), "complete": outcome.complete}))
                    report.write("\n")
                    report.flush()
                if outcome.complete:
                    complete += 1
                    here += not outcome.taken and not plan.move_to
                    continue
                tally.refuse(outcome.study, outcome.problem)
                out.print(_incomplete(outcome), markup=False)
    before = f", {here:,} of them here before" if here else ""
    out.print(f"studies: {len(studies):,}, complete: {complete:,}{before}", markup=False)
    return len(studies) - complete


def _incomplete(outcome: Outcome) -> str:
    of = f"{len(outcome.missing):,} of {outcome.listed:,} missing: " if outcome.listed else ""
    return f"{outcome.study}: {of}{outcome.problem}"


async def _studies(plan: Plan) -> Sequence[str]:
    """The studies that are meant, each once. Raises `Invalid`, `NotFound`."""
    keys = [parse_key(text) for text in plan.which if "=" in text]
    uids = [text for text in plan.which if "=" not in text]
    if plan.uids is not None:
        lines = plan.uids.read_bytes().decode("ascii", "replace").splitlines()
        uids += [line.strip() for line in lines if line.strip()]
    wrong = [uid for uid in uids if not is_uid(uid)]
    if wrong:
        raise Invalid(f"{wrong[0][:64]}: not a UID", fix="give Study Instance UIDs, or KEY=VALUE")
    if plan.everything or keys:
        uids += await _search(plan, keys)
    elif not uids:
        raise Invalid(
            "nothing to fetch is named", fix="give Study Instance UIDs, KEY=VALUE, --from or --all"
        )
    if not uids:
        raise NotFound("the peer has no study that matches", fix="see what `isocenter query` finds")
    return list(dict.fromkeys(uids))


async def _search(plan: Plan, keys: Sequence[Key]) -> list[str]:
    """All at once: a search that is held up for as long as fetching takes would be cut."""
    archive = archive_of(plan.peer)
    asked = {STUDY_UID: Key(STUDY_UID, "UI"), **{key.tag: key for key in keys}}
    try:
        async with aclosing(archive.find(Level.STUDY, list(asked.values()))) as answers:
            return [uid async for one in answers if (uid := text_of(one, STUDY_UID))]
    finally:
        await archive.close()


@asynccontextmanager
async def _keeper(
    settings: Settings, peer: Target | WebPeer, folder: Path | None
) -> AsyncIterator[Keeper]:
    if folder is not None:
        yield FolderKeeper(folder)
        return
    title = peer.ae_title if isinstance(peer, Target) else ""
    async with process(settings) as env:
        yield ArchiveKeeper(
            ingest=await env.ingest(),
            storage=await env.storage(),
            source=replace(operator(), ae_title=title),
            partition=settings.ingest.partition,
        )


class FolderKeeper:
    """Keeps fetched studies as Part 10 files: FOLDER/STUDY/INSTANCE.dcm."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def take(self, study: str, arrival: Arrival, data_set: AsyncIterable[Buffer]) -> int:
        """Write it under another name until it is whole."""
        path = self._folder / study / f"{arrival.instance}{_ENDING}"
        part = path.with_suffix(".part")
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(
                    part10.file_meta(arrival.sop_class, arrival.instance, arrival.transfer_syntax)
                )
                async for chunk in data_set:
                    file.write(chunk)
                size = file.tell()
                await asyncio.to_thread(_sync, file)
            part.rename(path)
        except OSError as error:
            raise OutOfResources(
                f"{path} cannot be written: {error.strerror}", fix="make room, or choose another"
            ) from error
        finally:
            part.unlink(missing_ok=True)
        return size

    async def kept(self, study: str) -> Collection[str]:
        """By the names of the files."""
        return {path.stem for path in (self._folder / study).glob(f"*{_ENDING}")}


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


async def _each(studies: Sequence[str]) -> AsyncIterator[str]:
    for study in studies:
        yield study
