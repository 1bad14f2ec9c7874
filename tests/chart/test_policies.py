"""What every pod of the chart must be: restricted, bounded, watched, and reached by those alone who
need it. Who needs whom is read from the code of the roles."""

from __future__ import annotations

import ast
import base64
import re
import tomllib
from collections.abc import Mapping

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from isocenter.app import WITHOUT_LOG
from support import rendered
from support.network_policies import Policies
from support.rendered import CHART, ROLES, ROOT, SHAPES, Object, Rendered, containers, roles_of

# What a role asks of its process -> roles it calls and servers it uses. Audit records go to the
# log, and while that is away into the outbox, which storage keeps.
ASKED: Mapping[str, frozenset[str]] = {
    **{role: frozenset({role}) for role in ROLES},
    "bus": frozenset({"kafka"}),
    "blobs": frozenset({"objectStore"}),
    "index": frozenset({"elasticsearch"}),
    "audit_index": frozenset({"elasticsearch"}),
    "audit_store": frozenset({"objectStore"}),
    "outbox": frozenset({"kafka", "storage"}),
    "audit_log": frozenset({"kafka", "storage"}),
    "audit_trail": frozenset({"audit"}),
    "directory": frozenset({"storage"}),
    # Marks and facts of studies, by which the policy decides; accounts, sessions and tokens.
    "guard": frozenset({"query", "storage"}),
    "doors": frozenset({"storage"}),
    "section": frozenset(),
    "readiness": frozenset(),
}
SERVERS = ("kafka", "elasticsearch", "objectStore")
RPC, API, DICOM, DICOM_TLS, HTTP, MONITOR = 50051, 50052, 11112, 2762, 8080, 9464
SECRET = re.compile(r"password|secret_?key|api_?key|token", re.IGNORECASE)


@pytest.fixture(scope="module", params=SHAPES)
def objects(request: pytest.FixtureRequest) -> Rendered:
    return rendered.render(*SHAPES[request.param])


def asked(role: str) -> frozenset[str]:
    """What a role's package asks of its process."""
    return frozenset(
        node.func.attr
        for path in (ROOT / "services/isocenter" / role).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "env"
    )


def needs(role: str) -> frozenset[str]:
    """Roles and servers that a role needs."""
    records = () if role in WITHOUT_LOG else ("kafka",)  # its start and stop
    return frozenset(records).union(*(ASKED[one] for one in asked(role))) - {role}


def labels_of(pod: Object) -> dict[str, str]:
    return dict(pod["metadata"]["labels"])


def component(pod: Object) -> str:
    return labels_of(pod)["app.kubernetes.io/component"]


def serving(objects: Rendered) -> list[Object]:
    """Pods of Isocenter that stay."""
    return [one["spec"]["template"] for one in objects.kind("Deployment")]


# --- pods ----------------------------------------------------------------------------------------


def test_pods_are_restricted(objects: Rendered) -> None:
    for pod in objects.pods():
        spec, security = pod["spec"], pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        kinds = {kind for volume in spec["volumes"] for kind in volume} - {"name"}
        assert kinds <= {"configMap", "emptyDir", "secret", "persistentVolumeClaim"}
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert all("hostPort" not in one for one in container.get("ports", []))


def test_pods_ask_for_what_they_need_and_have_a_limit(objects: Rendered) -> None:
    for pod in objects.pods():
        for container in containers(pod):
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


def test_images_are_pinned(objects: Rendered) -> None:
    for pod in objects.pods():
        for container in containers(pod):
            found = re.fullmatch(r"[^@]+?:([\w.-]+)(@sha256:[0-9a-f]{64})?", container["image"])
            assert found, container["image"]
            assert found[1] not in ("latest", "main")


