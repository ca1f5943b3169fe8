"""Every command of README and quick start, run as it is written, in order, against one running stack.

What a document may show, and what this test makes of it:

- A block ```` ```sh ```` is run by one `bash` for all documents; each command must end with exit status 0, or with
  the one that its comment `# exit status N` names.
- A block ```` ```text ```` right after it is what the block prints: each line must be found in the output, in any
  order, because orders overtake each other. `…` stands for any text, alone for any lines; blanks for any blanks.
- A block ```` ```python ```` is a program of its own, run by the Python of that `bash`.
- `make up` is the running stack. Other targets of `make` are run elsewhere; ELSEWHERE says where.
- Two addresses stand for those that `make up` prints: ADDRESSES.
- A block that begins with `# not run by the tests: WHY` is parsed by bash, its `sluicegate` lines by the program.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from stack_process import environment, wait_until

from tests.unit.ops.commands import complaint

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "docs/quick-start.md", "docs/producers.md", "docs/environments.md")
ELSEWHERE = {"make demo": "tests/e2e/test_demo.py", "make test": ".ci/run"}
"""Commands that cannot be run inside of a test of the suite, and who runs them."""

ADDRESSES = {"redis://127.0.0.1:6379/0": "broker", "http://127.0.0.1:8080": "simulator"}
"""Addresses in the documents, and the names under which `make up` prints the real ones."""

FENCE = re.compile(r"^```(.*)\n(?:.*\n)*?```$", re.MULTILINE)
BLOCK = re.compile(r"^```(sh|text|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = "# not run by the tests: "
STATUS = re.compile(r"# exit status (\d+)")
PATIENCE_S = 180.0


@dataclass(frozen=True)
class Block:
    """One block of a document.

    Attributes:
        shown: what it is said to print, line by line.
    """

    document: str
    line: int
    language: str
    text: str
    shown: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def commands(self) -> set[str]:
        """Return its lines without their comments."""
        return {command(line) for line in self.text.splitlines()}

    @property
    def is_run(self) -> bool:
        """Tell whether it is run here."""
        is_elsewhere = self.commands <= ELSEWHERE.keys()
        return not self.text.startswith(NOT_RUN) and not is_elsewhere and self.commands != {"make up"}


def command(line: str) -> str:
    """Return a line without its comment."""
    return line.partition("#")[0].strip()


def blocks(name: str) -> Iterator[Block]:
    """Yield the blocks of a document that can be run, each with what it prints."""
    text = (ROOT / name).read_text()
    found = list(BLOCK.finditer(text))
    for match, following in zip(found, [*found[1:], None], strict=True):
        shown: tuple[str, ...] = ()
        if following is not None and following[1] == "text" and not text[match.end() : following.start()].strip():
            shown = tuple(following[2].splitlines())
        if match[1] != "text":
            yield Block(name, text[: match.start()].count("\n") + 1, match[1], match[2], shown)


BLOCKS = [block for name in DOCUMENTS for block in blocks(name)]
RUN = [block for block in BLOCKS if block.is_run]
PARSED = [block for block in BLOCKS if block.text.startswith(NOT_RUN)]


class Terminal:
    """A `bash` that is told one block after the other, as a person would in a second terminal."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self._scratch = scratch
        self._said = scratch / "said.log"
        self._failed = scratch / "failed"
        with self._said.open("wb") as said:
            self._bash = subprocess.Popen(
                ["bash", "--norc", "--noprofile"],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=said,
                text=True,
                env=environment(folder / "var"),
                start_new_session=True,
            )
        self._tell(f"unset SLUICEGATE_HOME; set -o pipefail; trap 'echo $? >> {self._failed}' ERR")

    def run(self, text: str) -> tuple[str, list[str]]:
        """Run commands; return what they printed and the exit statuses of those that failed."""
        before = self._said.stat().st_size
        self._failed.write_text("")
        done = self._scratch / "done"
        done.unlink(missing_ok=True)
        (self._scratch / "block.sh").write_text(text + "\n:\n")  # a failure inside counts once
        self._tell(f". {self._scratch}/block.sh < /dev/null; touch {done}")
        wait_until(lambda: done.exists() or self._bash.poll() is not None, text, patience_s=PATIENCE_S)
        return self._said.read_bytes()[before:].decode(), self._failed.read_text().split()

    def close(self) -> None:
        """End it, and whatever it still runs."""
        if self._bash.poll() is None:
            os.killpg(self._bash.pid, signal.SIGKILL)
            self._bash.wait()

    def _tell(self, text: str) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(text + "\n")
        self._bash.stdin.flush()


