"""`sluicegate incidents`: what a person was paged about."""

from __future__ import annotations

from typing import Annotated

import typer

from sluicegate.cli import session
from sluicegate.cli.console import AsJson, complain, examples, instant, say, say_json, show_table

app = typer.Typer(no_args_is_help=True, help="What a person was paged about.")


@app.command("list", epilog=examples("sluicegate incidents list", "sluicegate incidents list --all --json"))
def list_(
    show_all: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List incidents, newest first."""
    from sluicegate.cli.views import incident_document

    found = session.container().ledger.incidents(only_open=not show_all, limit=limit)
    if as_json:
        say_json([incident_document(incident) for incident in found])
        return
    rows = [
        (
            str(item.incident_id),
            item.severity.value,
            instant(item.opened_at),
            str(item.count),
            "yes" if item.paged_at else "no",
            "resolved" if item.resolved_at else "acked" if item.acked_at else "open",
            f"{item.title}\n{item.fix}",
        )
        for item in found
    ]
    columns = ("id", "severity", "opened", "met", "paged", "state", "what and what to do")
    show_table(f"{len(found)} incidents", columns, rows, ids=("id", "severity", "opened"))


@app.command(epilog=examples("sluicegate incidents ack 3"))
def ack(
    incident_id: Annotated[int, typer.Argument(metavar="ID", help="From `incidents list`.")],
    as_json: AsJson = False,
) -> None:
    """Acknowledge an incident: somebody takes care of it."""
    from sluicegate.cli.views import incident_document

    opened = session.container()
    incident = opened.ledger.ack_incident(incident_id, opened.clock.now())
    if incident is None:
        complain(f"there is no incident {incident_id}; see: sluicegate incidents list --all")
        raise typer.Exit(1)
    if as_json:
        say_json(incident_document(incident))
    else:
        say(f"incident {incident_id} acknowledged: {incident.title}")
