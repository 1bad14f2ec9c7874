"""Settings of collectors and of publishing: mistakes are told to people."""

from __future__ import annotations

import pytest

from isocenter.audit.settings import AuditSettings, Collector, Confirm, Transport
from isocenter.core.errors import Invalid
from isocenter.core.events import AuditAction
from isocenter.settings import load


def test_collectors_are_tables_of_the_file(tmp_path):
    (tmp_path / "isocenter.toml").write_text("""
[audit]
heads_file = "/mnt/worm/heads.jsonl"

[[audit.forward]]
name = "siem"
url = "syslog+tls://siem.hospital"
ca_file = "siem-ca.pem"
actions = ["export", "sign-in"]

[[audit.forward]]
name = "old"
url = "syslog+udp://[fd00::7]"
confirm = "received"
""")
    siem, old = load(config=tmp_path / "isocenter.toml").audit.forward
    assert (siem.transport, siem.address) == (Transport.TLS, ("siem.hospital", 6514))
    assert siem.actions == (AuditAction.EXPORT, AuditAction.SIGN_IN)
    assert siem.confirm is Confirm.READ
    assert (old.transport, old.address) == (Transport.UDP, ("fd00::7", 514))
    assert old.confirm is Confirm.RECEIVED


def test_a_port_may_be_named():
    assert Collector(name="a", url="syslog+tcp://10.0.0.7:10514").address == ("10.0.0.7", 10514)


GOOD = {"name": "siem", "url": "syslog+tls://siem:6514"}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"name": "Siem 1"}, "named with 1 to 32 letters a-z, digits and hyphens"),
        ({"name": "-"}, "named with 1 to 32 letters"),
        ({"name": "a" * 33}, "named with 1 to 32 letters"),
        ({"url": "siem:6514"}, "this is no address of a collector; write syslog+tls://host:6514"),
        ({"url": "https://siem"}, "this is no address of a collector"),
        ({"url": "syslog+tls://"}, "this is no address of a collector"),
        ({"url": "syslog+tls://siem:port"}, "this is no address of a collector"),
        ({"url": "syslog+tls://siem:70000"}, "this is no address of a collector"),
        ({"url": "syslog+tls://siem/path"}, "this is no address of a collector"),
        ({"url": "syslog+tls://me@siem"}, "this is no address of a collector"),
        ({"url": "syslog+tcp://siem"}, "has no port of its own; write syslog+tcp://host:port"),
        ({"url": "syslog+tcp://siem:514", "ca_file": "ca.pem"}, "is not encrypted and needs no"),
        ({"key_file": "key.pem"}, "certificate_file and key_file are given together"),
        ({"actions": ["look"]}, "'store', 'query'"),
        ({"confirm": "hope"}, "'read' or 'received'"),
        ({"cert_file": "a.pem"}, "unknown key"),
    ],
)
def test_a_collector_that_may_not_be_is_told_at_once(tmp_path, wrong, why):
    fields = {**GOOD, **wrong}
    (tmp_path / "isocenter.toml").write_text(
        "[[audit.forward]]\n" + "".join(f"{key} = {value!r}\n" for key, value in fields.items())
    )
    with pytest.raises(Invalid) as caught:
        load(config=tmp_path / "isocenter.toml")
    assert why in str(caught.value)
    assert "audit.forward.0" in str(caught.value)


def test_names_are_distinct():
    with pytest.raises(ValueError, match="forward names siem more than once; keep one of each"):
        AuditSettings(forward=[GOOD, GOOD])


@pytest.mark.parametrize("url", ["tsa.example", "ftp://tsa.example", "http:///stamp"])
def test_an_authority_has_an_address(url):
    with pytest.raises(ValueError, match=r"write https://host/path"):
        AuditSettings(tsa_url=url)
