"""Channels to other processes: how they connect, balance, try again and notice a dead peer; limits.

A service may run in many copies. Calls go round those whose connection stands and which say, as
the service, that they take calls (`rpc_health`). Copies named by a DNS name are looked for again
whenever a connection ends, which servers see to every half minute (`rpc_server`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import cast
from urllib.parse import unquote

import grpc
import grpc.aio

from isocenter.runtime.rpc_peers import target_of
from isocenter.runtime.rpc_tls import RenewedChannel
from isocenter.runtime.tls_files import Tls

MAX_MESSAGE = 16 * 1024 * 1024  # bytes; long values go in pieces
UNARY_SECONDS = 60.0  # deadline of a call with a short answer
CONNECT_SECONDS = 3.0  # how long a call waits for a copy that takes it: longer than two attempts

# A peer that is gone is found after half a minute, with calls or without.
KEEPALIVE = (
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # else another ping holds that of keepalive up
    ("grpc.http2.max_pings_without_data", 0),
)
# What a stream may send before it is read. Left to itself gRPC finds it out by probing, and on fast
# machines lets a hundred megabytes come in for a client that reads slowly.
WINDOW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 2 * 1024 * 1024))
_READY = grpc.ChannelConnectivity.READY
_OPTIONS = (
    *KEEPALIVE,
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    *WINDOW,
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # for one attempt to connect
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
)

# Methods that may be called again by gRPC while they have not begun to answer: they only read, or
# compute from what they are given. `Put`, `Stage` and `Store` take what the caller gives once;
# `Remove` and `Rebuild` change things. gRPC keeps what it may have to send again up to 256 KiB.
RETRIED: Mapping[str, Sequence[str]] = {
    "isocenter.v1.StorageService": (
        "Stat",
        "Read",
        "List",
        "Instances",
        "Metadata",
        "DataSet",
        "GetPixelFormat",
        "Frames",
        "Bulk",
        "Verify",
    ),
    "isocenter.v1.QueryService": ("Search", "Count"),
    "isocenter.v1.TranscodingService": ("Decode", "Render", "Targets"),
    "isocenter.v1.AuditService": ("SearchRecords", "CountRecords"),
}
_RETRY = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
# Where most attempts fail, no more are made than there are calls.
_THROTTLING = {"maxTokens": 50, "tokenRatio": 0.5}


def service_config(service: str) -> str:
    """How gRPC treats calls on a channel to a service."""
    names = [
        {"service": owner, "method": method}
        for owner, methods in RETRIED.items()
        for method in methods
    ]
    config: dict[str, object] = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [{"name": names, "retryPolicy": _RETRY}],
        "retryThrottling": _THROTTLING,
    }
    if service:
        config["healthCheckConfig"] = {"serviceName": service}
    return json.dumps(config)


def open_channel(address: str, *, service: str = "", tls: Tls | None = None) -> grpc.aio.Channel:
    """A channel to the copies of a service at an address of the settings (`rpc_peers.target_of`);
    it connects when first used and again whenever it must.

    With `service` (its full name), only copies that say that it is served get calls. With `tls`,
    the server's certificate must be for the name in the address, and for the first of several.
    """
    target = target_of(address)
    options = [*_OPTIONS, ("grpc.service_config", service_config(service))]
    scheme, _, copies = target.partition(":")
    if scheme != "dns":
        options.append(("grpc.default_authority", unquote(copies.partition(",")[0])))
    if tls is None:
        return grpc.aio.insecure_channel(target, options=options)
    connect = partial(_secure_channel, target, options)
    return cast(grpc.aio.Channel, RenewedChannel(tls, connect))


async def connected(channel: grpc.aio.Channel) -> None:
    """Wait until there is somebody to call, for a bounded time; the call itself says what is wrong
    then. A process that has just started, or has just been replaced, is no failure of a call."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CONNECT_SECONDS):
            while (state := channel.get_state(try_to_connect=True)) is not _READY:
                await channel.wait_for_state_change(state)


def _secure_channel(
    target: str, options: Sequence[tuple[str, object]], credentials: grpc.ChannelCredentials
) -> grpc.aio.Channel:
    return grpc.aio.secure_channel(target, credentials, options=options)
