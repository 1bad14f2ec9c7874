"""Programs that are known by their certificates."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from isocenter.core.access import Caller, Kind, Right
from isocenter.runtime.access.names import RoleName, SiteName, Text
from isocenter.runtime.shown_certificates import is_fingerprint, is_name, spelled


def _written(text: str) -> str:
    text = spelled(text)
    if "=" in text or is_fingerprint(text):
        return text
    if not is_name(text):
        raise ValueError(
            "neither a subject nor a fingerprint nor a name; write CN=research,O=Hospital, sha256:"
            " and 64 hexadecimal digits, research.example.org or spiffe://example.org/research"
        )
    return text if "://" in text else text.lower()


_Written = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_written)
]
_Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]


class ProgramCertificate(BaseModel):
    """A certificate, and the program that it is of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    certificate: _Written = Field(
        description="Its subject, most specific first (`CN=research,O=Hospital`), its fingerprint"
        " (`sha256:...`), or one of its subject alternative names: a DNS name, a URI or an address."
    )
    name: _Name = Field(description="Name of the program, for the policy and the audit trail.")
    roles: tuple[RoleName, ...] = Field(description="What it may do.")
    only: tuple[Right, ...] | None = Field(
        None, description="Rights that are left of the roles; none: all."
    )
    groups: tuple[Text, ...] = Field((), description="Its groups.")
    sites: tuple[SiteName, ...] = Field((), description="Its sites.")

    @property
    def caller(self) -> Caller:
        """The program that shows it."""
        only = None if self.only is None else frozenset(self.only)
        return Caller(Kind.PROGRAM, self.name, self.roles, self.groups, self.sites, only)
