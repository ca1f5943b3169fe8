"""Migrations make the tables that the code expects, once, whoever runs them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from ledger_databases import Database
from sqlalchemy import CheckConstraint, Engine, inspect, text

from sluicegate.domain.errors import ConfigurationError
from sluicegate.ledger import schema
from sluicegate.ledger.engine import create_ledger_engine
from sluicegate.ledger.tables import METADATA, ORDERS


def test_migrated_schema_equals_the_tables_of_the_code(engine: Engine) -> None:
    """There is nothing left to migrate."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_migrated_constraints_have_the_names_of_the_code(engine: Engine) -> None:
    """Names lead from a refused write to what it means; a comparison by Alembic does not look at all of them."""
    inspector = inspect(engine)
    for table in METADATA.tables.values():
        assert inspector.get_pk_constraint(table.name)["name"] == table.primary_key.name
    (ours,) = [c for c in ORDERS.constraints if isinstance(c, CheckConstraint)]
    (theirs,) = inspector.get_check_constraints("orders")
    assert theirs["name"] == ours.name
    assert sorted(word for word in theirs["sqltext"].split("'") if word.isalpha()) == sorted(
        word for word in str(ours.sqltext).split("'") if word.isalpha()
    )


def test_upgrade_leads_from_nothing_to_head(database: Database) -> None:
    """A new ledger has no revision; after the upgrade it is at head, and upgrading again changes nothing."""
    url = database.fresh()

    assert schema.current(url) is None
    with pytest.raises(ConfigurationError, match="sluicegate db upgrade"):
        schema.check(url)
    schema.upgrade(url)
    schema.upgrade(url)

    assert schema.current(url) == schema.head()
    schema.check(url)


def test_upgrade_by_several_at_once_is_safe(database: Database) -> None:
    """Of several that upgrade at once one works and the others find it done."""
    url = database.fresh()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(schema.upgrade, [url] * 4))
    schema.check(url)


def test_unknown_revision_asks_for_the_newer_program(database: Database) -> None:
    """An old program does not work on a newer schema, and does not touch it."""
    url = database.fresh()
    schema.upgrade(url)
    engine = create_ledger_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()

    for action in (schema.check, schema.upgrade):
        with pytest.raises(ConfigurationError, match="newer Sluicegate"):
            action(url)
    assert schema.current(url) == "9999"


def test_current_of_missing_sqlite_file_makes_none(tmp_path: object) -> None:
    """Looking leaves no file behind."""
    assert schema.current(f"sqlite:///{tmp_path}/missing/ledger.db") is None
    assert list(tmp_path.iterdir()) == []  # type: ignore[attr-defined]


def test_failed_upgrade_leaves_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade happens whole or not at all."""
    url = database.fresh()
    engine = create_ledger_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE accounts (name VARCHAR)"))  # in the way of the last table

    with pytest.raises(Exception, match="accounts"):
        schema.upgrade(url)

    assert inspect(engine).get_table_names() == ["accounts"]
    engine.dispose()
