"""Values: every one is described, wrong ones are refused in words, and any that the schema admits
are either refused in words or become valid objects."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import HealthCheck, Phase, assume, event, given, settings
from hypothesis import strategies as st

from isocenter import __version__
from support import rendered
from support.rendered import CHART, DEV, PROFILES, ROOT, SHAPES, Refused
from support.schema_values import values_of

SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
# What Kubernetes or Isocenter describes.
FREE = {
    *("global", "settings", "nodeAffinity", "podAffinity", "podAntiAffinity", "valueFrom"),
    *("extraEgress[]", "ownSettings"),
}
NETWORK = PROFILES / "network.yaml"


def schemas(schema: Mapping[str, Any], name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A schema and all that it is made of, each with the name of its value."""
    yield name, schema
    for key, one in schema.get("properties", {}).items():
        yield from schemas(one, key)
    for kind in ("items", "additionalProperties"):
        if isinstance(schema.get(kind), dict):
            yield from schemas(schema[kind], f"{name}[]")
    for one in schema.get("anyOf", []):
        yield from schemas(one, f"{name}|")


def every_schema() -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from schemas({"properties": SCHEMA["properties"]}, "")
    for name, one in SCHEMA["definitions"].items():
        yield from schemas(one, name)


# --- the schema ----------------------------------------------------------------------------------


def test_every_value_is_described() -> None:
    for _, schema in every_schema():
        for name, one in schema.get("properties", {}).items():
            told = one
            while "description" not in told:
                told = SCHEMA["definitions"][told["$ref"].rpartition("/")[2]]
            assert re.search(r"\w", told["description"]), name


def test_no_unknown_value_is_admitted() -> None:
    open_ones = {
        name
        for name, schema in every_schema()
        if schema.get("type") == "object" and "additionalProperties" not in schema
    }
    assert open_ones == FREE


def test_every_value_has_a_default() -> None:
    def missing(schema: Mapping[str, Any], found: Mapping[str, Any], path: str) -> Iterator[str]:
        for key, one in schema.get("properties", {}).items():
            whole = SCHEMA["definitions"].get(one.get("$ref", "").rpartition("/")[2], one)
            if key not in found:
                yield f"{path}{key}"
            elif isinstance(found[key], dict) and found[key]:
                yield from missing(whole, found[key], f"{path}{key}.")

    bare = {one for one in missing(SCHEMA, DEFAULTS, "") if "resources." not in one}
    assert bare == {"global"}


def test_the_chart_is_of_the_version_of_the_code() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["version"] == chart["appVersion"] == __version__
    assert chart["kubeVersion"] == ">=1.30.0-0"


