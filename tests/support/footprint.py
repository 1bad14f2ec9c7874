"""What an installation takes of the machine, seen from outside, and what makes it take some."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import httpx
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from support.harness import Isocenter

PARTS = 'multipart/related; type="application/dicom"'
HELD_OPEN = ("01", "08")  # states of a connection that we hold: ESTABLISHED, CLOSE_WAIT


def store(isocenter: Isocenter, template: Dataset, count: int) -> None:
    """Send so many of an instance by STOW-RS; of several, each with a UID of its own."""
    for _ in range(count):
        if count > 1:
            template.SOPInstanceUID = generate_uid()
        file = io.BytesIO()
        template.save_as(file, enforce_file_format=True)
        kind = f'{PARTS}; boundary="x"'
        head = b"--x\r\nContent-Type: application/dicom\r\n\r\n"
        answer = httpx.post(
            f"{isocenter.dicomweb}/studies",
            content=head + file.getvalue() + b"\r\n--x--",
            headers={"Content-Type": kind},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text


def named(isocenter: Isocenter) -> Mapping[int, str]:
    """All processes, by what they are called."""
    names = {process.pid: name for name, process in isocenter.processes.items()}
    return {pid: names.get(pid, f"child {pid}") for pid in isocenter.pids()}


def memory(isocenter: Isocenter) -> Counter[str]:
    """Resident memory of each process, bytes."""
    found = Counter[str]()
    for pid, name in named(isocenter).items():
        found[name] = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    return found


def left_open(isocenter: Isocenter) -> Counter[str]:
    """What there is because of clients: their connections, and objects being read or written.
    Connections between our processes and files of indexes come and go by themselves."""
    found = Counter[str]()
    blobs = str(isocenter.data / "blobs")
    for pid, name in named(isocenter).items():
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                target = str(link.readlink())
                if target.startswith(blobs) and not target.endswith("lock"):
                    found[f"objects of {name}"] += 1
    ports = tuple(f":{port:04X}" for port in (isocenter.http_port, isocenter.dicom_port))
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        if local.endswith(ports) and state in HELD_OPEN:
            found["connections"] += 1
    return found
