"""`isocenter check`: what is wrong with settings, ports, disk and dependencies, and what to do."""

from __future__ import annotations

import importlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from isocenter.cli.common import out
from isocenter.core.errors import Unavailable
from isocenter.settings import NESTED, PREFIX, Settings

# Import name -> what stops working without it.
DEPENDENCIES = {
    "pydicom": "reading data sets",
    "pynetdicom": "DICOM associations",
    "imagecodecs": "decoding compressed pixels",
    "uvloop": "the event loop",
    "uvicorn": "HTTP",
    "grpc": "calls between processes",
    "zstandard": "metadata packs",
}

MIN_DESCRIPTORS = 4096


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `fix` is empty when it is as it should be."""

    what: str
    state: str
    fix: str = ""


def check(settings: Settings) -> int:
    """Print every finding; 0 when nothing needs fixing."""
    findings = [finding for look in LOOKS for finding in look(settings)]
    for finding in findings:
        mark = "[red]wrong[/red]" if finding.fix else "[green]ok[/green]   "
        out.print(f"{mark} {finding.what}: {finding.state}", markup=True)
        if finding.fix:
            out.print(f"      fix: {finding.fix}", markup=False)
    wrong = sum(1 for finding in findings if finding.fix)
    out.print(f"{wrong} to fix" if wrong else "everything is as it should be")
    return 1 if wrong else 0


def complain_about_ports(settings: Settings) -> None:
    """Raises `Unavailable` if a listener's port is taken by another program."""
    taken = [finding for finding in _ports(settings) if finding.fix]
    if taken:
        told = "; ".join(f"{finding.what}: {finding.state}" for finding in taken)
        raise Unavailable(told, fix=", and ".join(finding.fix for finding in taken))


def _settings(settings: Settings) -> Iterator[Finding]:
    yield Finding("settings", "valid")
    loopback = {"127.0.0.1", "::1", "localhost"}
    for name, host in (("gateway", settings.gateway.host), ("web", settings.web.host)):
        where = "this machine only" if host in loopback else "other machines can reach it"
        yield Finding(f"{name}.host", f"{host} ({where})")


def _ports(settings: Settings) -> Iterator[Finding]:
    for section, host, port in (
        ("gateway", settings.gateway.host, settings.gateway.port),
        ("web", settings.web.host, settings.web.port),
        ("rpc", settings.rpc.host, settings.rpc.port),
    ):
        if port == 0:
            continue
        what = f"{section}.port {port} on {host}"
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        except OSError as error:
            yield Finding(
                what,
                error.strerror or str(error),
                "stop the program that listens there, or choose another with "
                f"--set {section}.port=N or {PREFIX}{section.upper()}{NESTED}PORT=N",
            )
        else:
            yield Finding(what, "free")


def _disk(settings: Settings) -> Iterator[Finding]:
    data = settings.data.absolute()
    existing = next(path for path in (data, *data.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        yield Finding(
            f"data directory {data}",
            "not writable",
            f"make {existing} writable for this user, or choose another with --data",
        )
        return
    free = shutil.disk_usage(existing).free
    reserve = settings.storage.reserve_bytes
    enough = free > reserve
    yield Finding(
        f"disk of {data}",
        f"{free / 1e9:,.1f} GB free, {reserve / 1e9:,.1f} GB of it in reserve",
        "" if enough else "make room, or lower --set storage.reserve_bytes=N",
    )


def _descriptors(settings: Settings) -> Iterator[Finding]:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = max(MIN_DESCRIPTORS, 2 * settings.gateway.max_associations)
    yield Finding(
        "open files",
        f"limit {soft:,} (may be raised to {hard:,})",
        "" if max(soft, hard) >= needed else f"ulimit -n {needed}",
    )


def _dependencies(settings: Settings) -> Iterator[Finding]:
    del settings
    for name, use in DEPENDENCIES.items():
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            yield Finding(name, str(error), f"`make setup` installs it; needed for {use}")
        else:
            yield Finding(name, str(getattr(module, "__version__", "present")))


def _viewer(settings: Settings) -> Iterator[Finding]:
    viewer: Path | None = settings.web.viewer
    present = viewer is not None and (viewer / "index.html").is_file()
    yield Finding(
        "viewer",
        str(viewer) if present else "not there",
        "" if present else "`make viewer` fetches it",
    )


Look = Callable[[Settings], Iterator[Finding]]
LOOKS: tuple[Look, ...] = (_settings, _ports, _disk, _descriptors, _dependencies, _viewer)
