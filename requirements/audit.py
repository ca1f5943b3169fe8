"""Ask PyPI about known weaknesses of what is locked: `make audit`.

pip-audit says "No known vulnerabilities found" and exits 0 even when it could ask about nothing, as behind
a mirror that serves packages but no advisories. That is no answer, so it fails here.
"""  # noqa: INP001 - a script, not a package

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LOCK = Path(__file__).resolve().parent / "run.lock"
AUDITED, WEAK, UNKNOWN = 0, 1, 2


def judge(dependencies: Sequence[Mapping[str, Any]]) -> tuple[int, list[str]]:
    """Return the exit status and what to say.

    Args:
        dependencies: those of pip-audit's JSON report.
    """
    weak = [
        f"{item['name']} {item['version']}: {fault['id']}"
        for item in dependencies
        for fault in item.get("vulns", ())
    ]
    unasked = [str(item["name"]) for item in dependencies if "skip_reason" in item]
    lines = [f"weak: {line}" for line in weak]
    if unasked or not dependencies:
        lines.append(
            f"not audited: {len(unasked)} of {len(dependencies)} packages; no advisories can be had from here"
        )
    else:
        lines.append(f"audited: {len(dependencies)} packages, {len(weak)} known weaknesses")
    if weak:
        return WEAK, lines
    return (UNKNOWN if unasked or not dependencies else AUDITED), lines


def main() -> int:
    """Audit the lock file of what runs in production."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--disable-pip",
        "--require-hashes",
        "-r",
        str(LOCK),
        "-f",
        "json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)  # noqa: S603 - fixed words
    try:
        dependencies = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        sys.stderr.write(f"not audited: {done.stderr.strip()[-500:]}\n")
        return UNKNOWN
    status, lines = judge(dependencies)
    sys.stdout.write("\n".join(lines) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
