"""A certificate of this machine for a run over TLS."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """Its files (PEM)."""

    certificate: Path
    key: Path


def make(folder: Path) -> Certificate:
    """A new one that nobody signed but itself; clients of a run do not ask."""
    folder.mkdir()
    made = Certificate(folder / "server.crt", folder / "server.key")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    files = ["-subj", "/CN=localhost", "-keyout", str(made.key), "-out", str(made.certificate)]
    subprocess.run([*command, *files], check=True, capture_output=True)
    return made
