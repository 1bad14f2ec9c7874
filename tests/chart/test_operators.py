"""The manifests for operators are read by the operators' own types, and fit each other, the chart's
values and what Isocenter asks of its servers."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from support import rendered

ROOT = Path(__file__).parents[2]
OPERATORS = ROOT / "infra/operators"
CHART = ROOT / "charts/isocenter"
CHECK = OPERATORS / "check/check.sh"
VALUES = yaml.safe_load((OPERATORS / "values.yaml").read_text(encoding="utf-8"))
NATIVE = {"Secret", "Job", "ConfigMap"}


def manifests(folder: str) -> list[dict[str, Any]]:
    return [
        one
        for path in sorted((OPERATORS / folder).glob("*.yaml"))
        if path.name != "kustomization.yaml"
        for one in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]


EVERY = [one for folder in ("strimzi", "eck", "minio") for one in manifests(folder)]


def one_of(kind: str) -> dict[str, Any]:
    (found,) = [one for one in EVERY if one["kind"] == kind]
    return found


def check(kind: str, *files: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CHECK, kind, *files], capture_output=True, text=True, check=False, timeout=600
    )


# --- the operators' types ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_strimzi_knows_every_field(tmp_path: Path) -> None:
    files = sorted((OPERATORS / "strimzi").glob("*.yaml"))
    done = check("strimzi", *files)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(
        files[0].read_text(encoding="utf-8").replace("topologyKey: topo", "topoKey: topo")
    )
    refused = check("strimzi", wrong)
    assert refused.returncode != 0
    assert "topoKey" in refused.stdout + refused.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_eck_knows_every_field(tmp_path: Path) -> None:
    file = OPERATORS / "eck/elasticsearch.yaml"
    done = check("eck", file)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(file.read_text(encoding="utf-8").replace("fileRealm:", "fileRelm:"))
    refused = check("eck", wrong)
    assert refused.returncode != 0
    assert "fileRelm" in refused.stdout + refused.stderr


@pytest.mark.parametrize("one", [o for o in EVERY if o["kind"] in NATIVE], ids=lambda o: o["kind"])
def test_objects_of_kubernetes_itself_are_valid(one: dict[str, Any]) -> None:
    kubernetes_validate.validate(one, "1.33", strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**one, "nonsense": True}, "1.33", strict=True)


# --- how they fit --------------------------------------------------------------------------------


def test_no_password_is_in_the_files() -> None:
    for secret in (one for one in EVERY if one["kind"] == "Secret"):
        assert set(secret["stringData"]) == {"roles.yml"}
    for path in OPERATORS.rglob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^[^#]*(?:password|secret-key)=", text, re.MULTILINE), path


def test_the_chart_reads_what_the_manifests_and_their_comments_make() -> None:
    told = "\n".join(path.read_text(encoding="utf-8") for path in OPERATORS.rglob("*.yaml"))
    made = {
        match[1]: set(re.findall(r"--from-(?:literal|file) ([\w.-]+)", match[2]))
        for match in re.finditer(r"create secret generic ([\w-]+)((?:\\\n|[^\n])*)", told)
    }
    by_operators = {  # documented names: CLUSTER-cluster-ca-cert, NAME-es-http-certs-public
        f"{one_of('Kafka')['metadata']['name']}-cluster-ca-cert": {"ca.crt"},
        f"{one_of('Elasticsearch')['metadata']['name']}-es-http-certs-public": {"ca.crt"},
    }
    known = {**made, **by_operators}
    kafka, search, objects = (VALUES[one] for one in ("kafka", "elasticsearch", "objectStore"))
    sasl, auth = kafka["sasl"], search["auth"]
    wanted = [
        (sasl["existingSecret"], {sasl["usernameKey"], sasl["passwordKey"]}),
        (auth["existingSecret"], {auth["usernameKey"], auth["passwordKey"]}),
        (objects["existingSecret"], {objects["accessKeyKey"], objects["secretKeyKey"]}),
        *((one["caSecret"]["name"], {one["caSecret"]["key"]}) for one in (kafka, search, objects)),
    ]
    for name, keys in wanted:
        assert keys <= known[name], name


def test_addresses_are_those_of_the_services_that_operators_make() -> None:
    (bootstrap,) = VALUES["kafka"]["bootstrap"]
    (listener,) = one_of("Kafka")["spec"]["kafka"]["listeners"]
    name = one_of("Kafka")["metadata"]["name"]
    assert bootstrap == f"{name}-kafka-bootstrap.isocenter.svc:{listener['port']}"
    assert listener["tls"]
    (host,) = VALUES["elasticsearch"]["hosts"]
    assert host == f"{one_of('Elasticsearch')['metadata']['name']}-es-http.isocenter.svc:9200"
    assert VALUES["objectStore"]["endpoint"] == "minio.isocenter.svc:443"
    assert one_of("Tenant")["spec"]["requestAutoCert"]


def test_rights_are_for_the_names_in_the_values() -> None:
    for rule in one_of("KafkaUser")["spec"]["authorization"]["acls"]:
        assert rule["resource"]["name"] == f"{VALUES['kafka']['namespace']}."
    role = yaml.safe_load(one_of("Secret")["stringData"]["roles.yml"])["isocenter"]
    (indices,) = role["indices"]
    assert indices["names"] == [f"{VALUES['elasticsearch']['prefix']}-*"]
    policy = json.loads((OPERATORS / "minio/policy.json").read_text(encoding="utf-8"))
    bucket = f"arn:aws:s3:::{VALUES['objectStore']['bucket']}"
    resources = [one for statement in policy["Statement"] for one in statement["Resource"]]
    assert resources == [bucket, f"{bucket}/*"]


def test_copies_are_in_different_zones_and_pods_have_bounds() -> None:
    pools = [one for one in EVERY if one["kind"] == "KafkaNodePool"]
    assert {pool["spec"]["replicas"] for pool in pools} == {3}
    for pool in pools:
        (spread,) = pool["spec"]["template"]["pod"]["topologySpreadConstraints"]
        labels = spread["labelSelector"]["matchLabels"]
        assert labels["strimzi.io/pool-name"] == pool["metadata"]["name"]
        assert labels["strimzi.io/cluster"] == pool["metadata"]["labels"]["strimzi.io/cluster"]
        assert labels["strimzi.io/cluster"] == one_of("Kafka")["metadata"]["name"]
    settings = one_of("Kafka")["spec"]["kafka"]["config"]
    assert settings["min.insync.replicas"] == VALUES["kafka"]["replicas"] - 1
    (nodes,) = one_of("Elasticsearch")["spec"]["nodeSets"]
    assert nodes["count"] > VALUES["elasticsearch"]["replicas"]
    bounded = [
        *(pool["spec"]["resources"] for pool in pools),
        nodes["podTemplate"]["spec"]["containers"][0]["resources"],
        *(pool["resources"] for pool in one_of("Tenant")["spec"]["pools"]),
        one_of("Job")["spec"]["template"]["spec"]["containers"][0]["resources"],
    ]
    assert all(one["limits"]["memory"] for one in bounded)


def test_the_search_server_is_of_the_clients_major_version() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    found = re.search(r"^elasticsearch==(\d+)\.", lock, re.MULTILINE)
    assert found is not None, "requirements.lock has no elasticsearch"
    assert one_of("Elasticsearch")["spec"]["version"].startswith(f"{found[1]}.")


def test_the_bucket_job_uses_what_the_kustomization_makes() -> None:
    text = (OPERATORS / "minio/kustomization.yaml").read_text(encoding="utf-8")
    kustomization = yaml.safe_load(text)
    assert all((OPERATORS / "minio" / name).is_file() for name in kustomization["resources"])
    (generated,) = kustomization["configMapGenerator"]
    assert all((OPERATORS / "minio" / name).is_file() for name in generated["files"])
    volumes = one_of("Job")["spec"]["template"]["spec"]["volumes"]
    assert {"name": generated["name"]} in [one.get("configMap") for one in volumes]
    script = one_of("Job")["spec"]["template"]["spec"]["containers"][0]["args"][0]
    subprocess.run(["sh", "-n", "-c", script], check=True)


def test_the_chart_takes_the_values() -> None:
    values = str(OPERATORS / "values.yaml")
    told = rendered.command("template", "isocenter", str(CHART), "--values", values)
    for text in (VALUES["kafka"]["bootstrap"][0], VALUES["elasticsearch"]["hosts"][0]):
        assert text in told
