"""The Kubernetes base agrees with itself, with docker-compose.yml and with the program. Nothing was applied."""

from __future__ import annotations

import copy
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluicegate.config import ExchangeSettings
from sluicegate.domain.orders import Category
from sluicegate.ratelimit.quotas import QuotaTable
from sluicegate.ratelimit.scopes import BybitQuotas
from tests.monitoring import binary
from tests.unit.ops.commands import parse
from tests.unit.ops.test_alerts import LABELS, metrics_of
from tests.unit.ops.test_compose import COMPOSE, SERVICES

FOLDER = Path(__file__).parents[3] / "ops/kubernetes/base"
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
POD: dict[str, Any] = yaml.safe_load((FOLDER / "pod.yaml").read_text())["spec"]["template"]["spec"]
OBJECTS: list[dict[str, Any]] = [
    found for name in KUSTOMIZATION["resources"] for found in yaml.safe_load_all((FOLDER / name).read_text())
]
APIS = {
    "Deployment": "apps/v1",
    "Job": "batch/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "PodMonitor": "monitoring.coreos.com/v1",
    "ScaledObject": "keda.sh/v1alpha1",
}
SERVICE_OF = {"worker": "worker", "cancels": "worker-cancels", "scheduler": "scheduler", "stream": "stream"}


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    """Return the objects of a kind by the name of their component."""
    return {
        found["metadata"]["name"].removeprefix("sluicegate-"): found for found in OBJECTS if found["kind"] == kind
    }


def labels_of(deployment: dict[str, Any]) -> dict[str, str]:
    """Return the labels of a Deployment's pods."""
    found: dict[str, str] = deployment["spec"]["template"]["metadata"]["labels"]
    return found


def replicas(name: str) -> int:
    """Return how many pods of a Deployment there are at least; its own number, or its scaler's."""
    scalers = of_kind("ScaledObject")
    counts = [scalers[name]["spec"]["minReplicaCount"]] if name in scalers else []
    counts += [DEPLOYMENTS[name]["spec"]["replicas"]] if "replicas" in DEPLOYMENTS[name]["spec"] else []
    [count] = counts  # one of them, or they would undo each other
    return int(count)


DEPLOYMENTS = of_kind("Deployment")
each_deployment = pytest.mark.parametrize("name", sorted(SERVICE_OF))


def test_kustomization_names_every_file() -> None:
    """No file is forgotten, none is missing; each object has the API of its kind."""
    named = {
        *KUSTOMIZATION["resources"],
        *(patch["path"] for patch in KUSTOMIZATION["patches"] if "path" in patch),
        "kustomization.yaml",
    }
    assert named == {path.name for path in FOLDER.iterdir()}
    assert APIS == {found["kind"]: found["apiVersion"] for found in OBJECTS}
    assert len(OBJECTS) == len({(found["kind"], found["metadata"]["name"]) for found in OBJECTS})


def test_every_process_of_compose_is_deployed() -> None:
    """A service that docker-compose.yml keeps running with metrics has its Deployment."""
    kept = {name for name, service in SERVICES.items() if "9100" in map(str, service.get("command", []))}
    assert kept == set(SERVICE_OF.values())
    assert set(SERVICE_OF) == set(DEPLOYMENTS)


@each_deployment
def test_deployment_runs_what_compose_runs(name: str) -> None:
    """The same command, understood by the program, and as many replicas."""
    [container] = DEPLOYMENTS[name]["spec"]["template"]["spec"]["containers"]
    service = SERVICES[SERVICE_OF[name]]
    assert container["args"] == service["command"]
    assert parse(list(container["args"]))
    assert replicas(name) == service["deploy"]["replicas"] or name == "cancels"


def secret_files(volume: dict[str, Any]) -> set[str]:
    """Return the files that a volume shows, of the secrets that the commands of ops/README.md make."""
    readme = (FOLDER.parents[1] / "README.md").read_text()
    made = {
        name: set(re.findall(r"--from-file=ops/secrets/(\S+)", files))
        for name, files in re.findall(r"create secret generic (\S+) (.+)", readme)
    }
    sources = [source["secret"]["name"] for source in volume.get("projected", {}).get("sources", [])]
    return set().union(*(made[name] for name in sources or [volume["secret"]["secretName"]]))


@each_deployment
def test_pod_is_given_the_secrets_that_compose_gives_and_no_other(name: str) -> None:
    """Only workers for orders know what producers sign with; the migration knows no key."""
    assert secret_files(laid_over(name)["volumes"][0]) == set(SERVICES[SERVICE_OF[name]]["secrets"])
    job = of_kind("Job")["migrate"]["spec"]["template"]["spec"]
    assert secret_files(job["volumes"][0]) == set(SERVICES["migrate"]["secrets"])


def laid_over(name: str) -> dict[str, Any]:
    """Return what all pods have in common, with the operations that kustomization.yaml adds for one Deployment."""
    pod: dict[str, Any] = copy.deepcopy(POD)
    for patch in KUSTOMIZATION["patches"]:
        if patch["target"].get("name") == f"sluicegate-{name}":
            [operation] = yaml.safe_load(patch["patch"])
            assert ("add", "/spec/template/spec/volumes/0/projected/sources/-") == (
                operation["op"],
                operation["path"],
            )
            pod["volumes"][0]["projected"]["sources"].append(operation["value"])
    return pod


