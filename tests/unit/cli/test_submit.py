"""`submit` as a process: receipts, refusals, servers that are gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sluicegate.cli.stack.probes import free_port

CONFIG = """
[accounts.main]
environment = "simulator"
api_key_env = "MAIN_KEY"
api_secret_env = "MAIN_SECRET"
"""
SECRET = "do-not-show-me"


def order(client_order_id: str, **changed: object) -> str:
    """Return an order as a line of JSON."""
    content = {
        "account": "main",
        "category": "linear",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "order_type": "Limit",
        "qty": "0.01",
        "price": "60000",
        "client_order_id": client_order_id,
    }
    return json.dumps({**content, **changed})


class Command:
    """Runs `sluicegate` as a process; its broker is gone."""

    def __init__(self, home: Path) -> None:
        (home / "sluicegate.toml").write_text(CONFIG)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SLUICEGATE_")}
        self.environment = {
            **clean,
            "SLUICEGATE_HOME": str(home / "var"),
            "SLUICEGATE_CONFIG": str(home / "sluicegate.toml"),
            "SLUICEGATE_BROKER_URL": f"redis://:{SECRET}@127.0.0.1:{free_port()}/0",
            "MAIN_KEY": SECRET,
            "MAIN_SECRET": SECRET,
        }

    def __call__(self, *arguments: str, text: str = "", **changed: str) -> subprocess.CompletedProcess[str]:
        """Run it; whatever comes of it, it shows neither traceback nor secret."""
        done = subprocess.run(
            [sys.executable, "-m", "sluicegate.cli", *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**self.environment, **changed},
        )
        assert "Traceback" not in done.stderr
        assert SECRET not in done.stdout + done.stderr
        return done


@pytest.fixture
def sluicegate(tmp_path: Path) -> Command:
    """Return the command with one account and a folder of its own."""
    return Command(tmp_path)


def test_submit_bad_lines_are_reported_and_stop_no_others(sluicegate: Command):
    """Each line has a receipt on stdout or an error with its number on stderr; the broker may be gone."""
    lines = [order("c-1"), "{bad", order("c-2", qty=0.5), order("c-1"), order("c-1", qty="9"), order("c-3")]
    done = sluicegate("submit", "-", "--json", text="\n".join(lines))
    receipts = [json.loads(line) for line in done.stdout.splitlines()]
    assert 1 == done.returncode
    assert [(1, True), (4, False), (6, True)] == [(r["line"], r["is_new"]) for r in receipts]
    assert receipts[0]["order_id"] == receipts[1]["order_id"]
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert [2, 3, 5] == [int(error.split()[2].rstrip(":")) for error in errors]
    assert 1 == done.stderr.count("warning: the broker does not answer")
    listed = json.loads(sluicegate("orders", "list", "--json").stdout)
    assert ["c-3", "c-1"] == [item["client_order_id"] for item in listed]


def test_order_is_found_by_the_producers_own_id(sluicegate: Command):
    """With --account, a command takes the client_order_id; an id that is not there fails by name."""
    sluicegate("submit", "-", text=order("c-1"))
    done = sluicegate("orders", "cancel", "c-1", "--account", "main")
    assert (0, "cancelled before it was sent") == (done.returncode, " ".join(done.stdout.split()[1:]))
    for command in (("orders", "cancel"), ("orders", "amend", "--qty", "1"), ("dead-letters", "discard")):
        missing = sluicegate(*command, "c-2", "--account", "main")
        assert 1 == missing.returncode
        assert "error: account main has no order with the client_order_id c-2\n" == missing.stderr


def test_submit_csv_file_is_known_by_its_extension(sluicegate: Command, tmp_path: Path):
    """A header, rows, a default account."""
    file = tmp_path / "orders.csv"
    file.write_text("category,symbol,side,order_type,qty\nlinear,BTCUSDT,Buy,Market,0.010\n")
    done = sluicegate("submit", str(file), "--account", "main")
    assert 0 == done.returncode
    assert 1 == len(done.stdout.splitlines())


def test_submit_without_ledger_accepts_nothing_and_says_so(sluicegate: Command, tmp_path: Path):
    """A ledger that does not answer is an error with status 1, and names the last accepted line: none."""
    url = f"postgresql://user:{SECRET}@127.0.0.1:{free_port()}/ledger"
    done = sluicegate("submit", "-", text=order("c-1"), SLUICEGATE_LEDGER_URL=url)
    assert 1 == done.returncode
    assert "" == done.stdout
    assert done.stderr.startswith("error: the ledger did not answer")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("orders", "show", "01NONE"), 1, "error: the ledger has no order 01NONE"),
        (("orders", "cancel", "01NONE"), 1, "error: the ledger has no order 01NONE"),
        (("dead-letters", "show", "01NONE"), 1, "error: order 01NONE has no dead letter"),
        (("incidents", "ack", "7"), 1, "error: there is no incident 7"),
        (("accounts", "halt", "nobody"), 2, "error: unknown account 'nobody'; configured: main"),
        (("submit", "-", "--account", "nobody"), 2, "error: unknown account 'nobody'"),
        (("buckets",), 1, "error: "),
    ],
)
def test_command_about_nothing_fails_with_one_line(
    sluicegate: Command, arguments: tuple[str, ...], status: int, message: str
):
    """What is not there is one clear line on stderr."""
    done = sluicegate(*arguments)
    assert status == done.returncode
    assert "" == done.stdout
    assert done.stderr.startswith(message)
    assert 1 == len(done.stderr.splitlines())


def test_output_into_a_closed_pipe_is_quiet(sluicegate: Command):
    """`| head -1` is no error worth a word."""
    script = f"{sys.executable} -m sluicegate.cli explain --list | head -1"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False, env=sluicegate.environment
    )
    assert "" == done.stderr
    assert 1 == len(done.stdout.splitlines())


def test_up_with_a_missing_key_names_its_variable(sluicegate: Command):
    """What the workers would stumble over later is said before anything starts."""
    done = sluicegate("up", MAIN_SECRET="")
    assert 2 == done.returncode
    assert "accounts.main.api_secret_env names the variable MAIN_SECRET, which is not set" in done.stderr


def test_submit_interrupted_while_waiting_prints_what_was_accepted(sluicegate: Command, tmp_path: Path):
    """Ctrl-C loses no receipt and says nothing more."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sluicegate.cli", "submit", "-", "--wait", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=sluicegate.environment,
        # whoever runs the tests may ignore Ctrl-C, and children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one call, no locks
    )
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(order("c-1") + "\n")
    process.stdin.close()
    process.stdin = None
    assert process.stderr.readline().startswith("warning: the broker")  # it is accepted
    # and followed: before, the client of the lost broker is taken down, and a destructor swallows a Ctrl-C
    assert "on their way" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert 130 == process.returncode
    assert ["c-1"] == [json.loads(line)["client_order_id"] for line in out.splitlines()]
    assert "" == err