class Stack:
    """`make up` in a folder of its own, into which the repository is linked: it writes nowhere else."""

    def __init__(self, folder: Path) -> None:
        fresh = subprocess.run(["make", "--question", ".venv/.dev"], cwd=ROOT, check=False)
        assert fresh.returncode == 0, "the lock files changed; run: make .venv/.dev"  # or `make up` would install
        for entry in ROOT.iterdir():
            if entry.name != "var":
                (folder / entry.name).symlink_to(entry)
        self.folder = folder
        self._log = folder.parent / "make-up.log"
        with self._log.open("wb") as log:
            variables = environment(folder / "var")
            del variables["SLUICEGATE_HOME"]
            self._make = subprocess.Popen(
                ["make", "up"], cwd=folder, stdout=log, stderr=log, env=variables, start_new_session=True
            )
        wait_until(lambda: self._make.poll() is not None or "Ctrl-C stops" in self.said(), "`make up` is up")
        assert self._make.poll() is None, self.said()

    def said(self) -> str:
        """Return what it printed so far."""
        return self._log.read_text()

    def address(self, name: str) -> str:
        """Return an address that it printed."""
        printed = re.search(rf"^{name} +(\w+://[^/\s]+(?:/\d+)?)", self.said(), re.MULTILINE)
        assert printed is not None, self.said()
        return printed[1]

    def press_ctrl_c(self) -> None:
        """Press Ctrl-C, which every process of the terminal gets, and wait for the end."""
        os.killpg(self._make.pid, signal.SIGINT)
        self._make.wait(PATIENCE_S)

    def kill(self) -> None:
        """End it if it still runs."""
        if self._make.poll() is None:
            os.killpg(self._make.pid, signal.SIGKILL)
            self._make.wait()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run one stack for all documents."""
    folder = tmp_path_factory.mktemp("written") / "sluicegate"
    folder.mkdir()
    started = Stack(folder)
    yield started
    started.kill()


@pytest.fixture(scope="module")
def terminal(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """Open the second terminal."""
    opened = Terminal(stack.folder, tmp_path_factory.mktemp("terminal"))
    yield opened
    opened.close()


def missing(shown: tuple[str, ...], printed: str) -> str:
    """Return the first line that a document shows and a command did not print; empty when all are there."""
    for line in shown:
        pattern = re.sub(r"(?:\\ )+", r"\\s+", re.escape(line.strip())).replace("…", ".*")
        if not re.search(pattern, printed):
            return line
    return ""


@pytest.mark.parametrize("block", RUN, ids=str)
def test_block_does_what_its_document_says(block: Block, stack: Stack, terminal: Terminal) -> None:
    """Each block ends with the exit statuses it names, and prints what stands below it."""
    text = block.text
    for address, name in ADDRESSES.items():
        if address in text:
            text = text.replace(address, stack.address(name))
    if block.language == "python":
        program = stack.folder.parent / "block.py"
        program.write_text(text)
        text = f"python {program}"
    printed, failed = terminal.run(text)
    assert STATUS.findall(block.text) == failed, f"{block}\n{printed}"
    assert "" == missing(block.shown, printed), f"{block}\n{printed}"


@pytest.mark.parametrize("block", PARSED, ids=str)
def test_block_that_is_not_run_parses(block: Block) -> None:
    """A block that cannot be run here is at least understood by bash and by the program."""
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    for line in re.findall(r"^sluicegate ([^|<\n]+)", block.text, re.MULTILINE):
        assert "" == complaint(shlex.split(line, comments=True)), line


@pytest.mark.parametrize("document", DOCUMENTS)
def test_document_has_no_block_that_escapes(document: str) -> None:
    """Commands are in blocks of this test's kinds; a prompt or another language would not be run."""
    assert set(FENCE.findall((ROOT / document).read_text())) <= {"sh", "text", "python", "toml"}


def test_stack_prints_what_the_quick_start_shows(stack: Stack) -> None:
    """`make up` prints the lines that stand below it."""
    for block in BLOCKS:
        if block.commands == {"make up"}:
            assert "" == missing(block.shown, stack.said()), block


@pytest.mark.parametrize(("made", "by"), ELSEWHERE.items())
def test_command_that_is_run_elsewhere_is_run_there(made: str, by: str) -> None:
    """CI calls `make test`; the recipe of `make demo` is what the demo's own test runs."""
    recipe = subprocess.run(
        ["make", "--no-print-directory", "-n", *made.split()[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert made in (ROOT / by).read_text() or '"demo"' in (ROOT / by).read_text()
    assert made != "make demo" or recipe.stdout.split()[-2:] == [".venv/bin/sluicegate", "demo"]


def test_ctrl_c_in_the_first_terminal_ends_everything(stack: Stack, terminal: Terminal) -> None:
    """Last of this module: as the quick start says, nothing is left running."""
    stack.press_ctrl_c()
    assert "nothing is left running" in stack.said()
