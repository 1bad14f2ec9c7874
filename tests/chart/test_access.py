"""Who may come in, as the chart is told: it reaches the settings, pods follow what may change, and
the notes of a release say what to do first."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from isocenter.cli.main import app
from isocenter.core.access import ROLES, Right
from isocenter.runtime.access.policy_file import read
from isocenter.runtime.access.settings import AccessSettings
from isocenter.settings import Settings, load
from support import rendered
from support.rendered import DEV, POLICY, SHAPES, Object, Rendered, Values, containers, roles_of

OIDC: Values = {
    "web": {"publicUrl": "https://pacs.example.org"},
    "access": {"oidc": {"issuer": "https://login.example.org", "existingSecret": "oidc"}},
}


def serving(objects: Rendered) -> list[Object]:
    """Pods of Isocenter that stay."""
    return [one["spec"]["template"] for one in objects.kind("Deployment")]


def text_of(objects: Rendered, pod: Object) -> str:
    """The settings file of a pod."""
    volume = volumes_of(pod)["config"]
    text: str = objects.get("ConfigMap", volume["configMap"]["name"])["data"]["isocenter.toml"]
    return text


def settings_of(objects: Rendered, pod: Object, folder: Path) -> Settings:
    file = folder / "isocenter.toml"
    file.write_text(text_of(objects, pod))
    return load(config=file)


def volumes_of(pod: Object) -> dict[str, Any]:
    return {one["name"]: one for one in pod["spec"]["volumes"]}


def mounts_of(pod: Object) -> dict[str, Any]:
    """Volume -> how the container that serves has it."""
    (container,) = pod["spec"]["containers"]
    return {one["name"]: one for one in container["volumeMounts"] if one["name"] != "tmp"}


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["demo", "network"])
def test_without_values_access_is_as_without_settings(shape: str, tmp_path: Path) -> None:
    objects = rendered.render(*SHAPES[shape])
    for pod in serving(objects):
        assert settings_of(objects, pod, tmp_path).access == AccessSettings()
    oidc = rendered.render(*SHAPES[shape], {**OIDC, "access": {"oidc": {"issuer": "https://a"}}})
    wanted = AccessSettings.model_validate({"oidc": {"issuer": "https://a"}})
    for pod in serving(oidc):
        assert settings_of(oidc, pod, tmp_path).access == wanted


def test_every_value_reaches_the_settings(tmp_path: Path) -> None:
    objects = rendered.render(*SHAPES["everything"])
    for pod in serving(objects):
        settings = settings_of(objects, pod, tmp_path)
        assert [str(one) for one in settings.web.trusted_proxies] == ["10.5.0.0/24"]
        access = settings.access.model_dump(mode="json")
        # The rest is no matter of a release: who is on a pod is no operator of it.
        assert {access.pop("trust_loopback"), access.pop("follow_seconds")} == {False, 2}
        assert access.pop("oidc") == {
            "issuer": "https://login.example.org:8443/realms/hospital",
            "client_id": "pacs",
            "client_secret": "",
            "client_secret_file": "/etc/isocenter/oidc/secret",
            "ca_file": "/etc/isocenter/ca-oidc/ca.crt",
            "scopes": ["openid", "pacs"],
            "audience": "pacs",
            "name_claim": "sub",
            "roles_claim": "realm_access.roles",
            "roles": {"Radiologist 1": "viewer"},
            "groups_claim": "teams",
            "sites_claim": "hospitals",
            "refresh_minutes": 3,
        }
        assert access == {
            "policy": "/etc/isocenter/policy/policy.toml",
            "local_accounts": False,
            "session_idle_minutes": 30,
            "session_hours": 10,
            "emergency_minutes": 20,
            "certificates": [
                {
                    "certificate": "research.example.org", "name": "research",
                    "roles": ["integrator"], "only": None, "groups": [], "sites": [],
                }
            ],
        }  # fmt: skip


def test_the_schema_knows_our_roles() -> None:
    schema = rendered.CHART / "values.schema.json"
    oidc = re.search(r'"additionalProperties": \{"enum": (\[.*?\])\}', schema.read_text())
    assert oidc
    assert set(re.findall(r"\w+", oidc[1])) == set(ROLES)


def test_the_client_secret_is_a_file_in_the_pods_that_ask_the_provider() -> None:
    for shape in ("demo", "small on its own servers", "network"):
        for pod in serving(rendered.render(*SHAPES[shape], OIDC)):
            asks = bool({"web", "gateway"} & set(roles_of(pod) or ["web"]))
            mounted = mounts_of(pod).get("oidc")
            assert bool(mounted) == asks
            if mounted:
                assert volumes_of(pod)["oidc"]["secret"] == {"secretName": "oidc"}
                assert mounted["mountPath"] == "/etc/isocenter/oidc"
                assert "subPath" not in mounted, "it would not follow its Secret"
            for container in containers(pod):
                assert "OIDC" not in str(container.get("env"))


# --- where people reach it -----------------------------------------------------------------------

INGRESS = {"enabled": True, "host": "pacs.example.org"}


@pytest.mark.parametrize(
    ("web", "address"),
    [
        ({}, ""),
        ({"ingress": INGRESS}, ""),  # TLS may end before it: each request says
        ({"ingress": {**INGRESS, "tlsSecret": "web"}}, "https://pacs.example.org"),
        (
            {
                "ingress": {**INGRESS, "tlsSecret": "web"},
                "publicUrl": "https://images.example.org/a",
            },
            "https://images.example.org/a",
        ),
    ],
)
def test_an_ingress_with_tls_is_where_people_come_back_to(web: Values, address: str) -> None:
    objects = rendered.render(DEV, {"web": web})
    for pod in serving(objects):
        assert tomllib.loads(text_of(objects, pod))["web"].get("public_url", "") == address


# --- the policy ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["demo", "a deployment for each role"])
def test_the_policy_of_the_values_is_a_file_that_pods_follow(shape: str, tmp_path: Path) -> None:
    objects = rendered.render(*SHAPES[shape], {"access": {"policy": POLICY}})
    for pod in serving(objects):
        volume, mount = volumes_of(pod)["policy"]["configMap"], mounts_of(pod)["policy"]
        assert "subPath" not in mount, "it would not follow its ConfigMap"
        (item,) = volume["items"]
        policy = settings_of(objects, pod, tmp_path).access.policy
        assert str(policy) == f"{mount['mountPath']}/{item['path']}"
        file = tmp_path / "policy.toml"
        file.write_text(objects.get("ConfigMap", volume["name"])["data"][item["key"]])
        (rule,) = read(file)
        assert (rule.name, rule.rights) == (
            "everybody's own",
            frozenset({Right.SEARCH, Right.READ}),
        )


def test_a_policy_that_is_there_is_mounted_in_place_of_one_of_the_values() -> None:
    named = {"access": {"policyConfigMap": {"name": "hospital", "key": "rules.toml"}}}
    objects = rendered.render(DEV, named)
    assert not [one for one in objects.kind("ConfigMap") if "policy" in one["metadata"]["name"]]
    for pod in serving(objects):
        assert volumes_of(pod)["policy"]["configMap"] == {
            "name": "hospital",
            "items": [{"key": "rules.toml", "path": "policy.toml"}],
        }


def test_a_change_of_the_policy_replaces_no_pod() -> None:
    one, other = (
        rendered.render(DEV, {"access": {"policy": text}}) for text in ("# one", "# other")
    )
    assert serving(one) == serving(other)
    name = "pacs-isocenter-policy"
    assert one.get("ConfigMap", name)["data"] != other.get("ConfigMap", name)["data"]


# --- the first steps -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", ["demo", "small on its own servers", "a deployment for each role"]
)
def test_the_notes_tell_how_to_come_in_first(shape: str) -> None:
    objects, told = rendered.render(*SHAPES[shape]), rendered.notes(*SHAPES[shape])
    inside = rf"kubectl exec -n {rendered.NAMESPACE} deployment/(\S+) -- isocenter (.*?)( \|)?\n"
    found = re.findall(inside, told)
    assert len(found) == 2
    for deployment, words, _ in found:
        pod = objects.get("Deployment", deployment)["spec"]["template"]
        assert "web" in (roles_of(pod) or ["web"])
        parsed(words.split())
    assert found[0][1] == "account add admin --role administrator"
    made = re.search(r"kubectl create secret generic (\S+) .*--from-file=(\w+)=/dev/stdin", told)
    assert made
    (probe,) = objects.kind("Pod")
    assert volumes_of(probe)["token"]["secret"] == {"secretName": made[1], "optional": True}
    mount = mounts_of(probe)["token"]["mountPath"]
    arguments = probe["spec"]["containers"][0]["args"]
    assert arguments[arguments.index("--token-file") + 1] == f"{mount}/{made[2]}"
    parsed(arguments)


def parsed(words: list[str]) -> None:
    """Fails unless the command line knows a verb with these arguments."""
    command, above = typer.main.get_command(app), None
    while hasattr(command, "commands"):
        above = typer.Context(command, above)
        name, *words = words
        command = command.commands[name]
    with command.make_context(command.name, words, above):
        """It would run."""


def test_the_notes_name_the_identity_provider_and_the_address_that_it_must_know() -> None:
    only = {**OIDC, "access": {**OIDC["access"], "localAccounts": False}}  # type: ignore[index]
    told = rendered.notes(DEV, only)
    assert "sign in by https://login.example.org, to which" in told
    assert "https://pacs.example.org/sign-in/answer must be known" in told
    assert "account add" not in told


@pytest.mark.parametrize(
    ("values", "warning", "there"),
    [
        ({"web": {"ingress": INGRESS}}, "web.trustedProxies", True),
        ({"web": {"ingress": INGRESS, "trustedProxies": ["10.0.0.0/8"]}}, "trustedProxies", False),
        ({}, "web.trustedProxies", False),
        ({"networkPolicy": {"enabled": False}}, "port 50051", False),
        (
            {"networkPolicy": {"enabled": False}, "rpc": {"tls": {"enabled": False}}},
            "port 50051",
            True,
        ),
        ({}, "port 50051", False),
    ],
)
def test_the_notes_warn_of_what_the_values_leave_open(
    values: Values, warning: str, there: bool
) -> None:
    assert (warning in rendered.notes(DEV, values)) == there
