"""Channels to other processes: how they connect, balance and notice a dead peer; limits."""

from __future__ import annotations

import json

import grpc.aio

MAX_MESSAGE = 16 * 1024 * 1024  # bytes; long values go in chunks
UNARY_SECONDS = 60.0  # deadline of a call with a short answer

_SERVICE_CONFIG = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.service_config", _SERVICE_CONFIG),
)


def open_channel(target: str) -> grpc.aio.Channel:
    """A channel to `host:port`; it connects when first used and again whenever it must."""
    return grpc.aio.insecure_channel(target, options=_OPTIONS)
