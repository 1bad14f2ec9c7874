"""`isocenter access`: what the policy says, and why; sessions, and what is confidential."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isocenter.cli.account import administration
from isocenter.cli.common import (
    ConfigOption,
    DataOption,
    SetOption,
    opened,
    operating,
    out,
    process,
    run_async,
)
from isocenter.core.errors import Invalid, NotFound, Refused

if TYPE_CHECKING:
    from isocenter.app import Process
    from isocenter.core.access import Caller
    from isocenter.runtime.access.doors import Doors
    from isocenter.settings import Settings

access = typer.Typer(
    help="Access: what the policy says and why, sessions, and what is confidential.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

Patient = Annotated[str, typer.Option(help="Patient ID.")]
Issuer = Annotated[str, typer.Option(help="Issuer of the Patient ID.")]
Study = Annotated[str, typer.Option(help="Study Instance UID.")]


@access.command()
def explain(
    who: Annotated[
        str, typer.Argument(help="person:NAME, program:NAME or ae:TITLE, as they are known here.")
    ],
    verb: Annotated[str, typer.Argument(help="What they would do: search, read, delete, ...")],
    what: Annotated[str, typer.Argument(help="Study Instance UID; none: at all.")] = "",
    roles: Annotated[
        list[str] | None, typer.Option("--role", help="As if they had this role; may be repeated.")
    ] = None,
    groups: Annotated[
        list[str] | None, typer.Option("--group", help="As if in this group; may be repeated.")
    ] = None,
    sites: Annotated[
        list[str] | None, typer.Option("--site", help="As if of this site; may be repeated.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Whether somebody may do something with a study, and by which rule. Exit code 1: they may
    not."""
    settings = opened(data, config, assignments)
    as_if = {"roles": roles, "groups": groups, "sites": sites}
    raise typer.Exit(run_async(_explain(settings, who, verb, what, as_if)))


@access.command()
def check(
    file: Annotated[Path, typer.Argument(help="A policy.")],
) -> None:
    """Whether a file is a policy; what it says, one line a rule."""
    from isocenter.runtime.access.policy_file import read

    for rule in read(file):
        verb = "allows" if rule.allows else "denies"
        rights = " ".join(sorted(one.value for one in rule.rights))
        out.print(f"{rule.name}: {verb} {', '.join(rule.who)}: {rights}", markup=False)


@access.command()
def sessions(
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Who is signed in in a browser."""
    run_async(_sessions(opened(data, config, assignments), as_json=as_json))


@access.command("end-session")
def end_session(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="As `access sessions` shows it.")],
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """End a session."""
    run_async(_end_session(opened(data, config, assignments), identifier))


@access.command()
def marks(
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """What is marked as confidential, one JSON object a line."""
    run_async(_marks(opened(data, config, assignments)))


@access.command()
def mark(
    patient: Patient = "",
    issuer: Issuer = "",
    study: Study = "",
    reason: Annotated[str, typer.Option(help="Why, for people.")] = "",
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Mark a patient or a study as confidential."""
    fields = {"patient": patient, "issuer": issuer, "study": study, "reason": reason}
    run_async(_mark(opened(data, config, assignments), fields))


@access.command()
def unmark(
    patient: Patient = "",
    issuer: Issuer = "",
    study: Study = "",
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Take the mark of a patient or a study off."""
    fields = {"patient": patient, "issuer": issuer, "study": study}
    run_async(_unmark(opened(data, config, assignments), fields))


async def _explain(
    settings: Settings, who: str, verb: str, what: str, as_if: dict[str, list[str] | None]
) -> int:
    from dataclasses import replace

    from isocenter.core.access import Right, decide
    from isocenter.core.identity import DEFAULT_PARTITION, is_uid
    from isocenter.runtime.access.facts import Facts

    known = {one.value: one for one in Right}
    if verb not in known:
        raise Invalid(f"{verb!r} is no right", fix=f"rights are {', '.join(known)}")
    if what and not is_uid(what):
        raise Invalid("this is no Study Instance UID")
    async with process(settings) as env:
        try:
            caller = await _caller(env, who, given=any(one is not None for one in as_if.values()))
        except Refused as error:
            out.print(f"no: {error}", markup=False)
            return 1
        said = {name: tuple(value) for name, value in as_if.items() if value is not None}
        caller = replace(caller, **said)  # type: ignore[arg-type]  # each is of its type
        policy = await env.policy()
        await policy.marks_known()
        facts = await Facts(env.query, env.storage).of(DEFAULT_PARTITION, what) if what else None
        if what and facts is None:
            raise NotFound("the study is not known here")
        decision = decide(policy(), caller, known[verb], facts)
    out.print(f"{'yes' if decision.allowed else 'no'}: {decision.why}", markup=False)
    return 0 if decision.allowed else 1


async def _caller(env: Process, who: str, *, given: bool) -> Caller:
    """Whom a name means; one that is not known here is taken as it is said to be. Raises `Refused`
    for who is not let in."""
    from isocenter.core.access import Caller, Kind
    from isocenter.runtime.aes import STRANGER

    kind, _, name = who.partition(":")
    if kind not in ("person", "program", "ae") or not name:
        raise Invalid(f"{who!r} names nobody", fix="write person:NAME, program:NAME or ae:TITLE")
    if kind == "ae":
        ae = (await env.directory()).named(name)
        return ae.caller if ae else STRANGER
    found = await (_person if kind == "person" else _program)(await env.doors(), name)
    if found is None and not given:
        raise NotFound(f"{who} is not known here", fix="say what they are with --role and so on")
    return found or Caller(Kind(kind), name)


async def _person(doors: Doors, name: str) -> Caller | None:
    account = await doors.accounts.find(name.lower())
    if account is not None and account.disabled:
        raise Refused(
            f"the account {account.name} is disabled",
            fix=f"isocenter account set {account.name} --enable",
        )
    return account.caller if account else None


async def _program(doors: Doors, name: str) -> Caller | None:
    """By its newest token."""
    for one in await doors.tokens.all():
        if one.token.name == name:
            if one.token.ends_at < datetime.now(UTC):
                raise Refused(f"the token of program:{name} has ended")
            return one.token.caller
    return None


async def _sessions(settings: Settings, *, as_json: bool) -> None:
    async with administration(settings) as admin:
        found = await admin.sessions(operating())
    for one in found:
        kept = one.session
        told = {
            "id": one.id,
            "person": kept.person,
            "began_at": kept.began_at.isoformat(),
            "used_at": kept.used_at.isoformat(),
            "address": kept.address,
        }
        line = f"{one.id}  {kept.person:24}  {kept.used_at:%Y-%m-%d %H:%M}  {kept.address}"
        out.print(json.dumps(told) if as_json else line, markup=False)
    if not found and not as_json:
        out.print("nobody is signed in")


async def _end_session(settings: Settings, identifier: str) -> None:
    async with administration(settings) as admin:
        await admin.end_session(operating(), identifier)
    out.print("ended")


async def _marks(settings: Settings) -> None:
    async with administration(settings) as admin:
        for one in await admin.marks(operating()):
            out.print(json.dumps(one.model_dump(mode="json")), markup=False)


async def _mark(settings: Settings, fields: dict[str, str]) -> None:
    async with administration(settings) as admin:
        await admin.mark(operating(), fields)
    out.print("marked as confidential")


async def _unmark(settings: Settings, fields: dict[str, str]) -> None:
    from isocenter.runtime.access.administration import mark_of

    async with administration(settings) as admin:
        await admin.unmark(operating(), mark_of(fields).name)
    out.print("not confidential any more")
