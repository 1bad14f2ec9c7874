"""What the chart makes is valid, fits together, and runs what it should."""

from __future__ import annotations

import base64
import re
import subprocess
from collections import Counter
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from isocenter.runtime.instruments import METRICS
from isocenter.runtime.shown_certificates import shown
from isocenter.runtime.tls_files import Tls
from isocenter.settings import load
from support import rendered
from support.rendered import (
    CHART,
    CUSTOM,
    DEV,
    PROFILES,
    SHAPES,
    Object,
    Rendered,
    containers,
    roles_of,
)

# The oldest and the newest that the chart is for.
KUBERNETES = ("1.30", "1.37")
# Fields of the custom kinds, as their documentation has them: their form is checked no further.
FIELDS = {
    "Certificate": {"secretName", "commonName", "dnsNames", "usages", "privateKey", "issuerRef"},
    "HTTPRoute": {"parentRefs", "hostnames", "rules"},
    "ServiceMonitor": {"selector", "podTargetLabels", "endpoints"},
    "PrometheusRule": {"groups"},
    "ScaledObject": {"scaleTargetRef", "minReplicaCount", "maxReplicaCount", "triggers"},
    "TriggerAuthentication": {"secretTargetRef"},
}


@pytest.fixture(scope="module", params=SHAPES)
def objects(request: pytest.FixtureRequest) -> Rendered:
    return rendered.render(*SHAPES[request.param])


@pytest.fixture(scope="module")
def everything() -> Rendered:
    return rendered.render(*SHAPES["everything"])


def settings_of(objects: Rendered, pod: Object, folder: Path) -> Path:
    """The settings file of a pod."""
    (volume,) = [one for one in pod["spec"]["volumes"] if one["name"] == "config"]
    config = objects.get("ConfigMap", volume["configMap"]["name"])
    file = folder / f"{config['metadata']['name']}.toml"
    file.write_text(config["data"]["isocenter.toml"])
    return file


# --- the form ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_helm_finds_nothing_to_complain_about(shape: str, tmp_path: Path) -> None:
    files = []
    for number, values in enumerate(SHAPES[shape]):
        file = values if isinstance(values, Path) else tmp_path / f"{number}.yaml"
        if not isinstance(values, Path):
            file.write_text(yaml.safe_dump(values))
        files += ["--values", str(file)]
    assert "0 chart(s) failed" in rendered.command("lint", "--strict", str(CHART), *files)


@pytest.mark.parametrize("version", KUBERNETES)
def test_objects_are_valid_in_kubernetes(objects: Rendered, version: str) -> None:
    ours = objects.of_kubernetes()
    assert {"Service", "Deployment", "ConfigMap", "NetworkPolicy"} <= {one["kind"] for one in ours}
    for one in ours:
        kubernetes_validate.validate(one, version, strict=True)


def test_objects_of_custom_kinds_have_known_fields(everything: Rendered) -> None:
    assert FIELDS.keys() == set(CUSTOM)
    found = [one for one in everything if one["kind"] in FIELDS]
    for one in found:
        assert set(one["spec"]) <= FIELDS[one["kind"]], one["kind"]
        assert one["apiVersion"] in rendered.APIS
    assert {one["kind"] for one in found} == FIELDS.keys()


def test_no_object_is_there_twice(objects: Rendered) -> None:
    names = Counter((one["kind"], one["metadata"]["name"]) for one in objects)
    assert [name for name, times in names.items() if times > 1] == []


