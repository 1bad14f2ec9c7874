"""Prints docs/events.md: the page for subscribers with the schemas as they are in protos/."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from isocenter.runtime.event_codec import topics_of_types
from isocenter.v1 import events_pb2

ROOT = Path(__file__).parents[2]
INTRODUCTION = Path(__file__).with_name("events.md")
PROTOS = ("events", "common", "objects")


def main() -> None:
    """Write the page to standard output."""
    out = [INTRODUCTION.read_text(encoding="utf-8"), "## Types and their topics", ""]
    out += ["| `ce_type` | topic | what it tells |", "|---|---|---|"]
    comments = _comments()
    for kind, topic in topics_of_types().items():
        name = kind.rpartition(".")[2]
        says = re.sub(r"^Topics? [^:]+: ", "", comments.get(name, ""))
        out.append(f"| `{kind}` | `{topic}` | {says} |")
    out += ["", "## Schemas", ""]
    for name in PROTOS:
        text = (ROOT / f"protos/isocenter/v1/{name}.proto").read_text(encoding="utf-8")
        out += [f"### {name}.proto", "", "```proto", text.rstrip(), "```", ""]
    sys.stdout.write("\n".join(out).rstrip() + "\n")


def _comments() -> dict[str, str]:
    """Message -> the comment above it in events.proto."""
    found: dict[str, str] = {}
    said: list[str] = []
    lines = (ROOT / "protos" / events_pb2.DESCRIPTOR.name).read_text(encoding="utf-8").splitlines()
    for line in lines:
        if line.startswith("//"):
            said.append(line.removeprefix("//").strip())
        elif line.startswith("message "):
            found[line.split()[1]] = " ".join(said)
            said = []
        else:
            said = []
    return found


if __name__ == "__main__":
    main()
