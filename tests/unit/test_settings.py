"""Settings come from flags, environment and file in this order, and every mistake is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from isocenter.core.errors import Invalid
from isocenter.gateway.settings import GatewaySettings
from isocenter.runtime.tls_files import Tls
from isocenter.settings import Settings, load


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "isocenter.toml"
    path.write_text('data = "from-file"\n[gateway]\nport = 4101\nae_title = "FILE"\n')
    return path


def test_flags_win_over_environment_over_file_over_defaults(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISOCENTER_GATEWAY__PORT", "4102")
    settings = load(config=file, flags={"web.port": "4103"})
    assert settings.gateway.port == 4102
    assert settings.gateway.ae_title == "FILE"
    assert settings.web.port == 4103
    assert settings.data == Path("from-file")
    assert load(config=file, flags={"gateway.port": "4104"}).gateway.port == 4104
    assert settings.section(GatewaySettings) is settings.gateway


def test_the_file_may_be_named_by_the_environment(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISOCENTER_CONFIG", str(file))
    assert load().gateway.port == 4101


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"gateway.prot": "1"}, "gateway.prot: unknown key; did you mean port?"),
        ({"gatway.port": "1"}, "gatway: unknown key; did you mean gateway?"),
        ({"gateway.port": "many"}, "gateway.port"),
        ({"gateway.port": "70000"}, "gateway.port"),
        ({"rpc.storage": "storage"}, "rpc.storage: Value error, 'storage' is not `host:port`"),
        ({"rpc.query": "one:1,two:2"}, "rpc.query: Value error, several copies are named by"),
        ({"rpc.ca_file": "ca.crt"}, "rpc: Value error, TLS needs all of ca_file, certificate_file"),
    ],
)
def test_a_wrong_flag_is_named(flags: dict[str, str], expected: str) -> None:
    with pytest.raises(Invalid) as caught:
        load(flags=flags)
    assert expected in str(caught.value)
    assert "--set" in str(caught.value)


def test_a_wrong_environment_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISOCENTER_WEB__PORT", "none")
    with pytest.raises(Invalid, match="ISOCENTER_WEB__PORT"):
        load()


def test_an_unknown_environment_variable_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISOCENTER_GATEWEY__PORT", "1")
    with pytest.raises(Invalid, match=r"ISOCENTER_GATEWEY__PORT.*did you mean ISOCENTER_GATEWAY"):
        load()


def test_every_mistake_is_listed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text('[gateway]\nport = "x"\n[web]\ncolour = 1\n')
    with pytest.raises(Invalid) as caught:
        load(config=path)
    text = str(caught.value)
    assert "gateway.port" in text
    assert "web.colour: unknown key" in text
    assert str(path) in text


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="does not exist"):
        load(config=tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[gateway\n")
    with pytest.raises(Invalid, match=r"broken\.toml cannot be read"):
        load(config=broken)


def test_lists_and_tables_are_json_in_flags_and_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = '[{"title": "PEER", "host": "peer.example", "port": 104}]'
    assert load(flags={"gateway.known_aes": known}).gateway.known_aes[0].port == 104
    monkeypatch.setenv("ISOCENTER_GATEWAY__KNOWN_AES", known)
    assert load().gateway.known_aes[0].title == "PEER"
    with pytest.raises(Invalid, match=r"gateway\.known_aes"):
        load(flags={"gateway.known_aes": "[not json"})


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"coercions": [{"attribute": "StudyInstanceUID", "prefix": "1"}]}, "has VR UI"),
        ({"coercions": [{"attribute": "PatientNam", "trim": True}]}, "is no attribute"),
        ({"coercions": [{"attribute": "PatientID"}]}, "exactly one of"),
        ({"coercions": [{"attribute": "PatientID", "trim": True, "prefix": "1"}]}, "exactly one"),
        ({"coercions": [{"attribute": "PatientID", "map": {"a": "b*"}}]}, r"one \* at most"),
        ({"coercions": [{"attribute": "PatientID", "regex": "a"}]}, "unknown key"),
        ({"character_set": "LATIN1"}, "no Specific Character Set"),
    ],
)
def test_a_coercion_rule_that_may_not_be_is_told_at_once(wrong, why) -> None:
    known = json.dumps([{"title": "CT1", **wrong}])
    with pytest.raises(Invalid, match=why):
        load(flags={"gateway.known_aes": known})


def test_attributes_are_added_by_tables_of_the_file_or_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "isocenter.toml"
    path.write_text("""
        [[attributes]]
        name = "ContrastBolusAgent"
        level = "SERIES"

        [[attributes]]
        name = "0029xx10"
        creator = "ACME 1.0"
        level = "STUDY"
        vr = "LO"
    """)
    rows = [one.row for one in load(config=path).attributes]
    assert [(row.tag, row.vr) for row in rows] == [
        ("00180010", "LO"), ("0029xx10 ACME 1.0", "LO"),
    ]  # fmt: skip
    one = '[{"name": "ContrastBolusAgent", "level": "INSTANCE"}]'
    monkeypatch.setenv("ISOCENTER_ATTRIBUTES", one)
    assert [one.level for one in load(config=path).attributes] == ["INSTANCE"]


@pytest.mark.parametrize(
    ("listed", "wrong"),
    [
        ('[{"name": "Foo", "level": "STUDY"}]', r"attributes\.0: .*'Foo' is no keyword"),
        ('[{"name": "StudyDate", "level": "STUDY"}]', "built in"),
        ('[{"name": "ContrastBolusAgent", "level": "PATIENT"}]', r"attributes\.0\.level"),
        ('[{"name": "ContrastBolusAgent"}]', r"attributes\.0\.level"),
        (
            '[{"name": "00180010", "level": "STUDY"}, {"name": "00180010", "level": "SERIES"}]',
            "00180010 is listed twice",
        ),
        ('[{"name": "PixelData", "level": "STUDY"}]', "VR OB, by which nothing"),
    ],
)  # fmt: skip
def test_attributes_that_cannot_be_added_stop_the_start(listed: str, wrong: str) -> None:
    with pytest.raises(Invalid, match=wrong):
        load(flags={"attributes": listed})


def test_the_files_of_tls_are_given_together() -> None:
    assert load().rpc.tls is None
    names = {"ca_file": "ca.crt", "certificate_file": "tls.crt", "key_file": "tls.key"}
    tls = load(flags={f"rpc.{setting}": name for setting, name in names.items()}).rpc.tls
    assert tls == Tls(Path("ca.crt"), Path("tls.crt"), Path("tls.key"), "rpc")


# --- closed until told otherwise -----------------------------------------------------------------


def test_everything_listens_on_this_machine_alone_until_it_is_told_otherwise() -> None:
    settings = load()
    hosts = {
        f"{section}.{name}": getattr(getattr(settings, section), name)
        for section, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        for name in field.annotation.model_fields
        if name == "host" or name.endswith("_host")
    }
    assert set(hosts) == {"gateway.host", "web.host", "web.grpc_host", "rpc.host", "monitor.host"}
    assert set(hosts.values()) == {"127.0.0.1"}


ROLES_PORT = {"rpc.host": "0.0.0.0", "rpc.port": "50051"}
ROLES_TLS = {"rpc.ca_file": "ca.crt", "rpc.certificate_file": "tls.crt", "rpc.key_file": "tls.key"}
PROGRAMS_PORT = {"web.grpc_host": "10.0.0.7"}
PROGRAMS_TLS = {"web.grpc_certificate_file": "tls.crt", "web.grpc_key_file": "tls.key"}


@pytest.mark.parametrize(
    ("flags", "wrong"),
    [
        (
            ROLES_PORT,
            "rpc.host: .* set rpc.ca_file, rpc.certificate_file and rpc.key_file, or",
        ),
        ({**ROLES_PORT, "rpc.host": "::"}, "rpc.host: other machines reach ::, and rpc.port 50051"),
        (PROGRAMS_PORT, "web.grpc_host: .* tokens could be read .* set web.grpc_certificate_file"),
        ({**PROGRAMS_PORT, "web.grpc_host": "pacs"}, "web.grpc_host: other machines reach pacs"),
        (ROLES_PORT | ROLES_TLS, ""),
        (ROLES_PORT | {"rpc.port": "0"}, ""),
        (ROLES_PORT | {"rpc.host": "localhost"}, ""),
        (ROLES_PORT | {"rpc.host": "127.0.0.2"}, ""),
        (PROGRAMS_PORT | PROGRAMS_TLS, ""),
        (PROGRAMS_PORT | {"web.grpc_port": "0"}, ""),
        ({"web.host": "0.0.0.0"}, ""),
        (ROLES_PORT | PROGRAMS_PORT | {"rpc.insecure": "true"}, ""),
    ],
)
def test_a_grpc_port_that_others_reach_has_tls_or_nothing_starts(flags, wrong) -> None:
    if wrong:
        with pytest.raises(Invalid, match=wrong):
            load(flags=flags)
    else:
        load(flags=flags)


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        ("CN=research,O=Hospital", ""),
        ("SHA256:" + ":".join(["AB"] * 32), ""),
        ("research.example.org", ""),
        ("spiffe://example.org/research", ""),
        ("fd00::7", ""),
        ("sha256:abc", "neither a subject nor a fingerprint nor a name"),
        ("two words", "neither a subject"),
        ("", "at least 1 character"),
    ],
)
def test_certificates_of_programs_are_written_as_what_they_hold(written, wrong) -> None:
    entry = {"certificate": written, "name": "research", "roles": ["integrator"]}
    flags = {"access.certificates": json.dumps([entry])}
    if wrong:
        with pytest.raises(Invalid, match=wrong):
            load(flags=flags)
    else:
        (kept,) = load(flags=flags).access.certificates
        assert kept.certificate == ("sha256:" + "ab" * 32 if "AB:" in written else written)


def test_a_certificate_is_of_one_program() -> None:
    entries = [
        {"certificate": "CN=a,O=b", "name": name, "roles": ["integrator"]}
        for name in ("one", "two")
    ]
    with pytest.raises(Invalid, match="'CN=a,O=b' is in `certificates` more than once"):
        load(flags={"access.certificates": json.dumps(entries)})