def test_the_readme_is_current() -> None:
    done = subprocess.run(
        [sys.executable, "infra/docs/chart.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (CHART / "README.md").read_text(encoding="utf-8") == done.stdout, "run `make docs`"
    links = set(re.findall(r"\]\((?!http)([^)#]+)", done.stdout))
    assert [link for link in links if not (CHART / link).exists()] == []
    assert links >= {f"profiles/{profile.name}" for profile in PROFILES.glob("*.yaml")}


# --- wrong values --------------------------------------------------------------------------------

SERVERS: Mapping[str, Any] = {
    "kafka": {"bootstrap": ["kafka:9093"]},
    "elasticsearch": {"hosts": ["search:9200"]},
    "objectStore": {"endpoint": "minio:9000", "existingSecret": "keys"},
}
# What is wrong, and the words that say so.
REFUSED: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "no servers": ({}, "no Kafka: set kafka.bootstrap to its host:port, or dev.enabled=true"),
    "an object store without keys": (
        {**SERVERS, "objectStore": {"endpoint": "minio:9000"}},
        "name the Secret with them in objectStore.existingSecret",
    ),
    "two sets of servers": (
        {**SERVERS, "dev": {"enabled": True}},
        "dev.enabled brings servers of its own, but kafka.bootstrap names others",
    ),
    "two sources of a credential": (
        {"dev": {"enabled": True}, "objectStore": {"existingSecret": "keys"}},
        "dev.enabled makes its own credentials, but keys is named",
    ),
    "a credential in the environment too": (
        {
            **SERVERS,
            "deployments": {
                "storage": {"env": [{"name": "ISOCENTER_S3__ACCESS_KEY", "value": "a"}]}
            },
        },
        "env sets ISOCENTER_S3__ACCESS_KEY, which the Secret keys gives",
    ),
    "a secret in the values": (
        {**SERVERS, "defaults": {"env": [{"name": "HTTP_PROXY_PASSWORD", "value": "a"}]}},
        "env holds the secret HTTP_PROXY_PASSWORD itself: take it from a Secret",
    ),
    "a secret in the settings": (
        {**SERVERS, "settings": {"s3": {"secret_key": "a"}}},
        "settings: s3.secret_key is set by the Secret objectStore.existingSecret",
    ),
    "a setting that the chart decides": (
        {**SERVERS, "settings": {"gateway": {"port": 104}}},
        "settings: gateway.port is set by dicom.service: remove it here",
    ),
    "such a setting of one deployment": (
        {**SERVERS, "deployments": {"web": {"settings": {"process": {"drain_seconds": 1}}}}},
        "deployments.web.settings: process.drain_seconds is set by defaults.drainSeconds",
    ),
    "such a setting of a site": (
        {**SERVERS, "sites": [{"name": "north", "settings": {"rpc": {"port": 1}}}]},
        "settings of the site north: rpc is set by rpc.tls",
    ),
    "an unknown role": (
        {**SERVERS, "deployments": {"pacs": {"roles": ["pacs"]}}},
        "value must be one of 'gateway', 'web', 'ingest'",
    ),
    "a role nowhere": (
        {**SERVERS, "deployments": {"audit": None}},
        "no deployment has the role audit: add it to deployments.NAME.roles of one",
    ),
    "a role twice": (
        {**SERVERS, "deployments": {"more": {"roles": ["query"]}}},
        "the role query is in the deployments more and query: leave it in one",
    ),
    "no roles": ({**SERVERS, "deployments": {"more": {}}}, "missing property 'roles'"),
    "no copies": ({**SERVERS, "deployments": {"web": {"replicas": 0}}}, "minimum: got 0, want 1"),
    "fewest above most": (
        {
            **SERVERS,
            "deployments": {"web": {"autoscaling": {"enabled": True, "minReplicas": 9}}},
        },
        "autoscaling.minReplicas 9 is above maxReplicas 6: raise maxReplicas",
    ),
    "scaling by nothing": (
        {
            **SERVERS,
            "defaults": {
                "resources": {"requests": {"cpu": None}},
                "autoscaling": {"enabled": True},
            },
        },
        "nothing is: set resources.requests.cpu",
    ),
    "two sites of one name": (
        {**SERVERS, "sites": [{"name": "north"}, {"name": "north"}]},
        "sites has north more than once",
    ),
    "a site and a deployment of one name": (
        {
            **SERVERS,
            "sites": [{"name": "north"}],
            "deployments": {"gateway": None, "gateway-north": {"roles": ["gateway"]}},
        },
        "the site north and the deployment gateway-north would have one name",
    ),
    "one pod, twice": (
        {"mode": "embedded", "embedded": {"replicas": 2}},
        "mode embedded runs one pod on one volume, but embedded.replicas is 2",
    ),
    "one pod with servers": (
        {"mode": "embedded", "kafka": SERVERS["kafka"]},
        "mode embedded uses no servers, but kafka.bootstrap names some",
    ),
    "one pod with servers of its own": (
        {"mode": "embedded", "dev": {"enabled": True}},
        "mode embedded uses no servers, but dev.enabled starts some",
    ),
    "one pod for many sites": (
        {"mode": "embedded", "sites": [{"name": "north"}]},
        "mode embedded has one gateway, but sites asks for more",
    ),
    "TLS of nothing": (
        {**SERVERS, "dicom": {"tls": {"enabled": True}}},
        "dicom.tls is on without a certificate: name its Secret in dicom.tls.existingSecret",
    ),
    "TLS of two": (
        {
            **SERVERS,
            "dicom": {
                "tls": {
                    "enabled": True,
                    "existingSecret": "a",
                    "certManager": {"enabled": True, "issuerRef": {"name": "b"}},
                }
            },
        },
        "dicom.tls has two sources of one certificate",
    ),
    "a certificate for no name": (
        {
            **SERVERS,
            "dicom": {
                "tls": {
                    "enabled": True,
                    "certManager": {"enabled": True, "issuerRef": {"name": "b"}},
                }
            },
        },
        "list in dicom.tls.certManager.dnsNames what modalities call it",
    ),
    "a certificate of nobody": (
        {**SERVERS, "rpc": {"tls": {"enabled": True, "certManager": {"enabled": True}}}},
        "rpc.tls.certManager is on without an issuer",
    ),
    "two ways to the web role": (
        {
            **SERVERS,
            "web": {
                "ingress": {"enabled": True, "host": "a"},
                "gateway": {"enabled": True, "parentRefs": [{"name": "a"}]},
            },
        },
        "web.ingress and web.gateway are both on",
    ),
    "an Ingress without a host": (
        {**SERVERS, "web": {"ingress": {"enabled": True}}},
        "web.ingress is on without a host: set web.ingress.host",
    ),
    "a route without a Gateway": (
        {**SERVERS, "web": {"gateway": {"enabled": True}}},
        "web.gateway is on without a Gateway: name it in web.gateway.parentRefs",
    ),
    "two policies": (
        {**SERVERS, "access": {"policy": "# none", "policyConfigMap": {"name": "policy"}}},
        "access.policy and access.policyConfigMap are two sources of one policy",
    ),
    "a policy that is no TOML": (
        {**SERVERS, "access": {"policy": "rules:\n  - name: one\n"}},
        "access.policy is no TOML (toml: line 1",
    ),
    "people who come back to nowhere": (
        {**SERVERS, "access": {"oidc": {"issuer": "https://login.example.org"}}},
        "access.oidc sends people back to an address that is not known: set web.publicUrl",
    ),
    "a secret for no identity provider": (
        {**SERVERS, "access": {"oidc": {"existingSecret": "oidc"}}},
        "access.oidc has a Secret for no identity provider: set access.oidc.issuer",
    ),
    "nobody who could sign in": (
        {**SERVERS, "access": {"localAccounts": False}},
        "nobody could sign in: set access.oidc.issuer, or leave access.localAccounts on",
    ),
    "an open door in the settings": (
        {**SERVERS, "settings": {"access": {"trust_loopback": True}}},
        "settings: access is set by the values access: remove it here",
    ),
    "a client secret in the values": (
        {
            **SERVERS,
            "deployments": {
                "web": {"env": [{"name": "ISOCENTER_ACCESS__OIDC__CLIENT_SECRET", "value": "a"}]}
            },
        },
        "env holds the secret ISOCENTER_ACCESS__OIDC__CLIENT_SECRET itself: take it from a Secret",
    ),
    "an unknown role of people": (
        {**SERVERS, "access": {"oidc": {"roles": {"boss": "owner"}}}},
        "value must be one of 'viewer', 'technologist'",
    ),
    "KEDA for servers of the release": (
        {"dev": {"enabled": True}, "keda": {"enabled": True}},
        "keda.enabled reads the lag of kafka.bootstrap, which dev.enabled does not set",
    ),
    "two versions": (
        {**SERVERS, "image": {"tag": "1", "digest": "sha256:" + "0" * 64}},
        "image.tag and image.digest are two sources of one image",
    ),
    "an unknown value": ({**SERVERS, "repicas": 2}, "additional properties 'repicas' not allowed"),
    "labels of the chart": (
        {**SERVERS, "defaults": {"podLabels": {"isocenter.io/web": "false"}}},
        "defaults.podLabels: isocenter.io/web is set by the chart: remove it",
    ),
    "a name that is taken": (
        {**SERVERS, "deployments": {"prepare": {"roles": ["query"]}}},
        "the chart itself makes objects named prepare: give the deployment another name",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_wrong_values_are_refused_in_words(what: str) -> None:
    values, words = REFUSED[what]
    with pytest.raises(Refused) as refused:
        rendered.render(values)
    assert words in str(refused.value)
    assert "nil pointer" not in str(refused.value)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(Refused) as refused:
        rendered.render(
            {"dicom": {"tls": {"enabled": True}}, "web": {"ingress": {"enabled": True}}}
        )
    assert str(refused.value).count("\n  - ") == 5


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"monitoring": {"rules": {"enabled": True}}}, "need the Prometheus operator"),
        (
            {
                "rpc": {
                    "tls": {"enabled": True, "existingSecret": "", "certManager": {"enabled": True}}
                }
            },
            "rpc.tls.certManager needs cert-manager",
        ),
        ({"keda": {"enabled": True}}, "keda.enabled needs KEDA"),
        (
            {
                "web": {
                    "ingress": {"enabled": False},
                    "gateway": {"enabled": True, "parentRefs": [{"name": "a"}]},
                }
            },
            "web.gateway needs the Gateway API",
        ),
    ],
)
def test_what_the_cluster_lacks_is_told(values: Mapping[str, Any], words: str) -> None:
    with pytest.raises(Refused) as refused:
        rendered.render(NETWORK, values, apis=())
    assert words in str(refused.value)
    assert "this cluster does not have" in str(refused.value)


