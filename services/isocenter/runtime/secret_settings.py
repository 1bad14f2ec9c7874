"""Secrets in settings: each as a text, or in a file, which is read again for every use, so that a
secret is replaced while the process runs. None stands in what is printed of the settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, SecretStr, model_validator

from isocenter.core.errors import Unavailable

_FILE = "_file"


class SecretSettings(BaseModel):
    """A section of which some settings may stand in a file: NAME, or NAME_file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    section: ClassVar[str]  # its name, for people

    def has(self, name: str) -> bool:
        """Whether it is given, in either way."""
        return bool(self._file_of(name) or self._text_of(name))

    def secret(self, name: str) -> str:
        """As it is now; empty if it is not given. Raises `Unavailable`."""
        file = self._file_of(name)
        if file is None:
            return self._text_of(name)
        try:
            text = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise Unavailable(
                f"[{self.section}] {name}_file: {file} cannot be read: {why}",
                fix="name a file that this user can read",
            ) from error
        if not text:
            raise Unavailable(
                f"[{self.section}] {name}_file: {file} is empty", fix="write the secret into it"
            )
        return text

    def _text_of(self, name: str) -> str:
        value = getattr(self, name)
        return str(value.get_secret_value() if isinstance(value, SecretStr) else value)

    def _file_of(self, name: str) -> Path | None:
        file: Path | None = getattr(self, name + _FILE)
        return file

    @model_validator(mode="after")
    def _are_given_once(self) -> Self:
        fields = type(self).model_fields
        for name in fields:
            if name + _FILE in fields and self._file_of(name) and self._text_of(name):
                raise ValueError(f"{name} and {name}{_FILE} are both given; leave one out")
        return self


def secrets_of(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """The names of all secrets below a model, as `s3.secret_key`."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if kind is SecretStr:
            yield above + name
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from secrets_of(kind, f"{above}{name}.")


def given(values: Mapping[str, Any], name: str) -> bool:
    """Whether nested values have something of this name."""
    found: object = values
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return False
        found = found[part]
    return True
