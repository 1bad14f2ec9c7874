"""What an installation keeps, looked at from outside: its object store by its own tools."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Protocol

from minio import Minio


class KeptObjects(Protocol):
    """The objects of an installation."""

    def contents(self, study: str = "", instance: str = "") -> dict[str, bytes]:
        """Key -> content of every object, of one study or instance only."""
        ...

    def overwrite(self, key: str, content: bytes) -> None:
        """Change an object behind the back of the installation."""
        ...


class ObjectFiles:
    """Objects below a data directory."""

    def __init__(self, data: Path) -> None:
        self._root = data / "blobs"

    def contents(self, study: str = "", instance: str = "") -> dict[str, bytes]:
        """Key -> content."""
        folder = self._root / "objects" / "main" / study
        return {
            str(path.relative_to(self._root)).replace("@", "/"): path.read_bytes()
            for path in folder.rglob(f"{instance or '*'}@*.dcm")
        }

    def overwrite(self, key: str, content: bytes) -> None:
        """Change a file."""
        path, _, digest = key.rpartition("/")
        file = self._root / f"{path}@{digest}"
        file.chmod(0o600)
        file.write_bytes(content)


class ObjectsInBucket:
    """Objects in a bucket of an S3-compatible store."""

    def __init__(self, address: str, bucket: str, access_key: str, secret_key: str) -> None:
        self._client = Minio(address, access_key, secret_key, secure=False, region="us-east-1")
        self._bucket = bucket

    def contents(self, study: str = "", instance: str = "") -> dict[str, bytes]:
        """Key -> content."""
        prefix = f"objects/main/{study}/" if study else "objects/main/"
        found = self._client.list_objects(self._bucket, prefix, recursive=True)
        keys = [str(item.object_name) for item in found]
        return {key: self._read(key) for key in keys if not instance or f"/{instance}/" in key}

    def overwrite(self, key: str, content: bytes) -> None:
        """Put other bytes under the same key."""
        self._client.put_object(self._bucket, key, io.BytesIO(content), len(content))

    def _read(self, key: str) -> bytes:
        response = self._client.get_object(self._bucket, key)
        try:
            return response.read()
        finally:
            response.close()
            response.release_conn()
