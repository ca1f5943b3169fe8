"""Whoever is called: one HTTP server that takes pages and Alertmanager's notifications, and notes when."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receivers:
    """Listens on a free port; each path is a receiver of its own."""

    def __init__(self) -> None:
        self._heard: dict[str, list[tuple[float, dict[str, Any]]]] = defaultdict(list)
        heard = self._heard

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                heard[self.path.strip("/")].append((time.monotonic(), body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def address(self, name: str) -> str:
        """Return host, port and path of a receiver."""
        return f"127.0.0.1:{self._server.server_port}/{name}"

    def pages(self, about: str) -> list[float]:
        """Return when pages came that speak of something."""
        return [at for at, body in self._heard["page"] if about in json.dumps(body)]

    def runbooks(self, receiver: str) -> set[str]:
        """Return the links to runbooks that a receiver was told."""
        return {
            alert["annotations"]["runbook_url"] for _, body in self._heard[receiver] for alert in body["alerts"]
        }

    def alerts(self, receiver: str, name: str, **labels: str) -> list[float]:
        """Return when Alertmanager told a receiver that an alert fires."""
        wanted = {"alertname": name, **labels}.items()
        return [
            at
            for at, body in self._heard[receiver]
            for alert in body["alerts"]
            if alert["status"] == "firing" and wanted <= alert["labels"].items()
        ]

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
