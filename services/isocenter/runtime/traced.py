"""What is measured from outside: the ports, and the service APIs of this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from isocenter.runtime.telemetry import Telemetry
from isocenter.runtime.traced_blobs import TracedBlobs
from isocenter.runtime.traced_bus import TracedBus
from isocenter.runtime.traced_index import TracedAuditIndex, TracedIndex
from isocenter.runtime.traced_services import TracedIngest, TracedQuery, TracedTranscoding

WRAPPERS: Mapping[str, Callable[[Any, Telemetry], object]] = {
    "bus": TracedBus,
    "blobs": TracedBlobs,
    "audit store": TracedBlobs,
    "index": TracedIndex,
    "audit index": TracedAuditIndex,
    "ingest": TracedIngest,
    "query": TracedQuery,
    "transcoding": TracedTranscoding,
}


def measured(name: str, inner: object, telemetry: Telemetry) -> object:
    """A port or a service with traces and metrics, if they are on and it has any."""
    if name not in WRAPPERS or not telemetry.on:
        return inner
    return WRAPPERS[name](inner, telemetry)
