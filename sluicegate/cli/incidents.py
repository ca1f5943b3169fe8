"""`sluicegate incidents`: what a person was paged about."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from sluicegate.cli import session
from sluicegate.cli.console import AsJson, complain, examples, instant, say, say_json, show_fields, show_table

if TYPE_CHECKING:
    from sluicegate.domain.records import Incident

IncidentId = Annotated[int, typer.Argument(metavar="ID", help="From `incidents list`.")]

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
            f"{item.pages} times" if item.pages else "yes" if item.paged_at else "no",
            _state(item),
            f"{item.title}\n{item.fix}",
        )
        for item in found
    ]
    columns = ("id", "severity", "opened", "met", "paged", "state", "what and what to do")
    show_table(f"{len(found)} incidents", columns, rows, ids=("id", "severity", "opened"))


def _state(incident: Incident) -> str:
    if incident.resolved_at is not None:
        return "resolved"
    if incident.acked_at is None:
        return "open"
    return f"acked by {incident.acked_by}" if incident.acked_by else "acked"


@app.command(epilog=examples("sluicegate incidents show 3"))
def show(incident_id: IncidentId, as_json: AsJson = False) -> None:
    """Show everything about an incident: what happened, what to do, who was told, who takes care."""
    from sluicegate.cli.views import incident_document

    incident = _required(session.container().ledger.incident(incident_id), incident_id)
    if as_json:
        say_json(incident_document(incident))
        return
    acked = f"{instant(incident.acked_at)} by {incident.acked_by or 'somebody'}" if incident.acked_at else ""
    failures = f", {incident.page_failures} in a row failed" if incident.page_failures else ""
    show_fields(
        [
            ("incident", str(incident.incident_id)),
            ("severity", incident.severity.value),
            ("title", incident.title),
            ("detail", incident.detail),
            ("fix", incident.fix),
            ("key", incident.key),
            ("opened", instant(incident.opened_at)),
            ("last met", f"{instant(incident.last_seen_at)}, {incident.count} times"),
            ("pages", f"{incident.pages} delivered{failures}"),
            ("last page", instant(incident.paged_at)),
            ("next page", instant(incident.page_at)),
            ("acked", acked),
            ("note", incident.ack_note),
            ("resolved", instant(incident.resolved_at)),
        ]
    )


@app.command(epilog=examples("sluicegate incidents ack 3", 'sluicegate incidents ack 3 --by ann --note "new key"'))
def ack(
    incident_id: IncidentId,
    by: Annotated[str, typer.Option(help="Who takes care; by default the user of this shell.")] = "",
    note: Annotated[str, typer.Option(help="For the others.")] = "",
    as_json: AsJson = False,
) -> None:
    """Acknowledge an incident: somebody takes care of it, so it is paged no more until it is over."""
    from sluicegate.cli.views import incident_document

    opened = session.container()
    found = opened.ledger.ack_incident(incident_id, opened.clock.now(), by=by or _user(), note=note)
    incident = _required(found, incident_id)
    if as_json:
        say_json(incident_document(incident))
    else:
        say(f"incident {incident_id} acknowledged by {incident.acked_by or 'somebody'}: {incident.title}")


@app.command(epilog=examples("sluicegate incidents resolve 3"))
def resolve(incident_id: IncidentId, as_json: AsJson = False) -> None:
    """Say that an incident is over; if its problem is met again, a new one opens and pages.

    Halts end by themselves: `sluicegate accounts resume` closes their incident.
    """
    from sluicegate.cli.views import incident_document

    opened = session.container()
    incident = _required(opened.ledger.incident(incident_id), incident_id)
    if incident.resolved_at is None:
        opened.ledger.resolve_incident(incident.key, opened.clock.now())
        incident = _required(opened.ledger.incident(incident_id), incident_id)
    if as_json:
        say_json(incident_document(incident))
    else:
        say(f"incident {incident_id} is over: {incident.title}")


def _required(incident: Incident | None, incident_id: int) -> Incident:
    if incident is None:
        complain(f"there is no incident {incident_id}; see: sluicegate incidents list --all")
        raise typer.Exit(1)
    return incident


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return ""
