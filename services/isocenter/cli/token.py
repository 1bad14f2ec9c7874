"""`isocenter token`: what programs show to be let in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isocenter.cli.account import administration
from isocenter.cli.common import (
    ConfigOption,
    DataOption,
    SetOption,
    opened,
    operating,
    out,
    run_async,
)
from isocenter.core.errors import Invalid

if TYPE_CHECKING:
    from isocenter.settings import Settings

token = typer.Typer(
    help="Tokens: what programs show to be let in.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)


@token.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the program.")],
    roles: Annotated[
        list[str] | None, typer.Option("--role", help="Role; may be repeated. Else: integrator.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Right that is left of the roles; may be repeated."),
    ] = None,
    groups: Annotated[
        list[str] | None, typer.Option("--group", help="Group; may be repeated.")
    ] = None,
    sites: Annotated[
        list[str] | None, typer.Option("--site", help="Own site; may be repeated.")
    ] = None,
    days: Annotated[float, typer.Option(help="Days until it ends.")] = 365,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Make a token, and print it: it is not shown again."""
    settings = opened(data, config, assignments)
    fields = {"groups": groups or (), "sites": sites or ()}
    run_async(_create(settings, name, roles or ["integrator"], only, days, fields))


@token.command("list")
def list_(
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """All that are not revoked, the newest first."""
    run_async(_list(opened(data, config, assignments), as_json=as_json))


@token.command()
def revoke(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="As `token list` shows it.")],
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """End a token: within seconds nobody is let in with it."""
    run_async(_revoke(opened(data, config, assignments), identifier))


async def _create(
    settings: Settings,
    name: str,
    roles: list[str],
    only: list[str] | None,
    days: float,
    fields: dict[str, Any],
) -> None:
    from isocenter.core.access import Right
    from isocenter.runtime.access.tokens import new_token

    try:
        rights = None if only is None else [Right(one) for one in only]
    except ValueError as error:
        known = ", ".join(one.value for one in Right)
        raise Invalid(f"{error}", fix=f"rights are {known}") from error
    made, secret = new_token(name, roles, days, only=rights, **fields)
    async with administration(settings) as access:
        shown = await access.make_token(operating(), made, secret)
    out.print(shown, markup=False, soft_wrap=True, highlight=False)


async def _list(settings: Settings, *, as_json: bool) -> None:
    async with administration(settings) as access:
        tokens = await access.tokens(operating())
    for one in tokens:
        kept = one.token
        if as_json:
            told = kept.model_dump(mode="json", exclude={"digest"})
            out.print(json.dumps({"id": one.id, "by": one.by, **told}), markup=False)
            continue
        ends = f"until {kept.ends_at:%Y-%m-%d}"
        if kept.ends_at < datetime.now(UTC):
            ends = f"ended {kept.ends_at:%Y-%m-%d}"
        out.print(f"{one.id}  {kept.name:24}  {' '.join(kept.roles):24}  {ends}", markup=False)
    if not tokens and not as_json:
        out.print("there are no tokens")


async def _revoke(settings: Settings, identifier: str) -> None:
    async with administration(settings) as access:
        revoked = await access.revoke_token(operating(), identifier)
    out.print(f"revoked: the token of {revoked.name}", markup=False)
