"""Findings: what a check saw, how bad it is, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

CONFIGURATION = "configuration"


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    SKIPPED = "skipped"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check saw.

    Attributes:
        check: the subject, e.g. `key`.
        name: what was seen, one of a closed set a check; stable, for scripts. `ok` when all is well.
        about: the account or environment; empty when it concerns all.
        title: what was seen, in a sentence.
        cause: why it is so, as far as that can be known.
        fix: what to do.
    """

    level: Level
    check: str
    name: str
    about: str
    title: str
    cause: str = ""
    fix: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the finding as plain values."""
        return {**asdict(self), "level": self.level.value}


def ok(check: str, about: str, title: str) -> Finding:
    """Return that a check found nothing wrong."""
    return Finding(Level.OK, check, "ok", about, title)


def skipped(check: str, about: str, title: str) -> Finding:
    """Return that a check could not be made because of an earlier finding."""
    return Finding(Level.SKIPPED, check, "skipped", about, title)


def warning(check: str, name: str, about: str, title: str, *, cause: str = "", fix: str) -> Finding:
    """Return something that does not stop trading today."""
    return Finding(Level.WARNING, check, name, about, title, cause, fix)


def error(check: str, name: str, about: str, title: str, *, cause: str = "", fix: str) -> Finding:
    """Return something that stops trading."""
    return Finding(Level.ERROR, check, name, about, title, cause, fix)


def listed(words: Sequence[str]) -> str:
    """Return words as a sentence lists them: `a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was found, in the order of the checks."""

    findings: tuple[Finding, ...]

    def count(self, level: Level) -> int:
        """Return how many findings have a level."""
        return sum(finding.level is level for finding in self.findings)

    @property
    def exit_status(self) -> int:
        """Return 0 when nothing stops trading, 2 when the configuration does, 1 when something else does."""
        stopping = {finding.check for finding in self.findings if finding.level is Level.ERROR}
        if CONFIGURATION in stopping:
            return 2
        return 1 if stopping else 0

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            "errors": self.count(Level.ERROR),
            "warnings": self.count(Level.WARNING),
            "findings": [finding.to_json() for finding in self.findings],
        }


def report(findings: Iterable[Finding]) -> Report:
    """Collect findings."""
    return Report(tuple(findings))
