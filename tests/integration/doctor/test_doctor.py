"""The doctor finds each planted fault, says what it is, and names the fix; a healthy set-up gets no remark."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from clinic import Clinic, broker, tls
from postgres_server import PostgresServer

from sluicegate import OrderRequest
from sluicegate.doctor.findings import Finding, Level
from sluicegate.domain.records import AccountRecord
from sluicegate.ledger import schema

ERROR, WARNING = Level.ERROR, Level.WARNING

Plant = Callable[[Clinic], "AbstractContextManager[object] | None"]


@dataclass(frozen=True)
class Fault:
    """Something that can be wrong.

    Attributes:
        plant: makes it so; may give what has to stay open during the examination.
        finding: `check.name` of the one finding that must come of it.
        fix: words that the fix must hold.
        exit_status: of the command.
    """

    plant: Plant
    finding: str
    level: Level
    fix: tuple[str, ...]
    exit_status: int = 1


def key(name: str, **account: Any) -> Plant:
    """Plant a key."""
    return lambda clinic: clinic.use_key(name, **account)


@contextmanager
def configured(clinic: Clinic, name: str, value: str) -> Iterator[None]:
    """Set one of the broker's settings for a while."""
    with broker(clinic.servers.broker_url) as client:
        before = client.config_get(name)[name]
        client.config_set(name, value)
        try:
            yield
        finally:
            client.config_set(name, before)


def evicting_broker(clinic: Clinic) -> AbstractContextManager[None]:
    """Let the broker throw keys away."""

    @contextmanager
    def both() -> Iterator[None]:
        with configured(clinic, "maxmemory", "200mb"), configured(clinic, "maxmemory-policy", "allkeys-lru"):
            yield

    return both()


@contextmanager
def other_certificate(clinic: Clinic, authority: trustme.CA, **certificate: Any) -> Iterator[None]:
    """Serve mainnet under another certificate."""
    with tls(authority, clinic.servers.mainnet_port, **certificate) as address:
        clinic.set("exchange", hosts=clinic.servers.hosts(mainnet=address))
        yield


def expired_bundle(clinic: Clinic) -> None:
    """Trust nobody but authorities of long ago."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.now(UTC)
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority of long ago")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
    builder = builder.serial_number(1).not_valid_before(now - timedelta(days=900))
    builder = builder.not_valid_after(now - timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    file = clinic.folder / "old.pem"
    file.write_bytes(builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    clinic.set("exchange", ca_bundle=file)


def missing_certifi(clinic: Clinic) -> AbstractContextManager[None]:
    """Lose certifi's file, as packed applications do."""
    clinic.set("exchange", ca_bundle=None)

    @contextmanager
    def lost() -> Iterator[None]:
        import certifi

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(certifi, "where", lambda: str(clinic.folder / "cacert.pem"))
            yield

    return lost()


@contextmanager
def dead_proxy() -> Iterator[None]:
    """Name a proxy that nobody runs."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("HTTPS_PROXY", "https_proxy"):
            patch.setenv(variable, "http://user:proxy-password@127.0.0.1:1")
        for variable in ("NO_PROXY", "no_proxy"):
            patch.delenv(variable, raising=False)
        yield


def waiting_order(clinic: Clinic, **fields: Any) -> None:
    """Let an order wait in the ledger."""
    request = {"account": "main", "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "order_type": "Limit"}
    with clinic.container() as opened:
        opened.submitter.submit([OrderRequest(**request, qty="0.01", price="50000", **fields)])


def hedged(clinic: Clinic) -> None:
    """Switch BTCUSDT to hedge mode under an order that says nothing of it."""
    waiting_order(clinic)
    signed(clinic, "switch_position_mode", category="linear", symbol="BTCUSDT", mode=3)


def signed(clinic: Clinic, method: str, **parameters: Any) -> None:
    """Do something on the exchange with the account's key."""
    from sluicegate.config import Environment
    from sluicegate.doctor.line import Exchanges

    with clinic.container() as opened:
        lines = Exchanges(opened.settings, opened.codes, opened.clock, None, opened.quotas.egress())
        clock = lines.line(Environment.MAINNET).clock
        line = lines.line(Environment.MAINNET, clock=clock, credentials=opened.settings.credentials("main"))
        line.ask(method, **parameters)


