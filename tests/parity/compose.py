"""What docker-compose.yml says, translated for one host: service names to ports, mounted paths to folders."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.rig import free_port

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "ops/docker/Dockerfile").read_text()
PORTS = {"simulator": 8800, "flower": 5555, "valkey": 6379, "prometheus": 9090, "alertmanager": 9093}
METRICS_PORT = 9100
BIN = Path(sys.executable).parent


def is_ours(service: str) -> bool:
    """Tell whether a service runs our image."""
    return "build" in SERVICES[service]


def has_metrics(service: str) -> bool:
    """Tell whether a service serves `/metrics` on the port of all our processes."""
    return str(METRICS_PORT) in map(str, SERVICES[service].get("command", []))


@dataclass(frozen=True)
class Place:
    """One replica of a service."""

    service: str
    number: int = 1

    @property
    def name(self) -> str:
        """Return its name, as Compose gives it to the container."""
        return f"{self.service}-{self.number}"


@dataclass
class Translation:
    """Finds a port for every replica and a folder for every mount.

    Args:
        home: everything is written below.
        replicas: how many of a service run, as `--scale` says; otherwise as many as the file says.
        keys: files of further accounts, which a person names beside `main_api_key`.
    """

    home: Path
    replicas: Mapping[str, int]
    postgres_port: int
    keys: Sequence[str] = ()
    _ports: dict[Place, int] = field(default_factory=dict)

    @property
    def secrets(self) -> Path:
        """Return the folder that is `ops/secrets` of a host."""
        return self.home / "secrets"

    def mounted(self, place: Place) -> Path:
        """Return the folder that is `/run/secrets` for a replica: the secrets of its service, and no other."""
        folder = self.home / "mounted" / place.name
        if not folder.exists():
            folder.mkdir(parents=True)
            names = SERVICES[place.service].get("secrets", [])
            for name in (*names, *(self.keys if "main_api_key" in names else ())):
                (folder / name).write_text(self.text(place, (self.secrets / name).read_text()))
        return folder

    def places(self, service: str) -> list[Place]:
        """Return the replicas of a service."""
        stated = SERVICES[service].get("deploy", {}).get("replicas", 1)
        return [Place(service, number + 1) for number in range(self.replicas.get(service, stated))]

    def port(self, place: Place) -> int:
        """Return the port on which a replica listens here."""
        if place not in self._ports:
            self._ports[place] = free_port()
        return self._ports[place]

    def volume(self, place: Place) -> Path:
        """Return the folder of a replica's own files."""
        folder = self.home / "var" / place.name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def text(self, place: Place, text: str) -> str:
        """Translate a text that a replica is given."""
        own = PORTS.get(place.service, METRICS_PORT)
        text = re.sub(rf"\b{own}\b", str(self.port(place)), text)
        for service, port in PORTS.items():
            text = text.replace(f"{service}:{port}", f"127.0.0.1:{self.port(Place(service))}")
        return (
            text.replace("@postgres/", f"@127.0.0.1:{self.postgres_port}/")
            .replace("/run/secrets", str(self.mounted(place)))
            .replace("/var/lib/sluicegate", str(self.volume(place)))
            .replace("0.0.0.0", "127.0.0.1")
            .replace("$$", "$")
        )

    def command(self, place: Place) -> list[str]:
        """Return the command line of a service of ours: entry point and command, as a container would start it."""
        service = SERVICES[place.service]
        words = [*service.get("entrypoint", dockerfile_entrypoint()), *service.get("command", [])]
        return [self.text(place, str(word)) for word in words]

    def environment(self, place: Place) -> dict[str, str]:
        """Return the whole environment of a service of ours: the image's and the file's, nothing of this shell."""
        stated = dockerfile_environment() | (SERVICES[place.service].get("environment") or {})
        own = {name: self.text(place, str(value)) for name, value in stated.items()}
        return own | {"PATH": f"{BIN}{os.pathsep}/usr/bin{os.pathsep}/bin", "HOME": str(self.volume(place))}

    def is_healthy(self, place: Place) -> bool:
        """Run the health check of a service of ours."""
        check = SERVICES[place.service].get("healthcheck")
        if check is None:
            return True
        assert check["test"][0] == "CMD"
        words = [self.text(place, str(word)) for word in check["test"][1:]]
        done = subprocess.run(words, env=self.environment(place), capture_output=True, timeout=30, check=False)
        return done.returncode == 0


def dockerfile_entrypoint() -> list[str]:
    """Return the entry point of our image."""
    [words] = re.findall(r"^ENTRYPOINT \[(.+)\]$", DOCKERFILE, re.MULTILINE)
    return [word.strip().strip('"') for word in words.split(",")]


@cache
def dockerfile_environment() -> dict[str, str]:
    """Return the variables of our image's last stage, but for PATH."""
    last = DOCKERFILE.split("\nFROM ")[-1].replace("\\\n", " ")
    [line] = re.findall(r"^ENV (.+)$", last, re.MULTILINE)
    variables = dict(word.split("=", 1) for word in line.split())
    del variables["PATH"]
    return variables
