"""What `isocenter check` says about calls between processes."""

from __future__ import annotations

import pytest

from isocenter.cli.check import _settings
from isocenter.settings import load

OPEN = {"rpc.host": "0.0.0.0", "rpc.port": "50051"}
TLS = {"rpc.ca_file": "ca.crt", "rpc.certificate_file": "tls.crt", "rpc.key_file": "tls.key"}


@pytest.mark.parametrize(
    ("flags", "warned"),
    [
        (OPEN, True),
        (OPEN | TLS, False),
        (OPEN | {"rpc.port": "0"}, False),
        (OPEN | {"rpc.host": "127.0.0.1"}, False),
        ({}, False),
    ],
)
def test_calls_that_others_could_make_without_a_certificate_are_warned_of(flags, warned):
    found = [one for one in _settings(load(flags=flags)) if one.what == "rpc.host" and one.fix]
    assert bool(found) is warned
    assert all("rpc.ca_file" in one.fix for one in found)
