"""TLS in front of any server on loopback: ends TLS, and passes the bytes on in the clear."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import Self

_PIECE = 65536


class TlsTerminal:
    """Listens with a certificate on a free port of 127.0.0.1.

    Args:
        context: the server's side of TLS.
        port: the plain server behind it.
    """

    def __init__(self, context: ssl.SSLContext, port: int) -> None:
        self._context = context
        self._behind = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                raw, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        """Shake hands, then pump both ways; either end may close."""
        with (
            raw,
            contextlib.suppress(OSError),  # a client that refuses the certificate just leaves
            self._context.wrap_socket(raw, server_side=True) as near,
            socket.create_connection(("127.0.0.1", self._behind)) as far,
        ):
            back = threading.Thread(target=_pump, args=(far, near), daemon=True)
            back.start()
            _pump(near, far)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE):
            sink.sendall(piece)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
