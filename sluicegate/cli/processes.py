"""`sluicegate worker`, `scheduler`, `stream`, `flower`: one process each, for production."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from sluicegate.cli import session
from sluicegate.cli.console import examples

WORKER_EPILOG = examples(
    "sluicegate worker --name orders-1 --metrics-port 9101",
    "sluicegate worker --queue cancels --name cancels-1 --concurrency 8",
)
SCHEDULER_EPILOG = examples("sluicegate scheduler --name scheduler-1 --metrics-port 9110")
STREAM_EPILOG = examples(
    "sluicegate stream --name stream-1 --metrics-port 9120",
    "sluicegate stream --name stream-2 --metrics-port 9121    # takes over when the first one dies",
)
FLOWER_EPILOG = examples(
    "sluicegate flower --port 5555",
    "SLUICEGATE_FLOWER_AUTH=user:password sluicegate flower --address 0.0.0.0 --url-prefix flower",
)

TASK_COLUMNS = "name,uuid,state,kwargs,received,started,runtime,retries,worker"

NameOption = Annotated[str | None, typer.Option(help="Unique on this host; by default queue and pid.")]
MetricsOption = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Port of /metrics; 0 takes any free one (the default).")
]


def worker(
    queue: Annotated[
        str, typer.Option(help="`orders` or `cancels`; cancels never wait behind orders.")
    ] = "orders",
    name: NameOption = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=256, help="Threads; by default the setting.")
    ] = None,
    metrics_port: MetricsOption = None,
) -> None:
    """Run one worker until SIGTERM or Ctrl-C; it finishes what it has in hand."""
    from sluicegate.bootstrap import Container
    from workers.process import QUEUES_OF, run

    if queue not in QUEUES_OF:
        raise typer.BadParameter(f"--queue {queue}: must be one of {', '.join(QUEUES_OF)}")
    unique = _checked(name) or f"{queue}-{os.getpid()}"
    loaded = session.settings(**_overrides(metrics_port))
    _note_when_ready(loaded.home, unique)
    run(Container(loaded, "worker"), queue=queue, name=unique, concurrency=concurrency)


def scheduler(name: NameOption = None, metrics_port: MetricsOption = None) -> None:
    """Run one scheduler until SIGTERM or Ctrl-C. Several may run: one ticks, all work."""
    from scheduler.process import run
    from sluicegate.bootstrap import Container

    unique = _checked(name) or f"scheduler-{os.getpid()}"
    loaded = session.settings(**_overrides(metrics_port))
    _note_when_ready(loaded.home, unique)
    run(Container(loaded, "scheduler"), name=unique)


def stream(name: NameOption = None, metrics_port: MetricsOption = None) -> None:
    """Follow the private streams of all accounts until SIGTERM or Ctrl-C.

    Several may run: one holds an account, another takes over when it dies.
    """
    from sluicegate.bootstrap import Container
    from streams.process import run

    unique = _checked(name) or f"stream-{os.getpid()}"
    loaded = session.settings(**_overrides(metrics_port))
    run(Container(loaded, "stream"), name=unique, on_ready=lambda: _note_ready(loaded.home, unique))


def flower(
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port.")] = 5555,
    address: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    basic_auth: Annotated[
        str | None,
        typer.Option(
            envvar="SLUICEGATE_FLOWER_AUTH",
            show_envvar=True,
            help="USER:PASSWORD; without it pages are open to all who reach the port, and the API is closed.",
        ),
    ] = None,
    url_prefix: Annotated[
        str | None, typer.Option(help="Path under which a proxy serves Flower, without slashes around it.")
    ] = None,
    allow_control: Annotated[
        bool, typer.Option("--allow-control", help="Let pages revoke tasks and stop workers.")
    ] = False,
) -> None:
    """Run Flower, which shows workers and tasks, with the settings of Sluicegate."""
    from sluicegate.messages import create_app

    if os.environ.get("FLOWER_UNAUTHENTICATED_API"):  # stops workers and sends tasks for whoever reaches the port
        raise typer.BadParameter("unset FLOWER_UNAUTHENTICATED_API; use --basic-auth for Flower's API")
    if basic_auth is not None:
        if not re.fullmatch(r"[^:,]+:[^,]+", basic_auth):
            raise typer.BadParameter("--basic-auth: write USER:PASSWORD, without a comma")
        os.environ["FLOWER_BASIC_AUTH"] = basic_auth  # not an argument, where `ps` would show it
    create_app(session.settings()).start(
        [
            "--quiet",
            "flower",
            f"--port={port}",
            f"--address={address}",
            f"--tasks-columns={TASK_COLUMNS}",
            f"--read-only={not allow_control}",
            "--natural-time=False",
            *([f"--url-prefix={url_prefix}"] if url_prefix else []),
        ]
    )


def _overrides(metrics_port: int | None) -> dict[str, Any]:
    return {} if metrics_port is None else {"worker": {"metrics_port": metrics_port}}


def _checked(name: str | None) -> str | None:
    if name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise typer.BadParameter(f"--name {name}: letters, digits, dots, dashes and underscores only")
    return name


def ready_file(home: Path, name: str) -> Path:
    """Return the file in which a process notes its pid when it takes messages."""
    return home / "run" / f"{name}.ready"


def _note_ready(home: Path, name: str) -> None:
    path = ready_file(home, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(os.getpid()))


def _note_when_ready(home: Path, name: str) -> None:
    from celery import signals

    def note(**_arguments: Any) -> None:
        _note_ready(home, name)

    signals.worker_ready.connect(note, weak=False)
