"""What the chart makes of values, as `helm template` shows it: no cluster needed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/isocenter"
PROFILES = CHART / "profiles"
NAMESPACE = "imaging"
# What a cluster with everything the chart can use says that it has.
APIS = (
    "cert-manager.io/v1",
    "gateway.networking.k8s.io/v1",
    "keda.sh/v1alpha1",
    "monitoring.coreos.com/v1",
)

ROLES = (
    "gateway",
    "web",
    "ingest",
    "storage",
    "query",
    "transcoding",
    "indexing",
    "audit",
)  # Kinds that are not Kubernetes' own. No package at hand has their schemas.
CUSTOM = (
    "Certificate",
    "HTTPRoute",
    "PrometheusRule",
    "ScaledObject",
    "ServiceMonitor",
    "TriggerAuthentication",
)
Object = dict[str, Any]
Values = Mapping[str, Any] | Path
WORKLOADS = ("Deployment", "StatefulSet", "Job")


class Refused(Exception):
    """Helm renders nothing; the text is what it says."""


@cache
def helm() -> str:
    """The program. A missing one fails the test: it must not pass by its absence."""
    found = shutil.which("helm") or shutil.which("helm", path=str(ROOT / ".cache/bin"))
    assert found, "helm is missing: infra/setup/helm.sh brings it"
    return found


def command(*arguments: str | Path, given: str | None = None) -> str:
    """What helm prints. Raises `Refused`."""
    done = subprocess.run(
        [helm(), *arguments], input=given, capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode != 0:
        raise Refused(done.stderr + done.stdout)
    return done.stdout


class Rendered(list[Object]):
    """The objects of a release."""

    def of_kubernetes(self) -> list[Object]:
        """Those whose schemas come with Kubernetes."""
        return [one for one in self if one["kind"] not in CUSTOM]

    def kind(self, *kinds: str) -> list[Object]:
        """Those of some kinds."""
        return [one for one in self if one["kind"] in kinds]

    def get(self, kind: str, name: str) -> Object:
        """The one of this name."""
        (found,) = [one for one in self.kind(kind) if one["metadata"]["name"] == name]
        return found

    def pods(self) -> list[Object]:
        """The pods, as their workloads would make them."""
        return [
            one["spec"]["template"] if one["kind"] in WORKLOADS else one
            for one in self.kind(*WORKLOADS, "Pod")
        ]

    def selected(self, labels: Mapping[str, str]) -> list[Object]:
        """The pods that have all of these labels."""
        return [pod for pod in self.pods() if labels.items() <= pod["metadata"]["labels"].items()]


def render(*values: Values, apis: Sequence[str] = APIS, release: str = "pacs") -> Rendered:
    """The objects of a release with these values, the last the strongest. Raises `Refused`."""
    options = [part for api in apis for part in ("--api-versions", api)]
    text = command(
        *("template", release, CHART, "--namespace", NAMESPACE, "--values", "-", *options),
        given=json.dumps(_merged(values)),
    )
    return Rendered(one for one in yaml.load_all(text, Loader=_Once) if one)


def notes(*values: Values) -> str:
    """What helm tells whoever installs a release with these values. Raises `Refused`."""
    told = command(
        *("install", "pacs", CHART, "--dry-run=client", "--namespace", NAMESPACE, "--values", "-"),
        given=json.dumps(_merged(values)),
    )
    return told.partition("\nNOTES:\n")[2]


def _merged(values: Sequence[Values]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for one in values:
        _merge(merged, yaml.safe_load(one.read_text()) if isinstance(one, Path) else one)
    return merged


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, Mapping) and isinstance(below.get(key), dict):
            _merge(below[key], value)
        else:
            below[key] = dict(value) if isinstance(value, Mapping) else value


class _Once(yaml.CSafeLoader):
    """YAML in which no key may be there twice: the second would silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]  # type: ignore[no-untyped-call]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, f"{twice} more than once{node.start_mark}"
        return super().construct_mapping(node, deep)


# A lone = is text to Kubernetes' reader of YAML, and to Helm's; PyYAML alone makes a type of it.
_Once.add_constructor("tag:yaml.org,2002:value", _Once.construct_yaml_str)


