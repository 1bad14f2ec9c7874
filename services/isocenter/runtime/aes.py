"""Application Entities: what is known of each peer, and the directory that names them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from isocenter.core.identity import is_ae_title


def _ae_title(text: str) -> str:
    if not is_ae_title(text):
        raise ValueError(
            "an AE title has 1 to 16 characters of ASCII, no backslash, and is not blank"
            " (PS3.5 6.2); shorten or respell it"
        )
    return text.strip(" ")


AETitle = Annotated[str, AfterValidator(_ae_title)]


class Lane(Enum):
    """Whose work goes first, the most urgent first."""

    EMERGENCY = "emergency"
    ROUTINE = "routine"
    BULK = "bulk"


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
    lane: Lane = Field(
        default=Lane.ROUTINE,
        description="`emergency`, `routine` or `bulk`: while a lane has work, those after it have"
        " one place for each kind of work.",
    )
    max_associations: int = Field(
        default=200, ge=1, description="Associations at once in one process; more are rejected."
    )
    max_bytes: int = Field(
        default=0,
        ge=0,
        description="Bytes received and not yet durable, of all its associations in one process;"
        " beyond, only the object that began first is read on. 0: only each association has a"
        " bound.",
    )

    @model_validator(mode="after")
    def _destination_is_complete(self) -> KnownAE:
        if self.port and not self.host:
            raise ValueError(f"AE {self.title} has a port but no host; give both, or no port")
        return self


class Directory:
    """The AEs that are known, by title."""

    def __init__(self, aes: Iterable[KnownAE]) -> None:
        self._aes = {ae.title: ae for ae in aes}

    def named(self, title: str) -> KnownAE | None:
        """The AE of a title; spaces around it do not count (PS3.5 6.2)."""
        return self._aes.get(title.strip(" "))
