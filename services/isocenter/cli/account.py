"""`isocenter account`: people who sign in with a password."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

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

if TYPE_CHECKING:
    from isocenter.app import Process
    from isocenter.runtime.access.accounts import Account
    from isocenter.runtime.access.administration import AccessAdministration
    from isocenter.settings import Settings

account = typer.Typer(
    help="Accounts: people who sign in with a password.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

Name = Annotated[str, typer.Argument(help="Name by which the person signs in.")]
Roles = Annotated[list[str] | None, typer.Option("--role", help="Role; may be repeated.")]
Groups = Annotated[list[str] | None, typer.Option("--group", help="Group; may be repeated.")]
Sites = Annotated[list[str] | None, typer.Option("--site", help="Own site; may be repeated.")]
Shown = Annotated[str | None, typer.Option("--shown", help="The person's name, for people.")]


@account.command("list")
def list_(
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """All accounts."""
    run_async(_list(opened(data, config, assignments), as_json=as_json))


@account.command()
def add(
    name: Name,
    roles: Roles = None,
    groups: Groups = None,
    sites: Sites = None,
    shown: Shown = None,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Make an account, and print the one-time link by which its password is set."""
    fields = _given(roles, groups, sites, shown)
    run_async(_add(opened(data, config, assignments), name, fields))


@account.command("set")
def set_(
    name: Name,
    roles: Roles = None,
    groups: Groups = None,
    sites: Sites = None,
    shown: Shown = None,
    disabled: Annotated[
        bool | None, typer.Option("--disable/--enable", help="Whether it may sign in.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Change what is said; the rest stays as it is."""
    fields = _given(roles, groups, sites, shown)
    if disabled is not None:
        fields["disabled"] = disabled
    run_async(_set(opened(data, config, assignments), name, fields))


@account.command()
def invite(
    name: Name,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Print a new one-time link, for who forgot the password."""
    run_async(_invite(opened(data, config, assignments), name))


@account.command()
def remove(
    name: Name,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Forget an account, and end its sessions."""
    run_async(_remove(opened(data, config, assignments), name))


@account.command("drop-factor")
def drop_factor(
    name: Name,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Take the second factor from who lost it."""
    run_async(_drop_factor(opened(data, config, assignments), name))


def link_of(settings: Settings, secret: str) -> str:
    """The address of a one-time link."""
    web = settings.web
    local = f"http://{'localhost' if web.host in _SHOWN else web.host}:{web.port}"
    return f"{web.public_url or local}/invitation/{secret}"


_SHOWN = frozenset({"127.0.0.1", "::1", "0.0.0.0", "::"})  # noqa: S104 - shown, not bound


def _given(
    roles: Sequence[str] | None,
    groups: Sequence[str] | None,
    sites: Sequence[str] | None,
    shown: str | None,
) -> dict[str, Any]:
    said = {"roles": roles, "groups": groups, "sites": sites, "shown": shown}
    return {name: value for name, value in said.items() if value is not None}


@asynccontextmanager
async def administration(settings: Settings) -> AsyncIterator[AccessAdministration]:
    """That of an installation, for whoever runs a verb."""
    async with process(settings) as env:
        yield await administration_of(env)


async def administration_of(env: Process) -> AccessAdministration:
    """That of a process."""
    from isocenter.runtime.access.administration import AccessAdministration
    from isocenter.runtime.access.marks import MarkRecords

    return AccessAdministration(
        await env.doors(),
        await env.guard(),
        await env.audit_log(),
        MarkRecords(await env.storage()),
    )


async def _list(settings: Settings, *, as_json: bool) -> None:
    async with administration(settings) as access:
        accounts = await access.accounts(operating())
    for one in accounts:
        out.print(json.dumps(_told(one)) if as_json else _line(one), markup=False)
    if not accounts and not as_json:
        out.print("there are no accounts")


async def _add(settings: Settings, name: str, fields: Mapping[str, Any]) -> None:
    from isocenter.runtime.access.administration import new_account

    async with administration(settings) as access:
        secret = await access.add(operating(), new_account(name, **fields))
    out.print(link_of(settings, secret), markup=False, soft_wrap=True)


async def _set(settings: Settings, name: str, fields: Mapping[str, Any]) -> None:
    from isocenter.runtime.access.administration import changed_account

    async with administration(settings) as access:
        before = await access.account(operating(), name)
        await access.change(operating(), changed_account(before, **fields))
    out.print(f"set: {before.name}", markup=False)


async def _invite(settings: Settings, name: str) -> None:
    async with administration(settings) as access:
        secret = await access.invite(operating(), name)
    out.print(link_of(settings, secret), markup=False, soft_wrap=True)


async def _remove(settings: Settings, name: str) -> None:
    async with administration(settings) as access:
        await access.remove(operating(), name)
    out.print(f"removed: {name}", markup=False)


async def _drop_factor(settings: Settings, name: str) -> None:
    async with administration(settings) as access:
        await access.drop_factor(operating(), name)
    out.print(f"{name} signs in without a second factor now", markup=False)


def _told(one: Account) -> Mapping[str, object]:
    return {
        "name": one.name,
        "shown": one.shown,
        "roles": one.roles,
        "groups": one.groups,
        "sites": one.sites,
        "disabled": one.disabled,
        "password": bool(one.password),
        "second_factor": bool(one.factor),
    }


def _line(one: Account) -> str:
    state = "disabled" if one.disabled else "" if one.password else "no password yet"
    factor = "second factor" if one.factor else ""
    notes = ", ".join(filter(None, (state, factor, " ".join(one.sites), one.shown)))
    return f"{one.name:24}  {' '.join(one.roles) or '-':32}  {notes}".rstrip()
