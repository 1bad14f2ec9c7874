"""Addresses of other processes in gRPC's name syntax."""

from __future__ import annotations

import pytest

from isocenter.runtime.rpc_peers import listening_on, target_of


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("storage:50051", "dns:///storage:50051"),
        ("storage.pacs.svc.cluster.local:50051", "dns:///storage.pacs.svc.cluster.local:50051"),
        ("10.0.0.7:50051", "ipv4:10.0.0.7:50051"),
        ("10.0.0.7:50051, 10.0.0.8:50052", "ipv4:10.0.0.7:50051,10.0.0.8:50052"),
        ("[::1]:50051,[fd00::2]:50051", "ipv6:%5B::1%5D:50051,%5Bfd00::2%5D:50051"),
        ("dns:///storage:50051", "dns:///storage:50051"),
        ("dns://10.0.0.2/storage:50051", "dns://10.0.0.2/storage:50051"),
        ("ipv4:10.0.0.7:50051,10.0.0.8:50051", "ipv4:10.0.0.7:50051,10.0.0.8:50051"),
    ],
)
def test_addresses_of_the_settings_become_names_of_grpc(address, target):
    assert target_of(address) == target


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("storage", "is not `host:port`"),
        ("storage:", "is not `host:port`"),
        ("storage:0", "is not `host:port`"),
        ("storage:65536", "is not `host:port`"),
        ("http://storage:80", "is not `host:port`"),
        ("::1:50051", "is not `host:port`"),
        ("[storage]:50051", "no IPv6 address"),
        ("10.0.0.7:50051,", "is not `host:port`"),
        ("dns:///storage", "has no port"),
        ("one:50051,two:50051", "several copies"),
        ("10.0.0.7:50051,two:50051", "several copies"),
        ("10.0.0.7:50051,[::1]:50051", "several copies"),
    ],
)
def test_what_is_no_address_is_said_to_be_none(address, problem):
    with pytest.raises(ValueError, match=problem):
        target_of(address)


def test_a_listener_on_ipv6_is_written_in_brackets():
    assert listening_on("::", 50051) == "[::]:50051"
    assert listening_on("127.0.0.1", 0) == "127.0.0.1:0"
