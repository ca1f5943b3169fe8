"""`make audit` never calls unasked packages safe."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[3] / "requirements/audit.py"
SPEC = importlib.util.spec_from_file_location("audit", FILE)
assert SPEC is not None
assert SPEC.loader is not None
audit: Any = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(audit)

SOUND = {"name": "a", "version": "1", "vulns": []}
WEAK = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1"}]}
UNASKED = {"name": "c", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("dependencies", "status", "words"),
    [
        ([SOUND], 0, "audited: 1 packages, 0 known"),
        ([SOUND, WEAK], 1, "weak: b 2: PYSEC-1"),
        ([SOUND, UNASKED], 2, "not audited: 1 of 2"),
        ([UNASKED, WEAK], 1, "not audited: 1 of 2"),
        ([], 2, "not audited"),
    ],
)
def test_audit_says_what_was_asked(dependencies: list[dict[str, Any]], status: int, words: str) -> None:
    """Clean only when every package was asked about."""
    found, lines = audit.judge(dependencies)
    assert status == found
    assert words in "\n".join(lines)
