"""Application Entities: what is known of each peer, and the directory that names them."""

from __future__ import annotations

from collections.abc import Iterable
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
    tls: bool = Field(
        default=False,
        description="Whether it is called over TLS: its certificate must be one that"
        " `gateway.ca_file` trusts, and it is shown ours.",
    )
    tls_name: str = Field(
        default="", description="The name in its certificate, if that is not `host`."
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
