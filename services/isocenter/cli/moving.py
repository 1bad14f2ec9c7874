"""`isocenter send`, `import`, `query` and `fetch`: their options and help."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from isocenter.cli.common import (
    ConfigOption,
    DataOption,
    SetOption,
    quiet,
    run_async,
    settings_of,
)

PathsArgument = Annotated[
    list[Path], typer.Argument(help="Files, folders, ZIP archives or DICOMDIRs.")
]
PeerArgument = Annotated[
    str,
    typer.Argument(
        metavar="PEER", help="dicom://AE_TITLE@host:port, or http(s)://host:port/dicomweb."
    ),
]
CallingOption = Annotated[str, typer.Option(help="Our AE title, which the peer may have to know.")]
ParallelOption = Annotated[
    int, typer.Option(min=1, max=32, help="Associations or requests at the same time.")
]
TlsOption = Annotated[
    bool, typer.Option("--tls", help="Over TLS; of https, with the files that follow.")
]
CaOption = Annotated[
    Path | None,
    typer.Option(
        help="Whom to trust (PEM): a CA, or the peer's certificate itself.",
        show_default="as the system does",
    ),
]
CertificateOption = Annotated[
    Path | None, typer.Option(help="Our certificate (PEM), for peers that want one.")
]
KeyOption = Annotated[Path | None, typer.Option(help="Its key (PEM, no password).")]
TokenOption = Annotated[
    Path | None,
    typer.Option("--token-file", help="File with a token, for DICOMweb peers that want one."),
]


class QueryLevel(StrEnum):
    """What is searched for."""

    PATIENT = "patient"
    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"


class Form(StrEnum):
    """How answers are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def send(
    paths: PathsArgument,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="dicom://AE_TITLE@host:port (C-STORE), http(s)://host:port/dicomweb (STOW-RS).",
        ),
    ],
    calling: CallingOption = "ISOCENTER-SEND",
    parallel: ParallelOption = 1,
    commit: Annotated[
        bool, typer.Option("--commit", help="Ask the peer to commit to keeping what it took.")
    ] = False,
    commit_seconds: Annotated[
        float, typer.Option(min=1, help="How long to wait for its answer to that.")
    ] = 120,
    tls: TlsOption = False,
    ca_file: CaOption = None,
    certificate_file: CertificateOption = None,
    key_file: KeyOption = None,
    token_file: TokenOption = None,
) -> None:
    """Send files to any peer, over C-STORE or STOW-RS."""
    from isocenter.cli.peers import caller_tls
    from isocenter.cli.send import send as run_send

    quiet("text")
    wait = commit_seconds if commit else 0
    files = caller_tls(tls, ca_file, certificate_file, key_file)
    sending = run_send(
        paths, to, calling=calling, parallel=parallel, commit=wait, tls=files, token_file=token_file
    )
    raise typer.Exit(run_async(sending))


def import_(
    paths: PathsArgument,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Take files straight into a data directory, whether it is being served or not."""
    from isocenter.cli.care import import_files

    settings = settings_of(data, config, assignments)
    raise typer.Exit(run_async(import_files(settings, paths)))


def query(
    peer: PeerArgument,
    keys: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="What to match, by keyword or tag: PatientName=DOE*, StudyDate=20260101-20260131,"
            " 00080061=CT. Without a value: what to answer with, too.",
        ),
    ] = None,
    level: Annotated[QueryLevel, typer.Option(help="What to search for.")] = QueryLevel.STUDY,
    limit: Annotated[
        int, typer.Option(min=0, help="Stop after so many answers.", show_default="all")
    ] = 0,
    form: Annotated[Form, typer.Option("--format", help="How to print them.")] = Form.TABLE,
    calling: CallingOption = "ISOCENTER",
    tls: TlsOption = False,
    ca_file: CaOption = None,
    certificate_file: CertificateOption = None,
    key_file: KeyOption = None,
    token_file: TokenOption = None,
) -> None:
    """Search another archive, over C-FIND or QIDO-RS."""
    from isocenter.cli.peers import caller_tls, parse_peer
    from isocenter.cli.query import query as run_query

    quiet("text")
    files = caller_tls(tls, ca_file, certificate_file, key_file)
    target = parse_peer(peer, calling, files, token_file)
    raise typer.Exit(
        run_async(run_query(target, keys or [], level=level.name, limit=limit, form=form.value))
    )


def fetch(
    peer: PeerArgument,
    which: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[UID|KEY=VALUE]...",
            help="Study Instance UIDs, or keys as of `query`: all studies that match.",
        ),
    ] = None,
    uids: Annotated[
        Path | None, typer.Option("--from", help="A file of Study Instance UIDs, one a line.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All studies of the peer.")] = False,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="A folder for the files, instead of the data directory."),
    ] = None,
    move: Annotated[
        str,
        typer.Option(
            help="Retrieve by C-MOVE to this AE title, which is that of our gateway as the peer"
            " knows it, instead of C-GET."
        ),
    ] = "",
    calling: CallingOption = "ISOCENTER",
    parallel: ParallelOption = 2,
    attempts: Annotated[
        int, typer.Option(min=1, help="How often to try a study again without progress.")
    ] = 4,
    report: Annotated[
        Path | None, typer.Option(help="A file for what became of each study, one JSON a line.")
    ] = None,
    tls: TlsOption = False,
    ca_file: CaOption = None,
    certificate_file: CertificateOption = None,
    key_file: KeyOption = None,
    token_file: TokenOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Take studies from another archive; run again, it takes what is still missing."""
    from isocenter.cli.fetch import Plan
    from isocenter.cli.fetch import fetch as run_fetch
    from isocenter.cli.peers import caller_tls, parse_peer

    quiet("text")
    files = caller_tls(tls, ca_file, certificate_file, key_file)
    target = parse_peer(peer, calling, files, token_file)
    plan = Plan(target, move, tuple(which or ()), uids, everything, parallel, attempts, report)
    settings = settings_of(data, config, assignments)
    raise typer.Exit(run_async(run_fetch(settings, plan, to)))
