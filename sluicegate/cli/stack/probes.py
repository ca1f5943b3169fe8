"""How to tell that a child does its work, and where it can be reached."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"


def free_port(preferred: int = 0) -> int:
    """Return a port that nobody listens on: the preferred one if it is free."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise OSError("there is no free port on 127.0.0.1")


def answers_ping(port: int) -> bool:
    """Tell whether a Redis or Valkey answers."""
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def answers_http(url: str) -> bool:
    """Tell whether an HTTP server answers, whatever it says."""
    try:
        with _OPENER.open(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def is_noted(path: Path, pid: int) -> bool:
    """Tell whether the process `pid` wrote its pid into a file."""
    try:
        return path.read_text().strip() == str(pid)
    except OSError:
        return False


def metrics_url(home: Path, name: str) -> str | None:
    """Return where a process serves its metrics, as it noted; None when it did not."""
    try:
        noted: dict[str, Any] = json.loads((home / "run" / f"{name}.json").read_text())
        return str(noted["metrics_url"])
    except (OSError, ValueError, KeyError):
        return None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Never through a proxy: everything here is on this machine."""


def fetch_json(url: str, body: Any = None) -> Any:
    """Get a JSON document, or post one.

    Raises:
        OSError: no answer, or a refusal.
    """
    return json.loads(fetch(url, None if body is None else json.dumps(body).encode()))


def fetch(url: str, body: bytes | None = None) -> str:
    """Get a page, or post to it.

    Raises:
        OSError: no answer, or a refusal.
    """
    request = urllib.request.Request(url, data=body)  # noqa: S310 - addresses of our own children
    with _OPENER.open(request, timeout=10) as answer:
        text: str = answer.read().decode()
    return text
