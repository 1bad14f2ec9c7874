"""The compose files: what Compose makes of them is a complete, closed installation."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from isocenter.app import ROLES
from isocenter.core.errors import Invalid
from isocenter.runtime.rpc_peers import target_of
from isocenter.settings import PREFIX, load

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "infra/compose"
IMAGE_SETTINGS = ROOT / "infra/images/isocenter.toml"
SERVERS = {"kafka", "elasticsearch", "minio"}
SECRETS = re.compile(r"PASSWORD|SECRET|ACCESS_KEY|API_KEY|USERNAME")
# Of the roles; they are set together.
CERTIFICATE = [f"{PREFIX}RPC__{of}_FILE" for of in ("CA", "CERTIFICATE", "KEY")]

# Which servers a role reaches itself; the others it reaches through roles.
REACHES = {
    "gateway": {"KAFKA"},
    "web": {"KAFKA"},
    "ingest": {"KAFKA"},
    "storage": {"KAFKA", "S3"},
    "query": {"KAFKA", "ELASTICSEARCH"},
    "transcoding": set(),
    "indexing": {"KAFKA", "ELASTICSEARCH"},
    "audit": {"KAFKA", "ELASTICSEARCH"},
    "prepare": {"KAFKA", "S3", "ELASTICSEARCH"},
}


def compose(
    *arguments: str, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    program = shutil.which("docker-compose", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("no docker-compose for this system on PyPI: the compose files are not checked")
    clean = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
    return subprocess.run(
        [program, *arguments],
        cwd=COMPOSE,
        env={**clean, **(variables or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def services(*arguments: str, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    done = compose(*arguments, "config", "--format", "json", variables=variables)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


@pytest.fixture(scope="module")
def development() -> dict[str, Any]:
    return services("--env-file", "development.env")


@pytest.fixture(scope="module")
def ours(development: dict[str, Any]) -> dict[str, Any]:
    return {name: made for name, made in development.items() if name not in SERVERS}


def test_every_role_runs_once_and_nothing_before_the_servers_are_prepared(
    development: dict[str, Any], ours: dict[str, Any]
) -> None:
    assert set(ours) == {*ROLES, "prepare"}
    for name in ROLES:
        assert ours[name]["command"] == ["run", name]
        after = ours[name]["depends_on"]
        assert after["prepare"]["condition"] == "service_completed_successfully"
        assert ours[name]["healthcheck"]["test"] == ["CMD", "isocenter", "health"]
    assert ours["prepare"]["command"] == ["check", "--prepare"]
    waits = {name: how["condition"] for name, how in ours["prepare"]["depends_on"].items()}
    assert waits == dict.fromkeys(SERVERS, "service_healthy")
    assert all("healthcheck" in development[name] for name in SERVERS)


def test_containers_of_ours_have_no_privileges_and_write_only_to_memory(
    ours: dict[str, Any],
) -> None:
    for name, made in ours.items():
        assert made["read_only"], name
        assert made["cap_drop"] == ["ALL"], name
        assert made["security_opt"] == ["no-new-privileges:true"], name
        assert made["user"] == "10001:10001", name
        assert all(volume["read_only"] for volume in made["volumes"]), name
        assert {mount.partition(":")[0] for mount in made["tmpfs"]} == {
            "/tmp",
            "/var/lib/isocenter",
        }, name
        published = {port["target"] for port in made.get("ports", ())}
        assert published == {"gateway": {11112}, "web": {8080}}.get(name, set())
    assert ours["web"]["ports"][0]["host_ip"] == "127.0.0.1"


def test_the_settings_of_every_container_are_settings_of_this_version(
    ours: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, made in ours.items():
        with monkeypatch.context() as patch:
            for variable in [one for one in os.environ if one.startswith(PREFIX)]:
                patch.delenv(variable)
            # As Compose does: what has no value is not set. Its name is checked all the same.
            for variable, text in made["environment"].items():
                if text is not None:
                    patch.setenv(variable, text)
            settings = load(config=IMAGE_SETTINGS)
            assert settings.bus == "kafka://kafka:9092"
            assert settings.rpc.port, name
            for role in ROLES:
                address = getattr(settings.rpc, role, "")
                if address:
                    host = target_of(address).rpartition("/")[2].partition(":")[0]
                    assert host == role


def test_roles_do_not_start_without_a_certificate_on_servers_of_others(
    ours: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in [one for one in os.environ if one.startswith(PREFIX)]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv(f"{PREFIX}RPC__PORT", ours["storage"]["environment"][f"{PREFIX}RPC__PORT"])
    with pytest.raises(Invalid, match=r"rpc\.host: other machines reach 0\.0\.0\.0"):
        load(config=IMAGE_SETTINGS)
    for variable in CERTIFICATE:
        monkeypatch.setenv(variable, "/etc/isocenter/certificates/roles")
    assert load(config=IMAGE_SETTINGS).rpc.tls is not None


def test_variables_without_a_value_are_settings_too(
    ours: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {
        "TLS": "true", "OUTBOX": "true", "REPLICAS": "1", "PARTITIONS": "6", "SHARDS": "1",
        "KNOWN_AES": '[{"title": "CT1"}]', "UNKNOWN_CALLERS": "never", "LEVEL": "info",
        "MECHANISM": "SCRAM-SHA-512", "ENDPOINT": "http://collector:4317",
        "PUBLIC_URL": "https://pacs.example.org", "INSECURE": "true",
    }  # fmt: skip
    names = {name for made in ours.values() for name in made["environment"]}
    unset = {
        name
        for name in names
        if any(made["environment"].get(name) is None for made in ours.values())
    }
    for name in sorted(unset):
        with monkeypatch.context() as patch:
            for variable in [one for one in os.environ if one.startswith(PREFIX)]:
                patch.delenv(variable)
            for one in CERTIFICATE if name in CERTIFICATE else [name]:
                patch.setenv(one, values.get(one.rpartition("__")[2], "text"))
            load(config=IMAGE_SETTINGS)


def test_a_container_gets_the_secrets_of_the_servers_that_it_reaches_and_no_others(
    ours: dict[str, Any],
) -> None:
    for name, made in ours.items():
        secret = {variable for variable in made["environment"] if SECRETS.search(variable)}
        servers = {variable.removeprefix(PREFIX).partition("__")[0] for variable in secret}
        assert servers == REACHES[name], name


def test_on_servers_of_others_nothing_has_a_default_that_would_start_it() -> None:
    missing = compose("-f", "isocenter.yaml", "config", "--quiet")
    assert missing.returncode != 0
    for variable in ("BUS", "BLOBS", "INDEX", "S3__ACCESS_KEY", "S3__SECRET_KEY"):
        assert f"{PREFIX}{variable}" in missing.stderr
    given = {
        f"{PREFIX}BUS": "kafka://kafka-1:9093",
        f"{PREFIX}BLOBS": "s3://objects:9000/isocenter",
        f"{PREFIX}INDEX": "elasticsearch://search-1:9200",
        f"{PREFIX}S3__ACCESS_KEY": "key",
        f"{PREFIX}S3__SECRET_KEY": "secret",
        f"{PREFIX}KAFKA__PASSWORD": "passed on",
    }
    made = services("-f", "isocenter.yaml", variables=given)
    assert set(made) == {*ROLES, "prepare"}
    assert made["gateway"]["environment"][f"{PREFIX}KAFKA__PASSWORD"] == "passed on"
    assert made["gateway"]["environment"][f"{PREFIX}KAFKA__TLS"] is None


def test_no_secret_is_written_into_the_file_for_servers_of_others() -> None:
    text = (COMPOSE / "isocenter.yaml").read_text(encoding="utf-8")
    for line in text.splitlines():
        name, _, value = line.strip().partition(": ")
        if name.startswith(PREFIX) and SECRETS.search(name):
            assert not value or value.startswith("${" + name.rstrip(":") + ":?"), line
