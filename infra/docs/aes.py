"""Prints docs/aes.md: the guide to the AE directory, with the fields of its entries."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from settings import kind_of
from tables import table

from isocenter.runtime.aes import KnownAE

TEXT = Path(__file__).with_name("aes.md")


def main() -> None:
    """Write the page to standard output."""
    text = TEXT.read_text(encoding="utf-8")
    sys.stdout.write(text.replace("<!-- fields -->", "\n".join(_fields())))


def _fields() -> Iterator[str]:
    rows = (
        (f"`{name}`", kind_of(field.annotation), field.description or "")
        for name, field in KnownAE.model_fields.items()
    )
    return table(("field", "type", "what it says"), rows)


if __name__ == "__main__":
    main()
