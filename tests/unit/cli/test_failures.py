"""What becomes of errors."""

from __future__ import annotations

import pytest

from sluicegate.cli import failures
from sluicegate.cli.console import printable
from sluicegate.domain.errors import ConfigurationError, InvalidOrder, LedgerUnavailable, OrderNotFound


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigurationError("set x"), 2),
        (InvalidOrder("qty: wrong"), 1),
        (OrderNotFound("the ledger has no order X"), 1),
        (LedgerUnavailable("the ledger did not answer"), 1),
    ],
)
def test_known_error_is_its_text_and_status(
    error: Exception, status: int, capsys: pytest.CaptureFixture[str], tmp_path, monkeypatch: pytest.MonkeyPatch
):
    """One line that says what is wrong; configuration is 2, everything else 1."""
    monkeypatch.setenv("SLUICEGATE_HOME", str(tmp_path))
    assert status == failures.report(error)
    assert f"error: {error}\n" == capsys.readouterr().err
    assert not (tmp_path / "logs").exists()


def test_unexpected_error_is_one_line_and_a_log(
    capsys: pytest.CaptureFixture[str], tmp_path, monkeypatch: pytest.MonkeyPatch
):
    """The traceback goes to the log that the line names."""
    monkeypatch.setenv("SLUICEGATE_HOME", str(tmp_path))
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError("surprise\nsecond line")
    assert 1 == failures.report(caught.value)
    log = tmp_path / "logs" / "cli.log"
    assert f"error: unexpected RuntimeError: surprise (the traceback is in {log})\n" == capsys.readouterr().err
    assert "Traceback" in log.read_text()


def test_unexpected_error_with_debug_shows_the_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path, monkeypatch: pytest.MonkeyPatch
):
    """Who asks for it sees it at once."""
    monkeypatch.setenv("SLUICEGATE_HOME", str(tmp_path))
    failures.show_tracebacks(True)
    try:
        failures.report(RuntimeError("surprise"))
    finally:
        failures.show_tracebacks(False)
    assert "RuntimeError: surprise" in capsys.readouterr().err.splitlines()[-1]


def test_control_characters_do_not_reach_the_terminal():
    """What a producer wrote must not move the cursor or clear the screen."""
    assert r"a\x1b[2Jb" == printable("a\x1b[2Jb")
