"""A ConfigMap or a Secret as the kubelet mounts it: its files are links through `..data`, which is
pointed at a new folder at once when it changes; the folder before is removed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path


class Mounted:
    """The folder in a pod."""

    def __init__(self, folder: Path, entries: Mapping[str, str]) -> None:
        """`entries`: name -> content."""
        self.folder = folder
        folder.mkdir()
        self._changes = 0
        self.change(entries)
        for name in entries:
            (folder / name).symlink_to(Path("..data") / name)

    def change(self, entries: Mapping[str, str]) -> None:
        """As when the object has changed."""
        self._changes += 1
        new = self.folder / f"..2026_01_01_00_00_00.{self._changes}"
        new.mkdir()
        for name, content in entries.items():
            (new / name).write_text(content, encoding="utf-8")
        data, link = self.folder / "..data", self.folder / "..data_tmp"
        before = data.resolve() if data.exists() else None
        link.symlink_to(new.name)
        link.replace(data)
        if before is not None:
            shutil.rmtree(before)
