"""Settings of the web role."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from isocenter.runtime import listen
from isocenter.runtime.addresses import Network, Networks, networks_of
from isocenter.runtime.tls_files import Tls

_BASE_URL = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+(?:/[A-Za-z0-9._~/-]*)?")


class WebSettings(BaseModel):
    """The HTTP port: where it listens, what it serves, and its limits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(listen.LOOPBACK, description="Address to listen on.")
    port: int = Field(listen.HTTP_PORT, ge=0, le=65535, description="HTTP port; 0: any free one.")
    grpc_host: str = Field(
        listen.LOOPBACK, description="Address the gRPC API for programs listens on."
    )
    grpc_port: int = Field(
        listen.API_PORT,
        ge=0,
        le=65535,
        description="Port of the gRPC API for programs; 0: none.",
    )
    grpc_certificate_file: Path | None = Field(
        None,
        description="Certificate of the gRPC port, with those between it and the CA (PEM); without"
        " it the port has no TLS, and must not be one that other machines reach. The files are read"
        " again when they change.",
    )
    grpc_key_file: Path | None = Field(
        None, description="Key of the certificate (PEM, no password)."
    )
    grpc_ca_file: Path | None = Field(
        None,
        description="Certificates of the CA of which programs must have one (PEM), beside a token"
        " or as one of `access.certificates`; without it they are not asked for any.",
    )
    grpc_max_calls: int = Field(
        500,
        ge=1,
        description="gRPC calls at once in one process, those that watch included; more are"
        " answered with RESOURCE_EXHAUSTED.",
    )
    public_url: str = Field(
        "",
        description="Address under which clients reach the root of this server, as"
        " `https://pacs.example.org`; empty: as each request says in its Host header.",
    )
    trusted_proxies: tuple[Network, ...] = Field(
        default=(),
        description="Addresses and networks of reverse proxies of which the header fields Forwarded"
        " or X-Forwarded-... tell who asks and how clients reach this server.",
    )
    viewer: Path | None = Field(
        None,
        description="Folder of the viewer that is served at /viewer; `make viewer` fetches it.",
    )
    deletion: bool = Field(
        default=True,
        description="Whether studies, series and instances can be deleted and restored over HTTP.",
    )
    ae_directory: bool = Field(
        default=True,
        description="Whether the AE directory can be changed over HTTP and gRPC.",
    )
    audit: bool = Field(
        default=True,
        description="Whether the audit trail can be read over HTTP and gRPC, and its saved searches"
        " and legal holds be changed.",
    )
    max_connections: int = Field(
        1000, ge=1, description="Connections at once in one process; more are answered with 503."
    )
    max_connections_per_address: int = Field(
        500,
        ge=0,
        description="How many of them one address may have, other than this machine's and"
        " `trusted_proxies`; more are answered with 429. 0: all.",
    )
    max_head: int = Field(
        65_536, ge=4096, description="Longest request line with header fields, bytes."
    )
    max_upload: int = Field(
        64 * 1024**3, ge=1, description="Longest body of a STOW-RS request, bytes."
    )
    max_parts: int = Field(50_000, ge=1, description="Most parts (objects) of one STOW-RS request.")
    max_results: int = Field(
        25_000, ge=1, description="Most results of one QIDO-RS request; the rest by `offset`."
    )
    max_frames: int = Field(10_000, ge=1, description="Most frames of one WADO-RS request.")
    max_viewport: int = Field(
        8192, ge=16, description="Most rows or columns of a rendered image, pixels."
    )
    thumbnail: int = Field(128, ge=16, le=1024, description="Edge of a thumbnail, pixels.")
    stall_timeout: float = Field(
        120,
        gt=0,
        description="How long a client may not read its answer, or not send its request on,"
        " before its connection is closed, seconds.",
    )
    keep_alive: int = Field(
        75, ge=1, description="How long an idle connection is kept open, seconds."
    )

    @field_validator("public_url")
    @classmethod
    def _is_base_url(cls, text: str) -> str:
        if text and not _BASE_URL.fullmatch(text):
            raise ValueError("not a base URL; write it as https://pacs.example.org[/path]")
        return text.rstrip("/")

    @model_validator(mode="after")
    def _tls_is_complete(self) -> Self:
        if bool(self.grpc_certificate_file) != bool(self.grpc_key_file):
            raise ValueError("TLS needs both of grpc_certificate_file and grpc_key_file")
        if self.grpc_ca_file and not self.grpc_key_file:
            raise ValueError("grpc_ca_file needs grpc_certificate_file and grpc_key_file")
        return self

    @property
    def grpc_tls(self) -> Tls | None:
        """The files of TLS of the gRPC port, if it speaks it."""
        if self.grpc_certificate_file is None or self.grpc_key_file is None:
            return None
        files = (self.grpc_ca_file, self.grpc_certificate_file, self.grpc_key_file)
        return Tls(*files, section="web", prefix="grpc_")

    @property
    def proxies(self) -> Networks:
        """Who is believed about other callers."""
        return networks_of(self.trusted_proxies)
