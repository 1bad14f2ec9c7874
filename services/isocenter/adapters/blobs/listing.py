"""Listing a file store in key order, in memory that is bounded below one study."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

WINDOW = 10_000  # directories held in memory at once

Found = tuple[str, os.stat_result]


def walk(root: Path, prefix: list[str], after: str) -> Iterator[Found]:
    """Keys below the prefix's components, and the status of their files, in key order.

    Blocks. What appears or vanishes meanwhile may or may not be listed.
    """
    *parents, last = prefix
    above = os.path.join(root, *parents)  # noqa: PTH118 (paths are plain text here)
    beside = _files(above, "".join(f"{part}/" for part in parents), after, f"{last}@")
    below = _tree(f"{above}/{last}", "/".join(prefix) + "/", after)
    return heapq.merge(beside, below, key=_key)


def _key(found: Found) -> str:
    return found[0]


def _tree(directory: str, prefix: str, after: str) -> Iterator[Found]:
    """All keys that start with `prefix`, the key of `directory`."""
    subtrees = chain.from_iterable(
        _tree(f"{directory}/{name}", f"{prefix}{name}/", after)
        for name in _directories(directory, prefix, after)
    )
    return heapq.merge(_files(directory, prefix, after), subtrees, key=_key)


def _files(directory: str, prefix: str, after: str, start: str = "") -> Iterator[Found]:
    """The files of one directory: they belong to one study at most."""
    try:
        with os.scandir(directory) as entries:
            names = [e.name for e in entries if "@" in e.name and e.name.startswith(start)]
    except (FileNotFoundError, NotADirectoryError):
        return
    for key, name in sorted((prefix + name.replace("@", "/"), name) for name in names):
        if key > after:
            try:
                yield key, os.stat(f"{directory}/{name}")  # noqa: PTH116 (as above)
            except FileNotFoundError:
                continue  # deleted meanwhile


def _directories(directory: str, prefix: str, after: str) -> Iterator[str]:
    """Names of the directories in key order, in windows: there is one for each study."""
    last = ""
    while True:
        try:
            with os.scandir(directory) as entries:
                candidates = (
                    f"{e.name}/" for e in entries if "@" not in e.name and e.name[0] != "."
                )
                wanted = (
                    name
                    for name in candidates
                    if name > last
                    and (f"{prefix}{name}" > after or after.startswith(prefix + name))
                )
                window = heapq.nsmallest(WINDOW, wanted)
        except (FileNotFoundError, NotADirectoryError):
            return
        yield from (name.removesuffix("/") for name in window)
        if len(window) < WINDOW:
            return
        last = window[-1]
