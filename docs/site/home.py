"""The README's figure and findings on the first page of the site, so that they are written once."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.pages import Page

PLACE = "<!-- README: What it found -->"
SECTION = re.compile(r"^!\[.*?(?=^## (?!What it found))", re.DOTALL | re.MULTILINE)
"""The figure of the README, and the section after it."""


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: object) -> str:
    """Replace PLACE of the first page by the README's section, with links from the folder of the documentation."""
    if page.file.src_uri != "index.md":
        return markdown
    found = SECTION.search(Path(config.docs_dir, "../README.md").read_text("utf-8"))
    if found is None or "## What it found" not in found[0] or PLACE not in markdown:
        raise PluginError(f"README.md has no figure before 'What it found', or index.md no {PLACE}")
    return markdown.replace(PLACE, found[0].replace("](docs/", "]("))
