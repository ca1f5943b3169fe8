"""What the site needs beside docs/: documents from elsewhere in the repository, and links that fit it.

Documents link to each other by their place in the repository, so that they can be read there. On the site
README.md is the first page, docs/ is the root, and everything else keeps its path; links are bent accordingly.
Links to files that are no documents become plain text. mkdocs loads this file by the `hooks:` of mkdocs.yml.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
OUTSIDE = ("*.md", "ops/**/*.md")
FOLDERS = {"adr": "Decisions", "ops/runbooks": "Runbooks"}
"""Folders whose index page is made here: a list of their documents."""

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!\w+:|#)([^)#\s]*)(#[^)\s]*)?\)")


def on_config(config: Any) -> Any:
    """Put the documents of a folder where the nav says `FOLDER/*.md`."""
    config.nav = _filled(config.nav)
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the documents that lie outside docs/, and an index of each folder."""
    for here, path in _outside().items():
        files.append(File.generated(config, here, abs_src_path=str(ROOT / path)))
    for folder, title in FOLDERS.items():
        files.append(File.generated(config, f"{folder}/index.md", content=_index(folder, title)))
    return files


def on_page_markdown(markdown: str, page: Any, files: Files, **_others: Any) -> str:
    """Bend the links of a document from the repository to the site."""
    here = page.file.src_uri
    home = _origin(here).parent

    def bend(match: re.Match[str]) -> str:
        mark, text, target, anchor = match[1], match[2], match[3], match[4] or ""
        wanted = _wanted(PurePosixPath(os.path.normpath(home / target)))
        if files.get_file_from_path(wanted) is not None:
            way = os.path.relpath(wanted, PurePosixPath(here).parent)
            return f"{mark}[{text}]({way}{anchor})"
        return text if (ROOT / home / target).exists() else match[0]

    return LINK.sub(bend, markdown)


def place(path: PurePath) -> str:
    """Return where a document of the repository is on the site."""
    inside = path.relative_to("docs") if path.is_relative_to("docs") else path
    return inside.with_name("index.md" if path.name == "README.md" else path.name).as_posix()


def _wanted(path: PurePosixPath) -> str:
    found = place(path)
    return f"{found}/index.md" if found in FOLDERS else found


def _origin(here: str) -> PurePosixPath:
    """Return where a page of the site is in the repository."""
    return _outside().get(here, PurePosixPath("docs", here))


def _outside() -> dict[str, PurePosixPath]:
    paths = (PurePosixPath(p.relative_to(ROOT).as_posix()) for pattern in OUTSIDE for p in ROOT.glob(pattern))
    return {place(path): path for path in sorted(paths)}


def _filled(nav: list[Any]) -> list[Any]:
    filled = []
    for entry in nav:
        [(title, value)] = entry.items()
        if isinstance(value, list):
            filled.append({title: _filled(value)})
        elif value.endswith("*.md"):
            folder = str(PurePosixPath(value).parent)
            filled.append(
                {title: [f"{folder}/index.md", *(f"{folder}/{path.name}" for path in _documents(folder))]}
            )
        else:
            filled.append(entry)
    return filled


def _documents(folder: str) -> list[Path]:
    home = ROOT / "docs" / folder
    return sorted((home if home.exists() else ROOT / folder).glob("*.md"))


def _index(folder: str, title: str) -> str:
    """Return a page that lists the documents of a folder, with the alerts that lead to each."""
    lines = [f"- [{_title(path)}]({path.name}){_alerts(path)}" for path in _documents(folder)]
    return "\n".join([f"# {title}", "", *lines, ""])


def _alerts(path: Path) -> str:
    line = re.search(r"^Alerts?: (.*)$", path.read_text(), re.MULTILINE)
    return f": {line[1]}" if line else ""


def _title(path: Path) -> str:
    return path.read_text().partition("\n")[0].removeprefix("# ")
