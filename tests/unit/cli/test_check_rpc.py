"""What `isocenter check` says about calls between processes."""

from __future__ import annotations

from isocenter.cli.check import _settings
from isocenter.settings import load


def test_ports_that_may_be_without_tls_are_told_and_no_mistake() -> None:
    told = {"rpc.insecure": "true", "rpc.host": "0.0.0.0", "rpc.port": "50051"}
    for flags, expected in ((told, 1), ({}, 0)):
        found = [one for one in _settings(load(flags=flags)) if one.what == "rpc.insecure"]
        assert len(found) == expected
        assert not any(one.fix for one in found)
