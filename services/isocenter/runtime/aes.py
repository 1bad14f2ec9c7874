"""Application Entities: what is known of each peer, and the directory that names them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from isocenter.core.charset import is_character_set
from isocenter.core.coercion import Coercions
from isocenter.core.identity import is_ae_title
from isocenter.runtime.addresses import ip_of
from isocenter.runtime.coercions import CoercionRule


def _ae_title(text: str) -> str:
    if not is_ae_title(text):
        raise ValueError(
            "an AE title has 1 to 16 characters of ASCII, no backslash, and is not blank"
            " (PS3.5 6.2); shorten or respell it"
        )
    return text.strip(" ")


AETitle = Annotated[str, AfterValidator(_ae_title)]


class KnownAE(BaseModel):
    """One peer: it may call, and with an address it is a C-MOVE destination."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: AETitle = Field(description="Its AE title.")
    host: str = Field(
        default="",
        description="Its address or name. A caller with this title must come from the address;"
        " with a name, or none, it may call from anywhere.",
    )
    port: int = Field(
        default=0, ge=0, le=65535, description="Its DICOM port; 0: no C-MOVE destination."
    )
    character_set: str = Field(
        default="",
        description="Specific Character Set of objects that it sends with text in none, or in one"
        " that is not true; several values with a backslash between.",
    )
    coercions: tuple[CoercionRule, ...] = Field(
        default=(),
        max_length=100,
        description="What is corrected in objects that it sends; see [DICOM](dicom.md#coercion).",
    )

    @model_validator(mode="after")
    def _destination_is_complete(self) -> KnownAE:
        if self.port and not self.host:
            raise ValueError(f"AE {self.title} has a port but no host; give both, or no port")
        return self

    @field_validator("character_set")
    @classmethod
    def _character_set_is_known(cls, value: str) -> str:
        if value and not is_character_set(value):
            raise ValueError(
                f"{value!r} is no Specific Character Set; write defined terms of PS3.3 C.12.1.1.2,"
                " as ISO_IR 100"
            )
        return value

    @cached_property
    def coercing(self) -> Coercions | None:
        """What is done with its objects, if anything is."""
        rules = tuple(one.rule for one in self.coercions)
        return Coercions(rules, self.character_set) if rules or self.character_set else None


class Directory:
    """The AEs that are known, by title."""

    def __init__(self, aes: Iterable[KnownAE]) -> None:
        self._aes = {ae.title: ae for ae in aes}
        addresses = [(ip_of(ae.host), ae) for ae in reversed(self._aes.values())]
        self._by_address = {address: ae for address, ae in addresses if address is not None}

    def named(self, title: str) -> KnownAE | None:
        """The AE of a title; spaces around it do not count (PS3.5 6.2)."""
        return self._aes.get(title.strip(" "))

    def at(self, host: str) -> KnownAE | None:
        """The first AE whose address this is."""
        address = ip_of(host)
        return None if address is None else self._by_address.get(address)
