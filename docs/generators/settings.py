"""`docs/settings.md`: every setting, from the settings tree and its docstrings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from inspect import getdoc
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from docs.generators.markdown import code, page, table
from sluicegate.config import PREFIX, AccountSettings, Settings

_INTRO = f"""A setting is read from its environment variable first, then from the TOML file that
`{PREFIX}CONFIG` names. Everything is read once, at the start of a process, and checked: a wrong value ends
the process with exit status 2 and names the setting. Secrets are best kept in files (`api_key_file`); the
TOML file may itself be a mounted secret, because `broker_url` and `ledger_url` hold passwords. A misspelt
variable is not noticed; a misspelt name in the file is."""

_OUTSIDE = (
    (f"{PREFIX}DEBUG", "Any value: show tracebacks of unexpected errors (also `--debug`)."),
    (f"{PREFIX}FLOWER_AUTH", "`USER:PASSWORD` of Flower (also `sluicegate flower --basic-auth`)."),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting.

    Attributes:
        path: in the TOML file; `accounts.NAME.` stands for every account.
        default: as TOML, empty when the setting is required or has none.
    """

    path: str
    default: str
    meaning: str

    @property
    def variable(self) -> str:
        """Return its environment variable."""
        return PREFIX + self.path.replace(".", "__").upper()


def write() -> str:
    """Return the document."""
    rows = [
        (code(entry.path), code(entry.variable), entry.default, entry.meaning)
        for entry in sorted(entries(), key=lambda entry: entry.path.count("."))
    ]  # fmt: skip
    return page(
        "Settings",
        "sluicegate/config/",
        _INTRO,
        table(("TOML", "variable", "default", "meaning"), rows),
        "## Read by single commands",
        table(("variable", "meaning"), [(code(name), meaning) for name, meaning in _OUTSIDE]),
    )


def variables() -> frozenset[str]:
    """Return the names of all variables that the product reads, `NAME` standing for any account."""
    return frozenset({entry.variable for entry in entries()} | {name for name, _meaning in _OUTSIDE})


def entries() -> Iterator[Entry]:
    """Yield every setting, in the order of the code."""
    for section, model in _sections():
        meanings = attributes(model)
        for name, field in model.model_fields.items():
            if not _is_section(field) and name != "accounts":
                yield Entry(section + name, _default(field), meanings.get(name, ""))


def _sections() -> Iterator[tuple[str, type[BaseModel]]]:
    waiting: list[tuple[str, type[BaseModel]]] = [("", Settings), ("accounts.NAME.", AccountSettings)]
    while waiting:
        section, model = waiting.pop(0)
        yield section, model
        for name, field in model.model_fields.items():
            if _is_section(field):
                waiting.append((f"{section}{name}.", field.annotation))  # type: ignore[arg-type]


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def attributes(model: type[Any]) -> dict[str, str]:
    """Read the meanings of attributes from a docstring; where it says "see `package.Class`", from that one too.

    Args:
        model: a class whose docstring has an `Attributes:` section.
    """
    text = getdoc(model) or ""
    found: dict[str, str] = {}
    if (reference := re.search(r"see `([\w.]+)\.(\w+)`", text)) is not None:
        found |= attributes(getattr(import_module(reference[1]), reference[2]))
    block = re.search(r"Attributes:\n((?:    .*\n?|\n)+)", text)
    for entry in re.finditer(r"^    (\w+): ((?:.*\n?)(?:^ {8}.*\n?)*)", block[1] if block else "", re.MULTILINE):
        found[entry[1]] = " ".join(entry[2].split())
    return found


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    match field.default:
        case None:
            return ""
        case bool() as truth:
            return code(str(truth).lower())
        case str() | Path() as text:
            return code(f'"{text}"')
        case int() | float() as number:
            return code(number)
        case dict() | tuple() | frozenset() as empty if not empty:
            return ""
        case other:
            return code(f'"{other}"')
