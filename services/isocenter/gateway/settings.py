"""Settings of the gateway role."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from isocenter.dimse.limits import Timeouts
from isocenter.runtime import listen
from isocenter.runtime.addresses import Network, Networks, networks_of
from isocenter.runtime.ae_records import FOLLOW_SECONDS
from isocenter.runtime.aes import AETitle, KnownAE
from isocenter.runtime.tls_files import CallerTls, Tls


class UnknownCallers(Enum):
    """Which callers that are not in the AE directory may associate."""

    NEVER = "never"
    LOOPBACK = "loopback"
    ALWAYS = "always"


class GatewaySettings(BaseModel):
    """The DICOM ports, plain and of TLS: who may call, what is accepted, and their limits.

    The files of TLS are read again when they change: connections that are open keep what they
    began with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(default=listen.LOOPBACK, description="Address to listen on.")
    port: int = Field(
        default=listen.DICOM_PORT, ge=0, le=65535, description="DICOM port; 0: any free one."
    )
    tls_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port of DICOM TLS, beside the plain one; 0: none."
        f" {listen.DICOM_TLS_PORT} is registered for it.",
    )
    tls_only: bool = Field(
        default=False, description="Whether there is no plain port, so that everyone needs TLS."
    )
    certificate_file: Path | None = Field(
        default=None,
        description="Certificate of the TLS port, with those between it and the CA (PEM). Shown to"
        " peers that we call over TLS, too.",
    )
    key_file: Path | None = Field(
        default=None, description="Key of the certificate (PEM, no password)."
    )
    ca_file: Path | None = Field(
        default=None,
        description="Certificates of the CA of which callers on the TLS port must have one (PEM);"
        " without it anyone may connect. Peers that we call over TLS must have one too, or stand"
        " here with their own; without it, those that the system trusts.",
    )
    proxy_protocol_from: tuple[Network, ...] = Field(
        default=(),
        description="Addresses and networks of load balancers: connections from there must begin"
        " with a PROXY header (version 1 or 2), and who it names is the caller.",
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
        description="Peers that may call; those with host and port are C-MOVE destinations. Others"
        " are added while everything runs; see [the AE directory](aes.md).",
    )
    unknown_callers: UnknownCallers = Field(
        default=UnknownCallers.LOOPBACK,
        description="Where callers that are not in the AE directory are admitted from, to send"
        " objects; see [what each gets](aes.md#what-each-gets).",
    )
    directory_seconds: float = Field(
        default=FOLLOW_SECONDS,
        gt=0,
        le=3600,
        description="How often it is looked whether administrators changed the AE directory,"
        " seconds.",
    )
    accept_unknown_sop_classes: bool = Field(
        default=False,
        description="Whether objects of private or unknown SOP classes may be sent to us.",
    )
    max_associations: int = Field(
        default=4000, ge=1, description="Associations at once in one process; more are rejected."
    )
    unknown_max_associations: int = Field(
        default=1000,
        ge=1,
        description="How many of these callers that are not in `known_aes` may have, together.",
    )
    unknown_max_associations_per_address: int = Field(
        default=250,
        ge=0,
        description="How many of these those at one address may have, other than this machine's;"
        " 0: all.",
    )
    unknown_max_bytes: int = Field(
        default=0,
        ge=0,
        description="Bytes received and not yet durable, of all callers that are not in"
        " `known_aes`, as `max_bytes` of those that are.",
    )
    max_operations: int = Field(
        default=8,
        ge=1,
        le=100,
        description="Asynchronous Operations Window: requests that a caller may have outstanding"
        " on an association, if it asks for more than one.",
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

    commitment_proof_seconds: float = Field(
        default=0,
        ge=0,
        description="Storage Commitment: objects that were written, and compared with their digest,"
        " so short a time ago are not read again; 0: all are.",
    )
    commitment_wait_seconds: float = Field(
        default=60,
        ge=0,
        description="Storage Commitment: how long an object that is not found yet is waited for,"
        " since indexing may be behind, before it is reported as failed.",
    )
    commitment_retry_hours: float = Field(
        default=24,
        gt=0,
        le=168,
        description="Storage Commitment: how long a result that a peer does not take is offered"
        " again.",
    )

    @model_validator(mode="after")
    def _titles_are_distinct(self) -> GatewaySettings:
        titles = [known.title for known in self.known_aes]
        twice = sorted({title for title in titles if titles.count(title) > 1})
        if twice:
            raise ValueError(f"known_aes names {', '.join(twice)} more than once; keep one of each")
        return self

    @model_validator(mode="after")
    def _tls_is_complete(self) -> GatewaySettings:
        needed = (self.certificate_file, self.key_file)
        if self.tls_port and not all(needed):
            raise ValueError("tls_port needs certificate_file and key_file")
        if any(needed) and not all(needed):
            raise ValueError("certificate_file and key_file are given together")
        if self.tls_only and not self.tls_port:
            raise ValueError(
                f"tls_only needs a tls_port; set it, {listen.DICOM_TLS_PORT} by convention"
            )
        if self.tls_port and self.tls_port == self.plain_port:
            raise ValueError(f"port and tls_port are both {self.port}; each needs its own")
        return self

    @property
    def plain_port(self) -> int | None:
        """The port without TLS; None where there is none."""
        return None if self.tls_only else self.port

    @property
    def tls(self) -> Tls | None:
        """The files of the TLS port, if there is one."""
        if not self.tls_port or self.certificate_file is None or self.key_file is None:
            return None
        return Tls(self.ca_file, self.certificate_file, self.key_file, section="gateway")

    @property
    def caller_tls(self) -> CallerTls:
        """The files with which peers are called over TLS."""
        return CallerTls(
            self.ca_file, self.certificate_file, self.key_file, setting="gateway.{}".format
        )

    @property
    def tls_files(self) -> Tls | CallerTls | None:
        """The files of the TLS port, or without one those with which peers are called."""
        named = self.ca_file or self.certificate_file
        return self.tls or (self.caller_tls if named else None)

    @property
    def balancers(self) -> Networks:
        """Whose connections begin with a PROXY header."""
        return networks_of(self.proxy_protocol_from)

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
