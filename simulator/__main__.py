"""Run the exchange: `python -m simulator --port 8080`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from simulator.config import BadConfig, Config, read_config
from simulator.exchange import Exchange
from simulator.server import Application, ExposedProtocol
from simulator.sockets.connection import ExposedSocket

_EXAMPLES = """\
examples:
  python -m simulator --port 8080
  python -m simulator --port 0                     any free port; the address is printed
  python -m simulator --port 8080 --config sim.toml

keys: sim-key-1001 ... sim-key-1010 with secrets sim-secret-1001 ... sim-secret-1010
look:  curl http://127.0.0.1:8080/simulator/stats
break: curl -X POST http://127.0.0.1:8080/simulator/faults -d '{"fault":"drop_after","count":1}'
Everything else is in docs/simulator.md.
"""


class _Server(uvicorn.Server):
    """uvicorn, saying on stdout when it is ready and leaving signals to us."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for bound in sockets or []:
            host, port = bound.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            print(f"simulator listening on http://{shown}:{port}", flush=True)  # noqa: T201 - the promised line

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT.

    Returns:
        0 after a clean stop, 1 if the address is taken, 2 on bad usage or configuration.
    """
    options = _parser().parse_args(arguments)
    try:
        config = read_config(options.config) if options.config else Config()
    except BadConfig as error:
        return _complain(str(error), 2)
    try:
        listener = _listen(options.host, options.port)
    except OSError as error:
        return _complain(f"cannot listen on {options.host}:{options.port}: {error.strerror}; try --port 0", 1)
    # A million orders make full collections long; few of them find anything, so they are made rare.
    gc.set_threshold(50_000, 20, 100)
    server = uvicorn.Config(
        "unused",
        http=ExposedProtocol,
        loop="auto",
        lifespan="off",
        ws=ExposedSocket,
        ws_max_size=1_000_000,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        date_header=True,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    loop_factory = server.get_loop_factory()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_serve(server, config, listener))
    return 0


async def _serve(server_config: uvicorn.Config, config: Config, listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()

    def later(step: Callable[[], None]) -> None:
        if exchange.match_delay_ms:
            loop.call_later(exchange.match_delay_ms / 1000, step)
        else:
            loop.call_soon(step)

    exchange = Exchange(config, later)
    server_config.app = Application(exchange)
    server = _Server(server_config)

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await server.serve(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulator",
        description="A Bybit V5 exchange that runs offline, with faults on demand.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, required=True, help="TCP port; 0 picks a free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML: accounts, keys, prices, limits, delays")
    return parser


def _complain(message: str, status: int) -> int:
    print(f"simulator: {message}", file=sys.stderr)  # noqa: T201 - errors of a command go to stderr
    return status


if __name__ == "__main__":
    sys.exit(main())
