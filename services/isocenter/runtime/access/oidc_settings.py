"""Settings of sign-in by an identity provider."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from isocenter.core.access import ROLES
from isocenter.runtime.secret_settings import SecretSettings

_ISSUER = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+(?:/[A-Za-z0-9._~/%-]*)?")


class OidcSettings(SecretSettings):
    """An OpenID Connect provider by which people sign in, and which names programs."""

    section: ClassVar[str] = "access.oidc"

    issuer: str = Field(
        "",
        description="Its issuer identifier, as `https://login.example.org/realms/hospital`; empty:"
        " nobody signs in by it.",
    )
    client_id: str = Field("isocenter", description="Our client identifier there.")
    client_secret: SecretStr = Field(
        SecretStr(""), description="Our client secret there; empty: we are a public client."
    )
    client_secret_file: Path | None = Field(
        None, description="File that holds the secret instead; read again for every use."
    )
    ca_file: Path | None = Field(
        None,
        description="Certificates of the CA of its address (PEM), read at the start; none: those"
        " that the system trusts.",
    )
    scopes: tuple[str, ...] = Field(("openid", "profile"), description="Scopes that are asked for.")
    audience: str = Field(
        "",
        description="Audience that access tokens of programs must be for; empty: none are taken.",
    )
    name_claim: str = Field(
        "preferred_username",
        description="Claim with the name of a person, by which the policy and the audit trail know"
        " them; it must not be one that people can change themselves.",
    )
    roles_claim: str = Field(
        "roles", description="Claim with roles, as a path: `realm_access.roles` in Keycloak."
    )
    roles: dict[str, str] = Field(
        {},
        description="What is called otherwise there: its role -> ours, as"
        ' `{"radiologist": "viewer"}`. Ours by their own names count too.',
    )
    groups_claim: str = Field("groups", description="Claim with groups, as a path.")
    sites_claim: str = Field("sites", description="Claim with sites, as a path.")
    refresh_minutes: float = Field(
        5, gt=0, description="Minutes after which it is asked again about who has a session."
    )

    @field_validator("issuer")
    @classmethod
    def _is_an_issuer(cls, text: str) -> str:
        if text and not _ISSUER.fullmatch(text):
            raise ValueError("not an issuer; write it as https://login.example.org/realms/hospital")
        return text

    @model_validator(mode="after")
    def _roles_are_ours(self) -> Self:
        if unknown := set(self.roles.values()) - set(ROLES):
            raise ValueError(f"{min(unknown)!r} is no role; ours are {', '.join(ROLES)}")
        return self
