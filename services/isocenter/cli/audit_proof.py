"""`isocenter audit verify`, `prove`, `check-proof` and `verifier`: what the trail is worth."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isocenter.cli.audit_common import entry_of, lines_of, reading, sealed, visible
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
    quiet,
    run_async,
)
from isocenter.core.errors import Invalid, IsocenterError

if TYPE_CHECKING:
    from isocenter.app import Process
    from isocenter.core.audit_api import Head, Verification
    from isocenter.settings import Settings

_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{16,64}")

TrustOption = Annotated[
    list[str] | None,
    typer.Option(
        "--trust",
        metavar="FINGERPRINT",
        help="Of a key that you know from elsewhere, 16 digits at least (repeat).",
    ),
]


def verify(
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    trust: TrustOption = None,
    heads: Annotated[
        Path | None, typer.Option(help="File of heads that were published (audit.heads_file).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Prove that nothing was added to the trail, changed, reordered or removed, or say where.

    Works on the segments alone, whether anything runs or not. Exit code 1 if anything is found.
    """
    settings = opened(data, config, assignments)
    raise typer.Exit(run_async(verify_trail(settings, trust or [], heads, as_json=as_json)))


def prove(
    record: Annotated[str, typer.Argument(metavar="ID", help="As `audit list --ids` prints it.")],
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Print the proof of one record: a file that is checked without the trail."""
    run_async(prove_record(opened(data, config, assignments), record))


def check_proof(
    file: Annotated[Path, typer.Argument(help="As `audit prove` prints it.")],
    trust: TrustOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Check a proof, offline, and print the record that it proves; exit code 1 if it does not."""
    quiet("text")
    check_file(file, trust or [], as_json=as_json)


def verifier() -> None:
    """Print the stand-alone verifier: one file of plain Python that needs nothing of ours."""
    sys.stdout.buffer.write(verifier_file())


def verifier_file() -> bytes:
    """The stand-alone verifier as it is."""
    return resources.files("isocenter.audit").joinpath("standalone.py").read_bytes()


async def verify_trail(
    settings: Settings, trust: Sequence[str], heads: Path | None, *, as_json: bool
) -> int:
    """Print the result; 0 if nothing was found."""
    published = _heads(heads) if heads else []
    async with process(settings) as env:
        result = await verified(env, trust, published)
    if as_json:
        told = {**asdict(result), "rests_on": _rests_on(result, trust)}
        out.print(json.dumps(told, default=plain), markup=False)
    else:
        _print(result, trust)
    return 1 if result.findings else 0


async def verified(env: Process, trust: Sequence[str], heads: Sequence[Head] = ()) -> Verification:
    """Verify all that is sealed, with progress, and leave the record of that if there is room for
    one: what was found counts without it."""
    from isocenter.audit.verifying import verify
    from isocenter.cli.progress import Tally
    from isocenter.core.audit_api import Verification
    from isocenter.runtime.audit_reading import trail_verified
    from isocenter.runtime.streams import generator

    check_trust(trust)
    result = Verification()
    async with sealed(env) as segments:
        with Tally(err, "verified", "records", otherwise="findings") as tally:
            async with aclosing(generator(verify(segments, trust=trust, heads=heads))) as reports:
                async for result in reports:
                    tally.expect(result.total)
                    tally.add(count=result.records - tally.done)
    try:
        await trail_verified(await env.audit_log(), operator(), result)
    except IsocenterError as error:
        err.print(f"this verification leaves no record in the trail: {error}", markup=False)
    return result


async def prove_record(settings: Settings, record: str) -> None:
    """Print the proof."""
    async with process(settings) as env:
        trail = await reading(env, f"proof of record {record}")
        proof = await trail.prove((await entry_of(trail, record)).event.id)
    sys.stdout.buffer.write(proof)


def check_file(file: Path, trust: Sequence[str], *, as_json: bool) -> None:
    """Print what a proof proves. Raises `Invalid`, `Corrupted`."""
    from isocenter.audit.proof_files import check, read
    from isocenter.core.audit import Entry
    from isocenter.runtime.audit_records import fields_of

    check_trust(trust)
    proof = read(_content(file))
    key = check(proof, trust)
    entry = Entry(proof.event, proof.place)
    if as_json:
        told = {"record": fields_of(entry.event), **asdict(entry.place), "rests_on": [key.id]}
        out.print(json.dumps(told), markup=False)
        return
    for name, value in lines_of(entry):
        out.print(f"{name:16}  {visible(value)}", markup=False)
    out.print("\nthis record was sealed as it is here")
    _print_key(key.number, key.id, trusted=bool(trust))


def check_trust(trust: Sequence[str]) -> None:
    """Raises `Invalid` for what is no fingerprint."""
    for one in trust:
        if not _FINGERPRINT.fullmatch(one):
            raise Invalid(
                f"--trust {one}: no fingerprint",
                fix="give 16 to 64 digits of one that `isocenter audit keys` prints",
            )


def _heads(file: Path) -> Sequence[Head]:
    from isocenter.audit.heads import read_heads

    return read_heads(_content(file).decode(errors="replace").splitlines())


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Invalid(f"{file} cannot be read: {error.strerror}", fix="check its name") from error


def _rests_on(result: Verification, trust: Sequence[str]) -> list[str]:
    """Fingerprints of the keys that are trusted, or of the first one."""
    wanted = tuple(one.lower() for one in trust)
    if not wanted:
        return [key.id for key in result.keys[:1]]
    return [key.id for key in result.keys if key.id.startswith(wanted)]


def _print(result: Verification, trust: Sequence[str]) -> None:
    for finding in result.findings:
        out.print(visible(str(finding)), markup=False)
    if not result.chains and not result.findings:
        out.print("nothing is sealed yet")
        return
    chains = len(result.chains)
    times = f", {result.since} to {result.until}" if result.since else ""
    out.print(
        f"{result.records:,} records of {chains} chains in {result.segments:,} segments are as they"
        f" were sealed{times}"
    )
    if result.expired:
        out.print(f"{result.expired:,} records were removed by retention, as their seals say")
    rests_on = _rests_on(result, trust)
    for key in result.keys:
        if key.id in rests_on:
            _print_key(key.number, key.id, trusted=bool(trust))
    out.print(
        f"[red]findings: {len(result.findings):,}[/red]" if result.findings else "no findings"
    )


def _print_key(number: int, fingerprint: str, *, trusted: bool) -> None:
    if trusted:
        out.print(f"it rests on key {number}, which you trust: {fingerprint}")
    else:
        out.print(f"it rests on key {number}: {fingerprint}")
        out.print("  compare it with what you noted elsewhere, or give that with --trust")


def add_to(audit: typer.Typer) -> None:
    """The verbs."""
    audit.command("verify")(verify)
    audit.command("prove")(prove)
    audit.command("check-proof")(check_proof)
    audit.command("verifier")(verifier)
