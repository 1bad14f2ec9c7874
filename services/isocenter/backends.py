"""The adapters of the ports, by the scheme of the URLs that choose them; imported when used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isocenter.adapters.settings import (
    ElasticsearchSettings,
    KafkaSettings,
    S3Settings,
    ServerSettings,
)
from isocenter.core.errors import Invalid
from isocenter.settings import Settings


@dataclass(frozen=True, slots=True)
class Embedded:
    """Where an embedded adapter is, and its folder below the data directory."""

    module: str
    name: str
    folder: str

    def path(self, url: str, data: Path) -> Path:
        """Where it is, as its setting says."""
        rest = url.partition(":")[2]
        return Path(rest.removeprefix("//")) if rest else data / self.folder


@dataclass(frozen=True, slots=True)
class Server:
    """Where the adapter of a server is, how to get in, and the extra that brings its library."""

    module: str
    name: str
    settings: type[ServerSettings]
    extra: str
    upkeep: str = ""  # the class in the module `upkeep` beside it that looks after the server


Adapter = Embedded | Server

# By URL scheme.
BUSES: Mapping[str, Adapter] = {
    "log": Embedded("isocenter.adapters.bus.log", "LogBus", "log"),
    "kafka": Server(
        "isocenter.adapters.bus.kafka.bus", "KafkaBus", KafkaSettings, "kafka", "KafkaUpkeep"
    ),
}
BLOBS: Mapping[str, Adapter] = {
    "file": Embedded("isocenter.adapters.blobs.files", "FileBlobs", "blobs"),
    "s3": Server("isocenter.adapters.blobs.s3.blobs", "S3Blobs", S3Settings, "minio", "S3Upkeep"),
}
INDEXES: Mapping[str, Adapter] = {
    "sqlite": Embedded("isocenter.adapters.index.sqlite", "SqliteIndex", "index"),
    "elasticsearch": Server(
        "isocenter.adapters.index.elasticsearch.index",
        "ElasticsearchIndex",
        ElasticsearchSettings,
        "elasticsearch",
        "ElasticsearchUpkeep",
    ),
}
AUDIT_INDEXES: Mapping[str, Adapter] = {
    "sqlite": Embedded("isocenter.adapters.index.sqlite_audit", "SqliteAuditIndex", "audit"),
    "elasticsearch": Server(
        "isocenter.adapters.index.elasticsearch.audit",
        "ElasticsearchAuditIndex",
        ElasticsearchSettings,
        "elasticsearch",
    ),
}
BACKENDS = {"bus": BUSES, "blobs": BLOBS, "index": INDEXES}


def adapter_of(setting: str, url: str, adapters: Mapping[str, Adapter]) -> Adapter:
    """The adapter for a URL. Raises `Invalid`."""
    if (adapter := adapters.get(url.partition(":")[0])) is None:
        raise Invalid(
            f"{setting}: no adapter for {url!r}",
            fix=f"schemes that are known: {', '.join(sorted(adapters))}",
        )
    return adapter


def uses_data(settings: Settings) -> bool:
    """Whether anything is kept below the data directory."""
    return any(
        isinstance(adapter_of(name, url, adapters), Embedded) and not url.partition(":")[2]
        for name, adapters in BACKENDS.items()
        for url in [str(getattr(settings, name))]
    )


def load(module: str, name: str, setting: str, extra: str) -> Any:  # noqa: ANN401 (a class)
    """The class of an adapter. Raises `Invalid` if the package that it needs is missing."""
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise Invalid(
            f"{setting}: a package is missing for {name}: {error}",
            fix=f"install it with: pip install 'isocenter[{extra}]'",
        ) from error
