"""docker-compose.yml says what the program understands. No container engine is needed, and none is used."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.generators.settings import variables
from sluicegate.config import PREFIX
from tests.unit.ops.commands import parse

ROOT = Path(__file__).parents[3]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
WITH_COMMANDS = [name for name in OURS if name != "simulator"]


def command_line(service: dict[str, Any]) -> list[str]:
    """Return the arguments after `sluicegate`: of the entry point's command, or of a line for the shell."""
    if "entrypoint" not in service:
        return list(service["command"])
    words = shlex.split(service["command"][0].replace("$$", "$"))
    return words[words.index("sluicegate") + 1 :]


def referenced_variables(service: dict[str, Any]) -> set[str]:
    """Return the variables of ours that a service sets, in its environment or in its shell line."""
    text = " ".join(map(str, service.get("command", [])))
    return {name for name in service.get("environment") or {} if name.startswith(PREFIX)} | set(
        re.findall(rf"\b({PREFIX}\w+)=", text)
    )


def test_compose_has_every_service_of_the_stack() -> None:
    """The services that the README speaks of are there, two schedulers among them."""
    expected = {
        *("valkey", "postgres", "migrate", "worker", "worker-cancels", "scheduler", "stream", "flower"),
        *("prometheus", "alertmanager", "grafana", "simulator"),
    }
    assert expected == set(SERVICES)
    assert 2 == SERVICES["scheduler"]["deploy"]["replicas"]
    monitoring = {"flower", "prometheus", "alertmanager", "grafana"}
    assert {"simulator": ["simulator"], **{name: ["monitoring"] for name in monitoring}} == {
        name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service
    }
    assert "COMPOSE_PROFILES=simulator,monitoring" in (ROOT / ".env").read_text().splitlines()


def test_compose_fits_the_schema() -> None:
    """The file is what the Compose specification allows; a misspelt key is not."""
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, str(ROOT / "docker-compose.yml")], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout


def test_schema_refuses_a_misspelt_key(tmp_path: Path) -> None:
    """The check above can fail."""
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text((ROOT / "docker-compose.yml").read_text().replace("read_only:", "readonly:", 1))
    assert 0 != subprocess.run([*check, str(wrong)], capture_output=True, check=False).returncode


def test_flower_is_scraped_below_its_prefix() -> None:
    """The path that Prometheus reads is the one that Flower serves."""
    config = yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text())
    [flower] = [job for job in config["scrape_configs"] if job["job_name"] == "flower"]
    line = command_line(SERVICES["flower"])
    assert flower["metrics_path"] == f"/{line[line.index('--url-prefix') + 1]}/metrics"


@pytest.mark.parametrize("name", WITH_COMMANDS)
def test_command_of_a_service_is_understood_by_the_program(name: str) -> None:
    """Each command exists and takes these options with these values."""
    expected = {"migrate": "db upgrade", "worker-cancels": "worker"}.get(name, name)
    assert expected == parse(command_line(SERVICES[name]))


def test_command_with_a_misspelt_option_would_fail_this_test() -> None:
    """The parser of these tests refuses what the program refuses."""
    with pytest.raises(Exception, match="No such option"):
        parse(["worker", "--metric-port", "9100"])


def test_simulator_service_is_understood_by_the_simulator() -> None:
    """The simulator's arguments are its own."""
    from simulator.__main__ import _parser

    service = SERVICES["simulator"]
    assert ["python", "-m", "simulator"] == service["entrypoint"]
    assert 8800 == _parser().parse_args(service["command"]).port


@pytest.mark.parametrize("name", OURS)
def test_variable_of_a_service_is_a_setting(name: str) -> None:
    """A misspelt variable would be ignored in silence; here it is not."""
    unknown = {
        variable
        for variable in referenced_variables(SERVICES[name])
        if re.sub(r"(ACCOUNTS__)[^_]+(__)", r"\1NAME\2", variable) not in variables()
    }
    assert set() == unknown


def test_secrets_are_defined_used_and_written() -> None:
    """Every secret that a service reads is defined, every defined one is used and made by make_secrets."""
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert used == set(COMPOSE["secrets"])
    files = {Path(secret["file"]) for secret in COMPOSE["secrets"].values()}
    assert {Path("ops/secrets")} == {file.parent for file in files}
    mentioned = set(re.findall(r"/run/secrets/([\w.]+)", (ROOT / "docker-compose.yml").read_text()))
    mentioned |= set(
        re.findall(r"/run/secrets/([\w.]+)", (ROOT / "ops/alertmanager/alertmanager.yml").read_text())
    )
    mentioned |= set(re.findall(r"/run/secrets/([\w.]+)", (ROOT / "ops/docker/sluicegate.toml").read_text()))
    assert mentioned == used


def test_secret_of_the_intake_is_set_and_known_to_workers_for_orders_alone() -> None:
    """Who writes to the broker cannot therefore trade, and who reads another process's files cannot either."""
    settings = tomllib.loads((ROOT / "ops/docker/sluicegate.toml").read_text())
    assert "/run/secrets/intake_secret" == settings["intake"]["secret_file"]
    assert ["worker"] == [
        name for name, service in SERVICES.items() if "intake_secret" in service.get("secrets", [])
    ]


def test_images_are_pinned() -> None:
    """An image names a version to the last number, ours the version of this repository."""
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    for name, service in SERVICES.items():
        _image, _colon, tag = service["image"].partition(":")
        assert re.match(r"v?\d+\.\d+(\.\d+)?", tag), name
        if name in OURS:
            assert version[1] == tag
    stages = re.findall(r"^FROM (\S+)", (ROOT / "ops/docker/Dockerfile").read_text(), re.MULTILINE)
    assert ["python:3.11.17-slim"] * 2 == stages


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_service_is_hardened(name: str) -> None:
    """No root, a root file system that cannot be written, no capabilities, limits, no port open to the world."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert not str(service["user"]).startswith("0")
    assert ["ALL"] == service["cap_drop"]
    assert ["no-new-privileges:true"] == service["security_opt"]
    assert {"cpus", "memory"} == set(service["deploy"]["resources"]["limits"])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert ("healthcheck" in service) == (name != "migrate")


def test_broker_and_ledger_are_reachable_from_inside_only() -> None:
    """Valkey and PostgreSQL have no port and no network to the world; Valkey persists and never evicts."""
    assert COMPOSE["networks"]["inside"]["internal"] is True
    for name in ("valkey", "postgres"):
        assert ["inside"] == SERVICES[name]["networks"]
        assert "ports" not in SERVICES[name]
    command = SERVICES["valkey"]["command"]
    settings = dict(zip(command[1::2], command[2::2], strict=True))
    assert "noeviction" == settings["--maxmemory-policy"]
    assert "yes" == settings["--appendonly"]
    assert "/run/secrets/valkey_users.acl" == settings["--aclfile"]


def test_dockerfile_installs_the_lock_with_hashes_and_copies_what_exists() -> None:
    """The image holds the locked dependencies and this repository's packages, and runs as no one in particular."""
    text = (ROOT / "ops/docker/Dockerfile").read_text()
    assert "--no-deps --require-hashes -r requirements/run.lock" in text
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE) == ["10001:10001"]
    ignored = (ROOT / "ops/docker/Dockerfile.dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert f"!{source}" in ignored, source
