"""The documentation site builds without a warning, holds every document, and asks no server for anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from docs import assembly

ROOT = Path(__file__).parents[3]
FETCHING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as `make docs-site` does, elsewhere."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "--quiet", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stdout + done.stderr)
    return folder


class Page(HTMLParser):
    """What a page fetches, where its links lead, and the anchors it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        values = dict(attrs)
        if (name := FETCHING.get(tag)) and values.get("rel") != "canonical":
            self.fetched.append(values.get(name) or "")
        if tag == "a":
            self.links.append(values.get("href") or "")
        self.ids.add(values.get("id") or "")


def test_site_holds_every_document(site: Path) -> None:
    """Each Markdown file of docs/, ops/ and the root is a page, and each page is reached from the first one."""
    documents = [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "ops").rglob("*.md")]
    pages = {assembly.place(path.relative_to(ROOT)).removesuffix(".md") + ".html" for path in documents}
    assert set() == {page for page in pages if not (site / page).exists()}
    first = Page((site / "index.html").read_text())
    assert set() == pages - set(first.links) - {"index.html"}


def test_site_asks_no_server(site: Path) -> None:
    """Scripts, styles, pictures and fonts come from the site itself: it works without a network."""
    fetched = {(page.name, url) for page in site.rglob("*.html") for url in Page(page.read_text()).fetched}
    assert any(url.endswith(".js") for _page, url in fetched)
    assert set() == {(page, url) for page, url in fetched if re.match(r"(?:\w+:)?//", url)}
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert [] == re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)]*", styles)


def test_links_between_pages_lead_to_what_they_name(site: Path) -> None:
    """A link inside the site, bent or not, names a page that exists and an anchor on it."""
    pages = {path: Page(path.read_text()) for path in site.rglob("*.html") if path.name != "404.html"}
    broken = []
    for path, page in pages.items():
        for link in page.links:
            target, _, anchor = link.partition("#")
            if re.match(r"\w+:", link):
                continue
            found = pages.get((path.parent / target).resolve() if target else path)
            if found is None or (anchor and anchor not in found.ids):
                broken.append((path.name, link))
    assert [] == broken


def test_search_works_from_the_disk(site: Path) -> None:
    """The index is a script, and the one that stands in for a worker is on each page: no server is needed."""
    index = (site / "search" / "search_index.js").read_text()
    assert "in doubt" in index
    assert "iframe-worker.js" in Page((site / "index.html").read_text()).fetched


def test_runbook_keeps_its_path_on_the_site(site: Path) -> None:
    """An alert's `runbook_url` ends in the page of its runbook; the site has it there."""
    names = {path.stem for path in (ROOT / "ops" / "runbooks").glob("*.md")}
    assert names
    assert names == {path.stem for path in (site / "ops" / "runbooks").glob("*.html")} - {"index"}
