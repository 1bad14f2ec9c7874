"""`isocenter audit keys`, `rotate-key` and `rebuild`: what the trail is kept with."""

from __future__ import annotations

import json
from contextlib import aclosing, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from isocenter.cli.audit_common import change, sealed
from isocenter.cli.common import (
    ConfigOption,
    DataOption,
    SetOption,
    err,
    opened,
    out,
    process,
    run_async,
)
from isocenter.core.errors import Conflict, Invalid, IsocenterError

if TYPE_CHECKING:
    from isocenter.audit.keys import KeyFolder
    from isocenter.settings import Settings

_HEAD = f"{'number':>6}  {'since (UTC)':19}  {'fingerprint':64}  introduced by"


def keys(
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """The keys that seal the trail: note their fingerprints elsewhere, on paper for instance."""
    run_async(list_keys(opened(data, config, assignments), as_json=as_json))


def rotate_key(
    data: DataOption = None, config: ConfigOption = None, assignments: SetOption = None
) -> None:
    """Make a new key that seals from now on; the one before introduces it."""
    run_async(add_key(opened(data, config, assignments)))


def rebuild(
    data: DataOption = None, config: ConfigOption = None, assignments: SetOption = None
) -> None:
    """Fill the index of the trail anew from the sealed segments, also while everything runs.

    Until it is done, searches do not find every record. Exit code 1 if a segment cannot be read.
    """
    raise typer.Exit(run_async(rebuild_index(opened(data, config, assignments))))


async def list_keys(settings: Settings, *, as_json: bool) -> None:
    """Print the public keys, and which of them signs."""
    from isocenter.audit.keys import public_keys
    from isocenter.audit.verifying import public_key

    async with process(settings) as env, sealed(env) as segments:
        held = [public_key(key) for key, _ in await public_keys(segments.blobs)]
    signing = _signing(settings)
    if as_json:
        for key in held:
            out.print(json.dumps({**asdict(key), "signs": key.id == signing}), markup=False)
        return
    if not held:
        out.print("no key has sealed anything yet")
        return
    out.print(_HEAD)
    for key in held:
        since = key.since[:19].replace("T", " ")
        by = "itself" if key.introduced_by == key.id else key.introduced_by[:16]
        signs = "  signs now" if key.id == signing else ""
        out.print(f"{key.number:>6}  {since}  {key.id}  {by}{signs}", markup=False)


async def add_key(settings: Settings) -> None:
    """Add a key to the folder, and have it introduced."""
    from isocenter.audit.keys import key_folder, signing_key

    if settings.audit.keys is not None:
        raise Invalid(
            f"the keys come from elsewhere: audit.keys is {settings.audit.keys}",
            fix="add a file there (of a cluster: to the Secret) whose name is behind the others:"
            " openssl genpkey -algorithm ed25519; leave the others until it has sealed",
        )
    folder = key_folder(settings.audit, settings.data)
    async with process(settings) as env, change(env, "a new key of the audit trail"):
        blobs = await env.audit_store()
        await signing_key(folder, blobs)  # the one before is known, and introduces this
        made = folder.add()
        with suppress(Conflict):  # the role was faster
            await signing_key(folder, blobs)
    out.print(f"seals are signed from now on by {made.id}", markup=False)
    out.print("note it elsewhere; `isocenter audit keys` lists all of them")


async def rebuild_index(settings: Settings) -> int:
    """Fill the index; 0 when every segment could be read."""
    from isocenter.audit.keys import key_folder
    from isocenter.audit.segments import Segments
    from isocenter.audit.trail import Trail
    from isocenter.cli.progress import Tally

    async with process(settings) as env, change(env, "the audit index is filled anew"):
        trail = Trail(
            segments=Segments(await env.audit_store()),
            keys=key_folder(settings.audit, settings.data),
            index=await env.audit_index(),
        )
        with Tally(err, "indexed", "records", otherwise="not readable") as tally:
            async with aclosing(trail.rebuild()) as filled:
                async for one in filled:
                    tally.add(count=one.records)
                    if one.problem:
                        tally.refuse(one.seal.folder, one.problem)
    return 1 if tally.refused else 0


def _signing(settings: Settings) -> str:
    """The fingerprint of the key that signs; empty where its folder cannot be read from here."""
    from isocenter.audit.keys import key_folder

    folder: KeyFolder = key_folder(settings.audit, settings.data)
    try:
        return folder.all()[-1].id if any(folder.path.glob("*.pem")) else ""
    except (IsocenterError, OSError):
        return ""


def add_to(audit: typer.Typer) -> None:
    """The verbs."""
    audit.command("keys")(keys)
    audit.command("rotate-key")(rotate_key)
    audit.command("rebuild")(rebuild)
