"""Our side on servers: Kafka, Elasticsearch and MinIO of `infra/stack`, and processes on them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.cores import limited
from bench.machine import Unusable
from bench.ours import AE_TITLE
from bench.server import HOST, Server, free_ports, running

SCRIPT = Path(__file__).parents[1] / "infra/stack/stack.sh"
CO_LOCATED, SPLIT = "co-located", "split"
SERVICES = ("storage", "ingest", "query", "transcoding", "indexing", "audit")
EDGES = ("gateway", "web")


@dataclass(frozen=True)
class Servers:
    """The running servers, as settings name them."""

    variables: Mapping[str, str]

    @property
    def minio(self) -> str:
        """`host:port`."""
        return self.variables["ISOCENTER_BLOBS"].split("/")[2]

    def settings(self, name: str) -> dict[str, str]:
        """Environment of an installation that shares nothing with others on these servers."""
        own = dict(self.variables)
        own["ISOCENTER_BUS"] += f"/{name}"
        own["ISOCENTER_BLOBS"] = f"s3://{self.minio}/{name}"
        own["ISOCENTER_INDEX"] += f"/{name}"
        own["ISOCENTER_KAFKA__PARTITIONS"] = "4"
        return own


@contextmanager
def start_servers(folder: Path) -> Iterator[Servers]:
    """The three servers on a folder of their own."""
    env = {**os.environ, "STACK_DATA": str(folder), "STACK_PORT": "28092"}
    started = subprocess.run(
        [SCRIPT, "start"], env=env, capture_output=True, text=True, check=False
    )
    if started.returncode:
        raise Unusable(f"the servers did not start: {started.stderr[-2000:]}")
    try:
        yield Servers(dict(line.split("=", 1) for line in started.stdout.splitlines()))
    finally:
        subprocess.run([SCRIPT, "stop"], env=env, check=True)


@contextmanager
def co_located(servers: Servers, folder: Path, name: str) -> Iterator[Server]:
    """All roles of a request in one process a core, the consumers in another: `isocenter up`."""
    folder.mkdir()
    dicom, http = free_ports(2)
    env = servers.settings(name)
    env |= {"ISOCENTER_GATEWAY__PORT": str(dicom), "ISOCENTER_WEB__PORT": str(http)}
    prepare(env)
    command = [sys.executable, "-m", "isocenter", "up", "--data", str(folder / "data")]
    url = f"http://{HOST}:{http}"
    with running(command, log=folder / "log", port=dicom, url=f"{url}/readyz", env=env) as process:
        yield Server(name, AE_TITLE, dicom, f"{url}/dicomweb", process)


@contextmanager
def split(
    servers: Servers, folder: Path, name: str, *, copies: int = 1, cores: float | None = None
) -> Iterator[list[Server]]:
    """Every role in a process of its own, gateways and indexers in `copies`, each with so many
    `cores` at most; a side for each gateway."""
    folder.mkdir()
    env = servers.settings(name)
    prepare(env)
    count = {"gateway": copies, "indexing": copies}
    names = [(role, n) for role in (*SERVICES, *EDGES) for n in range(count.get(role, 1))]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    for role in SERVICES:
        addresses = [f"{HOST}:{port}" for (of, _), port in ports.items() if of == role]
        env[f"ISOCENTER_RPC__{role.upper()}"] = ",".join(addresses)
    with contextlib.ExitStack() as stack:
        started = {}
        for (role, number), port in ports.items():
            own = "RPC" if role in SERVICES else role.upper()
            started[role, number] = stack.enter_context(
                running(
                    [sys.executable, "-m", "isocenter", "run", role],
                    log=folder / f"{role}-{number}.log",
                    port=port,
                    url=f"http://{HOST}:{port}/readyz" if role == "web" else "",
                    env={**env, f"ISOCENTER_{own}__PORT": str(port)},
                )
            )
        if cores:
            for (role, _), process in started.items():
                if role in count:
                    stack.enter_context(limited(process, cores))
        web = f"http://{HOST}:{ports['web', 0]}/dicomweb"
        yield [
            Server(name, AE_TITLE, ports["gateway", n], web, started["gateway", n])
            for n in range(copies)
        ]


def prepare(env: Mapping[str, str]) -> None:
    """Make topics, bucket and indices."""
    done = subprocess.run(
        [sys.executable, "-m", "isocenter", "check", "--prepare"],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Unusable(f"`isocenter check --prepare` failed:\n{done.stdout}{done.stderr}")
