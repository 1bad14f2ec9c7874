"""Settings of the gateway role."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from isocenter.core.identity import is_ae_title
from isocenter.dimse.limits import Timeouts
from isocenter.runtime import listen


def _ae_title(text: str) -> str:
    if not is_ae_title(text):
        raise ValueError(
            "an AE title has 1 to 16 characters of ASCII, no backslash, and is not blank"
            " (PS3.5 6.2); shorten or respell it"
        )
    return text.strip(" ")


AETitle = Annotated[str, AfterValidator(_ae_title)]


class UnknownCallers(Enum):
    """Which callers that are not in `known_aes` may associate."""

    NEVER = "never"
    LOOPBACK = "loopback"
    ALWAYS = "always"


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

    @model_validator(mode="after")
    def _destination_is_complete(self) -> KnownAE:
        if self.port and not self.host:
            raise ValueError(f"AE {self.title} has a port but no host; give both, or no port")
        return self


class GatewaySettings(BaseModel):
    """The DICOM port: who may call, what is accepted, and its limits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(default=listen.LOOPBACK, description="Address to listen on.")
    port: int = Field(
        default=listen.DICOM_PORT, ge=0, le=65535, description="DICOM port; 0: any free one."
    )
    ae_title: AETitle = Field(
        default=listen.AE_TITLE,
        description="Our AE title: what callers must call, and what we call with.",
    )
    extra_ae_titles: tuple[AETitle, ...] = Field(
        default=(), description="Further called AE titles that are answered."
    )
    known_aes: tuple[KnownAE, ...] = Field(
        default=(),
        description="Peers that may call; those with host and port are C-MOVE destinations.",
    )
    unknown_callers: UnknownCallers = Field(
        default=UnknownCallers.LOOPBACK,
        description="Where callers that are not in `known_aes` are admitted from.",
    )
    accept_unknown_sop_classes: bool = Field(
        default=False,
        description="Whether objects of private or unknown SOP classes may be sent to us.",
    )
    max_associations: int = Field(
        default=1000, ge=1, description="Associations at once in one process; more are rejected."
    )
    max_pdu: int = Field(
        default=131_072,
        ge=16_384,
        le=1_048_576,
        description="Longest P-DATA-TF PDU that we accept, bytes.",
    )
    max_identifier: int = Field(
        default=1_048_576,
        ge=1024,
        description="Longest identifier of a C-FIND, C-MOVE or C-GET, bytes.",
    )
    association_timeout: float = Field(
        default=30, gt=0, description="ARTIM timer: association request and release, seconds."
    )
    network_timeout: float = Field(
        default=300, gt=0, description="Silence after which an association is aborted, seconds."
    )
    dimse_timeout: float = Field(
        default=60, gt=0, description="How long a peer may take to answer a sub-operation, seconds."
    )
    connect_timeout: float = Field(
        default=10, gt=0, description="How long a C-MOVE destination may take to accept, seconds."
    )

    @model_validator(mode="after")
    def _titles_are_distinct(self) -> GatewaySettings:
        titles = [known.title for known in self.known_aes]
        twice = sorted({title for title in titles if titles.count(title) > 1})
        if twice:
            raise ValueError(f"known_aes names {', '.join(twice)} more than once; keep one of each")
        return self

    @property
    def called_ae_titles(self) -> frozenset[str]:
        """All titles that we answer to."""
        return frozenset({self.ae_title, *self.extra_ae_titles})

    @property
    def timeouts(self) -> Timeouts:
        """Of associations in both directions."""
        return Timeouts(
            artim=self.association_timeout,
            network=self.network_timeout,
            dimse=self.dimse_timeout,
            connect=self.connect_timeout,
        )

    def known_ae(self, title: str) -> KnownAE | None:
        """The peer of this title."""
        return next((known for known in self.known_aes if known.title == title.strip(" ")), None)