def test_objects_are_named_after_the_release_and_labelled(objects: Rendered) -> None:
    for one in objects:
        assert one["metadata"]["name"].startswith("pacs-isocenter"), one
        assert len(one["metadata"]["name"]) <= 63
        labels = one["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "pacs"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"


# --- how they fit --------------------------------------------------------------------------------


def test_every_service_leads_to_pods_that_listen(objects: Rendered) -> None:
    for service in objects.kind("Service"):
        pods = objects.selected(service["spec"]["selector"])
        assert pods, service["metadata"]["name"]
        if service["metadata"]["name"].endswith("-monitor"):
            pods = [pod for pod in pods if roles_of(pod)]
        for port in service["spec"]["ports"]:
            for pod in pods:
                assert port["targetPort"] in [
                    one["name"] for one in pod["spec"]["containers"][0]["ports"]
                ], service["metadata"]["name"]


def test_a_workload_selects_its_own_pods_alone(objects: Rendered) -> None:
    for workload in objects.kind("Deployment", "StatefulSet"):
        pods = objects.selected(workload["spec"]["selector"]["matchLabels"])
        assert pods == [workload["spec"]["template"]]


def test_budgets_scalers_and_constraints_are_for_pods_that_are_there(objects: Rendered) -> None:
    deployments = {one["metadata"]["name"]: one for one in objects.kind("Deployment")}
    for budget in objects.kind("PodDisruptionBudget"):
        (pod,) = objects.selected(budget["spec"]["selector"]["matchLabels"])
        assert budget["spec"]["maxUnavailable"] >= 1
        assert pod["spec"]["containers"][0]["name"] == "isocenter"
    for scaler in objects.kind("HorizontalPodAutoscaler", "ScaledObject"):
        target = deployments[scaler["spec"]["scaleTargetRef"]["name"]]
        assert "replicas" not in target["spec"], "an upgrade would undo the scaling"
    for deployment in deployments.values():
        pod = deployment["spec"]["template"]
        for one in pod["spec"].get("topologySpreadConstraints", []):
            assert one["labelSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()


def test_what_pods_mount_is_there_or_named_in_the_values(objects: Rendered) -> None:
    known = {
        *("isocenter-kafka", "isocenter-elasticsearch", "isocenter-objects", "isocenter-rpc"),
        *("isocenter-dicom", "kafka-ca", "elasticsearch-ca", "minio-ca", "modalities"),
        *("isocenter-kafka-cluster-ca-cert", "isocenter-kafka-user", "isocenter-search-user"),
        *("isocenter-search-es-http-certs-public", "isocenter-objects-ca"),
        *("isocenter-objects-user", "pacs-isocenter-rpc", "pacs-isocenter-dicom"),
        *("isocenter-oidc", "oidc-ca", "pacs-isocenter-test"),
        *(one["metadata"]["name"] for one in objects.kind("Secret")),
    }
    claims = {one["metadata"]["name"] for one in objects.kind("PersistentVolumeClaim")}
    for pod in objects.pods():
        mounted = {mount["name"] for one in containers(pod) for mount in one["volumeMounts"]}
        volumes = {one["name"]: one for one in pod["spec"]["volumes"]}
        assert mounted <= {*volumes, "data"}
        assert volumes.keys() <= mounted
        for volume in volumes.values():
            if "configMap" in volume:
                objects.get("ConfigMap", volume["configMap"]["name"])
            if "secret" in volume:
                assert volume["secret"]["secretName"] in known
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
        for container in containers(pod):
            for variable in container.get("env", []):
                if "valueFrom" in variable:
                    assert variable["valueFrom"]["secretKeyRef"]["name"] in known


def test_a_change_of_the_settings_replaces_pods() -> None:
    def sums(*values: rendered.Values) -> set[str]:
        made = rendered.render(*SHAPES["network"], *values).kind("Deployment")
        return {
            one["spec"]["template"]["metadata"]["annotations"]["checksum/settings"] for one in made
        }

    assert sums() == sums()
    assert not sums() & sums({"settings": {"log": {"level": "debug"}}})


# --- what runs -----------------------------------------------------------------------------------


def test_every_role_runs_in_one_deployment(objects: Rendered) -> None:
    sites = sum(one["metadata"]["name"].count("-gateway-") for one in objects.kind("Deployment"))
    running = Counter(role for pod in objects.pods() for role in roles_of(pod))
    if running:
        assert running == Counter(rendered.ROLES) + Counter({"gateway": sites})
    else:
        (pod,) = [one["spec"]["template"] for one in objects.kind("Deployment")]
        assert pod["spec"]["containers"][0]["args"][0] == "up"


def test_isocenter_takes_the_settings(objects: Rendered, tmp_path: Path) -> None:
    ports = {"gateway": "dicom", "web": "http"}
    seen = 0
    for pod in objects.pods():
        if not any(one["name"] == "config" for one in pod["spec"]["volumes"]):
            continue
        seen += 1
        settings = load(config=settings_of(objects, pod, tmp_path))
        listening = {
            one["name"]: one["containerPort"]
            for one in pod["spec"]["containers"][0].get("ports", [])
        }
        assert listening.get("monitor", settings.monitor.port) == settings.monitor.port
        for role in roles_of(pod):
            name = ports.get(role, "grpc")
            section = settings.rpc if name == "grpc" else getattr(settings, role)
            assert section.port == listening[name]
            assert section.host == "0.0.0.0"
    assert seen


def test_addresses_of_roles_are_services_of_pods_that_run_them(
    objects: Rendered, tmp_path: Path
) -> None:
    for pod in objects.pods():
        if not roles_of(pod):
            continue
        settings = load(config=settings_of(objects, pod, tmp_path))
        for role in set(rendered.ROLES) - {"gateway", "web"}:
            address = getattr(settings.rpc, role)
            found = re.fullmatch(
                rf"dns:///([a-z-]+)\.{rendered.NAMESPACE}\.svc\.cluster\.local:50051", address
            )
            assert found, address
            service = objects.get("Service", found[1])
            assert service["spec"]["clusterIP"] == "None"
            assert all(
                role in roles_of(one) for one in objects.selected(service["spec"]["selector"])
            )


def test_servers_in_the_release_are_where_the_settings_say(tmp_path: Path) -> None:
    objects = rendered.render(*SHAPES["small on its own servers"])
    (pod, *_) = [pod for pod in objects.pods() if roles_of(pod)]
    settings = load(config=settings_of(objects, pod, tmp_path))
    for url in (settings.bus, settings.blobs, settings.index):
        found = re.fullmatch(r"\w+://([a-z-]+):(\d+)/isocenter", url)
        assert found, url
        service = objects.get("Service", found[1])
        assert [one["port"] for one in service["spec"]["ports"]] == [int(found[2])]
    assert (settings.kafka.tls, settings.s3.tls, settings.elasticsearch.tls) == (False,) * 3


def test_the_certificate_of_the_roles_names_every_address(
    everything: Rendered, tmp_path: Path
) -> None:
    names = everything.get("Certificate", "pacs-isocenter-rpc")["spec"]["dnsNames"]
    assert "pacs-isocenter-web.imaging.svc.cluster.local" in names  # as programs call it
    for pod in everything.pods():
        if roles_of(pod):
            rpc = load(config=settings_of(everything, pod, tmp_path)).rpc
            assert rpc.tls is not None
            called = {getattr(rpc, role) for role in set(rendered.ROLES) - {"gateway", "web"}}
            assert {one.removeprefix("dns:///").partition(":")[0] for one in called} <= set(names)


@pytest.mark.parametrize("shape", ["demo", "a deployment for each role"])
def test_where_no_certificate_is_named_one_for_every_name_is_made(
    shape: str, tmp_path: Path
) -> None:
    objects = rendered.render(*SHAPES[shape])
    files = objects.get("Secret", "pacs-isocenter-rpc")["data"]
    for name, content in files.items():
        (tmp_path / name).write_bytes(base64.b64decode(content))
    made = Tls(tmp_path / "ca.crt", tmp_path / "tls.crt", tmp_path / "tls.key", "rpc").read()
    assert shown(made.certificate).names == ("*.imaging.svc.cluster.local",)
    verified = ("verify", "-purpose", "sslclient", "-CAfile", "ca.crt", "tls.crt")
    subprocess.run(["openssl", *verified], cwd=tmp_path, check=True, capture_output=True)
    for pod in objects.pods():
        if not any(one["name"] == "rpc" for one in pod["spec"].get("volumes", ())):
            continue
        settings = load(config=settings_of(objects, pod, tmp_path))
        for tls in (settings.web.grpc_tls, *([settings.rpc.tls] if roles_of(pod) else ())):
            assert tls is not None
            assert {path.name for path in (tls.certificate, tls.key)} <= set(files)


def test_without_tls_the_settings_say_so(tmp_path: Path) -> None:
    objects = rendered.render(DEV, {"rpc": {"tls": {"enabled": False}}})
    for pod in objects.pods():
        if roles_of(pod):
            settings = load(config=settings_of(objects, pod, tmp_path))
            assert settings.rpc.insecure
            assert settings.rpc.tls is None
    assert not any(one["metadata"]["name"].endswith("-rpc") for one in objects.kind("Secret"))


def test_sites_have_a_gateway_a_service_and_a_label_of_their_own(
    everything: Rendered, tmp_path: Path
) -> None:
    for site, title in (("north", "ISO_NORTH"), ("south", "ISO_SOUTH")):
        service = everything.get("Service", f"pacs-isocenter-dicom-{site}")
        (pod,) = everything.selected(service["spec"]["selector"])
        settings = load(config=settings_of(everything, pod, tmp_path))
        assert (settings.site, settings.gateway.ae_title) == (site, title)
        assert all("nodePort" not in one for one in service["spec"]["ports"])
    (pod,) = everything.selected(
        everything.get("Service", "pacs-isocenter-dicom")["spec"]["selector"]
    )
    settings = load(config=settings_of(everything, pod, tmp_path))
    assert (settings.site, settings.gateway.ae_title) == ("", "ISOCENTER")


def test_a_release_may_have_gateways_of_sites_alone() -> None:
    objects = rendered.render(PROFILES / "network.yaml", {"deployments": {"gateway": None}})
    (pod,) = objects.kind("Pod")
    assert (
        "dicom://ISO_NORTH@pacs-isocenter-dicom-north:11112" in pod["spec"]["containers"][0]["args"]
    )
    services = [one["metadata"]["name"] for one in objects.kind("Service")]
    assert "pacs-isocenter-dicom" not in services


def test_the_chart_tests_itself_at_addresses_that_are_there(objects: Rendered) -> None:
    (pod,) = objects.kind("Pod")
    verb, *arguments = pod["spec"]["containers"][0]["args"]
    assert verb == "probe"
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    for option, pattern in (
        ("--dicom", r"dicom://[A-Z_]+@([a-z-]+):(\d+)"),
        ("--web", r"http://([a-z-]+):(\d+)/dicomweb"),
    ):
        found = re.fullmatch(pattern, options[option])
        assert found, options[option]
        service = objects.get("Service", found[1])
        assert int(found[2]) in [one["port"] for one in service["spec"]["ports"]]


def test_preparation_comes_before_everything_else(objects: Rendered) -> None:
    jobs = objects.kind("Job")
    waiting = [one for pod in objects.pods() for one in pod["spec"].get("initContainers", [])]
    prepared = [one for one in waiting if one["name"] == "prepare"]
    embedded = not any(roles_of(pod) for pod in objects.pods())
    servers = bool(objects.kind("StatefulSet"))
    assert len(jobs) == (0 if embedded or servers else 1)
    assert len(prepared) == (len(objects.kind("Deployment")) if servers else 0)
    for container in [
        *(one["spec"]["template"]["spec"]["containers"][0] for one in jobs),
        *prepared,
    ]:
        assert container["args"][:2] == ["check", "--prepare"]
    for job in jobs:
        mark = job["metadata"]["annotations"]
        assert mark["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert mark["helm.sh/hook-output-log-policy"] == "hook-failed"
        spec = job["spec"]
        assert spec["activeDeadlineSeconds"] > spec["backoffLimit"]
        config = objects.get("ConfigMap", job["metadata"]["name"])["metadata"]["annotations"]
        assert config["helm.sh/hook"] == mark["helm.sh/hook"]
        assert int(config["helm.sh/hook-weight"]) < int(mark["helm.sh/hook-weight"])


# --- scaling -------------------------------------------------------------------------------------


def test_scalers_look_at_metrics_and_groups_that_are_there(everything: Rendered) -> None:
    known = {one.name.replace(".", "_") for one in METRICS}
    network = rendered.render(*SHAPES["network"])
    named = {
        metric[kind]["metric"]["name"]
        for one in [
            *everything.kind("HorizontalPodAutoscaler"),
            *network.kind("HorizontalPodAutoscaler"),
        ]
        for metric in one["spec"]["metrics"]
        for kind in ("pods", "external")
        if kind in metric
    }
    assert "isocenter_log_lag" in named
    assert named <= known
    scaled = {one["metadata"]["name"]: one for one in everything.kind("ScaledObject")}
    assert scaled.keys() == {"pacs-isocenter-indexing", "pacs-isocenter-audit"}
    scaled_again = {one["metadata"]["name"] for one in everything.kind("HorizontalPodAutoscaler")}
    assert not scaled.keys() & scaled_again, "two scalers of one deployment"


def test_lag_is_that_of_the_groups_that_consume(everything: Rendered) -> None:
    """Both KEDA's and that of the adapter of external metrics."""
    from isocenter.adapters.bus.kafka.client import Connection
    from isocenter.adapters.index.elasticsearch.schema import feed
    from isocenter.adapters.settings import KafkaSettings
    from isocenter.audit.consumer import GROUP, TOPIC_AUDIT
    from isocenter.core.events import TOPIC_INSTANCES

    external = {
        metric["external"]["metric"]["selector"]["matchLabels"]["group"]
        for one in rendered.render(*SHAPES["network"]).kind("HorizontalPodAutoscaler")
        for metric in one["spec"]["metrics"]
        if "external" in metric
    }
    assert external
    assert external <= {feed(), GROUP}
    client = Connection.of("kafka://kafka:9092", KafkaSettings())
    for name, group, topic in (
        ("indexing", feed(), TOPIC_INSTANCES),
        ("audit", GROUP, TOPIC_AUDIT),
    ):
        triggers = everything.get("ScaledObject", f"pacs-isocenter-{name}")["spec"]["triggers"]
        (kafka,) = [one["metadata"] for one in triggers if one["type"] == "kafka"]
        assert kafka["consumerGroup"] == client.group(group)
        assert kafka["topic"] == client.topic(topic)
        assert kafka["tls"] == "enable"
        assert kafka["sasl"] == "scram_sha512"


def test_dev_servers_are_those_of_the_compose_file() -> None:
    compose = yaml.safe_load((rendered.ROOT / "infra/compose/compose.yaml").read_text())
    wanted = {one["image"].removeprefix("docker.io/") for one in compose["services"].values()}
    objects = rendered.render(*SHAPES["small on its own servers"])
    images = {
        one["spec"]["template"]["spec"]["containers"][0]["image"].removeprefix("docker.io/")
        for one in objects.kind("StatefulSet")
    }
    assert images == wanted
