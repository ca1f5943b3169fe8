"""The command's face: help, bad usage, explain."""

from __future__ import annotations

import json

import pytest
import typer

from sluicegate.cli import app as command
from sluicegate.cli.explain import WHAT_WE_DO
from sluicegate.domain.outcomes import Action

GROUPS = {
    "orders": ("list", "show", "cancel", "amend", "settle"),
    "dead-letters": ("list", "show", "replay", "discard"),
    "accounts": ("list", "halt", "resume"),
    "incidents": ("list", "show", "ack", "resolve"),
    "db": ("upgrade", "current"),
}
SINGLE = (
    "demo",
    "up",
    "submit",
    "doctor",
    "buckets",
    "positions",
    "balances",
    "explain",
    "worker",
    "scheduler",
    "stream",
    "flower",
)
COMMANDS = [(name,) for name in SINGLE] + [(group, name) for group, names in GROUPS.items() for name in names]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """Read no settings but those of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLUICEGATE_HOME", str(tmp_path / "var"))
    monkeypatch.delenv("SLUICEGATE_CONFIG", raising=False)
    monkeypatch.delenv("SLUICEGATE_DEBUG", raising=False)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_of_every_command_shows_examples(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    """Who asks for help sees how it is used."""
    assert 0 == command.run([*words, "--help"])
    shown = capsys.readouterr().out
    assert "Examples:" in shown
    assert f"sluicegate {' '.join(words)}" in shown


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]):
    """A command that the tests do not know of is a command without a test."""
    group = typer.main.get_command(command.app)
    assert {*SINGLE, *GROUPS} == set(group.commands)
    assert 0 == command.run(["--help"])
    shown = capsys.readouterr().out
    assert [] == [name for name in (*SINGLE, *GROUPS) if f"  {name} " not in shown]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["orders", "show"], "Missing argument 'ORDER_ID'"),
        (["orders", "list", "--state", "gone"], "--state gone: must be one of accepted"),
        (["orders", "list", "--limit", "0"], "--limit"),
        (["orders", "settle", "X", "--as", "gone", "--note", "n"], "--as gone: must be one of absent, live"),
        (
            ["orders", "settle", "X", "--as", "filled", "--note", "n", "--filled", "much"],
            "--filled: must be a plain",
        ),
        (["orders", "settle", "X", "--as", "absent"], "Missing option '--note'"),
        (["orders", "amend", "X", "--price", "abc"], "price: must be a plain number"),
        (["orders", "amend", "X"], "give at least one of qty"),
        (["dead-letters", "replay", "X", "--set", "qty"], "write FIELD=VALUE"),
        (["dead-letters", "replay", "X", "--set", "qty=1", "--set", "qty=2"], "given twice"),
        (["worker", "--queue", "all"], "--queue all: must be one of orders, cancels"),
        (["worker", "--name", "../x"], "--name ../x"),
        (["submit", "nowhere.jsonl"], "nowhere.jsonl: there is no such file"),
        (["submit", "-", "--format", "xml"], "--format xml"),
        (["submit", "-", "--until", "dawn"], "--until dawn"),
        (["explain"], "give a CODE or --list"),
        (["explain", "--list", "--action", "pray"], "--action pray"),
        (["flower", "--basic-auth", "x"], "write USER:PASSWORD"),
        (["up"], "no account is configured"),
    ],
)
def test_bad_usage_is_one_error_and_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    """Bad usage says what is wrong on stderr, prints no data and no traceback."""
    assert 2 == command.run(arguments)
    out, err = capsys.readouterr()
    assert "" == out
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in err


def test_explain_says_what_sluicegate_does(capsys: pytest.CaptureFixture[str]):
    """The table's row and our own conduct, in one view."""
    assert 0 == command.run(["explain", "10003"])
    shown = capsys.readouterr().out
    assert "halt_account" in shown
    assert "pages a" in shown


def test_explain_negative_code_needs_no_dashes(capsys: pytest.CaptureFixture[str]):
    """-2015 is a code and no option."""
    assert 0 == command.run(["explain", "-2015"])
    assert "api_key_expired_spot" in capsys.readouterr().out


def test_explain_unknown_code_fails_and_says_what_happens_then(capsys: pytest.CaptureFixture[str]):
    """A code that nobody documented is not left unexplained."""
    assert 1 == command.run(["explain", "999999"])
    assert "holds the order as in doubt" in capsys.readouterr().err


def test_explain_json_has_every_meaning(capsys: pytest.CaptureFixture[str]):
    """One document, with the conduct beside the table's fields."""
    assert 0 == command.run(["explain", "10006", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert "10006" == document["code"]
    assert WHAT_WE_DO["back_off"] == document["meanings"][0]["what_sluicegate_does"]


def test_explain_list_shows_every_documented_code(capsys: pytest.CaptureFixture[str]):
    """The list is the table."""
    assert 0 == command.run(["explain", "--list", "--json"])
    assert len(json.loads(capsys.readouterr().out)) >= 710


def test_explain_knows_every_action():
    """An action without a sentence would leave a code unexplained."""
    assert {action.value for action in Action} == set(WHAT_WE_DO)
