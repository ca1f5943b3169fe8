"""docs/guarantees.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "guarantees.md").read_text()


def promises() -> list[list[str]]:
    """Return the cells of each promise."""
    section = TEXT.partition("## Promises")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if re.match(r"\| \d+ \|", line)]
    return [[cell.strip() for cell in row] for row in rows]


def test_every_promise_names_tests_that_exist() -> None:
    """Whoever doubts a promise finds what checks it."""
    code = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    known = set(re.findall(r"^\s*def (test_\w+)|^(Test\w+) = ", code, re.MULTILINE))
    names = {name for pair in known for name in pair if name}
    for _number, promise, _rests_on, tests in promises():
        cited = re.findall(r"`(\w+)`", tests)
        assert cited, promise
        assert [] == [name for name in cited if name not in names], promise


def test_promises_are_numbered_and_say_what_they_rest_on() -> None:
    """Every promise has its number and its assumption, be it none."""
    assert [str(number) for number in range(1, len(promises()) + 1)] == [row[0] for row in promises()]
    assert all(rests_on for _number, _promise, rests_on, _tests in promises())


def test_paths_lead_to_files() -> None:
    """A path in the document is one of ours."""
    paths = re.findall(r"`((?:tests|workers|docs)/[\w./]+)`", TEXT)
    assert paths
    assert [] == [path for path in paths if not (ROOT / path).exists()]
