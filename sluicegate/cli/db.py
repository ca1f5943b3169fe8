"""`sluicegate db`: the ledger's migrations."""

from __future__ import annotations

import typer

from sluicegate.cli import session
from sluicegate.cli.console import AsJson, examples, say, say_json

app = typer.Typer(no_args_is_help=True, help="The ledger's schema.")


@app.command(epilog=examples("sluicegate db upgrade"))
def upgrade(as_json: AsJson = False) -> None:
    """Bring the ledger's schema to the version that this program needs."""
    from sluicegate.ledger import schema

    address = session.settings().ledger_address
    before = schema.current(address)
    schema.upgrade(address)
    after = schema.current(address)
    if as_json:
        say_json({"before": before, "revision": after})
    else:
        say(f"the ledger is at {after}" + ("" if before == after else f" (was {before or 'empty'})"))


@app.command(epilog=examples("sluicegate db current"))
def current(as_json: AsJson = False) -> None:
    """Show the schema's version; exit 1 when it is not the one that this program needs."""
    from sluicegate.ledger import schema

    found, needed = schema.current(session.settings().ledger_address), schema.head()
    if as_json:
        say_json({"revision": found, "needed": needed, "is_current": found == needed})
    else:
        behind = "" if found == needed else f"; this program needs {needed}: run `sluicegate db upgrade`"
        say(f"the ledger is at {found or 'no schema yet'}{behind}")
    if found != needed:
        raise typer.Exit(1)