def roles_of(pod: Object) -> list[str]:
    """Roles that a pod runs by name: none of `isocenter up`, which runs them all."""
    verb, *rest = pod["spec"]["containers"][0].get("args") or [""]
    return rest if verb == "run" else []


def containers(pod: Object) -> Iterator[Object]:
    """All containers of a pod, those that run first included."""
    yield from pod["spec"].get("initContainers", [])
    yield from pod["spec"]["containers"]


DEV: Values = {"dev": {"enabled": True}}
ISSUER = {"enabled": True, "issuerRef": {"name": "ca", "kind": "ClusterIssuer"}}
POLICY = """
  # whoever reads images
[[rules]]
name = "everybody's own"
allow = ["search", "read"]
sites = ["own"]
"""
EVERYTHING: Values = {
    "image": {"digest": "sha256:" + "0" * 64, "pullSecrets": [{"name": "registry"}]},
    "defaults": {
        "priorityClassName": "imaging",
        "nodeSelector": {"imaging": "yes"},
        "tolerations": [{"key": "imaging", "operator": "Exists", "effect": "NoSchedule"}],
        "podAnnotations": {"example.org/team": "imaging"},
        "podLabels": {"example.org/cost": "imaging"},
        "env": [{"name": "TZ", "value": "UTC"}],
    },
    "rpc": {"tls": {"existingSecret": "", "certManager": ISSUER}},
    "dicom": {
        "tls": {
            "existingSecret": "",
            "clientCaSecret": "modalities",
            "certManager": {**ISSUER, "dnsNames": ["pacs.example.org"]},
        },
        "proxyProtocolFrom": ["10.1.0.0/16"],
        "service": {"loadBalancerSourceRanges": ["10.0.0.0/8"], "nodePort": 31112},
    },
    "web": {
        "trustedProxies": ["10.5.0.0/24"],
        "ingress": {"enabled": False},
        "gateway": {"enabled": True, "parentRefs": [{"name": "edge", "namespace": "edge"}]},
    },
    "networkPolicy": {
        "dicomFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
        "dicomTo": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
        "webFrom": [{"namespaceSelector": {"matchLabels": {"name": "edge"}}}],
        "monitorFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
        "rpcFrom": [{"podSelector": {"matchLabels": {"app": "research"}}}],
        "oidcTo": [{"podSelector": {"matchLabels": {"app": "keycloak"}}}],
        "backends": {"kafka": ["10.2.0.0/24"], "objectStore": ["10.3.0.0/24", "10.4.0.0/24"]},
    },
    "access": {
        "policy": POLICY,
        "localAccounts": False,
        "sessionIdleMinutes": 30,
        "sessionHours": 10,
        "emergencyMinutes": 20,
        "certificates": [
            {"certificate": "research.example.org", "name": "research", "roles": ["integrator"]}
        ],
        "oidc": {
            "issuer": "https://login.example.org:8443/realms/hospital",
            "clientId": "pacs",
            "existingSecret": "isocenter-oidc",
            "secretKey": "secret",
            "caSecret": {"name": "oidc-ca"},
            "scopes": ["openid", "pacs"],
            "audience": "pacs",
            "nameClaim": "sub",
            "rolesClaim": "realm_access.roles",
            "groupsClaim": "teams",
            "sitesClaim": "hospitals",
            "roles": {"Radiologist 1": "viewer"},
            "refreshMinutes": 3,
        },
    },
    "monitoring": {"otlpEndpoint": "http://collector.monitoring:4317"},
    "keda": {"enabled": True},
}
# Name -> values of an installation as there are.
SHAPES: Mapping[str, Sequence[Values]] = {
    "demo": [PROFILES / "demo.yaml"],
    "small on its own servers": [PROFILES / "small.yaml", DEV],
    "small on operators' servers": [PROFILES / "small.yaml", ROOT / "infra/operators/values.yaml"],
    "a deployment for each role": [DEV],
    "network": [PROFILES / "network.yaml"],
    "everything": [PROFILES / "network.yaml", EVERYTHING],
}
