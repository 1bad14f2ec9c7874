"""Settings of the audit role."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from isocenter.core.events import AuditAction

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


class Transport(Enum):
    """How syslog messages travel: the schemes of URLs."""

    TLS = "syslog+tls"
    TCP = "syslog+tcp"
    UDP = "syslog+udp"


_PORTS = {Transport.TLS: 6514, Transport.UDP: 514}  # PS3.15 A.6, A.7; TCP has none of its own


class Confirm(Enum):
    """When messages count as arrived (`audit.syslog`)."""

    READ = "read"
    RECEIVED = "received"


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(
            "a collector is named with 1 to 32 letters a-z, digits and hyphens, as siem-1"
        )
    return text


def _collector(text: str) -> str:
    try:
        url = urlsplit(text)
        scheme, port = Transport(url.scheme), url.port
    except ValueError:
        scheme, url, port = None, urlsplit(""), None
    if scheme is None or not url.hostname or _has_more(url):
        raise ValueError(
            "this is no address of a collector; write syslog+tls://host:6514, syslog+tcp://host:port"
            " or syslog+udp://host:514"
        )
    if not port and scheme not in _PORTS:
        raise ValueError("syslog over TCP has no port of its own; write syslog+tcp://host:port")
    return text


def _authority(text: str) -> str:
    url = urlsplit(text)
    if text and (url.scheme not in ("http", "https") or not url.hostname):
        raise ValueError("this is no address of a time stamping authority; write https://host/path")
    return text


def _has_more(url: SplitResult) -> bool:
    return bool(url.path or url.query or url.fragment or url.username is not None)


class Collector(BaseModel):
    """A syslog collector that is sent the records as DICOM audit messages (PS3.15 A.5 to A.7)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, AfterValidator(_name)] = Field(
        description="What it is called, in metrics too; how far it is, is kept under this name."
    )
    url: Annotated[str, AfterValidator(_collector)] = Field(
        description="`syslog+tls://host:6514`, `syslog+tcp://host:port` or `syslog+udp://host:514`."
    )
    ca_file: Path | None = Field(
        None,
        description="Certificates (PEM) of the CA that its own must be of, or its own. Without:"
        " those that the system trusts.",
    )
    certificate_file: Path | None = Field(
        None, description="Our certificate (PEM), if it asks for one."
    )
    key_file: Path | None = Field(None, description="Its key (PEM, no password).")
    actions: tuple[AuditAction, ...] = Field(
        (), description="Only records of these actions; none: all."
    )
    confirm: Confirm = Field(
        Confirm.READ,
        description="`read`: messages count as arrived when the collector has read to the end of a"
        " connection that we end for that; `received`: when its machine has acknowledged them.",
    )

    @property
    def transport(self) -> Transport:
        """How messages go."""
        return Transport(urlsplit(self.url).scheme)

    @property
    def host(self) -> str:
        """Its name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, urlsplit(self.url).port or _PORTS[self.transport]

    @model_validator(mode="after")
    def _files_fit(self) -> Self:
        named = [self.ca_file, self.certificate_file, self.key_file]
        if self.transport is not Transport.TLS and any(named):
            raise ValueError(f"{self.url} is not encrypted and needs no files of TLS")
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file are given together")
        return self


class AuditSettings(BaseModel):
    """How the audit trail is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch: int = Field(1000, ge=1, le=10_000, description="Records taken from the log at once.")
    linger_seconds: float = Field(
        1,
        ge=0,
        le=60,
        description="How long a small batch waits for more; adds to the time until a record is"
        " listed, not until it is durable.",
    )
    segment_records: int = Field(
        10_000, ge=1, le=100_000, description="Records that are sealed together at most."
    )
    seal_seconds: float = Field(
        60,
        gt=0,
        le=3600,
        description="How long a record waits at most to be sealed. Until then the log keeps it.",
    )
    store: str = Field(
        "",
        description="URL of the object store of the sealed trail, where it is not that of the"
        " objects: file:/folder or s3://host:port/bucket.",
    )
    lock_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="How long an S3 store is told to let nobody remove what is sealed (object lock,"
        " mode COMPLIANCE), in `audit.store` alone. 0: as its bucket says.",
    )
    keep_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="How long records are kept, days; a segment expires when all of it is older."
        " 0: for ever.",
    )
    verify_hours: float = Field(
        168,
        ge=0,
        le=8760,
        description="How often the trail is verified by itself; the result is a record. 0: never.",
    )
    keys: Path | None = Field(
        None,
        description="Folder of the private keys (Ed25519, PEM) that sign seals: the last by name."
        " Without one, a key is made below the data directory.",
    )

    forward: tuple[Collector, ...] = Field(
        (),
        max_length=32,
        description="Syslog collectors that are sent every record; see"
        " [audit forwarding](audit-forwarding.md).",
    )
    heads_file: Path | None = Field(
        None,
        description="File to which the newest heads of the chains are appended, one line a seal,"
        " on another machine's disk or a medium that is written once.",
    )
    tsa_url: Annotated[str, AfterValidator(_authority)] = Field(
        "", description="URL of a time stamping authority (RFC 3161) that stamps seals."
    )
    tsa_ca_file: Path | None = Field(
        None,
        description="Certificates (PEM) of the CA that its signature must be of; without, a stamp"
        " is kept without looking at who made it.",
    )
    tsa_hours: float = Field(
        24, ge=0, le=8760, description="How often a chain is stamped at most. 0: each seal is."
    )

    @model_validator(mode="after")
    def _collectors_are_distinct(self) -> Self:
        names = [one.name for one in self.forward]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"forward names {', '.join(twice)} more than once; keep one of each")
        return self

    @model_validator(mode="after")
    def _locked_no_longer_than_kept(self) -> Self:
        if self.keep_days and self.lock_days > self.keep_days:
            raise ValueError("lock_days is more than keep_days: what expires could not be removed")
        return self
