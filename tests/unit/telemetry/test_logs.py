"""Logs: one line a fact, on stderr, whoever speaks, and never a traceback's locals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SAY = """
import logging, sys
from sluicegate.telemetry.logs import configure_logs
configure_logs(sys.argv[1], sys.argv[2], process="worker-1")
configure_logs(sys.argv[1], sys.argv[2], process="worker-1")
import structlog
log = structlog.get_logger("sluicegate.test")
log.debug("quiet")
log.info("spoken", account="main", qty="0.01", text="two\\nlines")
logging.getLogger("elsewhere").warning("by %s", "another")
for name in ("pybit", "pybit._http_manager", "urllib3.connectionpool", "kombu"):
    logging.getLogger(name).info("chatter")
def fail():
    secret = "s3cr3t" + "-value"
    raise ValueError("it failed")
try:
    fail()
except ValueError:
    log.exception("broken")
    logging.getLogger("elsewhere").exception("also broken")
"""


def say(level: str, form: str) -> tuple[str, list[str]]:
    """Run a process that logs; return its stdout and the lines of its stderr."""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", SAY, level, form],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONWARNINGS": "error"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr.splitlines()


def test_json_logs_are_one_object_a_line() -> None:
    """Every line is JSON with event, level, time and process, our own lines and those of libraries."""
    stdout, lines = say("INFO", "json")
    told: list[dict[str, Any]] = [json.loads(line) for line in lines]
    assert stdout == ""
    assert ["spoken", "by another", "broken", "also broken"] == [line["event"] for line in told]
    assert ["info", "warning", "error", "error"] == [line["level"] for line in told]
    assert all(line["process"] == "worker-1" and line["timestamp"].endswith("Z") for line in told)
    assert ("main", "0.01", "two\nlines") == (told[0]["account"], told[0]["qty"], told[0]["text"])


def test_json_logs_carry_tracebacks_without_locals() -> None:
    """A failure shows where it happened, never the values, which may be secrets."""
    _stdout, lines = say("INFO", "json")
    for line in lines[-2:]:
        assert "ValueError: it failed" in json.loads(line)["exception"]
    assert "s3cr3t-value" not in "".join(lines)


def test_console_logs_are_for_people() -> None:
    """The same facts, readable, and no locals either."""
    stdout, lines = say("DEBUG", "console")
    text = "\n".join(lines)
    assert stdout == ""
    assert all(word in text for word in ("quiet", "spoken", "account=main", "by another", "ValueError: it failed"))
    assert "s3cr3t-value" not in text
    assert "chatter" not in text


@pytest.mark.parametrize(("level", "expected"), [("WARNING", 3), ("ERROR", 2), ("INFO", 4), ("DEBUG", 5)])
def test_log_level_is_the_least_that_is_written(level: str, expected: int) -> None:
    """The level holds for our lines and for those of libraries."""
    assert len(say(level, "json")[1]) == expected