def test_servers_and_roles_are_probed_at_ports_they_have(objects: Rendered) -> None:
    for workload in objects.kind("Deployment", "StatefulSet"):
        (container,) = workload["spec"]["template"]["spec"]["containers"]
        ports = {one["name"] for one in container["ports"]}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            (how,) = [
                one for key, one in container[probe].items() if key in ("httpGet", "tcpSocket")
            ]
            assert how["port"] in ports
        if workload["kind"] == "Deployment":
            paths = {
                probe: container[probe]["httpGet"]["path"]
                for probe in ("startupProbe", "livenessProbe", "readinessProbe")
            }
            assert paths == {
                "startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz",
            }  # fmt: skip


def test_a_pod_has_the_time_it_takes_to_drain(objects: Rendered) -> None:
    for pod in serving(objects):
        (volume,) = [one for one in pod["spec"]["volumes"] if one["name"] == "config"]
        config = objects.get("ConfigMap", volume["configMap"]["name"])
        drain = tomllib.loads(config["data"]["isocenter.toml"])["process"]["drain_seconds"]
        (container,) = pod["spec"]["containers"]
        before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert before > 0
        assert pod["spec"]["terminationGracePeriodSeconds"] == before + drain + 10


def test_several_copies_are_never_all_away(objects: Rendered) -> None:
    guarded = {one["metadata"]["name"] for one in objects.kind("PodDisruptionBudget")}
    scaled = {
        one["metadata"]["name"]: one["spec"].get("minReplicas", one["spec"].get("minReplicaCount"))
        for one in objects.kind("HorizontalPodAutoscaler", "ScaledObject")
    }
    for one in objects.kind("Deployment"):
        name = one["metadata"]["name"]
        copies = scaled.get(name, one["spec"].get("replicas"))
        assert (name in guarded) == (copies > 1)
        if copies > 1:
            assert one["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
            keys = [
                spread["topologyKey"]
                for spread in one["spec"]["template"]["spec"]["topologySpreadConstraints"]
            ]
            assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]


def test_a_volume_has_one_pod() -> None:
    (one,) = rendered.render(*SHAPES["demo"]).kind("Deployment")
    assert one["spec"]["replicas"] == 1
    assert one["spec"]["strategy"] == {"type": "Recreate"}


# --- secrets -------------------------------------------------------------------------------------


def test_no_secret_is_in_what_everybody_may_read(objects: Rendered) -> None:
    for config in objects.kind("ConfigMap"):
        for text in config["data"].values():
            assert not SECRET.search(text), config["metadata"]["name"]
    for pod in objects.pods():
        for container in containers(pod):
            for variable in container.get("env", []):
                if SECRET.search(variable["name"]):
                    assert "secretKeyRef" in variable["valueFrom"], variable["name"]


def test_no_secret_has_a_default() -> None:
    first, second = (rendered.render(*SHAPES["small on its own servers"]) for _ in range(2))
    minio, keys = "pacs-isocenter-dev-minio", "pacs-isocenter-audit-keys"
    rpc = "pacs-isocenter-rpc"
    made = {
        minio: {"access-key", "secret-key"}, keys: {"000001.pem"},
        rpc: {"ca.crt", "tls.crt", "tls.key"},
    }  # fmt: skip
    for name, entries in made.items():
        one, other = (shape.get("Secret", name)["data"] for shape in (first, second))
        assert one.keys() == other.keys() == entries
        assert all(one[key] != other[key] for key in entries)
    for shape, how in SHAPES.items():
        named = {one["metadata"]["name"] for one in rendered.render(*how).kind("Secret")}
        own_servers = shape in ("small on its own servers", "a deployment for each role")
        made_here = {keys, rpc}
        assert named <= (made_here | {minio} if own_servers else made_here), shape


