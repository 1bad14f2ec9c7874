"""Settings of the adapters that reach servers: how to get in, and what `check --prepare` makes."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, SecretStr

from isocenter.runtime.secret_settings import SecretSettings

_IN_FILE = "File that holds it instead; read again"


class ServerSettings(SecretSettings):
    """What all servers have in common."""

    tls: bool | None = Field(
        None,
        description="Whether connections are encrypted. Unset: yes, unless every host in the URL "
        "is this machine.",
    )
    ca_file: Path | None = Field(
        None, description="Certificates (PEM) to trust. Unset: those of the system."
    )

    def encrypted(self, hosts: list[str]) -> bool:
        """Whether to use TLS to these hosts."""
        return not all(map(_is_this_machine, hosts)) if self.tls is None else self.tls


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class KafkaSettings(ServerSettings):
    """Kafka, for `bus = "kafka://host:port,host:port"`."""

    section: ClassVar[str] = "kafka"

    username: str = Field("", description="User for SASL; empty: no SASL.")
    password: SecretStr = Field(SecretStr(""), description="The user's password.")
    password_file: Path | None = Field(None, description=f"{_IN_FILE} when a client connects anew.")
    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism."
    )
    certificate_file: Path | None = Field(
        None,
        description="Client certificate (PEM) for mTLS; read again when a client connects anew.",
    )
    key_file: Path | None = Field(None, description="Its private key (PEM).")
    partitions: int = Field(
        12,
        ge=1,
        le=1000,
        description="Partitions of a topic that `check --prepare` makes: as many indexing "
        "processes can share the work. Never change it for topics that hold events.",
    )
    replicas: int = Field(
        0,
        ge=0,
        le=10,
        description="Copies of each partition; 0: three, or as many as there are brokers.",
    )


class S3Settings(ServerSettings):
    """Object store, for `blobs = "s3://host:port/bucket"`."""

    section: ClassVar[str] = "s3"

    access_key: str = Field("", description="Access key.")
    access_key_file: Path | None = Field(None, description=f"{_IN_FILE} for every request.")
    secret_key: SecretStr = Field(SecretStr(""), description="Its secret.")
    secret_key_file: Path | None = Field(None, description=f"{_IN_FILE} for every request.")
    region: str = Field("us-east-1", description="Region of the bucket.")
    connections: int = Field(
        32, ge=1, le=1000, description="Requests of a process that are under way at once at most."
    )
    versioning: bool | None = Field(
        None,
        description="Whether the bucket keeps what is deleted or overwritten, which "
        "`check --prepare` turns on or off. Unset: as it is.",
    )


class ElasticsearchSettings(ServerSettings):
    """Search index, for `index = "elasticsearch://host:port/prefix"`."""

    section: ClassVar[str] = "elasticsearch"

    username: str = Field("", description="User; empty: no sign-in, or an API key.")
    password: SecretStr = Field(SecretStr(""), description="The user's password.")
    password_file: Path | None = Field(None, description=f"{_IN_FILE} for every request.")
    api_key: SecretStr = Field(SecretStr(""), description="API key, in place of a user.")
    api_key_file: Path | None = Field(None, description=f"{_IN_FILE} for every request.")
    shards: int = Field(
        1, ge=1, le=100, description="Primary shards of an index that is made or rebuilt."
    )
    replicas: int = Field(
        1, ge=0, le=10, description="Copies of each shard beside the primary, on other nodes."
    )
