"""Directories of a file store: made durable once, removed when empty, safe against each other."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

_REMEMBERED = 10_000
_ATTEMPTS = 100


class Directories:
    """Names below a root. All calls block."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._durable: OrderedDict[str, int] = OrderedDict()  # path -> inode
        self._lock = threading.Lock()

    def move(self, staged: str, path: str) -> None:
        """Give a file its name. What another process has put there meanwhile has the same
        content, being named by it. A directory that another process removes meanwhile, being
        empty, is made again."""
        directory = os.path.dirname(path)  # noqa: PTH120 (hot path)
        for _ in range(_ATTEMPTS):
            try:
                os.rename(staged, path)  # noqa: PTH104 (hot path)
            except FileNotFoundError:
                with suppress(FileNotFoundError):  # one of them is being removed: again
                    os.makedirs(directory, exist_ok=True)  # noqa: PTH103 (hot path)
            else:
                return
        os.rename(staged, path)  # noqa: PTH104 (as above)

    def sync(self, path: str, *, name_too: bool) -> None:
        """Make the directories durable that lead to `path`, unless they are known to be. The name
        in the last one is durable with the first fsync of the file (decision 5), or `name_too`."""
        directory = os.path.dirname(path)  # noqa: PTH120 (hot path)
        try:
            inode = os.stat(directory).st_ino  # noqa: PTH116 (hot path)
            with self._lock:
                known = self._durable.get(directory) == inode
            if name_too or not known:
                _fsync(directory)
            above = self._root if known else directory
            while above != self._root:
                above = os.path.dirname(above)  # noqa: PTH120 (hot path)
                _fsync(above)
        except FileNotFoundError:
            return  # deleted meanwhile, and its directory with it
        with self._lock:
            self._durable[directory] = inode
            self._durable.move_to_end(directory)
            while len(self._durable) > _REMEMBERED:
                self._durable.popitem(last=False)

    def remove(self, path: str) -> None:
        """Remove a name durably, if it is there, and the directories that this leaves empty."""
        with suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(path)  # noqa: PTH108 (as above)
        self.left(path)

    def left(self, path: str) -> None:
        """Make it durable that a name was removed, and remove the directories that this leaves
        empty. What has the name again meanwhile stays."""
        directory = os.path.dirname(path)  # noqa: PTH120 (as above)
        while directory != self._root:
            with self._lock:
                self._durable.pop(directory, None)
            try:
                os.rmdir(directory)  # noqa: PTH106 (as above)
            except FileNotFoundError:
                pass  # another call was quicker
            except OSError:
                break  # in use
            directory = os.path.dirname(directory)  # noqa: PTH120 (as above)
        with suppress(FileNotFoundError):
            _fsync(directory)


def _fsync(directory: str) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
