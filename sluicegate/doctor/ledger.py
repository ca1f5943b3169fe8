"""The ledger: reachable, at the right schema, on a server that keeps what it committed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy import text

from sluicegate.doctor.findings import Finding, error, ok, warning
from sluicegate.domain.errors import ConfigurationError, LedgerUnavailable
from sluicegate.ledger import schema
from sluicegate.ledger.engine import create_ledger_engine, parse_ledger_url
from sluicegate.ledger.failures import translated
from sluicegate.ports import Clock

LEDGER = "ledger"

OLDEST = 15
CLOCK_WARNING_S = 1.0


def check_ledger(address: str, clock: Clock) -> tuple[list[Finding], bool]:
    """Look at the database without writing anything.

    Args:
        address: its URL; never shown, for it may hold a password.
        clock: of this host.

    Returns:
        The findings, and whether the ledger can be read.
    """
    try:
        is_sqlite = parse_ledger_url(address).get_backend_name() == "sqlite"
        revision = schema.current(address)
        if is_sqlite and revision is None:
            return [ok(LEDGER, "", "SQLite; the first process makes the file")], False
        schema.check(address)
        found = [] if is_sqlite else [*_check_server(address, clock)]
    except ConfigurationError as e:
        return [_judge_schema(e)], False
    except LedgerUnavailable as e:
        return [
            error(
                LEDGER,
                "ledger_unreachable",
                "",
                str(e),
                cause="The database is down, its address or password is wrong, or a firewall is between.",
                fix="Start it; check ledger_url (SLUICEGATE_LEDGER_URL). No order is accepted until then.",
            )
        ], False
    kind = "SQLite, which serves one host" if is_sqlite else "PostgreSQL"
    return found or [ok(LEDGER, "", f"{kind}, schema {revision}")], True


def _judge_schema(problem: ConfigurationError) -> Finding:
    return error(
        LEDGER,
        "ledger_schema",
        "",
        str(problem),
        cause="The schema and this program are of different versions, or the URL is wrong.",
        fix="Stop nothing: run `sluicegate db upgrade` before the processes of the new version start.",
    )


def _check_server(address: str, clock: Clock) -> Iterator[Finding]:
    engine = create_ledger_engine(address)
    try:
        with translated(engine.url.password), engine.connect() as connection:
            settings = {
                name: str(connection.execute(text(f"SHOW {name}")).scalar_one())
                for name in ("server_version_num", "fsync", "synchronous_commit")
            }
            before = clock.now().timestamp()
            theirs = connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
            after = clock.now().timestamp()
    finally:
        engine.dispose()
    yield from judge_server(settings, float(theirs) - (before + after) / 2)


def judge_server(settings: Mapping[str, str], skew_s: float) -> Iterator[Finding]:
    """Judge what PostgreSQL says about itself."""
    major = int(settings["server_version_num"]) // 10_000
    if major < OLDEST:
        yield error(
            LEDGER,
            "ledger_too_old",
            "",
            f"the ledger is PostgreSQL {major}",
            cause="Only 15 and later are tested.",
            fix="Upgrade the server.",
        )
    careless = [name for name in ("fsync", "synchronous_commit") if settings[name] == "off"]
    if careless:
        yield warning(
            LEDGER,
            "ledger_may_forget",
            "",
            f"the ledger's server has {' and '.join(careless)} off",
            cause="After a crash it may forget a claim or an order that was accepted.",
            fix=f"Set {' and '.join(careless)} to on.",
        )
    if abs(skew_s) >= CLOCK_WARNING_S:
        side = "ahead of" if skew_s > 0 else "behind"
        yield warning(
            LEDGER,
            "ledger_clock_off",
            "",
            f"the ledger's clock is {abs(skew_s):.1f} s {side} this host's",
            cause="One of the two is not kept by NTP.",
            fix="Switch time synchronisation on, on both.",
        )
