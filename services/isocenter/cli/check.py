"""`isocenter check`: what is wrong with settings, ports, disk and dependencies, and what to do."""

from __future__ import annotations

import asyncio
import errno
import importlib
import os
import resource
import shutil
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

from isocenter.cli.common import out, process
from isocenter.cli.serving import is_served
from isocenter.core.errors import Invalid, Unavailable
from isocenter.core.upkeep import Finding, Upkeep
from isocenter.runtime.addresses import names_this_machine
from isocenter.runtime.certificates import valid_until
from isocenter.runtime.rpc_settings import RpcSettings
from isocenter.runtime.tls_files import CallerTls, Tls
from isocenter.settings import NESTED, PREFIX, Settings

# Import name -> what stops working without it.
DEPENDENCIES = {
    "google.protobuf": "the log of events",
    "grpc": "calls between processes",
    "httptools": "HTTP",
    "httpx": "sending over STOW-RS",
    "imagecodecs": "decoding compressed pixels",
    "numpy": "rendering",
    "orjson": "DICOM JSON",
    "pydicom": "reading data sets",
    "pynetdicom": "DICOM associations",
    "starlette": "HTTP",
    "uvicorn": "HTTP",
    "uvloop": "the event loop",
    "zstandard": "metadata packs",
}

EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
MIN_DESCRIPTORS = 4096
CERTIFICATE_NOTICE = timedelta(days=30)
DATA = "data directory"
_AGAIN_SECONDS = 1.0


async def check(settings: Settings, *, prepare: bool = False, wait: float = 0) -> int:
    """Print every finding; 0 when nothing needs fixing. `prepare`: make what the servers lack, and
    look at nothing but them: this machine may be another one than those that will run roles.
    `wait`: seconds in which they may still come up."""
    if wait and not prepare:
        raise Invalid("--wait is for --prepare", fix="add --prepare, or leave --wait out")
    async with _upkeep(settings) as servers:
        if prepare:
            await _prepare(servers, wait)
            await _fill(settings, servers)
        looks = (_backends,) if prepare else LOOKS
        wrong = sum([_print(finding) for look in looks for finding in look(settings)])
        for name, server in servers.items():
            for finding in await server.check():
                wrong += _print(replace(finding, what=f"{name}: {finding.what}"))
    out.print(f"{wrong} to fix" if wrong else "everything is as it should be")
    return 1 if wrong else 0


def _print(finding: Finding) -> bool:
    """Print a finding; whether something is wrong."""
    mark = "[red]wrong[/red]" if finding.fix else "[green]ok[/green]   "
    out.print(mark, end=" ", markup=True)
    out.print(f"{finding.what}: {finding.state}", markup=False)
    if finding.fix:
        out.print(f"      fix: {finding.fix}", markup=False)
    return bool(finding.fix)


@asynccontextmanager
async def _upkeep(settings: Settings) -> AsyncIterator[Mapping[str, Upkeep]]:
    """What looks after each server; none where a URL is wrong, which is a finding of its own."""
    if any(finding.fix for finding in _backends(settings)):
        yield {}
        return
    async with process(settings) as env:
        yield await env.upkeep()


async def _prepare(servers: Mapping[str, Upkeep], wait: float) -> None:
    end = monotonic() + wait
    for name, server in servers.items():
        made = await _prepared(name, server, end)
        for line in made or ["everything is there"]:
            out.print(f"{name}: {line}", markup=False)
    if not servers:
        out.print("embedded parts need no preparation: they are made when they are first used")


async def _prepared(name: str, server: Upkeep, end: float) -> Sequence[str]:
    """What was made; tried again until a server that comes up answers, or the time is over."""
    told = False
    while True:
        try:
            return await server.prepare()
        except Unavailable as error:
            if monotonic() > end:
                raise
            if not told:
                out.print(f"{name}: waiting: {error.message}", markup=False)
                told = True
        await asyncio.sleep(_AGAIN_SECONDS)