def isolated_without_settle_coin(clinic: Clinic) -> None:
    """Hold BTC alone, in isolated margin."""
    clinic.use_key("coins")
    signed(clinic, "set_margin_mode", setMarginMode="ISOLATED_MARGIN")


def halted(clinic: Clinic) -> None:
    """Halt the account as the worker does."""
    with clinic.container() as opened:
        opened.halts.halt_account(
            "main", code="10003", message="API key is invalid.", cause="Mistyped.", fix="Mend it."
        )


def known_otherwise(clinic: Clinic) -> None:
    """Let the ledger remember the name as another account."""
    with clinic.container() as opened:
        opened.ledger.register_account(AccountRecord("main", "testnet", "77"))


def readable_secret(clinic: Clinic) -> None:
    """Let everybody read the secret."""
    clinic.folder.chmod(0o755)
    Path(clinic.settings["accounts"]["main"]["api_secret_file"]).chmod(0o644)


def empty_secret(clinic: Clinic) -> None:
    """Empty the secret's file."""
    Path(clinic.settings["accounts"]["main"]["api_secret_file"]).write_text("\n")


FAULTS = {
    "key_of_testnet": Fault(key("strange"), "key.key_of_other_environment", ERROR, ('environment = "testnet"',)),
    "key_of_nowhere": Fault(
        lambda clinic: clinic.use_key("nobodys"), "key.key_unknown", ERROR, ("`environment`", "accounts resume")
    ),
    "wrong_secret": Fault(key("good", secret="wrong"), "key.secret_wrong", ERROR, ("replace the secret",)),
    "expired_key": Fault(key("over"), "key.key_expired", ERROR, ("new key",)),
    "bound_elsewhere": Fault(key("bound"), "key.key_bound_elsewhere", ERROR, ("public IP", "add it to the key")),
    "read_only_key": Fault(key("readonly"), "permissions.read_only", ERROR, ("read-write",)),
    "no_trading": Fault(key("no-trade"), "permissions.permission_missing", ERROR, ("Add the missing permission",)),
    "no_contracts": Fault(
        lambda clinic: (clinic.use_key("spot-only"), waiting_order(clinic))[0],
        "permissions.permission_missing",
        ERROR,
        ("Add the missing permission",),
    ),
    "may_withdraw": Fault(key("withdraws"), "permissions.may_withdraw", WARNING, ("Wallet permissions off",), 0),
    "unbound_key": Fault(key("unbound"), "ip_binding.key_unbound", WARNING, ("Bind it to the public IP",), 0),
    "ending_key": Fault(key("ending"), "ip_binding.key_expires_soon", WARNING, ("now",), 0),
    "classic_account": Fault(key("classic"), "account_mode.classic_account", ERROR, ("Upgrade it",)),
    "empty_wallet": Fault(key("empty"), "wallet.wallet_empty", WARNING, ("Transfer USDT or USDC",), 0),
    "no_settle_coin": Fault(
        isolated_without_settle_coin, "wallet.no_settle_coin", WARNING, ("USDT or USDC", "cross margin"), 0
    ),
    "hedge_mode": Fault(hedged, "position_mode.position_idx_mismatch", ERROR, ("position_idx 1", "one-way")),
    "one_way_mode": Fault(
        lambda clinic: waiting_order(clinic, position_idx=1),
        "position_mode.position_idx_mismatch",
        ERROR,
        ("position_idx 0", "hedge"),
    ),
    "halted_account": Fault(halted, "halt.halted", ERROR, ("accounts resume main",)),
    "other_account": Fault(known_otherwise, "identity.account_changed", ERROR, ("new account name",)),
    "clock_behind": Fault(
        lambda clinic: clinic.servers.control("clock", offset_ms=5000),
        "clock.clock_off",
        WARNING,
        ("timedatectl set-ntp true",),
        0,
    ),
    "expired_certificate": Fault(
        lambda clinic: other_certificate(clinic, clinic.servers.authority, days=-1),
        "tls.certificate_expired",
        ERROR,
        ("certifi", "date -u"),
    ),
    "strange_authority": Fault(
        lambda clinic: other_certificate(clinic, trustme.CA()),
        "tls.certificate_untrusted",
        ERROR,
        ("certifi", "exchange.ca_bundle"),
    ),
    "certificate_of_another": Fault(
        lambda clinic: other_certificate(clinic, clinic.servers.authority, host="127.0.0.2"),
        "tls.certificate_of_another_host",
        ERROR,
        ("certifi",),
    ),
    "expired_bundle": Fault(expired_bundle, "tls.bundle_expired", ERROR, ("certifi",)),
    "missing_certifi": Fault(missing_certifi, "tls.bundle_missing", ERROR, ("--force-reinstall certifi",)),
    "name_unknown": Fault(
        lambda clinic: clinic.set("exchange", hosts=clinic.servers.hosts(mainnet="https://api.invalid")),
        "dns.name_unknown",
        ERROR,
        ("getent hosts api.invalid", "exchange.hosts"),
    ),
    "dead_proxy": Fault(lambda _clinic: dead_proxy(), "proxy.proxy_unreachable", ERROR, ("HTTPS_PROXY",)),
    "broker_down": Fault(
        lambda clinic: clinic.settings.update(broker_url="redis://:broker-password@127.0.0.1:1/0"),
        "broker.broker_unreachable",
        ERROR,
        ("SLUICEGATE_BROKER_URL",),
    ),
    "broker_password": Fault(
        lambda clinic: clinic.settings.update(
            broker_url=clinic.servers.broker_url.replace("redis://", "redis://trader:broker-password@")
        ),
        "broker.broker_refuses_password",
        ERROR,
        ("USER:PASSWORD",),
    ),
    "broker_evicts": Fault(evicting_broker, "broker.broker_evicts", ERROR, ("maxmemory-policy noeviction",)),
    "broker_without_file": Fault(
        lambda clinic: configured(clinic, "appendonly", "no"),
        "broker.broker_not_persistent",
        WARNING,
        ("appendonly yes",),
        0,
    ),
    "ledger_down": Fault(
        lambda clinic: clinic.settings.update(ledger_url="postgresql://trader:ledger-password@127.0.0.1:1/orders"),
        "ledger.ledger_unreachable",
        ERROR,
        ("SLUICEGATE_LEDGER_URL",),
    ),
    "secret_file_empty": Fault(empty_secret, "configuration.credentials_missing", ERROR, ("the file",), 2),
    "secret_readable": Fault(readable_secret, "configuration.secret_open_to_others", WARNING, ("chmod 600",), 0),
    "nobody_paged": Fault(
        lambda clinic: clinic.settings.update(paging={}),
        "configuration.nobody_paged",
        WARNING,
        ("paging.critical",),
        0,
    ),
    "no_account": Fault(
        lambda clinic: clinic.settings.update(accounts={}),
        "configuration.no_accounts",
        ERROR,
        ("SLUICEGATE_CONFIG",),
        2,
    ),
    "no_such_limit": Fault(
        lambda clinic: clinic.settings["accounts"]["main"].update(limits={"/v5/nothing": 5}),
        "configuration.limits_unknown",
        ERROR,
        ("named",),
        2,
    ),
}


