"""`isocenter aes`: the AE directory, which gateways follow while they run."""

from __future__ import annotations

import json
import tomllib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_origin

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
from isocenter.core.errors import Invalid, NotFound, Unavailable

if TYPE_CHECKING:
    from isocenter.runtime.ae_administration import AEAdministration, Entry
    from isocenter.runtime.aes import KnownAE
    from isocenter.settings import Settings

_TIMEOUTS = ("association", "network", "dimse", "connect")  # of the settings of the gateway
HEAD = f"{'title':16}  {'where':28}  {'kept in':9}  {'changed (UTC)':19}  {'by':16}  site"

aes = typer.Typer(
    help="The AE directory: who may call, and what they may do.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

Title = Annotated[str, typer.Argument(help="AE title.")]


class Form(Enum):
    """Of an exported file."""

    JSON = "json"
    TOML = "toml"


@aes.command("list")
def list_(
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """All AEs that are known, those of the settings too."""
    run_async(list_entries(opened(data, config, assignments), as_json=as_json))


@aes.command()
def show(
    title: Title,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """All that is known of an AE, as JSON."""
    run_async(show_entry(opened(data, config, assignments), title))


@aes.command("set")
def set_(
    title: Title,
    fields: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FIELD=VALUE...",
            help="As host=10.0.0.7 port=104 verbs=echo,store; an empty value: as by default.",
        ),
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Add an AE, or change fields of one."""
    run_async(set_entry(opened(data, config, assignments), title, fields or []))


@aes.command()
def remove(
    title: Title,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Forget an AE."""
    run_async(remove_entry(opened(data, config, assignments), title))


@aes.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="As `aes export` writes it: .json or .toml.")],
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Add and change the AEs of a file; others stay. Nothing happens if one of them is wrong."""
    run_async(import_entries(opened(data, config, assignments), read_file(file)))


@aes.command()
def export(
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    form: Annotated[Form, typer.Option("--format", help="Of what is printed.")] = Form.JSON,
) -> None:
    """Print what administrators keep in the directory, as a file that `aes import` takes."""
    run_async(export_entries(opened(data, config, assignments), form))


@aes.command()
def echo(
    title: Title,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long it may take to answer.")] = 10,
) -> None:
    """Ask an AE whether it is there (C-ECHO); exit code 0 if it is."""
    run_async(echo_entry(opened(data, config, assignments), title, seconds))


@asynccontextmanager
async def _administration(settings: Settings) -> AsyncIterator[AEAdministration]:
    from isocenter.runtime.ae_administration import administration

    async with process(settings) as env:
        yield await administration(env)


async def list_entries(settings: Settings, *, as_json: bool) -> None:
    """One line an AE."""
    async with _administration(settings) as directory:
        entries = await directory.entries()
    if as_json:
        for entry in entries:
            out.print(json.dumps(_told(entry)), markup=False)
        return
    if not entries:
        out.print("the AE directory is empty")
        return
    out.print(HEAD)
    for entry in entries:
        out.print(_line(entry), markup=False)


async def show_entry(settings: Settings, title: str) -> None:
    """Every field."""
    async with _administration(settings) as directory:
        entry = await directory.entry(title)
    told = {**_told(entry), "ae": entry.ae.model_dump(mode="json")}
    out.print(json.dumps(told, indent=2), markup=False)


async def set_entry(settings: Settings, title: str, assignments: Sequence[str]) -> None:
    """Fields that are not named stay as they are."""
    from isocenter.runtime.aes import fields_of, parsed

    given = fields_from(assignments)
    async with _administration(settings) as directory:
        try:
            before = fields_of((await directory.entry(title)).ae)
        except NotFound:
            before = {"title": title}
        wanted = {name: value for name, value in {**before, **given}.items() if value is not None}
        entry, new = await directory.set(parsed(wanted), operating())
    out.print(f"{'added' if new else 'set'}: {entry.ae.title}", markup=False)


async def remove_entry(settings: Settings, title: str) -> None:
    """It is not known any more."""
    async with _administration(settings) as directory:
        await directory.remove(title, operating())
    out.print(f"removed: {title}", markup=False)


async def import_entries(settings: Settings, wanted: Sequence[KnownAE]) -> None:
    """Those that are as they were stay untouched."""
    added = 0
    async with _administration(settings) as directory:
        for ae in wanted:
            directory.check(ae.title)
        for ae in wanted:
            _, new = await directory.set(ae, operating())
            added += new
    out.print(f"{added} added, {len(wanted) - added} set or as they were")


async def export_entries(settings: Settings, form: Form) -> None:
    """Without those of the settings, which are in a file already."""
    from isocenter.runtime.ae_administration import Origin
    from isocenter.runtime.aes import fields_of

    async with _administration(settings) as directory:
        entries = await directory.entries()
    kept = [fields_of(entry.ae) for entry in entries if entry.origin is Origin.DIRECTORY]
    text = json.dumps({"aes": kept}, indent=2) if form is Form.JSON else _toml(kept)
    out.print(text, markup=False)


async def echo_entry(settings: Settings, title: str, seconds: float) -> None:
    """Raises what stands in the way."""
    from isocenter.dimse.contexts import ProposedContext
    from isocenter.gateway.calls import Calls
    from isocenter.gateway.contexts import MESSAGE_TRANSFER_SYNTAXES, VERIFICATION

    async with _administration(settings) as directory:
        ae = (await directory.entry(title)).ae
    if not ae.port:
        raise Invalid(
            f"of {ae.title} no port is known", fix=f"isocenter aes set {ae.title} port=104"
        )
    patience = dict.fromkeys((f"{name}_timeout" for name in _TIMEOUTS), seconds)
    calls = Calls(settings.gateway.model_copy(update=patience))
    contexts = [ProposedContext(VERIFICATION, MESSAGE_TRANSFER_SYNTAXES)]
    association = await calls.associate(ae, contexts)
    try:
        status = await association.c_echo()
    finally:
        await association.release()
    if status:
        raise Unavailable(f"{ae.title} answers C-ECHO with status 0x{status:04X}")
    out.print(f"{ae.title} at {ae.host}:{ae.port} answers", markup=False)


# --- texts ---------------------------------------------------------------------------------------


def fields_from(assignments: Sequence[str]) -> Mapping[str, Any]:
    """Fields of an AE as written on a command line: lists with commas, other structures as JSON;
    None for an empty value. Raises `Invalid`."""
    from isocenter.runtime.aes import KnownAE

    found: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name or name == "title":
            raise Invalid(f"{assignment}: no FIELD=VALUE", fix="write host=10.0.0.7 port=104")
        field = KnownAE.model_fields.get(name)
        found[name] = text or None
        if text.startswith(("[", "{")):
            found[name] = _json(name, text)
        elif text and field is not None and get_origin(field.annotation) is tuple:
            found[name] = [one.strip() for one in text.split(",")]
    return found


def _json(name: str, text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Invalid(f"{name}: not JSON: {error}", fix=f"write {name}='[...]'") from error


def read_file(file: Path) -> Sequence[KnownAE]:
    """The AEs of a file. Raises `Invalid`, naming the one that is wrong."""
    from isocenter.runtime.aes import parsed

    try:
        text = file.read_text(encoding="utf-8")
        read = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
    except FileNotFoundError as error:
        raise Invalid(f"{file} does not exist") from error
    except ValueError as error:
        raise Invalid(f"{file} cannot be read: {error}", fix="mend it") from error
    listed = read.get("aes") if isinstance(read, dict) else None
    if not isinstance(listed, list):
        raise Invalid(f"{file} has no list `aes`", fix="`isocenter aes export` shows the form")
    found = []
    for number, fields in enumerate(listed, 1):
        try:
            found.append(parsed(fields))
        except Invalid as error:
            raise Invalid(f"{file}: entry {number}: {error.message}") from error
    titles = [ae.title for ae in found]
    if twice := sorted({title for title in titles if titles.count(title) > 1}):
        raise Invalid(f"{file} names {', '.join(twice)} more than once", fix="keep one of each")
    return found


def _toml(entries: Sequence[Mapping[str, Any]]) -> str:
    tables = (
        "\n".join(["[[aes]]", *(f"{name} = {_value(value)}" for name, value in entry.items())])
        for entry in entries
    )
    return "\n\n".join(tables)


def _value(value: object) -> str:
    """As TOML writes it: JSON, but for tables."""
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(name)} = {_value(one)}" for name, one in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _told(entry: Entry) -> dict[str, Any]:
    from isocenter.runtime.aes import fields_of

    changed = {"by": entry.by, "at": entry.at.isoformat()} if entry.at else {}
    return {"ae": fields_of(entry.ae), "source": entry.origin.value, **changed}


def _line(entry: Entry) -> str:
    ae = entry.ae
    place = f"{ae.host}:{ae.port}" if ae.port else ae.host or ", ".join(ae.addresses)
    at = f"{entry.at:%Y-%m-%d %H:%M:%S}" if entry.at else ""
    return (
        f"{ae.title:16}  {place:28}  {entry.origin.value:9}  {at:19}  {entry.by:16}  {ae.site}"
    ).rstrip()
