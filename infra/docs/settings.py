"""Writes docs/settings.md, on the standard output, from the settings models."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import Enum
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from isocenter.settings import NESTED, PREFIX, Settings

HEAD = f"""# Settings

Written by `make docs` from the code; do not edit.

Every setting can be given in three ways, the strongest first:

- a flag: `--set gateway.port=11113`
- the environment: `{PREFIX}GATEWAY{NESTED}PORT=11113`
- a TOML file named with `--config` or `{PREFIX}CONFIG`:

  ```toml
  [gateway]
  port = 11113
  ```

Secrets are not taken from flags, which every list of processes shows: they come from the
environment, from the TOML file, or from a file of their own, named by the setting with `_file`
behind its name; see [access](access.md#secrets).

Lists and tables are written as JSON in flags and in the environment. An unknown key or a wrong
value stops the start with a message that names the key, where it was set, and what would be right.
"""

_WORDS = {str: "text", bool: "true or false", Path: "path", SecretStr: "secret"}


def main() -> None:
    """Write the page to the standard output."""
    sys.stdout.write(page())


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    top = {name: field for name, field in Settings.model_fields.items() if _section(field) is None}
    parts.append("## Top level\n\n" + _table("", top))
    for name, section in _sections(Settings):
        summary = cleandoc(section.__doc__ or "")
        fields = {key: one for key, one in section.model_fields.items() if _section(one) is None}
        parts.append(f"## `[{name}]`\n\n{summary}\n\n" + _table(name, fields))
    return "\n".join(parts)


def _sections(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """All below a model, each before those within it."""
    for name, field in model.model_fields.items():
        section = _section(field)
        if section is not None:
            yield above + name, section
            yield from _sections(section, f"{above}{name}.")


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _table(section: str, fields: dict[str, FieldInfo]) -> str:
    return "".join(_rows(section, fields))


def _rows(section: str, fields: dict[str, FieldInfo]) -> Iterator[str]:
    yield "| key | type | default | what it does |\n|---|---|---|---|\n"
    for name, field in fields.items():
        key = f"{section}.{name}" if section else name
        kind, default = kind_of(field.annotation), _default(field)
        yield f"| `{key}` | {kind} | {default} | {field.description or ''} |\n"


def kind_of(annotation: object) -> str:
    """A type in words."""
    if annotation is type(None):
        return "none"
    if isinstance(annotation, type) and get_origin(annotation) is None:
        if issubclass(annotation, Enum):
            return " or ".join(f"`{member.value}`" for member in annotation)
        if issubclass(annotation, BaseModel):
            return "table of " + ", ".join(f"`{name}`" for name in annotation.model_fields)
        return _WORDS.get(annotation, annotation.__name__)
    arguments = [item for item in get_args(annotation) if item is not Ellipsis]
    if get_origin(annotation) is Annotated:
        return kind_of(arguments[0])
    if get_origin(annotation) is dict:
        return " to ".join(["table of " + kind_of(arguments[0]), kind_of(arguments[1])])
    if get_origin(annotation) in (tuple, list):
        return f"list of {kind_of(arguments[0])}"
    return " or ".join(
        kind_of(item) if isinstance(item, type) or get_origin(item) else f"`{item}`"
        for item in arguments
    )


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "(needed)"
    if isinstance(value, Enum):
        value = value.value
    return f"`{value}`" if value not in ("", (), None, {}, SecretStr("")) else ""


if __name__ == "__main__":
    main()
