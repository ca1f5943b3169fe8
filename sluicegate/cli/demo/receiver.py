"""Someone to page: a webhook on this machine that keeps what it is told."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class PageReceiver:
    """Receives pages over HTTP. Use it as a context.

    Attributes:
        pages: what came, in order.
    """

    def __init__(self) -> None:
        self.pages: list[dict[str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.pages))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    @property
    def url(self) -> str:
        """Return the address to post to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/pages"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(pages: list[dict[str, Any]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            pages.append(json.loads(body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *_arguments: Any) -> None:  # noqa: A002 - the base class's name
            """Keep quiet; the demo shows the pages itself."""

    return Handler
