"""Each process serves its own `/metrics`: one process with threads, one registry."""

from __future__ import annotations

import json
import os
from pathlib import Path

import structlog
from prometheus_client import ProcessCollector, start_http_server

from sluicegate.bootstrap import Container
from sluicegate.domain.errors import ConfigurationError

log = structlog.get_logger(__name__)


def serve(container: Container, name: str) -> str | None:
    """Serve the metrics of this process.

    Args:
        container: holds registry and settings.
        name: of the process; its address is noted in `HOME/run/NAME.json`.

    Returns:
        The URL; None when metrics are switched off.

    Raises:
        ConfigurationError: the port is taken.
    """
    worker = container.settings.worker
    if worker.metrics_port is None:
        return None
    ProcessCollector(registry=container.metrics.registry)  # memory, processor, start: `process_*`
    try:
        server, _thread = start_http_server(
            worker.metrics_port, worker.metrics_host, registry=container.metrics.registry
        )
    except OSError as e:
        raise ConfigurationError(
            f"worker.metrics_port: cannot listen on {worker.metrics_host}:{worker.metrics_port}: {e.strerror}. "
            f"Give each worker of a host its own port, or 0 for any free one."
        ) from e
    url = f"http://{worker.metrics_host}:{server.server_port}/metrics"
    _note(container.settings.home / "run", name, url)
    log.info("metrics_served", url=url)
    return url


def _note(folder: Path, name: str, url: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = {"pid": os.getpid(), "name": name, "metrics_url": url}
    (folder / f"{name}.json").write_text(json.dumps(content))