def test_the_audit_trail_is_sealed_with_a_key_that_the_chart_makes_or_that_is_there() -> None:
    made = rendered.render(*SHAPES["network"]).get("Secret", "pacs-isocenter-audit-keys")
    assert made["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    key = load_pem_private_key(base64.b64decode(made["data"]["000001.pem"]), None)
    assert isinstance(key, Ed25519PrivateKey)
    for pod in serving(rendered.render(*SHAPES["network"])):
        volumes = {one["name"]: one.get("secret") for one in pod["spec"]["volumes"]}
        assert ("audit-keys" in volumes) == ("audit" in roles_of(pod))


def test_a_pod_gets_the_credentials_of_its_own_servers_alone() -> None:
    prefixes = {"KAFKA": "kafka", "ELASTICSEARCH": "elasticsearch", "S3": "objectStore"}
    for pod in serving(rendered.render(*SHAPES["network"])):
        wanted = frozenset().union(*map(needs, roles_of(pod))) & set(SERVERS)
        (container,) = pod["spec"]["containers"]
        given = {
            prefixes[one["name"].split("_")[1]]
            for one in container.get("env", [])
            if one["name"].startswith("ISOCENTER_")
        }
        assert given == wanted, component(pod)


# --- the network ---------------------------------------------------------------------------------


def test_the_table_of_the_chart_is_what_the_code_asks_for() -> None:
    text = (CHART / "templates/_helpers.tpl").read_text()
    found = re.search(r'define "isocenter\.roles" -}}\n(.*?)\{\{- end', text, re.DOTALL)
    assert found
    table = yaml.safe_load(found[1])
    assert {role: frozenset(row["calls"] + row["uses"]) for role, row in table.items()} == {
        role: needs(role) for role in ROLES
    }


def test_pods_are_reached_by_those_who_need_them_and_by_nobody_else(objects: Rendered) -> None:
    policies = Policies(objects.kind("NetworkPolicy"))
    pods = [pod for pod in serving(objects) if roles_of(pod)]
    for caller in pods:
        outside = frozenset().union(*map(needs, roles_of(caller))) - set(roles_of(caller))
        for called in pods:
            if component(caller) == component(called):
                continue
            wanted = bool(outside & set(roles_of(called)))
            if not wanted and "gateway" in roles_of(caller):
                # Its own policy does not hold a gateway back, as C-MOVE goes anywhere: others must.
                found = policies.lets(labels_of(called), "Ingress", RPC, labels_of(caller))
            else:
                found = policies.connects(labels_of(caller), labels_of(called), RPC)
            assert found == wanted, f"{component(caller)} -> {component(called)}"


def test_servers_are_reached_by_those_who_need_them() -> None:
    objects = rendered.render(*SHAPES["network"])
    policies = Policies(objects.kind("NetworkPolicy"))
    ports = {"kafka": 9093, "elasticsearch": 9200, "objectStore": 443}
    for pod in serving(objects):
        wanted = frozenset().union(*map(needs, roles_of(pod)))
        for server, port in ports.items():
            found = policies.lets(labels_of(pod), "Egress", port, {"app": server})
            assert found == (server in wanted or "gateway" in roles_of(pod)), component(pod)
    (job,) = objects.kind("Job")
    labels = labels_of(job["spec"]["template"])
    assert all(policies.lets(labels, "Egress", port, {}) for port in ports.values())
    assert not policies.lets(labels, "Egress", 25, None)


def test_the_identity_provider_is_reached_by_those_who_ask_it() -> None:
    inside = {"app": "keycloak"}
    everything = rendered.render(*SHAPES["everything"])
    policies = Policies(everything.kind("NetworkPolicy"))
    for pod in serving(everything):
        asks = any("doors" in asked(role) for role in roles_of(pod))
        assert policies.lets(labels_of(pod), "Egress", 8443, inside) == asks, component(pod)
        assert not policies.lets(labels_of(pod), "Egress", 443, inside)


@pytest.mark.parametrize(
    ("issuer", "port"),
    [("https://login", 443), ("http://login/realms/443", 80), ("http://login:8080/realms/a", 8080)],
)
def test_it_is_reached_anywhere_at_the_port_of_its_address(issuer: str, port: int) -> None:
    nowhere = [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
    own = {
        "access": {"oidc": {"issuer": issuer}},
        "web": {"publicUrl": "https://pacs.example.org"},
        "networkPolicy": {"dicomTo": nowhere},
    }
    for shape in ("demo", "a deployment for each role"):
        objects = rendered.render(*SHAPES[shape], own)
        policies = Policies(objects.kind("NetworkPolicy"))
        for pod in serving(objects):
            edge = bool({"web", "gateway"} & set(roles_of(pod) or ROLES))
            for one in (443, 80, 8080):
                found = policies.lets(labels_of(pod), "Egress", one, {"app": "login"})
                assert found == (edge and one == port), component(pod)


def test_servers_of_the_release_are_reached_by_its_pods() -> None:
    objects = rendered.render(*SHAPES["small on its own servers"])
    policies = Policies(objects.kind("NetworkPolicy"))
    servers = [one["spec"]["template"] for one in objects.kind("StatefulSet")]
    assert len(servers) == 3
    for server in servers:
        port = server["spec"]["containers"][0]["ports"][0]["containerPort"]
        for pod in serving(objects):  # each prepares all of them before it starts
            assert policies.connects(labels_of(pod), labels_of(server), port)
        assert policies.lets(labels_of(server), "Ingress", port, None) is False
        assert policies.lets(labels_of(server), "Egress", 443, None) is False


def test_edges_are_open_and_nothing_else_is(objects: Rendered) -> None:
    policies = Policies(objects.kind("NetworkPolicy"))
    stranger = None if "collector.monitoring" not in str(objects) else {"name": "nobody"}
    for pod in serving(objects):
        labels, roles = labels_of(pod), roles_of(pod) or list(ROLES)
        for port, role in ((DICOM, "gateway"), (DICOM_TLS, "gateway"), (HTTP, "web")):
            expected = role in roles and stranger is None
            assert policies.lets(labels, "Ingress", port, stranger) == expected
        assert not policies.lets(labels, "Ingress", RPC, stranger)
        assert not policies.lets(labels, "Ingress", MONITOR, None)
        for protocol in ("TCP", "UDP"):
            assert policies.lets(labels, "Egress", 53, {"k8s-app": "kube-dns"}, protocol)
        assert policies.lets(labels, "Egress", 104, None) == ("gateway" in roles)


def test_what_the_values_let_in_is_let_in() -> None:
    policies = Policies(rendered.render(*SHAPES["everything"]).kind("NetworkPolicy"))
    pods = {
        component(pod): labels_of(pod) for pod in serving(rendered.render(*SHAPES["everything"]))
    }
    assert policies.lets(pods["gateway-north"], "Ingress", DICOM, None)
    assert policies.lets(pods["gateway-north"], "Egress", 104, None)
    assert not policies.lets(pods["web"], "Egress", 104, None)
    assert policies.lets(pods["web"], "Ingress", 50052, {"app": "research"})
    for pod in pods.values():
        assert not policies.lets(pod, "Ingress", RPC, {"app": "research"})
    assert all(policies.lets(pod, "Egress", 4317, {"app": "collector"}) for pod in pods.values())


def test_the_pod_that_tests_reaches_the_edges(objects: Rendered) -> None:
    policies = Policies(objects.kind("NetworkPolicy"))
    (probe,) = objects.kind("Pod")
    for pod in serving(objects):
        roles = roles_of(pod) or list(ROLES)
        for role, port in (("gateway", DICOM), ("web", HTTP)):
            if role in roles:
                assert policies.connects(labels_of(probe), labels_of(pod), port)
    assert not policies.lets(labels_of(probe), "Egress", 443, None)


def test_without_policies_there_are_none() -> None:
    objects = rendered.render(*SHAPES["network"], {"networkPolicy": {"enabled": False}})
    assert not objects.kind("NetworkPolicy")