async def _fill(settings: Settings, servers: Mapping[str, Upkeep]) -> None:
    """Fill the search index of this version, where that of another one is in use. Done in this
    process: those at the addresses of roles may be of another version."""
    from isocenter.cli.care import rebuild

    if "index" not in servers:
        return
    alone = settings.model_copy(update={"rpc": RpcSettings()})
    async with process(alone) as env:
        unfilled = await (await env.index()).unfilled()
    if unfilled:
        out.print("index: filling it from the objects for this version", markup=False)
        await rebuild(alone)


def complain_about(settings: Settings) -> None:
    """Raises `Unavailable` for what no process could start with: backends and listeners; `Invalid`
    for certificates."""
    for tls in (settings.gateway.tls_files, settings.web.grpc_tls):
        if tls is not None:
            tls.read()
    for look in (_backends, _ports):
        wrong = [finding for finding in look(settings) if finding.fix]
        if wrong:
            told = "; ".join(f"{finding.what}: {finding.state}" for finding in wrong)
            raise Unavailable(told, fix=", and ".join(finding.fix for finding in wrong))


def has_viewer(settings: Settings) -> bool:
    """Whether there is a viewer to serve."""
    viewer = settings.web.viewer
    return viewer is not None and (viewer / "index.html").is_file()


def _settings(settings: Settings) -> Iterator[Finding]:
    yield Finding("settings", "valid")
    for name in ("gateway", "web"):
        host: str = getattr(settings, name).host
        where = "this machine only" if names_this_machine(host) else "other machines can reach it"
        yield Finding(f"{name}.host", f"{host} ({where})")
    if settings.rpc.insecure:
        yield Finding("rpc.insecure", "gRPC may be without TLS (others must encrypt it)")


def _backends(settings: Settings) -> Iterator[Finding]:
    from isocenter.backends import BACKENDS

    for name, adapters in BACKENDS.items():
        url: str = getattr(settings, name)
        known = " or ".join(f"{scheme}:" for scheme in sorted(adapters))
        if url.partition(":")[0] in adapters:
            yield Finding(name, url)
        else:
            yield Finding(
                name,
                f"nothing here can use {url!r}",
                f"it must begin with {known}, as in --set {name}={min(adapters)}:",
            )


def _ports(settings: Settings) -> Iterator[Finding]:
    named: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for key, host, port in (
        ("gateway.port", settings.gateway.host, settings.gateway.plain_port),
        ("gateway.tls_port", settings.gateway.host, settings.gateway.tls_port),
        ("web.port", settings.web.host, settings.web.port),
        ("web.grpc_port", settings.web.grpc_host, settings.web.grpc_port),
        ("rpc.port", settings.rpc.host, settings.rpc.port),
        ("monitor.port", settings.monitor.host, settings.monitor.port),
    ):
        if not port:
            continue
        what = f"{key} {port} on {host}"
        # Processes share their ports, so the system lets both listen, and each gets calls for
        # the other.
        same = [name for name, where in named[port] if {where, host} & EVERYWHERE or where == host]
        named[port].append((key, host))
        if same:
            yield Finding(what, f"{same[0]} is the same", _another(key))
            continue
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        except OSError as error:
            yield Finding(what, error.strerror or str(error), _listening_fix(key, error))
        else:
            yield Finding(what, "free")


def _another(key: str) -> str:
    section, _, name = key.partition(".")
    return f"choose another with --set {key}=N or {PREFIX}{section.upper()}{NESTED}{name.upper()}=N"


