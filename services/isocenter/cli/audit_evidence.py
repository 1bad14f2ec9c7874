"""`isocenter audit evidence`: a folder for an expert, with all that verifying needs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isocenter.cli.audit_common import reading, sealed
from isocenter.cli.audit_filters import FORMATS, utc
from isocenter.cli.audit_proof import verifier_file
from isocenter.cli.common import (
    ConfigOption,
    DataOption,
    SetOption,
    err,
    opened,
    operator,
    process,
    run_async,
)
from isocenter.core.errors import Conflict, Corrupted, NotFound, Unavailable

if TYPE_CHECKING:
    from isocenter.audit.segments import Segments
    from isocenter.cli.progress import Tally
    from isocenter.settings import Settings

_VERIFIER = "verify_audit.py"

_README = """\
Audit trail of Isocenter{site}, copied on {at} UTC by {by}.

audit/           segments of the trail with their seals, and the public keys
{verifier}  verifies them: one file of plain Python, which can be read in one sitting

    python3 {verifier} . --trust FINGERPRINT

needs Python 3.9 or newer and nothing else; no network. FINGERPRINT is that of a key which you
know from elsewhere, such as a note that was made when Isocenter was installed. Without it, the
verifier says on which key all of this rests.

Keys:
{keys}

Ends of the chains:
{ends}
"""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Which chains are wanted, and how much of them; what is empty wants all."""

    chains: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None


def evidence(
    folder: Annotated[Path, typer.Argument(help="A new folder, or one that is empty.")],
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    chain: Annotated[list[str] | None, typer.Option(help="Only this chain (repeat).")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            help="Only chains that have records of then or later (UTC).",
            formats=FORMATS,
            metavar="TIME",
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            help="Of each chain nothing behind the last segment with records before then (UTC).",
            formats=FORMATS,
            metavar="TIME",
        ),
    ] = None,
) -> None:
    """Copy segments, seals and keys to a folder, with the stand-alone verifier.

    A chain is copied from its beginning, since every record vouches for the one before it. What is
    damaged is copied as it is. Exit code 1 if something could not be copied.
    """
    excerpt = Excerpt(tuple(chain or ()), utc(since), utc(until))
    settings = opened(data, config, assignments)
    raise typer.Exit(run_async(take_evidence(settings, folder, excerpt)))


async def take_evidence(settings: Settings, folder: Path, excerpt: Excerpt) -> int:
    """Fill the folder; 0 when everything is in it."""
    from isocenter.audit.seals import CHAINS, KEYS
    from isocenter.cli.progress import Tally

    _prepare(folder)
    async with process(settings) as env:
        await reading(env, f"evidence to {folder}")
        async with sealed(env) as segments:
            ends = await _ends(segments, excerpt)
            with Tally(err, "copied", "files", otherwise="not copied") as tally:
                await _copy(segments, KEYS, "", folder, tally)
                for chain, end in ends.items():
                    await _copy(segments, f"{CHAINS}{chain}/", end, folder, tally)
            readme = await _readme(segments, settings.site, list(ends.values()))
    (folder / _VERIFIER).write_bytes(verifier_file())
    (folder / "README.txt").write_text(readme, encoding="utf-8")
    err.print(f"verify it anywhere: python3 {folder / _VERIFIER} {folder}", markup=False)
    return 1 if tally.refused else 0


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = any(folder.iterdir())
    except OSError as error:
        raise Unavailable(
            f"{folder} cannot be made: {error.strerror}", fix="choose another folder"
        ) from error
    if taken:
        raise Conflict(f"{folder} is not empty", fix="choose a new folder")


async def _ends(segments: Segments, excerpt: Excerpt) -> dict[str, str]:
    """Chain -> what the keys of its last segment that is wanted begin with."""
    held = await segments.chains()
    if unknown := [chain for chain in excerpt.chains if chain not in held]:
        raise NotFound(
            f"there is no chain {', '.join(unknown)}", fix=f"chains are: {', '.join(held)}"
        )
    if not held:
        raise NotFound("nothing is sealed yet", fix="ask again after audit.seal_seconds")
    found = {}
    for chain in excerpt.chains or held:
        if end := await _end(segments, chain, excerpt):
            found[chain] = end
    if not found:
        raise NotFound("no chain has records of that time", fix="choose another --since, --until")
    return found


async def _end(segments: Segments, chain: str, excerpt: Excerpt) -> str:
    """Empty if nothing of the chain is wanted. A segment whose seal nobody can read is."""
    from isocenter.audit.seals import CHAINS
    from isocenter.runtime.audit_records import time_text
    from isocenter.runtime.streams import generator

    since = time_text(excerpt.since) if excerpt.since else ""
    until = time_text(excerpt.until) if excerpt.until else "~"
    end, is_wanted = "", False
    async with aclosing(generator(segments.blobs.list(f"{CHAINS}{chain}/"))) as infos:
        async for info in infos:
            folder, _, name = info.key.rpartition("/")
            if name != "seal":
                continue
            try:
                seal = (await segments.read_seal(info.key)).seal
                if seal.since >= until:
                    continue
                is_wanted = is_wanted or seal.until >= since
            except Corrupted:
                is_wanted = True
            end = f"{folder}/"
    return end if is_wanted else ""


async def _copy(segments: Segments, prefix: str, end: str, folder: Path, tally: Tally) -> None:
    """All files below a prefix, those behind the segment `end` apart."""
    from isocenter.runtime.streams import generator

    async with aclosing(generator(segments.blobs.list(prefix))) as infos:
        async for info in infos:
            if end and info.key > end and not info.key.startswith(end):
                return
            try:
                content = await segments.blobs.get(info.key)
            except NotFound:
                tally.refuse(info.key, "it was removed meanwhile")
                continue
            file = folder / info.key
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            tally.add(len(content))


async def _readme(segments: Segments, site: str, ends: Sequence[str]) -> str:
    from isocenter.audit.keys import public_keys

    try:
        held = [key for key, _ in await public_keys(segments.blobs)]
        keys = [f"  {key.number}  {key.id}  since {key.since}" for key in held]
    except Corrupted as error:
        keys = [f"  {error.message}"]
    told = []
    for end in ends:
        try:
            head = (await segments.read_seal(f"{end}seal")).published
            told.append(f"  {head.chain}  record {head.last}  {head.head}  sealed at {head.at}")
        except Corrupted as error:
            told.append(f"  {error.message}")
    return _README.format(
        site=f" at {site}" if site else "",
        at=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}",
        by=operator().who,
        verifier=_VERIFIER,
        keys="\n".join(keys),
        ends="\n".join(told),
    )


def add_to(audit: typer.Typer) -> None:
    """The verb."""
    audit.command("evidence")(evidence)
