"""`docs/python.md`: the public Python surface, from its docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from pydantic import BaseModel

import sluicegate
from docs.generators.markdown import code, fence, page, table
from docs.generators.settings import attributes

_INTRO = """Everything that `from sluicegate import ...` gives. What is not on this page may change without notice.
Errors are named by what the caller must do; each is a `SluicegateError`."""

_SECTION = re.compile(r"^(Args|Returns|Raises|Attributes|Source): ?", re.MULTILINE)
_ENTRY = re.compile(r"^    ([\w, ]+): ((?:.*\n?)(?:^ {8}.*\n?)*)", re.MULTILINE)


def write() -> str:
    """Return the document."""
    public = {name: getattr(sluicegate, name) for name in sluicegate.__all__}
    functions = {name: found for name, found in public.items() if inspect.isfunction(found)}
    classes = {name: found for name, found in public.items() if isinstance(found, type)}
    errors = {name: found for name, found in classes.items() if issubclass(found, Exception)}
    others = {name: found for name, found in classes.items() if name not in errors}
    first = sorted(others, key=lambda name: (name != "Sluicegate", name))
    return page(
        "Python",
        "sluicegate/client.py and sluicegate/domain/",
        _INTRO,
        *(block for name in first for block in _class(name, others[name])),
        *(block for name, found in functions.items() for block in _function("##", name, name, found)),
        *(
            f"`{name}`: {_members(sorted(found))}"
            for name, found in public.items()
            if name not in {*classes, *functions}
        ),
        "## Errors",
        table(("error", "meaning"), [(code(name), _summary(errors[name])) for name in sorted(errors)]),
    )


def _class(name: str, found: type[Any]) -> Iterator[str]:
    yield f"## {name}"
    if issubclass(found, Enum):
        yield _summary(found)
        yield _members(found)
        return
    yield from _prose(inspect.getdoc(found) or "", without="Attributes")
    if issubclass(found, BaseModel):
        yield _fields(found)
    elif is_dataclass(found):
        meanings = attributes(found)
        rows = [(code(f.name), code(f.type), meanings.get(f.name, "")) for f in fields(found)]
        yield table(("attribute", "type", "meaning"), rows)
    else:
        yield from _methods(name, found)


def _members(found: Iterable[Enum]) -> str:
    return ", ".join(code(member.value) for member in found)


def _methods(owner: str, found: type[Any]) -> Iterator[str]:
    for name, member in vars(found).items():
        method = getattr(member, "__func__", member)
        if name.startswith("_") or not inspect.isfunction(method):
            continue
        yield from _function("###", f"{owner}.{name}", name, method)


def _function(level: str, title: str, name: str, found: Any) -> Iterator[str]:
    yield f"{level} {title}"
    shown = inspect.signature(found)
    parameters = [_parameter(p) for p in shown.parameters.values() if p.name not in {"self", "cls"}]
    yield fence(f"{name}{shown.replace(parameters=parameters)}".replace("'", ""), "python")
    yield from _prose(inspect.getdoc(found) or "")


def _parameter(parameter: inspect.Parameter) -> inspect.Parameter:
    """Return a parameter whose default prints the same in every process; sets do not."""
    if not isinstance(parameter.default, frozenset):
        return parameter
    names = ", ".join(sorted(str(member).upper() for member in parameter.default))
    return parameter.replace(default=_Printed("{" + names + "}"))


class _Printed(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _prose(text: str, *, without: str = "") -> Iterator[str]:
    summary, *sections = _SECTION.split(text)
    yield from (" ".join(part.split()) for part in summary.strip().split("\n\n"))
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        if title == without:
            continue
        entries = [f"- `{entry[1]}`: {' '.join(entry[2].split())}" for entry in _ENTRY.finditer(body)]
        listed = title in {"Args", "Raises", "Attributes"} and entries
        yield f"**{title}**" + ("\n\n" + "\n".join(entries) if listed else ": " + " ".join(body.split()))


def _fields(model: type[BaseModel]) -> str:
    meanings = attributes(model)
    schema = model.model_json_schema(mode="validation")
    rows = []
    for name, field in model.model_fields.items():
        need = "required" if field.is_required() else code(_default(field.default))
        values = _values(schema["properties"][name], schema.get("$defs", {}))
        rows.append((code(name), values, need, meanings.get(name, "")))
    return table(("field", "values", "default", "meaning"), rows)


def _default(value: Any) -> str:
    return "" if value is None else str(getattr(value, "value", value))


def _values(schema: dict[str, Any], known: dict[str, Any]) -> str:
    """Return what a field takes, in few words."""
    options = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    if "$ref" in schema or "$ref" in options[0]:
        enum = known[(schema.get("$ref") or options[0]["$ref"]).rpartition("/")[2]]
        return ", ".join(code(value) for value in enum["enum"])
    kinds = {option.get("type") for option in options}
    found = options[0]
    if choice := re.fullmatch(r"\^\(([\w|]+)\)\$", found.get("pattern", "")):
        return ", ".join(code(value) for value in choice[1].split("|"))
    if "integer" in kinds and "string" not in kinds:
        return f"{found.get('ge', found.get('gt', 0) + 1)} to {found['le']:,}"
    if "boolean" in kinds:
        return "`true`, `false`"
    return _text(found)


def _text(schema: dict[str, Any]) -> str:
    if schema.get("format") == "date-time":
        return "ISO 8601 with time zone"
    return "text" if "maxLength" in schema or "pattern" in schema else "decimal, as text or integer"


def _summary(found: type[Any]) -> str:
    return " ".join(_SECTION.split(inspect.getdoc(found) or "")[0].split())