def _listening_fix(key: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"stop the program that listens there (`ss -ltnp` names it), or {_another(key)}"
    if error.errno == errno.EACCES:
        return f"ports below 1024 are for root and CAP_NET_BIND_SERVICE; {_another(key)}"
    section, _, name = key.partition(".")
    host = "grpc_host" if name == "grpc_port" else "host"
    return (
        f"name an address of this machine (`ip address` lists them) with --set "
        f"{section}.{host}=ADDRESS or {PREFIX}{section.upper()}{NESTED}{host.upper()}=ADDRESS"
    )


def _certificates(settings: Settings) -> Iterator[Finding]:
    for tls in (settings.rpc.tls, settings.gateway.tls_files, settings.web.grpc_tls):
        if tls is not None and tls.certificate is not None:
            yield _certificate(tls)


def _certificate(tls: Tls | CallerTls) -> Finding:
    what = f"{tls.setting('certificate_file')} {tls.certificate}"
    try:
        end = valid_until(tls.read().certificate)
    except Invalid as error:
        return Finding(what, error.message, error.fix)
    left = end - datetime.now(UTC)
    return Finding(
        what,
        f"{'valid until' if left > timedelta() else 'expired on'} {end:%Y-%m-%d}",
        ""
        if left > CERTIFICATE_NOTICE
        else f"put a new one there, and its key into {tls.key}: they are read again by themselves",
    )


def _ports_or_ours(settings: Settings) -> Iterator[Finding]:
    """A taken port is as it should be while it may be ours."""
    served = is_served(settings.data)
    for finding in _ports(settings):
        if served and finding.state == os.strerror(errno.EADDRINUSE):
            ours = "in use while an `isocenter up` serves this data directory"
            yield replace(finding, state=ours, fix="")
        else:
            yield finding


def _disk(settings: Settings) -> Iterator[Finding]:
    from isocenter.backends import BACKENDS, Embedded

    named: dict[str, Path] = {}
    for name, adapters in BACKENDS.items():
        scheme, _, rest = getattr(settings, name).partition(":")
        if isinstance(adapters.get(scheme), Embedded):
            named.update({name: Path(rest.removeprefix("//"))} if rest else {DATA: settings.data})
    for name, path in named.items():
        yield _folder(f"{name} {path.absolute()}", path.absolute(), settings.storage.reserve_bytes)


def _folder(what: str, path: Path, reserve: int) -> Finding:
    existing = next(one for one in (path, *path.parents) if one.exists())
    another = "or choose another with --data"
    if not existing.is_dir():
        return Finding(what, f"{existing} is a file", f"move it away, {another}")
    if not os.access(existing, os.W_OK | os.X_OK):
        fix = f"make {existing} writable for this user, {another}"
        return Finding(what, "not writable", fix)
    foreign = [one.name for one in path.glob("*") if not os.access(one, os.W_OK)]
    if foreign:
        fix = f"chown -R the user that runs `isocenter` {path}, {another}"
        return Finding(what, f"not writable in it: {', '.join(sorted(foreign))}", fix)
    free = shutil.disk_usage(existing).free
    return Finding(
        f"disk of {what}",
        f"{free / 1e9:,.1f} GB free, {reserve / 1e9:,.1f} GB of it in reserve",
        "" if free > reserve else "make room, or lower --set storage.reserve_bytes=N",
    )


def _descriptors(settings: Settings) -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = max(MIN_DESCRIPTORS, 2 * settings.gateway.max_associations)
    yield Finding(
        "open files",
        f"limit {soft:,}, which processes of ours raise to {hard:,}",
        ""
        if hard >= needed
        else f"LimitNOFILE={needed} in the systemd unit, or `ulimit -Hn {needed}` as root",
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
    if has_viewer(settings):
        yield Finding("viewer", str(settings.web.viewer))
    else:
        viewer = settings.web.viewer
        yield Finding(
            "viewer",
            "not there: " + (f"no index.html in {viewer}" if viewer else "no web.viewer is set"),
            "`make viewer` fetches it; then --set web.viewer=.cache/viewer",
        )


Look = Callable[[Settings], Iterator[Finding]]
LOOKS: tuple[Look, ...] = (
    _settings,
    _ports_or_ours,
    _certificates,
    _disk,
    _descriptors,
    _dependencies,
    _backends,
    _viewer,
)
