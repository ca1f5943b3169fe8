"""Write the documents that are made from the code: `python -m docs.generate [--check]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from docs.generators import api, cli, metrics, pictures, quotas, retcodes, settings, states

FOLDER = Path(__file__).parent

DOCUMENTS: Mapping[str, Callable[[], str]] = {
    "cli.md": cli.write,
    "metrics.md": metrics.write,
    "pictures/order.svg": pictures.order,
    "pictures/states.svg": pictures.states,
    "python.md": api.write,
    "quotas.md": quotas.write,
    "retcodes.md": retcodes.write,
    "settings.md": settings.write,
    "states.md": states.write,
}


def stale(folder: Path = FOLDER) -> list[str]:
    """Return the names of the documents that the code has outgrown."""
    return [name for name, write in DOCUMENTS.items() if _read(folder / name) != write()]


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """Write the documents, or check that they are fresh.

    Returns:
        0; 1 when `--check` finds a stale document.
    """
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a document is stale")
    if not parser.parse_args(arguments).check:
        (folder / "pictures").mkdir(exist_ok=True)
        for name, write in DOCUMENTS.items():
            (folder / name).write_text(write(), encoding="utf-8")
        return 0
    found = stale(folder)
    for name in found:
        sys.stderr.write(f"docs/{name} is not what the code says any more; run: make docs\n")
    return 1 if found else 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
