"""Prints docs/audit-messages.md: the standard events of audit records as the code has them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tables import filled, table_text

from isocenter.core.events import AuditAction
from isocenter.runtime.audit_codes import KINDS, Code, Kind

TEMPLATE = Path(__file__).with_name("audit_messages.md")


def main() -> None:
    """Write the page to standard output."""
    sys.stdout.write(filled(TEMPLATE, {"events": _events, "reasons": _reasons}))


def _events() -> str:
    head = ("action", "records", "event (`type`)", "its type (`subtype`)", "does", "who takes part")
    return table_text(head, (_row(action, kind) for action, kind in _kinds()))


def _row(action: AuditAction, kind: Kind) -> tuple[str, ...]:
    types = ", ".join(map(_code, kind.types))
    return (f"`{action.value}`", kind.said, _code(kind.event), types, kind.act, _parts(kind))


def _parts(kind: Kind) -> str:
    return ", ".join(
        f"{part.who.value} ({part.role.meaning})" if part.role else part.who.value
        for part in kind.parts
    )


def _reasons() -> str:
    return "\n".join(
        f"- `{action.value}`{f', {kind.said}' if kind.said else ''}: {kind.why}"
        for action, kind in _kinds()
        if kind.why
    )


def _kinds() -> Iterator[tuple[AuditAction, Kind]]:
    for action, kinds in KINDS.items():
        for kind in kinds:
            yield action, kind


def _code(code: Code) -> str:
    return f"{code.code} {code.meaning}"


if __name__ == "__main__":
    main()
