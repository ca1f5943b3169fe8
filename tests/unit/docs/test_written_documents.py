"""Documents written by hand do not point at what is not there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from docs import generate
from docs.generators import settings
from sluicegate.bybit.retcodes import RetCodeTable
from sluicegate.config import load_settings
from sluicegate.domain.outcomes import Action
from sluicegate.messages import celery_settings
from tests.unit.ops.commands import complaint

ROOT = Path(__file__).parents[3]
GENERATED = {ROOT / "docs" / name for name in generate.DOCUMENTS}
DOCUMENTS = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "ops").rglob("*.md")} - GENERATED)
NAMES = [str(document.relative_to(ROOT)) for document in DOCUMENTS]
SHELL = re.compile(r"^\s*\$ (?:.*\| )?(sluicegate [^#|\n]+)", re.MULTILINE)
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TYPED = re.compile(r"^(sluicegate [^#|\n]+)", re.MULTILINE)
INLINE = re.compile(r"`(sluicegate [a-z][^`…]*)`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_links_lead_somewhere(document: Path) -> None:
    """A relative link names a file or folder that exists."""
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text())
    assert [] == [target for target in targets if not (document.parent / target).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_commands_are_understood_by_the_program(document: Path) -> None:
    """A `sluicegate ...` that a document shows parses: command, options, values."""
    text = document.read_text().replace("NAME", "main")
    typed = {line for block in BLOCK.findall(text) for line in TYPED.findall(block)}
    for found in {*typed, *SHELL.findall(text), *INLINE.findall(text)}:
        said = complaint(shlex.split(found.partition(" <")[0])[1:])
        # a mention, rather than a line to type, may leave out arguments
        assert said.startswith(("Missing argument", "Missing command")) or said == "", found


@pytest.mark.parametrize(
    "name", ["README.md", "ARCHITECTURE.md", "docs/operating.md", "docs/simulator.md", "ops/README.md"]
)
def test_paths_in_code_exist(name: str) -> None:
    """A path of ours in backticks exists, below the root or the package."""
    paths = re.findall(r"`((?:\w+/)+[\w.]*)`", (ROOT / name).read_text())
    homes = (ROOT, ROOT / "sluicegate", (ROOT / name).parent)
    kept = [path for path in paths if not path.startswith("var/")]  # what runs write there is not kept
    assert [] == [path for path in kept if not any((home / path).exists() for home in homes)]


def test_architecture_names_every_service() -> None:
    """The house in ARCHITECTURE.md lists the modules of services/: none is missing, none has gone."""
    listed = re.search(
        r"^  services/ +(.*?)\n  bybit/", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert listed is not None
    modules = {path.stem for path in (ROOT / "sluicegate" / "services").glob("[a-z]*.py")}
    assert modules == set(re.findall(r"\w+", listed[1]))


def test_decisions_are_numbered_in_a_row() -> None:
    """Each decision has a number of its own, none is left out, and its title begins with it."""
    decisions = sorted((ROOT / "docs" / "adr").glob("*.md"))
    numbers = list(range(1, len(decisions) + 1))
    assert numbers == [int(path.name[:4]) for path in decisions]
    assert numbers == [int(path.read_text().removeprefix("# ").partition(".")[0]) for path in decisions]


def test_settings_in_the_readme_exist() -> None:
    """A setting that the README names is one."""
    known = {entry.path for entry in settings.entries()}
    named = re.findall(
        r"`((?:accounts\.NAME|retry|paging|exchange|worker|scheduler)\.\w+)`", (ROOT / "README.md").read_text()
    )
    assert named
    assert set(named) <= known


def test_every_celery_setting_has_its_reason() -> None:
    """docs/celery.md speaks of each setting that messages.py makes."""
    made = celery_settings(load_settings(broker_url="redis://127.0.0.1:1/0"))
    reasons = (ROOT / "docs/celery.md").read_text()
    assert [] == [name for name in (*made, *made["broker_transport_options"]) if f"`{name}`" not in reasons]


@pytest.mark.parametrize(
    ("code", "action"),
    [
        ("10003", Action.HALT_ACCOUNT),
        ("10004", Action.HALT_ACCOUNT),
        ("tls_verify_failed", Action.HALT_ACCOUNT),
        ("10006", Action.BACK_OFF),
        ("10001", Action.DEAD_LETTER),
        ("10002", Action.RESYNC_CLOCK),
        ("http_403", Action.HALT_IP),
        ("net_read_timeout", Action.RESOLVE),
    ],
)
def test_readme_promises_what_the_table_of_codes_says(code: str, action: Action) -> None:
    """The README's table of errors holds as long as these codes have these actions."""
    assert action is RetCodeTable.load().lookup(code).action