@each_deployment
def test_selectors_find_the_pods(name: str) -> None:
    """Deployment and disruption budget select this Deployment's pods and no other's."""
    labels = labels_of(DEPLOYMENTS[name])
    for owner in (DEPLOYMENTS[name], of_kind("PodDisruptionBudget")[name]):
        wanted = owner["spec"]["selector"]["matchLabels"].items()
        found = [other for other in DEPLOYMENTS if wanted <= labels_of(DEPLOYMENTS[other]).items()]
        assert [name] == found
    assert labels.keys() >= {"app.kubernetes.io/part-of"}


@each_deployment
def test_budget_leaves_one_pod_and_lets_one_go(name: str) -> None:
    """A node can be drained: one pod must stay, and there are more than one."""
    assert 1 == of_kind("PodDisruptionBudget")[name]["spec"]["minAvailable"]
    assert replicas(name) > 1


def test_pods_are_found_by_prometheus_under_the_jobs_of_the_alerts() -> None:
    """The monitor's port exists, its selector finds every Deployment, and the job is the name that alerts use."""
    spec = of_kind("PodMonitor")["sluicegate"]["spec"]
    [endpoint] = spec["podMetricsEndpoints"]
    [container] = POD["containers"]
    assert endpoint["port"] in [port["name"] for port in container["ports"]]
    jobs = set()
    for deployment in DEPLOYMENTS.values():
        assert spec["selector"]["matchLabels"].items() <= labels_of(deployment).items()
        jobs.add(labels_of(deployment)[spec["jobLabel"]])
    config = yaml.safe_load((FOLDER.parents[1] / "prometheus/prometheus.yml").read_text())
    assert jobs == {job["job_name"] for job in config["scrape_configs"]} - {"flower", "alertmanager"}


def test_pod_has_time_to_finish_a_request() -> None:
    """A graceful stop outlives a request and its lease, here and in docker-compose.yml."""
    exchange = ExchangeSettings()
    longest_s = exchange.lease_s + exchange.connect_timeout_s + exchange.read_timeout_s
    assert POD["terminationGracePeriodSeconds"] > longest_s
    assert float(SERVICES["worker"]["stop_grace_period"].removesuffix("s")) > longest_s


def test_pod_is_what_the_container_of_compose_is() -> None:
    """Image, user, variables, mounts and hardening are the same; the migration's pod has them too."""
    service = SERVICES["worker"]
    job = of_kind("Job")["migrate"]["spec"]["template"]["spec"]
    for pod in (POD, job):
        [container] = pod["containers"]
        assert service["image"] == container["image"]
        assert service["user"] == f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        security = container["securityContext"]
        assert (True, False) == (security["readOnlyRootFilesystem"], security["allowPrivilegeEscalation"])
        assert ["ALL"] == security["capabilities"]["drop"]
        variables = {entry["name"]: entry["value"] for entry in container["env"]}
        assert variables.items() <= service["environment"].items()
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert set(mounts) == {volume["name"] for volume in pod["volumes"]}
        assert {"/run/secrets", "/var/lib/sluicegate", "/tmp"} == set(mounts.values())
    assert SERVICES["migrate"]["command"] == job["containers"][0]["args"]
    assert "sluicegate.toml" in COMPOSE["secrets"]


def test_workers_are_scaled_by_queries_that_prometheus_reads(tmp_path: Path) -> None:
    """The scaled Deployment exists, the formula uses the triggers, and the queries are PromQL over our metrics."""
    spec = of_kind("ScaledObject")["worker"]["spec"]
    assert spec["scaleTargetRef"]["name"] == DEPLOYMENTS["worker"]["metadata"]["name"]
    formula = spec["advanced"]["scalingModifiers"]["formula"]
    assert {trigger["name"] for trigger in spec["triggers"]} == set(re.findall(r"[a-z]+", formula))
    queries = [trigger["metadata"]["query"] for trigger in spec["triggers"]]
    for query in queries:
        assert metrics_of(query.replace(" on (bucket)", "")) <= set(LABELS)
    rules = [{"record": f"scaling:query:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "scaling", "rules": rules}]}))
    done = subprocess.run(
        [binary("promtool"), "check", "rules", file], capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stdout + done.stderr


def test_saturation_is_asked_of_the_buckets_that_orders_spend_from() -> None:
    """The pattern fits the names that requests for orders draw from, and not those of queries or of the IP."""
    spec = of_kind("ScaledObject")["worker"]["spec"]
    [query] = [trigger["metadata"]["query"] for trigger in spec["triggers"] if trigger["name"] == "used"]
    [pattern] = re.findall(r'bucket=~"([^"]+)"', query)
    quotas = BybitQuotas(QuotaTable.load(), {}, "default")

    def fits(path: str) -> list[bool]:
        specs = quotas.specs("main", "1001", path, Category.LINEAR)
        return [re.fullmatch(pattern, bucket.name) is not None for bucket in specs]

    assert [True, False] == fits("/v5/order/create")
    assert [True, False] == fits("/v5/order/create-batch")
    assert [False, False] == fits("/v5/order/realtime")
