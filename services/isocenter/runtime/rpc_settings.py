"""Settings of gRPC between processes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from isocenter.runtime import listen
from isocenter.runtime.rpc_peers import target_of
from isocenter.runtime.tls_files import Tls


def _address(value: str) -> str:
    if value:
        target_of(value)
    return value


def _caller(pattern: str) -> str:
    """DNS names are the same in capitals (RFC 4343)."""
    return pattern if "://" in pattern else pattern.lower()


Address = Annotated[str, AfterValidator(_address)]
_Caller = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_caller)
]


class RpcSettings(BaseModel):
    """gRPC between processes. A role without an address is called inside the process.

    The address of a role is `host:port`. Several copies, which share the calls, are their addresses
    separated by commas (`10.0.0.7:50051,10.0.0.8:50051`), or one DNS name that stands for all of
    them (`dns:///storage:50051`), which is asked again for new ones about every half minute.

    With the three files, both sides of every connection show a certificate of the CA; the server's
    must be for the host in the role's address, or for the first of several, and that of who calls
    must be one of `callers`: a role is believed in whose name it calls, which others with a
    certificate of the CA are not. The files are read again when they change. A port that other
    machines reach needs them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(listen.LOOPBACK, description="Address the gRPC server listens on.")
    port: int = Field(
        0, ge=0, le=65535, description="Port of this process's gRPC server; 0: no gRPC server."
    )
    ingest: Address = Field("", description="Address of the ingest role.")
    storage: Address = Field("", description="Address of the storage role.")
    query: Address = Field("", description="Address of the query role.")
    indexing: Address = Field("", description="Address of the indexing role.")
    transcoding: Address = Field("", description="Address of the transcoding role.")
    audit: Address = Field("", description="Address of the audit role.")
    insecure: bool = Field(
        default=False,
        description="Whether gRPC ports that other machines reach, this one and that of programs,"
        " may be without TLS: where a service mesh or a proxy encrypts and says who may call.",
    )
    ca_file: Path | None = Field(
        None, description="Certificates of the CA that all processes trust (PEM)."
    )
    certificate_file: Path | None = Field(
        None, description="Certificate of this process, with those in between (PEM)."
    )
    key_file: Path | None = Field(None, description="Key of the certificate (PEM, no password).")
    callers: tuple[_Caller, ...] = Field(
        (),
        description="Names of processes that may call: DNS names, addresses and URIs as in the"
        " subject alternative names of their certificates; `*` stands for anything. None: those in"
        " the certificate of this process, for where all have the same one.",
    )

    @property
    def tls(self) -> Tls | None:
        """The files of mutual TLS, if there is any."""
        if self.ca_file is None or self.certificate_file is None or self.key_file is None:
            return None
        return Tls(self.ca_file, self.certificate_file, self.key_file, section="rpc")

    @model_validator(mode="after")
    def _all_files_or_none(self) -> Self:
        files = (self.ca_file, self.certificate_file, self.key_file)
        if any(files) and not all(files):
            raise ValueError("TLS needs all of ca_file, certificate_file and key_file")
        return self