def remarks(findings: tuple[Finding, ...]) -> list[Finding]:
    """Return the findings that call for something."""
    return [finding for finding in findings if finding.level in {ERROR, WARNING}]


def test_healthy_set_up_gets_no_remark(clinic: Clinic) -> None:
    """Nothing is wrong: every check says ok, and the exit status is 0."""
    waiting_order(clinic)
    report = clinic.examine()
    assert [] == remarks(report.findings)
    assert 0 == report.exit_status
    checked = {finding.check for finding in report.findings if finding.level is Level.OK}
    expected = "configuration broker ledger connection clock key permissions ip_binding account_mode wallet"
    assert {*expected.split(), "position_mode"} == checked


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_planted_fault_is_found_with_its_fix(clinic: Clinic, fault: Fault) -> None:
    """Each fault gives its own finding first of all, with what to do; no password shows."""
    with fault.plant(clinic) or nullcontext():
        report = clinic.examine()
    found = {f"{finding.check}.{finding.name}": finding for finding in remarks(report.findings)}
    assert fault.finding in found, list(found)
    finding = found[fault.finding]
    assert fault.level is finding.level
    assert [] == [words for words in fault.fix if words not in finding.fix]
    assert finding.cause
    assert fault.exit_status == report.exit_status
    assert next(iter(found)) == fault.finding
    shown = json.dumps(report.to_json())
    assert not [
        word for word in ("secret-of", "proxy-password", "broker-password", "ledger-password") if word in shown
    ]


