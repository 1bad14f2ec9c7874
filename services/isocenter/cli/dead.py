"""`isocenter dead`: events that could not be processed, and what to do with them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isocenter.cli.common import (
    ConfigOption,
    DataOption,
    SetOption,
    err,
    opened,
    operator,
    out,
    plain,
    process,
    run_async,
)
from isocenter.cli.recording import record
from isocenter.core.errors import Invalid, IsocenterError
from isocenter.core.events import PATIENT_FIELDS, TOPICS, AuditAction
from isocenter.core.identity import is_uid

if TYPE_CHECKING:
    from isocenter.runtime.dead_letters import DeadLetters, Letter
    from isocenter.settings import Settings

HEAD = f"{'when (UTC)':19}  {'letter':28}  {'event':18}  {'bytes':>9}  {'state':10}  error"

dead = typer.Typer(
    help="Dead letters: events that could not be processed.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

Names = Annotated[list[str], typer.Argument(metavar="ID...", help="As `dead list` prints them.")]


@dead.command("list")
def list_(
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    topic: Annotated[str, typer.Option(help="Only of this topic.")] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that were replayed or discarded.")
    ] = False,
) -> None:
    """Letters that wait for a decision: from which topic, since when, why."""
    settings = opened(data, config, assignments)
    run_async(list_letters(settings, topic, everything=everything))


@dead.command()
def show(
    name: Annotated[str, typer.Argument(metavar="ID", help="As `dead list` prints it.")],
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """One letter with its headers and its event, without what identifies the patient."""
    run_async(show_letter(opened(data, config, assignments), name))


@dead.command()
def replay(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="ID...", help="As `dead list` prints them.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are open.")] = False,
) -> None:
    """Append the events to their topics again, once the cause is gone."""
    settings = opened(data, config, assignments)
    run_async(replay_letters(settings, names or [], everything=everything))


@dead.command()
def discard(
    names: Names,
    reason: Annotated[str, typer.Option(help="Why; it goes into the audit trail.")],
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Mark letters as done without processing their events."""
    run_async(discard_letters(opened(data, config, assignments), names, reason))


async def list_letters(settings: Settings, topic: str, *, everything: bool) -> None:
    """Print the letters, one a line."""
    if topic and topic not in TOPICS:
        raise Invalid(f"--topic {topic}: no such topic", fix=f"topics are: {', '.join(TOPICS)}")
    count = 0
    topics = [topic] if topic else TOPICS
    async with _letters_of(settings) as letters, aclosing(letters.letters(topics)) as found:
        async for letter in found:
            if letter.resolved is not None and not everything:
                continue
            if not count:
                out.print(HEAD)
            count += 1
            out.print(_line(letter), markup=False)
    if not count:
        out.print("no dead letters" if everything else "no open dead letters")


async def show_letter(settings: Settings, name: str) -> None:
    """Print one letter as JSON."""
    from isocenter.runtime.dead_letters import DeadLetters, LetterId

    wanted = LetterId.parse(name)
    async with process(settings) as env:
        letters = DeadLetters(await env.bus(), await env.audit_log())
        letter = await letters.find(wanted)
        delivery = letter.delivery
        studies = (delivery.key,) if is_uid(delivery.key) else ()
        await record(env, AuditAction.QUERY, f"dead letter {letter.id} shown", studies=studies)
    told = {
        "letter": str(letter.id),
        "appended_at": delivery.appended_at,
        "error": letter.error,
        "type": delivery.type,
        "key": delivery.key,
        "bytes": len(delivery.data),
        "headers": dict(delivery.headers),
        "event": _event(letter),
        "resolved": asdict(letter.resolved) if letter.resolved else None,
    }
    out.print(json.dumps(told, indent=2, default=plain), markup=False)


async def replay_letters(settings: Settings, names: Sequence[str], *, everything: bool) -> None:
    """Append events to their topics again."""
    if bool(names) == everything:
        raise Invalid("name the letters to replay, or all", fix="give IDs or --all, not both")
    count = 0
    async with _letters_of(settings) as letters, aclosing(_chosen(letters, names)) as chosen:
        async for letter in chosen:
            await letters.replay(letter, operator())
            count += 1
    err.print(f"replayed: {count:,} letters")


async def discard_letters(settings: Settings, names: Sequence[str], reason: str) -> None:
    """Mark letters as done."""
    if not reason.strip():
        raise Invalid("--reason is empty", fix="say why the events are not needed")
    count = 0
    async with _letters_of(settings) as letters, aclosing(_chosen(letters, names)) as chosen:
        async for letter in chosen:
            await letters.discard(letter, operator(), reason.strip())
            count += 1
    err.print(f"discarded: {count:,} letters")


@asynccontextmanager
async def _letters_of(settings: Settings) -> AsyncIterator[DeadLetters]:
    from isocenter.runtime.dead_letters import DeadLetters

    async with process(settings) as env:
        yield DeadLetters(await env.bus(), await env.audit_log())


async def _chosen(letters: DeadLetters, names: Sequence[str]) -> AsyncGenerator[Letter, None]:
    """The letters of these names, all known to be there before the first; or all open ones."""
    from isocenter.runtime.dead_letters import LetterId

    if names:
        wanted = dict.fromkeys(LetterId.parse(name) for name in names)
        for letter in [await letters.find(name) for name in wanted]:
            yield letter
        return
    async with aclosing(letters.letters()) as found:
        async for letter in found:
            if letter.resolved is None:
                yield letter


def _line(letter: Letter) -> str:
    state = letter.resolved.fate.value if letter.resolved else "open"
    again = f" (replayed {letter.replayed} times before)" if letter.replayed else ""
    delivery = letter.delivery
    return (
        f"{delivery.appended_at:%Y-%m-%d %H:%M:%S}  {letter.id!s:28}  "
        f"{delivery.type.rpartition('.')[2]:18}  {len(delivery.data):>9,}  {state:10}  "
        f"{letter.error}{again}"
    )


def _event(letter: Letter) -> object:
    from isocenter.runtime.event_codec import decode

    try:
        return _without_patient(asdict(decode(letter.delivery)))
    except IsocenterError as error:
        return f"cannot be read: {error}"


def _without_patient(fields: Mapping[str, Any]) -> dict[str, object]:
    return {
        name: "(not shown)" if name in PATIENT_FIELDS and value else value
        for name, value in fields.items()
    }
