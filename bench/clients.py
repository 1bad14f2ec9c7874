"""Clients, the same for every side: dcmtk's tools, wrk, and a reader of HTTP bodies."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import re
import subprocess
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.server import HOST, Server, nodelay

JSON = "application/dicom+json"
FRAMES = 'multipart/related; type="application/octet-stream"'
DICOM = "application/dicom"
OBJECTS = f'multipart/related; type="{DICOM}"'
ROTATE = Path(__file__).with_name("rotate.lua")
CALLING = "BENCH"
PATIENCE = 900.0  # s
FINDABLE_SECONDS = 60.0
POLL_SECONDS = 0.005


class Wrong(Exception):
    """A side answered with something else than the work asked for."""


def send(
    server: Server, folders: Sequence[Path], *, nagle: bool = False, calling: str = CALLING
) -> float:
    """C-STORE every folder, an association each, all at once; over TLS where the side has it.
    Seconds until the last success."""
    command = _storescu(server, calling)
    started = time.perf_counter()
    running = [_spawn([*command, str(folder)], nagle=nagle) for folder in folders]
    for process in running:
        _finish(process)
    return time.perf_counter() - started


def _storescu(server: Server, calling: str, *options: str) -> list[str]:
    names = ["-aet", calling, "-aec", server.ae_title]
    tls = ["+tla", "-ic"] if server.tls else []
    target = [HOST, str(server.dicom_port)]
    return ["storescu", *names, *tls, "-R", "+sd", "+r", *options, *target]


@contextmanager
def storing(server: Server, folder: Path, associations: int, calling: str) -> Iterator[None]:
    """So many associations store new objects like those of a folder without pause."""
    command = [*_storescu(server, calling, "+II", "--repeat", "100000"), str(folder)]
    running = [_spawn(command, nagle=False) for _ in range(associations)]
    try:
        yield
        ended = [process for process in running if process.poll() is not None]
        if ended:
            raise Wrong(f"{len(ended)} senders ended: {_finish(ended[0])[-1000:]}")
    finally:
        for process in running:
            process.kill()
            process.communicate()


def c_get(server: Server, study: str, count: int) -> float:
    """C-GET of a study, received and dropped. Seconds."""
    command = ["getscu", "-v", "-S", "--ignore", *_retrieve(server, study)]
    seconds, text = _timed(command)
    completed = re.findall(r"Completed Suboperations\s*: (\d+)", text)
    if completed[-1:] != [str(count)]:
        raise Wrong(f"getscu got {completed[-1:]} of {count} instances:\n{text[-1000:]}")
    return seconds


def c_move(server: Server, study: str, destination: str) -> float:
    """C-MOVE of a study to the destination AE. Seconds."""
    command = ["movescu", "-v", "-S", "-aem", destination, *_retrieve(server, study)]
    seconds, text = _timed(command)
    if "Final Move Response (Success)" not in text:  # success: no sub-operation failed
        raise Wrong(f"movescu was not told of success:\n{text[-1000:]}")
    return seconds


def _retrieve(server: Server, study: str) -> list[str]:
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
    names = ["-aet", CALLING, "-aec", server.ae_title]
    return [*names, *keys, HOST, str(server.dicom_port)]


def _timed(command: list[str]) -> tuple[float, str]:
    started = time.perf_counter()
    text = _finish(_spawn(command, nagle=False))
    return time.perf_counter() - started, text


def _spawn(command: list[str], *, nagle: bool) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        env={**os.environ, **nodelay(nagle=nagle)},
        text=True,
        errors="replace",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _finish(process: subprocess.Popen[str]) -> str:
    text, _ = process.communicate(timeout=PATIENCE)
    if process.returncode:
        raise Wrong(f"{process.args!r} ended with {process.returncode}:\n{text[-1000:]}")
    return text


class Web:
    """One HTTP connection to a side's DICOMweb root."""

    def __init__(self, server: Server) -> None:
        self._root = urllib.parse.urlsplit(server.dicomweb)
        self._connection = http.client.HTTPConnection(self._root.netloc, timeout=PATIENCE)
        self._headers = dict(server.headers)

    def get(self, path: str, accept: str) -> bytes:
        """A whole body."""
        answer = self._ask(path, accept)
        return answer.read()

    def store(self, file: Path) -> None:
        """Store one Part 10 file."""
        head = f"--x\r\nContent-Type: {DICOM}\r\n\r\n".encode()
        with file.open("rb") as content:
            body = itertools.chain([head], iter(lambda: content.read(1 << 20), b""), [b"\r\n--x--"])
            length = len(head) + file.stat().st_size + len(b"\r\n--x--")
            kind = f'multipart/related; type="{DICOM}"; boundary=x'
            headers = {"Content-Type": kind, "Content-Length": str(length), "Accept": JSON}
            self._connection.request("POST", f"{self._root.path}/studies", body, headers)
            answer = self._connection.getresponse()
        if answer.status != 200:
            raise Wrong(f"POST {file}: {answer.status} {answer.read()[:500]!r}")
        answer.read()

    def search(self, path: str) -> list[dict[str, Any]]:
        """The matches of a QIDO-RS search."""
        body = self.get(path, JSON)
        matches: list[dict[str, Any]] = json.loads(body) if body else []
        return matches

    def drain(self, path: str, accept: str) -> int:
        """Read a body and drop it; its length in bytes."""
        answer = self._ask(path, accept)
        buffer, total = bytearray(1 << 20), 0
        while length := answer.readinto(buffer):
            total += length
        return total

    def _ask(self, path: str, accept: str) -> http.client.HTTPResponse:
        headers = {"Accept": accept, **self._headers}
        self._connection.request("GET", f"{self._root.path}/{path}", headers=headers)
        answer = self._connection.getresponse()
        if answer.status not in (200, 204):
            raise Wrong(f"GET {path}: {answer.status} {answer.read()[:500]!r}")
        return answer


def wait_findable(server: Server, study: str, count: int) -> None:
    """Wait until a search tells that the study has `count` instances."""
    web = Web(server)
    path = f"studies?StudyInstanceUID={study}&includefield=00201208"
    deadline = time.monotonic() + FINDABLE_SECONDS
    while True:
        matches = web.search(path)
        found = matches[0].get("00201208", {}).get("Value", [0])[0] if matches else 0
        if int(found) == count:
            return
        if time.monotonic() > deadline:
            raise Wrong(f"{server.name}: {found} of {count} instances findable")
        time.sleep(POLL_SECONDS)


def requests_per_second(
    server: Server,
    paths: Sequence[str],
    accept: str,
    *,
    connections: int,
    seconds: int,
    scratch: Path,
) -> float:
    """wrk's rate over these paths in turn, all of which must succeed."""
    root = urllib.parse.urlsplit(server.dicomweb)
    listing = scratch / "paths.txt"
    listing.write_text("\n".join(f"{root.path}/{path}" for path in paths))
    limits = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s"]
    text = _finish(
        _spawn(
            [
                "wrk",
                *limits,
                "-s",
                str(ROTATE),
                f"http://{root.netloc}",
                "--",
                str(listing),
                *("Accept", accept),
                *(part for header in server.headers for part in header),
            ],
            nagle=False,
        )
    )
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if rate is None or "Non-2xx" in text or "Socket errors" in text:
        raise Wrong(f"{server.name}: wrk says:\n{text}")
    return float(rate.group(1))