# --- any values ----------------------------------------------------------------------------------

BASES = {name: values for name, values in SHAPES.items() if name != "everything"}


DEPLOYMENT = SCHEMA["properties"]["deployments"]["additionalProperties"]["anyOf"][1]["properties"]
OVERLAY = {"type": "object", "properties": {k: v for k, v in DEPLOYMENT.items() if k != "roles"}}
# Value at the top -> what is drawn for it. Every shape has the three deployments.
DRAWN = {
    **{
        name: values_of(one, SCHEMA["definitions"])
        for name, one in SCHEMA["properties"].items()
        if name not in {"global", "mode", "settings"}
    },
    "deployments": st.fixed_dictionaries(
        {},
        optional={
            name: values_of(OVERLAY, SCHEMA["definitions"])
            for name in ("gateway", "web", "indexing")
        },
    ),
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # making examples smaller takes minutes
)
@given(
    base=st.sampled_from(sorted(BASES)),
    values=st.fixed_dictionaries({}, optional=DRAWN),
)
def test_any_values_are_refused_in_words_or_become_valid_objects(
    base: str, values: Mapping[str, Any]
) -> None:
    try:
        objects = rendered.render(*BASES[base], values)
    except Refused as refused:
        text = str(refused)
        assume("specifications of the schema" not in text)  # `$` of Python admits a newline
        event("refused")
        assert "the values are not valid:\n  - " in text
        return
    event("rendered")
    for one in objects.of_kubernetes():
        kubernetes_validate.validate(one, "1.37", strict=True)
    assert len({(one["kind"], one["metadata"]["name"]) for one in objects}) == len(objects)


def test_a_name_of_ones_own_is_that_of_all_objects() -> None:
    for one in rendered.render(DEV, {"fullnameOverride": "archive"}):
        assert one["metadata"]["name"].startswith("archive")
