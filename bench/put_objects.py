"""Bare `put_object` calls: what the object store gives to a client that does nothing else.

`python -m bench.put_objects ADDRESS BUCKET PREFIX FOLDER` puts the files of a folder one after
another. It says `ready` once it is connected, and begins when it is sent a line.
"""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from minio import Minio

from bench.clients import PATIENCE, Wrong

NAME = "put_object"
ACCESS_KEY, SECRET_KEY = "isocenter", "isocenter-secret"


def client(address: str) -> Minio:
    """The official SDK's client, told the region so that it asks for nothing first."""
    return Minio(address, ACCESS_KEY, SECRET_KEY, secure=False, region="us-east-1")


def run(address: str, bucket: str, prefix: str, folders: Sequence[Path]) -> float:
    """One client a folder, all at once. Seconds from the first put to the last answer."""
    command = [sys.executable, "-m", "bench.put_objects", address, bucket]
    clients = [
        subprocess.Popen(
            [*command, f"{prefix}-{number}", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number, folder in enumerate(folders)
    ]
    for process in clients:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise Wrong(f"a client of {address} is not ready")
    started = time.perf_counter()
    for process in clients:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    codes = [process.wait(PATIENCE) for process in clients]
    if any(codes):
        raise Wrong(f"put_object clients ended with {codes}")
    return time.perf_counter() - started


def main() -> None:
    """Put the files of one folder."""
    address, bucket, prefix, folder = sys.argv[1:]
    store = client(address)
    contents = [path.read_bytes() for path in sorted(Path(folder).iterdir())]
    store.bucket_exists(bucket)
    print("ready", flush=True)
    sys.stdin.readline()
    for number, content in enumerate(contents):
        store.put_object(bucket, f"{prefix}/{number}", io.BytesIO(content), len(content))


if __name__ == "__main__":
    main()