def test_ledger_without_its_schema_names_the_upgrade(clinic: Clinic, postgres: PostgresServer) -> None:
    """Migrations are missing: the fix is one command; afterwards all is well."""
    postgres.execute("CREATE DATABASE doctor_fresh")
    clinic.settings["ledger_url"] = postgres.url("doctor_fresh")
    report = clinic.examine()
    (finding,) = remarks(report.findings)
    assert ("ledger.ledger_schema", ERROR, 1) == (
        f"{finding.check}.{finding.name}",
        finding.level,
        report.exit_status,
    )
    assert "sluicegate db upgrade" in finding.fix
    schema.upgrade(clinic.settings["ledger_url"])
    report = clinic.examine()
    # The test's server runs without fsync, for speed: that is a fault indeed.
    assert ["ledger_may_forget"] == [finding.name for finding in remarks(report.findings)]


def test_account_option_looks_at_one_account_only(clinic: Clinic) -> None:
    """With two accounts, the other one's fault does not show."""
    clinic.settings["accounts"]["bad"] = clinic.account("over")
    assert ["bad"] == [finding.about for finding in remarks(clinic.examine().findings)]
    assert [] == remarks(clinic.examine("main").findings)


def test_key_of_a_simulator_account_is_shown_to_no_host_that_is_not_named(clinic: Clinic) -> None:
    """A simulator's key with 10003 is asked for at named hosts; without any, nowhere."""
    clinic.settings["simulator_url"] = f"http://127.0.0.1:{clinic.servers.mainnet_port}"
    clinic.settings["accounts"] = {"main": clinic.account("strange", environment="simulator")}
    assert ["key_of_other_environment"] == [finding.name for finding in remarks(clinic.examine().findings)]
    clinic.set("exchange", hosts={})
    with pytest.MonkeyPatch.context() as patch:
        reached: list[Any] = []
        patch.setattr(
            socket, "getaddrinfo", lambda host, *rest, **more: reached.append(host) or real(host, *rest, **more)
        )
        names = [finding.name for finding in remarks(clinic.examine().findings)]
    assert ["key_unknown"] == names
    assert {"127.0.0.1"} >= set(reached)


real = socket.getaddrinfo


def run_command(clinic: Clinic, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `sluicegate doctor` as people do."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLUICEGATE_")}
    command = [sys.executable, "-m", "sluicegate.cli", "doctor", *arguments]
    return subprocess.run(
        command,
        env={**inherited, **clinic.variables()},
        cwd=clinic.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_command_prints_json_and_its_exit_status(clinic: Clinic) -> None:
    """One JSON document, and exit 1 when something stops trading."""
    clinic.use_key("strange")
    done = run_command(clinic, "--json")
    document = json.loads(done.stdout)
    assert (1, 1, 0) == (done.returncode, document["errors"], document["warnings"]), done.stderr
    (finding,) = [finding for finding in document["findings"] if finding["level"] == "error"]
    assert {"level", "check", "name", "about", "title", "cause", "fix"} == set(finding)
    assert "the key belongs to testnet, not to mainnet (10003)" == finding["title"]


def test_command_prints_findings_for_people(clinic: Clinic) -> None:
    """A table with cause and fix, and a last line that sums up."""
    clinic.use_key("withdraws")
    done = run_command(clinic, "--account", "main")
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "fix: Take the Wallet permissions off" in done.stdout
    assert "0 errors, 1 warnings: nothing stops trading" == done.stdout.splitlines()[-1]


def test_command_with_settings_that_cannot_be_read_exits_2(clinic: Clinic) -> None:
    """A missing CA bundle ends every process at its start; the doctor says how to mend it."""
    clinic.set("exchange", ca_bundle=clinic.folder / "gone.pem")
    done = run_command(clinic, "--json")
    (finding,) = json.loads(done.stdout)["findings"]
    assert (2, "settings_unusable") == (done.returncode, finding["name"])
    assert "certifi" in finding["title"]
