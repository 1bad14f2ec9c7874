"""Settings of access control."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from isocenter.runtime.access.certificates import ProgramCertificate
from isocenter.runtime.access.oidc_settings import OidcSettings


class AccessSettings(BaseModel):
    """Who may see and do what; see [access](access.md)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: Path | None = Field(
        None,
        description="File of the [policy](access.md#the-policy), read again when it changes; none:"
        " everybody may do what their role allows, with all studies.",
    )
    trust_loopback: bool = Field(
        default=False,
        description="Whether who calls HTTP, gRPC or DICOM from this machine without saying who"
        " they are is taken for its operator, who may do everything: for development, where nobody"
        " else is on the machine and no proxy runs on it.",
    )
    local_accounts: bool = Field(
        default=True,
        description="Whether people sign in with accounts that are kept here; where an identity"
        " provider knows everybody, none are needed.",
    )
    certificates: tuple[ProgramCertificate, ...] = Field(
        (),
        max_length=1000,
        description="[Programs](access.md#programs) that show a certificate in place of a token,"
        " where `web.grpc_ca_file` has them asked for one.",
    )
    oidc: OidcSettings = OidcSettings()
    session_idle_minutes: float = Field(
        60, gt=0, description="How long a session of a browser lasts without being used."
    )
    session_hours: float = Field(12, gt=0, description="How long it lasts at most.")
    emergency_minutes: float = Field(
        60, gt=0, le=1440, description="How long emergency access to a patient lasts."
    )
    follow_seconds: float = Field(
        2,
        gt=0,
        le=60,
        description="Seconds after which a change of the policy, an account, a"
        " token or a session counts everywhere.",
    )

    @model_validator(mode="after")
    def _certificates_are_of_one_program(self) -> Self:
        written = [one.certificate for one in self.certificates]
        if twice := [one for one in written if written.count(one) > 1]:
            raise ValueError(f"{twice[0]!r} is in `certificates` more than once")
        return self
